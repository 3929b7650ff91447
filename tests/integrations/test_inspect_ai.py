"""inspect_ai's task, solvers and scorer: the same samples and scores for TRM and for others."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import copycat
import paths
import pytest
import torch
from commands import run_cli
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inspect_ai import Epochs
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import registry_info
from inspect_ai.log import EvalLog, EvalSample, read_eval_log
from inspect_ai.model import ChatMessage, Model, ModelName, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import SampleScore, Score, Target
from inspect_ai.solver import TaskState, generate
from tiny import run_config, write_challenges, write_predictions, write_weights

# inspect_ai looks up the first `arc_trm` on the path, and an egg-info in the current folder, which
# `python -m pytest` puts there, does not name the plugin.
if "" in sys.path or os.getcwd() in sys.path:
    sys.path[:] = [place for place in sys.path if place not in ("", os.getcwd())]

import arc_trm.inference
from arc_trm import load_tasks
from arc_trm.config import InferenceConfig
from arc_trm.evaluation.predictions import PredictionSet, build_submission
from arc_trm.evaluation.seal import Seal
from arc_trm.integrations.inspect_ai import plugin
from arc_trm.integrations.inspect_ai.batching import (
    NO_SOURCE,
    RequestBatcher,
    SampleAnswer,
    SampleAnswers,
    SampleQuery,
    WeightsSource,
)
from arc_trm.integrations.inspect_ai.scorers import per_output, per_task, strict, two_attempts
from arc_trm.integrations.inspect_ai.solvers import ATTEMPTS_KEY
from arc_trm.integrations.prompts import grid_text, last_grid, parse_attempts, prompt
from arc_trm.models.trm import TRM
from arc_trm.runs import predictions_of
from arc_trm.tasks import TaskSet
from arc_trm.training import train_run
from submission import score_ranked

pytestmark = [  # warnings of inspect_ai itself, about its retries and streams
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

GOLDEN = paths.GOLDEN / "arc"
CHALLENGES = GOLDEN / "raw" / "made-up_evaluation_challenges.json"
SUBMISSION = GOLDEN / "votes" / "submission.json"
RATES = ("per_task", "per_output", "strict")
GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, 9), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    )
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep inspect_ai's files, and the folder in which runs are found, below `tmp_path`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INSPECT_EVAL_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Iterator[None]:
    """Collect what inspect_ai leaves behind here, where it may warn."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that has predicted its three tasks."""
    folder = tmp_path_factory.mktemp("tiny")
    config = run_config(write_challenges(folder))
    train_run(config, torch.device("cpu"), folder / "runs" / "run")
    result = run_cli("predict", folder / "runs" / "run")
    assert result.exit_code == 0, result.output
    return folder / "runs" / "run"


def evaluate(
    tmp_path: Path,
    task: Any = "arc_trm/arc_agi",
    model: str | Model = "none/none",
    options: dict[str, Any] | None = None,
    **task_args: Any,
) -> EvalLog:
    (log,) = inspect_eval(
        task,
        model=model,
        task_args={name: str(v) if isinstance(v, Path) else v for name, v in task_args.items()},
        display="none",
        log_dir=str(tmp_path / "logs"),
        ctl_server=False,
        **(options or {}),
    )
    return log


def samples_of(log: EvalLog) -> list[EvalSample]:
    assert log.status == "success", log.error
    assert log.samples is not None
    return log.samples


def rates(log: EvalLog) -> dict[str, dict[str, float]]:
    assert log.results is not None
    return {
        score.name: {name: score.metrics[f"arc_trm/{name}"].value for name in RATES}
        for score in log.results.scores
    }


def scored(predictions: Path, challenges: Path) -> dict[str, dict[str, float]]:
    """Return the rates that `arc-trm score` gives."""
    record = json.loads(run_cli("score", predictions, "--data", challenges, "--json").stdout)
    return {k: {name: record[k][name]["value"] for name in RATES} for k in ("pass@1", "pass@2")}


class Recorder:
    """Stands in for `predict_tasks` and records the ids of the tasks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self._predict = arc_trm.inference.predict_tasks
        monkeypatch.setattr(arc_trm.inference, "predict_tasks", self)

    def __call__(
        self, weights: Any, tasks: TaskSet, augmentations: int | None, **options: Any
    ) -> PredictionSet:
        self.calls.append([task.id for task in tasks for _ in task.test])
        return self._predict(weights, tasks, augmentations, **options)


def make_model(answer: Callable[[str], str]) -> Model:
    """Return a language model; without usage inspect_ai fetches a tokenizer to count tokens."""

    def output(messages: list[ChatMessage], *_: Any) -> ModelOutput:
        completion = ModelOutput.from_content("mockllm/model", answer(messages[-1].text))
        completion.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return completion

    return get_model("mockllm/model", custom_outputs=output)


# The plugin


def test_names_in_the_registry() -> None:
    for name in plugin.__all__:
        assert registry_info(getattr(plugin, name)).name == f"arc_trm/{name}"
    (entry,) = importlib.metadata.entry_points(group="inspect_ai", name="arc_trm")
    assert entry.value == plugin.__name__


@pytest.mark.slow
def test_without_inspect_ai_the_plugin_says_how_to_install_it() -> None:
    lacks = "import sys; sys.modules['inspect_ai'] = None; import arc_trm.integrations.inspect_ai"
    subprocess.run([sys.executable, "-c", lacks], check=True)
    program = [sys.executable, "-c", f"{lacks}.plugin"]
    result = subprocess.run(program, capture_output=True, text=True)
    assert result.returncode == 1
    assert "install it with `pip install 'arc-trm[inspect]'`" in result.stderr.splitlines()[-1]


# TRM's answers


@pytest.mark.slow
def test_predictions_in_a_file_score_as_by_the_command(tmp_path: Path) -> None:
    log = evaluate(tmp_path, predictions=SUBMISSION, data=CHALLENGES)
    expected = scored(SUBMISSION, CHALLENGES)
    assert rates(log) == expected
    assert 0 < expected["pass@1"]["per_output"] < expected["pass@2"]["per_output"] < 1
    tasks = load_tasks(CHALLENGES)
    samples = {str(sample.id): sample for sample in samples_of(log)}
    assert len(samples) == tasks.test_outputs
    for task in tasks:
        for test in range(len(task.test)):
            sample = samples[f"{task.id}/{test + 1}"]
            assert (sample.metadata["task"], sample.metadata["test"]) == (task.id, test)
            assert sample.input == prompt(task, test)
            output = json.loads(SUBMISSION.read_text())[task.id][test]
            assert sample.store[ATTEMPTS_KEY] == [output["attempt_1"], output["attempt_2"]]
            assert parse_attempts([sample.output.completion])[0] == output["attempt_2"]
            assert sample.messages[-1].text == sample.output.completion
    again = read_eval_log(log.location)
    assert rates(again) == expected
    assert again.eval.task == "arc_trm/arc_agi"
    alone = evaluate(tmp_path, predictions=SUBMISSION, data=CHALLENGES, attempts=1)
    assert rates(alone) == {"pass@1": expected["pass@1"]}


@pytest.mark.slow
def test_weights_answer_as_the_command_does(tmp_path: Path, run: Path) -> None:
    by_weights = evaluate(tmp_path, weights=run)
    by_log = evaluate(tmp_path, predictions=run)
    (folder,) = predictions_of(run)
    by_file = evaluate(tmp_path, predictions=folder / "submission.json")
    submission = json.loads((folder / "submission.json").read_text())
    for log in (by_weights, by_log, by_file):  # whose tasks are those of the run
        assert rates(log) == scored(run, run.parent.parent / "tiny_challenges.json")
        for sample in samples_of(log):
            (output,) = submission[sample.metadata["task"]]
            assert sample.store[ATTEMPTS_KEY] == [output["attempt_1"], output["attempt_2"]]
    for sample, same in zip(samples_of(by_weights), samples_of(by_log), strict=True):
        assert sample.metadata["source"] == str(run)
        assert sample.metadata["votes"] == same.metadata["votes"]
        assert sum(votes or 0 for votes in sample.metadata["votes"]) <= 3
        first, second = sample.metadata["halt_prob"]
        assert 0 < first < 1 and (second is None or 0 < second < 1)
    fewer = evaluate(tmp_path, weights=run, augmentations=0)
    assert all(sample.metadata["votes"] == [1, None] for sample in samples_of(fewer))


def test_the_log_has_the_seal_of_weights_tasks_and_settings(tmp_path: Path, run: Path) -> None:
    assert run_cli("predict", run, "--out", "out", "--seal").exit_code == 0
    by_command = json.loads((tmp_path / "out" / "seal.json").read_text())
    log = evaluate(tmp_path, weights=run, options={"limit": 1, "metadata": {"by": "me"}})
    again = read_eval_log(log.location)
    assert again.eval.metadata is not None
    assert again.eval.metadata["by"] == "me"
    written = again.eval.metadata["seal"]
    (tmp_path / "sealed.json").write_text(json.dumps(written))
    seal = Seal.read(tmp_path / "sealed.json")  # its SHA-256 is right
    assert datetime.fromisoformat(seal.sealed_at) <= datetime.fromisoformat(again.eval.created)
    # The answers are in the log itself: nothing but a digest of the log would seal them.
    own = {"submission": None, "predictions": None, "sealed_at": written["sealed_at"]}
    assert written == {**by_command, **own, "sha256": written["sha256"]}
    for options in ({"augmentations": 1}, {"samples": 2, "noise": 0.1}, {"supervision_steps": 1}):
        other = evaluate(tmp_path, weights=run, options={"limit": 1}, **options)
        assert other.eval.metadata is not None
        changed = {
            name for name, now in other.eval.metadata["seal"].items() if now != written[name]
        }
        assert changed - {"sealed_at"} == {"settings", "settings_sha256", "sha256"}
    by_file = evaluate(tmp_path, predictions=SUBMISSION, data=CHALLENGES, options={"limit": 1})
    assert not by_file.eval.metadata


@pytest.mark.slow
def test_only_the_samples_are_predicted_and_only_once(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    evaluate(tmp_path, weights=run, options={"limit": 2})
    assert recorder.calls == [["task0", "task1"]]
    recorder.calls.clear()
    evaluate(tmp_path, weights=run, options={"sample_id": "task2/1"})
    assert recorder.calls == [["task2"]]
    recorder.calls.clear()
    log = evaluate(tmp_path, weights=run, options={"epochs": Epochs(3, ["mean", "at_least_2"])})
    assert Counter(task for call in recorder.calls for task in call) == {
        "task0": 1,
        "task1": 1,
        "task2": 1,
    }
    assert len(samples_of(log)) == 9
    assert log.results is not None
    assert [score.reducer for score in log.results.scores] == 2 * ["mean"] + 2 * ["at_least_2"]
    recorder.calls.clear()
    evaluate(tmp_path, weights=run, options={"max_samples": 1})  # cannot wait for each other
    assert recorder.calls == [["task0"], ["task1"], ["task2"]]


NOISY = {"samples": 4, "noise": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("select", ["votes", "particles", "first_halt"])
def test_several_answers_are_those_of_the_command(tmp_path: Path, run: Path, select: str) -> None:
    log = evaluate(tmp_path, weights=run, select=select, seed=3, **NOISY)
    options = ("--samples", 4, "--noise", 0.5, "--select", select, "--seed", 3, "--out", "out")
    assert run_cli("predict", run, *options).exit_code == 0
    submission = json.loads((tmp_path / "out" / "submission.json").read_text())
    for sample in samples_of(log):
        (output,) = submission[sample.metadata["task"]]
        assert sample.store[ATTEMPTS_KEY] == [output["attempt_1"], output["attempt_2"]]
        votes = [number for number in sample.metadata["votes"] if number is not None]
        assert 1 <= sum(votes) <= 12


@pytest.mark.slow
def test_answers_do_not_depend_on_which_test_inputs_are_evaluated(tmp_path: Path) -> None:
    known = copycat.tasks()  # task a has two test inputs
    path = tmp_path / "weights"
    write_weights(path, list(copycat.weights(TRM, known).puzzle_ids)[1:])
    queries = [
        SampleQuery(task.id, test, tuple(pair.input for pair in task.test))
        for task in known
        for test in range(len(task.test))
    ]
    config = InferenceConfig(samples=3, starts="random")
    together = WeightsSource(str(path), 2, config)(queries)
    for query in queries:
        alone = WeightsSource(str(path), 2, config)([query])[query.key]
        assert alone.attempts == together[query.key].attempts
        assert alone.votes == together[query.key].votes
        for one, other in zip(alone.halt_probs, together[query.key].halt_probs, strict=True):
            assert one == (None if other is None else pytest.approx(other, abs=1e-2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_args", "sentence"),
    [
        ({"select": "rule"}, "needs puzzles with a rule"),
        ({"select": "vote"}, 'did you mean "votes"?'),
        ({"samples": 2}, "are all the same: add --noise"),
    ],
)
def test_what_the_weights_cannot_do_is_one_sentence(
    tmp_path: Path, run: Path, task_args: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        evaluate(tmp_path, weights=run, **task_args)
    assert sentence in str(caught.value.message)


@pytest.mark.slow
def test_the_solver_answers_tasks_of_another_set(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenges = run.parent.parent / "tiny_challenges.json"
    solver = plugin.trm(weights=str(run))
    log = evaluate(tmp_path, data=challenges, options={"solver": solver})
    assert all("note" not in sample.metadata for sample in samples_of(log))
    said: list[str] = []
    monkeypatch.setattr("arc_trm.integrations.inspect_ai.batching.logger.warning", said.append)
    log = evaluate(tmp_path, data=CHALLENGES, weights=run, options={"limit": 1})
    (sample,) = samples_of(log)
    note = "a guess: its input of 5×12 does not fit the 4×4 canvas"
    assert sample.metadata["note"] == note
    (warning,) = said
    assert warning.startswith("1 of 1 test inputs gets a guess, which counts as unsolved")
    assert "leave out `-T data=...` for the tasks of the run" in warning
    assert f"or adapt the weights first, with `arc-trm adapt {run} --data DATA`" in warning


@pytest.mark.slow
def test_without_anything_the_latest_run_answers_or_guesses_do(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = evaluate(tmp_path, options={"limit": 5})
    assert log.eval.dataset.name == "arc-agi-1/evaluation"
    for sample in samples_of(log):
        assert sample.metadata["source"] == NO_SOURCE
        assert sample.metadata["note"] == "a guess"
        first, second = sample.store[ATTEMPTS_KEY]
        assert first == sample.metadata["test_inputs"][sample.metadata["test"]] != second
    monkeypatch.chdir(run.parent.parent)
    outside = plugin.arc_agi(data=str(run.parent.parent / "tiny_challenges.json"))
    said: list[str] = []
    monkeypatch.setattr("arc_trm.integrations.inspect_ai.task.logger.warning", said.append)
    for log in (evaluate(tmp_path), evaluate(tmp_path, outside)):
        assert {sample.metadata["source"] for sample in samples_of(log)} == {"runs/run"}
        assert len(samples_of(log)) == 3
    assert said == ["no weights are named, so the run made last answers: runs/run"]


def test_the_log_says_that_tasks_were_trained_on(
    tmp_path: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("arc_trm.integrations.inspect_ai.task.logger.warning", said.append)
    config = json.loads((weights_dir / "config.json").read_text())
    config["training"]["trained_on"] = ["arc-agi-1/training"]
    (weights_dir / "config.json").write_text(json.dumps(config))
    small = load_tasks("arc-agi-1/training").filter_by_size(3)
    Path("small.json").write_text(json.dumps({task.id: task.to_json() for task in small}))
    leaks = ["small.json shares all with a set"]
    facts = {"data": [str(tmp_path / "small.json")], "max_grid_size": 30, "leaks": leaks}
    made = write_predictions(Path("made"), small, build_submission((), small), **facts)
    plugin.arc_agi(predictions=str(made))
    assert said == leaks
    plugin.arc_agi(weights=str(weights_dir), data="small.json")
    assert said[1].startswith(f"small.json shares {len(small)} of its {len(small)} tasks with arc-")


@pytest.mark.slow
def test_missing_predictions_of_a_file_are_noted(tmp_path: Path, run: Path) -> None:
    submission = json.loads(SUBMISSION.read_text())
    gone = next(iter(submission))
    del submission[gone]
    part = tmp_path / "part.json"
    part.write_text(json.dumps(submission))
    log = evaluate(tmp_path, predictions=part, data=CHALLENGES)
    assert rates(log) == scored(part, CHALLENGES)
    sample = next(each for each in samples_of(log) if each.metadata["task"] == gone)
    assert sample.metadata["note"] == "no answer, which counts as unsolved"
    assert sample.scores is not None
    assert sample.scores["two_attempts"].explanation == "there is no attempt"
    # A log without predictions for two of its three tasks.
    lines = (predictions_of(run)[0] / "predictions.jsonl").read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(line for line in lines if '"task":' not in line or "task0" in line))
    log = evaluate(tmp_path, predictions=cut)
    assert rates(log) == scored(cut, run.parent.parent / "tiny_challenges.json")
    notes = {sample.metadata.get("note") for sample in samples_of(log)}
    assert notes == {None, "a guess: no prediction"}


@pytest.mark.parametrize(
    ("task_args", "sentence"),
    [
        ({"data": "nope"}, "nope is neither a dataset nor"),
        ({"weights": "no/such/folder"}, "there is no folder no/such/folder"),
        ({"weights": "."}, "is not a weights folder: it has no config.json"),
        ({"predictions": "nope.json"}, "nope.json does not exist: name a predictions.jsonl"),
        ({"predictions": "empty"}, "has no files, expected one TASK.json per task"),
        ({"predictions": "bad.jsonl"}, "bad.jsonl, line 1 is not a prediction"),
        ({"predictions": SUBMISSION}, "submission.json has predictions for none of the 400 tasks"),
        ({"predictions": SUBMISSION, "augmentations": 3}, "augmentations are for weights:"),
        ({"predictions": "a,b.json"}, "a,b.json does not exist"),
        ({"predictions": ["a", "b.json"]}, "a,b.json does not exist"),
        (
            {"predictions": "a", "weights": "b", "data": CHALLENGES},
            "weights and predictions exclude each other: name one",
        ),
        ({"attempts": 3}, "attempts is 3: use 1 or 2"),
        ({"augmentations": "x"}, "augmentations is x: give a number from 0 up"),
        ({"samples": "abc"}, '"samples" is of type int, got "abc"'),
        ({"samples": 2.5}, '"samples" is of type int, got 2.5'),
        ({"samples": [2, 4]}, '"samples" is of type int'),
        ({"samples": 4000, "noise": 0.3}, "samples must be 1 to 1024, got 4000"),
        ({"samples": 2, "noise": "loud"}, '"noise" is of type float, got "loud"'),
        ({"samples": 2, "noise": -1}, "noise must be 0 to 100, got -1"),
        ({"noise": 0.3}, "noise has no effect on the first sample"),
        ({"samples": 2, "starts": "rando"}, 'did you mean "random"?'),
        ({"early_exit": "yes"}, '"early_exit" is of type bool, got "yes"'),
        ({"supervision_steps": 0}, "supervision_steps must be 1 to 1024, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"select": 3}, '"select" is of type str, got 3'),
        (
            {"predictions": SUBMISSION, "data": CHALLENGES, "samples": 1},
            "samples, noise and other settings are for weights: predictions are made already",
        ),
        ({"data": "unknown.json"}, "no test output of unknown.json is known"),
        (
            {"data": "sudoku-6x6/test"},
            "the plugin needs an ARC submission, but sudoku-6x6/test holds",
        ),
    ],
)
@pytest.mark.slow
def test_mistakes_are_reported_in_one_sentence(
    tmp_path: Path, task_args: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    tasks = load_tasks(CHALLENGES)
    (tmp_path / "unknown.json").write_text(json.dumps(tasks.to_json(solutions=False)))
    with pytest.raises(PrerequisiteError) as caught:
        evaluate(tmp_path, **task_args)
    assert sentence in str(caught.value.message)
    assert caught.value.__suppress_context__


def test_waiting_samples_are_answered_together() -> None:
    calls = []

    def source(queries: Sequence[SampleQuery]) -> SampleAnswers:
        calls.append([query.task_id for query in queries])
        if calls[-1][0] == "bad":
            raise ValueError("bad")
        return {query.key: SampleAnswer(note=query.task_id) for query in queries[:2]}

    async def answer_all() -> list[Any]:
        batcher = RequestBatcher(source)
        names = ["a", "b", "a", "bad", "c", "d"]
        answers = [batcher.answer(SampleQuery(name, 0, ())) for name in names]
        return await asyncio.gather(*answers, return_exceptions=True)

    answers = asyncio.run(answer_all())
    assert [each.note if isinstance(each, SampleAnswer) else repr(each) for each in answers] == [
        "a",
        "b",
        "a",
        "ValueError('bad')",
        "c",
        "d",
    ]
    assert calls[0] == ["a", "b", "bad", "c", "d"]
    assert calls[1][0] == "bad"
    assert len(calls) == 3


# Language models


@pytest.mark.slow
def test_language_models_answer_the_same_samples(tmp_path: Path) -> None:
    tasks, number = load_tasks(CHALLENGES), Counter[str]()
    solutions = {prompt(t, n): o for t in tasks for n, o in enumerate(t.solutions or ())}

    def answer(text: str) -> str:
        number[text] += 1
        solution = grid_text(solutions[text].tolist())
        thought = f"Let me think: 1 2\n```\n{solution}\n```\nDone."
        return thought if number[text] == 2 else "I pass"

    # The task is made before it is known that there is a model.
    for task in ("arc_trm/arc_agi", plugin.arc_agi(data=str(CHALLENGES))):
        number.clear()
        task_args: dict[str, Any] = {"data": CHALLENGES} if isinstance(task, str) else {}
        log = evaluate(tmp_path, task, make_model(answer), **task_args)
        assert rates(log) == {"pass@1": dict.fromkeys(RATES, 0), "pass@2": dict.fromkeys(RATES, 1)}
        assert set(number.values()) == {2}
        for sample in samples_of(log):
            assert len(sample.output.choices) == 2
            assert [message.role for message in sample.messages] == ["user", *["assistant"] * 2]
            assert sample.scores is not None
            explanation = sample.scores["two_attempts"].explanation
            assert explanation == "attempt 1 holds no grid; attempt 2 is correct"


@pytest.mark.slow
def test_one_completion_may_hold_both_attempts(tmp_path: Path) -> None:
    solutions = {
        prompt(t, n): o.tolist()
        for t in load_tasks(CHALLENGES)
        for n, o in enumerate(t.solutions or ())
    }
    model = make_model(
        lambda text: json.dumps([{"attempt_1": [[1, 10]], "attempt_2": solutions[text]}])
    )
    log = evaluate(tmp_path, model=model, data=CHALLENGES, options={"solver": generate()})
    assert rates(log) == {"pass@1": dict.fromkeys(RATES, 0), "pass@2": dict.fromkeys(RATES, 1)}
    single = evaluate(tmp_path, model=model, data=CHALLENGES, attempts=1)
    assert rates(single) == {"pass@1": dict.fromkeys(RATES, 0)}


# Scores


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(
            st.tuples(GRIDS, st.lists(st.none() | GRIDS | st.just([[0]]), max_size=3)),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
    ),
    st.data(),
)
@pytest.mark.slow
def test_metrics_are_those_of_submission(
    tasks: dict[str, list[tuple[Any, list[Any]]]], data: st.DataObject
) -> None:
    scorer, scores = two_attempts(), []
    answers: dict[str, list[Any]] = {name: [] for name in tasks}
    for name, outputs in tasks.items():
        for test, (solution, tried) in enumerate(outputs):
            tried = [data.draw(st.sampled_from([each, solution])) for each in tried]
            answers[name].append([grid or [] for grid in tried])
            state = TaskState(
                ModelName("none/none"), f"{name}/{test + 1}", 1, "", [], store={ATTEMPTS_KEY: tried}
            )
            score = asyncio.run(scorer(state, Target(json.dumps(solution))))
            assert isinstance(score, Score)
            scores.append((name, score))
    solutions = {name: [solution for solution, _ in outputs] for name, outputs in tasks.items()}
    expected = score_ranked(answers, solutions)
    for k in (1, 2):
        found = metrics([(name, score.as_dict()[f"pass@{k}"]) for name, score in scores])
        for name, rate in expected.to_dict()[f"pass@{k}"].items():
            assert found[name] == rate["value"]


def metrics(values: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return all metrics of one pass@K, for (task id, value of a sample) each."""
    scores = [
        SampleScore(score=Score(value=value), sample_metadata={"task": task})
        for task, value in values
    ]
    made = {"per_output": per_output(), "per_task": per_task(), "strict": strict()}
    return {name: metric(scores) for name, metric in made.items()}  # type: ignore[arg-type]


def test_metrics_of_several_epochs_and_of_foreign_samples() -> None:
    half = metrics([("a", 0.5), ("a", 0.5), ("b", 1.0)])
    assert half == {"per_output": 2 / 3, "per_task": 0.75, "strict": 0.625}
    assert all(math.isnan(rate) for rate in metrics([]).values())
    two = {"task": "c", "test_inputs": [[[1]], [[2]]]}  # as with --limit 1: one of two outputs ran
    cut = [SampleScore(score=Score(value=1), sample_metadata=two)]
    assert per_output()(cut) == 1  # type: ignore[arg-type]
    assert all(math.isnan(made(cut)) for made in (per_task(), strict()))  # type: ignore[arg-type]
    assert strict()(cut * 2) == 1  # type: ignore[arg-type]
    foreign = [SampleScore(score=Score(value=n), sample_id=n) for n in (0, 1)]
    assert strict()(foreign) == 0.5  # type: ignore[arg-type]


# Grids in text


@given(GRIDS, st.sampled_from([" ", ",", ", ", "", "|", " | ", "\t"]), st.booleans(), st.text())
def test_grids_in_any_notation_are_found(
    grid: Any, between: str, fenced: bool, before: str
) -> None:
    rows = [between.join(map(str, row)) for row in grid]
    text = "\n".join(rows)
    if fenced:
        text = f"```text\n{text}\n```\n\nSo 3 of 4 cells change."
    for written in (text, "\n".join(f"| {row} |" for row in rows), "\n".join(map(str, grid))):
        assert last_grid(f"{before}\nis it\n1 2 3\n\nor:\n{written}") == grid
    for indent in (None, 1):
        written = json.dumps(grid, indent=indent)
        assert last_grid(f"{before}\n5 5\nThe answer: {written}.") == grid
        both = json.dumps({"attempt_1": grid, "attempt_2": [[1]]}, indent=indent)
        assert parse_attempts([f"Here it is: {both}"]) == [grid, [[1]]]
    assert parse_attempts([grid_text(grid), ""]) == [grid, None]


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("", None),
        ("I do not know.", None),
        ("The grid is 3 by 3.", None),
        ("1 2\n3 4", [[1, 2], [3, 4]]),
        ("1 2\r\n3 4\r\n", [[1, 2], [3, 4]]),
        ("| 1 | 2 |\n|---|:-:|\n| 3 | 4 |", [[1, 2], [3, 4]]),
        ("7", [[7]]),
        ("12\n34", [[1, 2], [3, 4]]),
        ("[1, 2],\n[3, 4],", [[1, 2], [3, 4]]),
        ("1 2\n\n3 4", [[3, 4]]),
        ("[[1, 2], [3, 4]] or rather\n5 6", [[5, 6]]),
        ("5 6\nor rather [[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[[1, 2], [3, 4]]]", [[1, 2], [3, 4]]),
        ("1 2\n3", None),
        ("[[1, 2], [3]]", None),
        ("1 2\n3 10", None),
        ("-1 2\n3 4", None),
        ("[[1 2]\n [3 4]\n [5 6]]", [[1, 2], [3, 4], [5, 6]]),  # as NumPy prints it
        ("1 2;\n3 4;", [[1, 2], [3, 4]]),
        ("[1 2; 3 4]", [[1, 2], [3, 4]]),
        ('"1 2"\n"3 4"', [[1, 2], [3, 4]]),
        ('["12",\n "34"]', [[1, 2], [3, 4]]),
        ("<think>5 5</think>1 2\n3 4", [[1, 2], [3, 4]]),
        ("1 1\n\n[[10]]", None),
        ("[[1.0, 2]]", None),
        ("[[true]]", None),
        ("[[]]", None),
        ("１ ２", None),
        ("\n".join(["1"] * 30), [[1]] * 30),
        ("\n".join(["1"] * 31), None),
        ("1" * 31, None),
        ("{'attempt_1': [[1]]}", [[1]]),
    ],
)
def test_the_last_grid_counts(text: str, grid: Any) -> None:
    assert last_grid(text) == grid


def test_attempts_in_json_may_be_invalid_or_missing() -> None:
    assert parse_attempts(['{"attempt_1": "no", "attempt_2": [[1]]}']) == [None, [[1]]]
    assert parse_attempts(['{"attempt_2": [[1, 2], [3]]}']) == [None, None]
    assert parse_attempts(['{"attempt_1": [[1]]}', "2"]) == [[[1]], [[2]]]
    both = '{"attempt_1": {"answer": [[1]]}, "attempt_2": {"answer": [[2]], "x": [[3]]}}'
    assert parse_attempts([both, "3"]) == [[[1]], [[2]], [[3]]]
    assert parse_attempts([]) == []


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "]",
        "[[",
        "[[1",
        "[[1],",
        "[[1],[",
        "[ ",
        "[\n",
        "[1]\n",
        "[[1]]",
        "[[1" + " " * 99,
        " ",
        "\n",
        "1",
        "1 ",
        "1,",
        "1\n",
        "|-|\n",
        "```\n",
        '"attempt_1": [',
        '"attempt_1" ',
        '"attempt_1":[[1],',
    ],
)
@pytest.mark.slow
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """Text that any pattern tries twice would take quadratic time: this would not end."""
    for text in (piece * 50_000, piece * 50_000 + "x", "[" + piece * 50_000 + "]]"):
        found = parse_attempts([text])
        assert all(grid is None or len(grid) == 1 for grid in found)


@given(st.text('[]01 9,|-\n`{}"attempt_:', max_size=200))
@example("-0")
def test_no_text_raises(text: str) -> None:
    for grid in parse_attempts([text]):
        assert grid is None or last_grid(json.dumps(grid)) == grid


@pytest.mark.slow
def test_the_prompt_holds_everything_but_the_answer() -> None:
    for task in load_tasks(CHALLENGES):
        for test, pair in enumerate(task.test):
            text = prompt(task, test)
            for grid in (*(grid for pair in task.train for grid in pair.grids), pair.input):
                assert f":\n{grid_text(grid.tolist())}\n\n" in text
            assert pair.output is not None
            if pair.output.tolist() != pair.input.tolist():
                hidden = f":\n{grid_text(pair.output.tolist())}\n\n"
                assert hidden not in text.partition("Test input")[2]
