"""Predictions in files with their tasks, published results, and what notebooks show."""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import paths
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from puzzles import write_puzzles
from tiny import announce, log_with, write_challenges, write_predictions

import submission as sub
from arc_trm import load_tasks, predict
from arc_trm.checkpoint import WeightsDir, save_weights
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.errors import UserError
from arc_trm.evaluation.leaderboard import published_results
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import InputPrediction, Prediction, PredictionSet, TraceStep
from arc_trm.evaluation.selection import SELECTION_RULES, register_selection, select_by_votes
from arc_trm.evaluation.source import PredictionSource
from arc_trm.runs import predictions_of
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

A, B, C = as_grid([[1]]), as_grid([[2, 3]]), as_grid([[4], [5]])


def start_log(path: Path, tasks: TaskSet, **metadata: object) -> PredictionLog:
    log = PredictionLog(path)
    log.begin({"tasks": tasks.fingerprint(solutions=False)}, metadata)
    return log


def read_set(path: Path, tasks: TaskSet) -> PredictionSet:
    """Return the predictions in any file for these tasks."""
    return PredictionSource.open(path, tasks=tasks).predictions


def grids_of(*rows: list[list[int]] | np.ndarray) -> list[Prediction]:
    """Return a prediction for task0 for each grid, every one under another augmentation."""
    return [
        Prediction("task0", 0, f"p{order}", order, as_grid(grid), 0.5)
        for order, grid in enumerate(rows)
    ]


# The log


grids = st.sampled_from([A, B, C])
trace_steps = st.lists(
    st.builds(TraceStep, grids | st.none(), st.floats(0, 1).map(lambda x: round(x, 4))), max_size=6
)


@given(trace_steps)
@pytest.mark.slow
def test_a_trace_is_read_as_it_was_written(trace: list[TraceStep]) -> None:
    # A folder of its own for every example: hypothesis does not renew pytest's.
    with tempfile.TemporaryDirectory() as name:
        log = PredictionLog(Path(name) / "p.jsonl")
        log.begin({}, {})
        log.append([Prediction("t", 0, "t", trace=tuple(trace))])
        (read,) = log.read()
    assert [step.halt_prob for step in read.trace] == [step.halt_prob for step in trace]
    for got, expected in zip(read.trace, trace, strict=True):
        assert (got.grid is None) == (expected.grid is None)
        if got.grid is not None and expected.grid is not None:
            assert np.array_equal(got.grid, expected.grid)


@pytest.mark.parametrize(
    "trace", ["[[0.5,[[1,2],[3]]]]", '[["x"]]', "[0.5]", "[[0.5,7]]", "[[]]", "[[1.5]]"]
)
def test_an_invalid_trace_is_named(tmp_path: Path, trace: str) -> None:
    log = log_with(tmp_path, f'{{"task":"a","test":0,"puzzle":"a","trace":{trace}}}')
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not a prediction"):
        list(log.read())


def test_a_log_of_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"format": "arc-trm predictions 1"}\n')
    with pytest.raises(UserError, match=r"p\.jsonl.* it does not say 'arc-trm predictions 4'"):
        list(PredictionLog(tmp_path / "p.jsonl").read())


def test_metadata_do_not_distinguish_logs(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "p.jsonl")
    assert log.begin({"weights": "1"}, {"model": "a", "started_at": "early"})
    log.append([Prediction("t", 0, "t")])
    again = {"model": "b", "started_at": "late"}
    assert not PredictionLog(log.path).begin({"weights": "1"}, again)
    assert PredictionLog(log.path).metadata == {"model": "b", "started_at": "early"}
    assert len(list(PredictionLog(log.path).read())) == 1
    with pytest.raises(UserError, match=r"p\.jsonl has predictions of another job \(other weights"):
        PredictionLog(log.path).begin({"weights": "2"}, {"model": "a"})
    assert len(list(PredictionLog(log.path).read())) == 1
    assert PredictionLog(log.path).begin({"weights": "1"}, {"model": "c"}, fresh=True)
    assert PredictionLog(log.path).metadata == {"model": "c"}
    assert not list(PredictionLog(log.path).read())


@pytest.mark.parametrize("halt_prob", ["NaN", "Infinity", "1e308", "-0.1", "null"])
def test_halting_probabilities_are_0_to_1(tmp_path: Path, halt_prob: str) -> None:
    fields = '"task":"t","test":0,"puzzle":"t","order":0,"grid":[[1]]'
    log = log_with(tmp_path, f'{{{fields},"halt_prob":{halt_prob}}}')
    with pytest.raises(UserError, match=r"line 2 is not a prediction: .*; remove that line and"):
        list(log.read())


# The tasks of predictions


def test_a_log_finds_its_tasks_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    log = start_log(tmp_path / "p.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert PredictionSource.open(log.path).tasks.ids == tasks.ids
    # Other tasks under the same name are not taken for those that were predicted.
    changed = json.loads(challenges.read_text())
    changed["task0"]["test"][0]["input"] = [[0]]
    challenges.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"differ from those that .* is for: name these with"):
        assert PredictionSource.open(log.path).tasks
    assert "task0" in PredictionSource.open(log.path, str(challenges)).tasks


@pytest.mark.parametrize(
    "metadata", [{}, {"data": "x", "max_grid_size": 30}, {"data": [1], "max_grid_size": 0}]
)
def test_a_log_without_valid_names_of_its_tasks(
    tmp_path: Path, metadata: dict[str, object]
) -> None:
    log = PredictionLog(tmp_path / "p.jsonl")
    log.begin({}, metadata)
    with pytest.raises(UserError, match="name them with --data"):
        assert PredictionSource.open(log.path).tasks


def test_a_hostile_header_does_not_reach_the_terminal(tmp_path: Path) -> None:
    """Whatever a text of the header holds, what is printed of it stays on its line."""
    hostile, tasks = "\x1b]0;owned\x07\nfile      mine", make_tasks()
    key = dict.fromkeys(("version", "code", "dtype", "select", "canvas"), hostile)
    lists = {name: [hostile] for name in ("data", "train_data", "leaks")}
    for texts in (("model",), ("model", "weights", "preset")):
        facts = {**dict.fromkeys(texts, hostile), **lists, "started_at": "2026-11-26T12:00:00Z"}
        log = PredictionLog(tmp_path / f"{len(texts)}.jsonl")
        log.begin({"tasks": tasks.fingerprint(False), **key}, facts)
        log.append(grids_of([[1]]))
        source = PredictionSource.open(log.path, tasks=tasks)
        printed = [*source.summary.lines(), *source.leakage()]
        assert sum("owned" in line for line in printed) >= 5
        assert all(line.isprintable() for line in printed)


def test_which_file_of_a_folder_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no files, expected one "):
        PredictionSource.open(tmp_path)
    (tmp_path / "task.json").touch()
    assert PredictionSource.open(tmp_path).path == tmp_path  # perhaps ARC Prize's benchmarking
    tasks = load_tasks(write_challenges(tmp_path))
    PredictionSet(tasks, ()).write_submission(tmp_path / "submission.json")
    assert PredictionSource.open(tmp_path).path.name == "submission.json"
    log = start_log(tmp_path / "predictions.jsonl", tasks)
    assert PredictionSource.open(tmp_path).path == log.path
    prefer = ("submission.json", "predictions.jsonl")
    assert PredictionSource.open(tmp_path, prefer=prefer).path.name == "submission.json"
    with pytest.raises(UserError, match="gone does not exist"):
        PredictionSource.open(tmp_path / "gone")


def test_a_submission_is_for_the_tasks_of_the_log_beside_it(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """Also in a run, which may have predicted other tasks than its own."""
    (tmp_path / "other").mkdir()
    challenges = write_challenges(tmp_path / "other", 2)
    assert cli("predict", tiny_run, "--data", challenges).exit_code == 0
    source = PredictionSource.open(tiny_run, prefer=("submission.json", "predictions.jsonl"))
    assert source.path.name == "submission.json"
    assert source.tasks.ids == ["task0", "task1"]
    score = json.loads(cli("score", tiny_run, "--json").stdout)
    assert score["pass@2"]["per_task"]["total"] == 2


def test_score_names_what_it_scores_and_what_else_the_run_holds(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    challenges = tmp_path / "tiny_challenges.json"
    assert cli("predict", tiny_run).exit_code == 0
    few = tmp_path / "few" / "tiny_challenges.json"
    few.parent.mkdir()
    write_challenges(few.parent, 2)
    assert cli("predict", tiny_run, "--data", few).exit_code == 0
    newest, first = predictions_of(tiny_run)
    text = cli("score", tiny_run).stdout
    assert "\nscored" not in text and f"\nothers    {first}\n" in text
    more = cli("score", newest, "--data", challenges).stdout
    assert "\ndata      tiny_challenges.json (2 tasks, 2 test inputs)\n" in more
    rest = "without attempts, a task counts as unsolved"
    assert f"\nscored    3 tasks of tiny_challenges.json; {rest}\n" in more
    less = json.loads(cli("score", first, "--data", few, "--json").stdout)["about"]
    assert (less["tasks"], less["scored_tasks"]) == (3, 2)
    assert less["scored_data"] == ["tiny_challenges.json"]
    assert cli("predict", tiny_run, "--augmentations", 1).exit_code == 0
    other = predictions_of(tiny_run)[0]
    three = cli("score", first, other, first).stdout
    assert "They differ in settings, not only in the seed." in three
    assert "\n  training" not in three
    files = [each / "submission.json" for each in (first, other)]
    repeated = f"{files[0]} has the weights and settings of {files[0]}, so it tells nothing about"
    assert three.count("has the weights and settings of") == 1 and repeated in three
    assert "has the weights and settings of" not in cli("score", first, other).stdout


def test_weights_with_another_puzzle_embedding_are_other_weights(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """Runs that train the embedding only have equal networks."""
    other = Path(shutil.copytree(tiny_run, tmp_path / "other"))
    retrain(other, network=0.0)
    same = Path(shutil.copytree(tiny_run, tmp_path / "same"))
    for run in (tiny_run, other, same):
        assert cli("predict", run).exit_code == 0
    assert "has the weights and settings of" not in cli("score", tiny_run, other).stdout
    assert "has the weights and settings of" in cli("score", tiny_run, same).stdout


def test_scores_of_weights_of_other_training_or_code_say_so(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """Data to train on is not among the settings of a preset, so no other line tells them apart."""
    tasks = load_tasks(tmp_path / "tiny_challenges.json")
    submission = PredictionSet(tasks, ()).submission()
    folders = []
    for name in ("one.json", "two.json", "two.json"):
        facts = {"data": [tasks.name], "max_grid_size": 30, "train_data": [name]}
        folders.append(write_predictions(tmp_path / f"p{len(folders)}", tasks, submission, **facts))
    text = cli("score", *folders).stdout
    assert "\n  training  one.json\n" in text and text.count("\n  training  two.json\n") == 2
    assert "They differ in training data, not only in the seed." in text
    assert "  training" not in cli("score", *folders[1:]).stdout


def test_a_submission_that_the_run_around_it_did_not_make_is_not_named_after_it(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    assert cli("predict", tiny_run).exit_code == 0
    (job,) = predictions_of(tiny_run)
    merged = tiny_run / "merged.json"
    shutil.copy(job / "submission.json", merged)
    assert PredictionSource.open(job).name == "tiny"
    assert PredictionSource.open(merged).name == "merged.json"
    for path, model, provider in ((job, "tiny", "arc-trm"), (merged, "merged.json", "unknown")):
        out = tmp_path / provider
        assert cli("export", path, "--format", "arcprize", "--out", out).exit_code == 0
        metadata = json.loads((out / "task0.json").read_text())[0]["attempt_1"]["metadata"]
        assert (metadata["model"], metadata["provider"]) == (model, provider)


def test_other_tasks_of_the_same_ids_are_not_scored(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    assert cli("predict", tiny_run).exit_code == 0
    folder = tmp_path / "other"
    folder.mkdir()
    write_challenges(folder)
    path = folder / "tiny_challenges.json"
    tasks = json.loads(path.read_text())
    tasks["task1"]["test"][0]["input"][0][0] ^= 1
    path.write_text(json.dumps(tasks))
    for command in ("score", "report"):
        result = cli(command, tiny_run, "--data", path)
        assert result.exit_code == 2
        assert f"1 of the 3 tasks of {path} has other test inputs" in result.stderr
        assert "(first task1): name the data that was predicted" in result.stderr


def test_scores_against_other_solutions_of_the_same_ids_are_not_compared(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    """Of tasks in two versions of a file, and of other puzzles, which have the same numbers."""
    arc, sudoku = [], []
    for number in range(2):
        pair = Pair(as_grid([[1]]), as_grid([[2 + number]]))
        tasks = TaskSet.from_tasks(f"v{number}.json", [Task("task0", (pair,), (pair,))])
        sub.write_json(tmp_path / tasks.name, tasks.to_json())
        log = start_log(
            tmp_path / f"arc{number}.jsonl",
            tasks,
            data=[str(tmp_path / tasks.name)],
            max_grid_size=30,
        )
        log.append([Prediction("task0", 0, "task0", 0, as_grid([[2]]), 0.5)])
        arc.append(log.path)
        puzzles = load_tasks(write_puzzles(tmp_path, seed=number, count=3))
        log = start_log(
            tmp_path / f"s{number}.jsonl",
            puzzles,
            data=[puzzles.name],
            max_grid_size=30,
            kind="sudoku",
        )
        log.append([Prediction("1", 0, "1", 0, puzzles["1"].test[0].output, 0.5)])
        sudoku.append(log.path)
    for paths_of_both in (arc, sudoku):
        for command in ("score", "report"):
            result = cli(command, *paths_of_both)
            assert result.exit_code == 2
            assert "only scores against the same solutions can be compared" in result.stderr
        assert cli("score", paths_of_both[0], paths_of_both[0]).exit_code == 0


@pytest.mark.parametrize("demonstrations", [1, 2])
def test_predictions_for_other_outputs_of_the_same_ids_keep_their_own(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path, demonstrations: int
) -> None:
    """They are not scored against the tasks of the first; demonstrations do not count."""
    assert cli("predict", tiny_run).exit_code == 0
    folder = tmp_path / "other"
    folder.mkdir()
    path = write_challenges(folder)
    tasks = {task.id: task.to_json() for task in load_tasks(path)}
    del tasks["task2"]["train"][demonstrations:]
    other = folder / "tasks.json"
    for same in (True, False):
        tasks["task1"]["test"][0]["output"][0][0] ^= 0 if same else 1
        other.write_text(json.dumps(tasks))
        assert cli("predict", tiny_run, "--data", other).exit_code == 0
        new, old = predictions_of(tiny_run)[0], predictions_of(tiny_run)[-1]
        for command in (("score", old, new), ("report", old, new, "--out", tmp_path / "r.html")):
            result = cli(*command)
            assert result.exit_code == (0 if same else 2), (command, result.output)
            said = "only scores against the same solutions can be compared"
            assert (said in result.stderr) is not same


def test_a_moved_run_is_named_where_it_is(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    assert cli("predict", tiny_run).exit_code == 0
    moved = tiny_run.rename(tmp_path / "moved")
    assert json.loads(cli("score", moved, "--json").stdout)["about"]["weights"] == str(moved)


def retrain(run: Path, network: float = 1.0, embedding: float = 1.0) -> None:
    """Add numbers to the weights of a run, as if it were trained again for as many steps."""
    folder = WeightsDir(run)
    changed = {name: tensor + network for name, tensor in folder.parts.network.items()}
    assert folder.parts.embedding is not None
    rows = folder.parts.embedding + embedding
    save_weights(run, folder.config, changed, rows, folder.parts.step)


@pytest.mark.parametrize(("network", "embedding"), [(1.0, 0.0), (0.0, 1.0)])
def test_score_says_that_the_run_was_trained_on_since(
    cli: Callable[..., Result], tiny_run: Path, network: float, embedding: float
) -> None:
    assert cli("predict", tiny_run).exit_code == 0
    assert json.loads(cli("score", tiny_run, "--json").stdout)["about"]["outdated"] is False
    retrain(tiny_run, network, embedding)
    assert json.loads(cli("score", tiny_run, "--json").stdout)["about"]["outdated"] is True
    assert "outdated  the run has other weights by now: predict again" in cli("score").stdout
    assert (
        "outdated  the run has other weights by now: predict again" in cli("show", tiny_run).stdout
    )
    said = "The run tiny has other weights by now: a training curve on this page may be theirs."
    assert cli("report", tiny_run, "--out", tiny_run / "r.html").stderr == f"{said}\n"
    assert said in (tiny_run / "r.html").read_text()


def test_predictions_in_a_folder_of_another_run_are_of_the_run_that_made_them(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_run, tmp_path / "other"))
    out = other / "predictions" / "x"
    assert cli("predict", tiny_run, "--out", out).exit_code == 0
    run = PredictionSource.open(out).run
    assert run is not None and run.path == tiny_run
    tiny_run.rename(tmp_path / "moved")
    run = PredictionSource.open(out).run
    assert run is not None and run.path == other
    tiny_run.mkdir()  # something else is there by now
    run = PredictionSource.open(out).run
    assert run is not None and run.path == other


def test_a_run_in_the_place_of_a_moved_one_did_not_predict(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    assert cli("predict", tiny_run).exit_code == 0
    moved = tmp_path / "moved"
    shutil.copytree(tiny_run, moved)
    retrain(tiny_run)
    about = json.loads(cli("score", moved, "--json").stdout)["about"]
    assert (about["weights"], about["outdated"]) == (str(moved), False)
    retrain(moved)
    assert json.loads(cli("score", moved, "--json").stdout)["about"]["outdated"] is True


def test_score_says_which_tasks_of_the_solutions_are_scored(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """The log in a folder, or the run there, may name fewer tasks than the solutions have."""
    challenges, solutions, out = write_challenges(tmp_path), tmp_path / "all.json", tmp_path / "out"
    tasks = load_tasks(challenges)
    out.mkdir()
    for folder in (out, tiny_run):
        sub.write_json(folder / "submission.json", PredictionSet(tasks, ()).submission())
    sub.write_json(solutions, tasks.known_solutions() | {"more": [[[1]]]})
    options = ("--solutions", solutions, "--json")
    alone = cli("score", out / "submission.json", *options)
    assert json.loads(alone.stdout)["missing"] == ["more"] and alone.stderr == ""
    log = start_log(out / "predictions.jsonl", tasks, data=[str(challenges)], max_grid_size=30).path
    announce(log, PredictionSet(tasks, ()).submission())
    for named in ([out], [out / "submission.json", out]):
        scored = cli("score", *named, *options)
        assert scored.exit_code == 0
        assert scored.stderr == (
            f"only 3 of the 4 tasks in {solutions} are scored, those that {log} is for: name other "
            "tasks with --data\n"
        )
    of_a_run = cli("score", tiny_run / "submission.json", *options)
    assert f"those that {tiny_run} is for: name other tasks with --data" in of_a_run.stderr
    assert json.loads(of_a_run.stdout)["pass@2"]["per_task"]["total"] == 3
    assert json.loads(of_a_run.stdout)["about"]["solutions"] == str(solutions)
    assert f"\nscored    3 tasks, against {solutions}\n" in cli("score", out, *options[:2]).stdout
    assert cli("score", out, *options, "--data", challenges).stderr == ""
    sub.write_json(solutions, tasks.known_solutions())
    assert cli("score", out, *options).stderr == ""


def test_tasks_that_were_not_to_be_predicted_are_no_guesses(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """Of a larger DATA, the numbers of voters and guesses are those of what was predicted."""
    few, out = tmp_path / "few", tmp_path / "out.json"
    few.mkdir()
    assert cli("predict", tiny_run, "--data", write_challenges(few, 2)).exit_code == 0
    log = predictions_of(tiny_run)[0] / "predictions.jsonl"
    larger = ("--data", tmp_path / "tiny_challenges.json")
    for command in (("score", log), ("merge", log, "--out", out)):
        about = json.loads(cli(*command, *larger, "--json").stdout)["about"]
        (said,) = about if isinstance(about, list) else [about]
        assert (said["guesses"], said["voters"]["min"]) == (0, 3)
        assert said["scored_data"] == ["tiny_challenges.json"]


def test_predictions_that_do_not_fit_the_tasks(tmp_path: Path) -> None:
    tasks = load_tasks(write_challenges(tmp_path))
    two = [{"attempt_1": [[1]], "attempt_2": [[1]]}] * 2
    sub.write_json(tmp_path / "s.json", {"task0": two, "other": two})
    with pytest.raises(sub.FormatError, match="task task0: has 2 answers, expected 1"):
        read_set(tmp_path / "s.json", tasks)


# The same predictions in every format


def test_every_format_gives_the_same_score(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    solutions = tasks.known_solutions()
    log = start_log(tmp_path / "predictions.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    log.append(grids_of(B, solutions["task0"][0]))
    found = read_predictions(PredictionLog(log.path), tasks)
    sub.write_json(tmp_path / "submission.json", found.submission())
    now = datetime(2026, 1, 1)
    attempts = found.fill_missing().attempts()
    sub.write_arcprize(tmp_path / "theirs", attempts, sub.Provenance("x", "y", now, now))
    # The tasks mirror their input, which is the second guess where there is no prediction.
    expected = found.fill_missing().score().pass_at
    assert expected[2].per_task == sub.Rate(3, 3) and expected[1].per_task == sub.Rate(0, 3)
    assert found.score().pass_at[2].per_task == sub.Rate(1, 3)
    for name in ("predictions.jsonl", "submission.json", "theirs"):
        path = tmp_path / name
        assert read_set(path, tasks).score().pass_at == expected
        ranked = PredictionSource.open(path, tasks=tasks).attempts(sub.count_outputs(solutions))
        assert sub.score_ranked(ranked, solutions).pass_at == expected
        assert PredictionSource.open(path, data=str(challenges)).score().pass_at == expected


def test_the_attempts_of_the_submission_that_a_log_knows_count(tmp_path: Path) -> None:
    """The job may have used another voting rule or number of attempts."""
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    log = start_log(tmp_path / "predictions.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    log.append([Prediction("task0", 0, "task0", 0, B, 0.5)])
    submission = read_set(log.path, tasks).submission()
    submission["task1"][0] = {"attempt_2": [[8]], "attempt_1": [[7]]}  # in whatever order
    sub.write_json(tmp_path / "submission.json", submission)
    assert read_set(log.path, tasks).submission()["task1"] != submission["task1"]  # not the job's
    announce(log.path, submission)
    found = read_set(log.path, tasks)
    assert found.submission() == submission
    assert [each.votes for each in found] == [1, 0, 0]
    assert found.attempts()["task1"] == [[[[7]], [[8]]]]
    one = TaskSet.from_tasks("one", [tasks["task1"]])
    loaded = PredictionSource.open(log.path).load(one)
    assert loaded.attempts() == {"task1": [[[[7]], [[8]]]]}
    # Predictions that came later, as before a kill, are not in the submission.
    log.append([Prediction("task1", 0, "task1", 0, B, 0.5)])
    assert read_set(log.path, tasks).attempts()["task1"][0][0] == B.tolist()
    announce(log.path, submission)
    assert read_set(log.path, tasks).attempts()["task1"] == [[[[7]], [[8]]]]
    # A submission for other tasks, or beside a log with another name, does not belong to it.
    moved = log.path.rename(tmp_path / "predictions.0123.jsonl")
    assert read_set(moved, tasks).submission()["task1"] != submission["task1"]
    moved.rename(log.path)
    del submission["task2"]
    sub.write_json(tmp_path / "submission.json", submission)
    assert read_set(log.path, tasks).submission()["task1"] != submission["task1"]


def test_predictions_of_one_attempt_have_one_in_every_place(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    """Also in a log without the submission beside it, and for test inputs without a candidate."""
    tasks = load_tasks(tmp_path / "tiny_challenges.json")
    path = tiny_run / "predictions" / "job" / "predictions.jsonl"
    path.parent.mkdir(parents=True)
    log = PredictionLog(path)
    key = {"tasks": tasks.fingerprint(solutions=False), "attempts": 1}
    log.begin(key, {"data": [tasks.name], "max_grid_size": 30})
    # Second attempts would be right: of task0 a candidate, of the others the mirrored input.
    log.append(grids_of(B, B, tasks.known_solutions()["task0"][0]))
    assert {len(each.attempts) for each in read_set(path, tasks)} == {1}
    about = json.loads(cli("score", path, "--json").stdout)
    assert about["pass@2"]["per_task"]["solved"] == 0
    shown = cli("show", tiny_run).stdout
    assert "pass@2  per task    0/3  0.0 %" in shown
    assert "settings  1 attempt\n" in shown and "\nguesses   2, first task1" in shown


def test_the_rule_of_a_log_decides_if_it_is_registered(tmp_path: Path) -> None:
    tasks = load_tasks(write_challenges(tmp_path))
    for rule, first in (("rare", C), ("gone", B)):
        log = PredictionLog(tmp_path / f"{rule}.jsonl")
        log.begin({"select": rule}, {})
        log.append(grids_of(B, B, C))
        register_selection("rare")(lambda predictions: select_by_votes(predictions)[::-1])
        try:
            assert read_set(log.path, tasks).attempts()["task0"][0][0] == first.tolist()
        finally:
            del SELECTION_RULES["rare"]


def test_a_failed_first_attempt_leaves_the_second_one_second(tmp_path: Path) -> None:
    tasks = load_tasks(write_challenges(tmp_path))
    (solution,) = tasks.known_solutions()["task0"]
    failed = InputPrediction(tasks["task0"], 0, (), (None, as_grid(solution)))
    found = PredictionSet(tasks, [failed])
    assert found.score().pass_at[1].per_output.solved == 0
    (output,) = found.submission()["task0"]
    assert output["attempt_2"] == solution != output["attempt_1"]


def test_the_page_on_evaluation_names_every_field_of_json(
    cli: Callable[..., Result], tiny_run: Path
) -> None:
    page = (paths.ROOT / "docs" / "evaluation.md").read_text("utf-8")
    predicted = json.loads(cli("predict", tiny_run, "--json").stdout)
    assert predicted["predicted_queries"] == predicted["queries"] > predicted["test_inputs"] == 3
    scored = json.loads(cli("score", tiny_run, "--with-published", "--json").stdout)
    compared = json.loads(cli("score", tiny_run, tiny_run, "--json").stdout)
    fields = {*predicted, *scored, *scored["pass@1"]["strict"], *scored["pass@1"], *compared}
    seeds = json.loads(cli("score", tiny_run, tiny_run, tiny_run, "--json").stdout)
    fields |= {*compared["first"], *compared["difference"], *seeds, *seeds["differences"][0]}
    assert [name for name in fields if f"`{name}`" not in page] == []


# Published results


def test_published_results_have_a_source_and_a_denominator() -> None:
    results = tomllib.loads((manifests_folder() / "leaderboard.toml").read_text())["results"]
    named = [(each["system"], dataset) for each in results for dataset in each["scores"]]
    assert len(set(named)) == len(named) >= 12
    for each in results:
        assert each["source"] and each["denominator"]
        for dataset, percent in each["scores"].items():
            assert find_manifest(dataset)
            assert 1 <= len(percent) <= 2 and percent == sorted(percent)
            assert all(0 <= number <= 100 for number in percent)


@pytest.mark.parametrize(
    ("dataset", "trm", "grok"),
    [
        ("arc-agi-1/evaluation", "44.6 %", "66.7–79.6 %"),
        ("arc-agi-2/evaluation", "7.8 %", "16.0–29.4 %"),
    ],
)
@pytest.mark.slow
def test_published_results_are_for_exactly_the_public_set(
    dataset: str, trm: str, grok: str
) -> None:
    tasks = load_tasks(dataset)
    found = published_results(tasks)
    assert {each.dataset for each in found} == {dataset}
    assert {each.tasks for each in found} == {len(tasks)}
    assert found[0].text == trm and found[-1].text == grok
    assert published_results(tasks.renamed("other")) == found
    assert published_results(tasks.select(tasks.ids[1:])) == []
    another = Task("another", (), tasks[tasks.ids[0]].test)
    assert published_results(TaskSet.from_tasks("more", [*tasks, another])) == []
    solutions = tasks.known_solutions()
    first = solutions[tasks.ids[0]]
    other = tasks.with_solutions(solutions | {tasks.ids[0]: [[[5]] for _ in first]})
    assert published_results(other) == []  # the same ids, but another task
    extended = replace(tasks[tasks.ids[0]], test=tasks[tasks.ids[0]].test * 2)
    longer = TaskSet.from_tasks("other version", [extended, *list(tasks)[1:]])
    assert published_results(longer) == found


@pytest.mark.slow
def test_score_shows_published_results(cli: Callable[..., Result], tmp_path: Path) -> None:
    dataset = "arc-agi-2/evaluation"
    PredictionSet(load_tasks(dataset), ()).write_submission(tmp_path / "s.json")
    arguments = ("score", tmp_path / "s.json", "--data", dataset)
    result = cli(*arguments, "--with-published")
    assert result.exit_code == 0, result.output
    assert "Published for arc-agi-2/evaluation (120 tasks, 2 attempts each):" in result.output
    assert "7.8 %  (denominator per task; arXiv 2510.04871)" in result.output
    record = json.loads(cli(*arguments, "--with-published", "--json").output)
    assert {each["system"] for each in record["published"]} >= {"HRM (27M parameters)"}
    assert "Published" not in cli(*arguments).output
    challenges = write_challenges(tmp_path)
    PredictionSet(load_tasks(challenges), ()).write_submission(tmp_path / "tiny.json")
    result = cli("score", tmp_path / "tiny.json", "--data", challenges, "--with-published")
    assert "No results are published for exactly these tasks." in result.output


# Python and notebooks


def make_tasks(count: int = 1) -> TaskSet:
    pair = Pair(as_grid([[1, 2]]), as_grid([[3]]))
    tasks = (Task(f"<b>{n}", (pair,), (pair, pair)) for n in range(count))
    return TaskSet.from_tasks("<made up>", tasks)


def make_predictions(tasks: TaskSet) -> PredictionSet:
    """Return a right and a failed attempt at the first test input of each task."""
    trace = (TraceStep(A, 0.5), TraceStep(None, 1))
    attempts = (as_grid([[3]]), None)
    return PredictionSet(tasks, (InputPrediction(task, 0, (), attempts, trace) for task in tasks))


def test_notebooks_show_tasks_and_predictions() -> None:
    tasks = make_tasks(20)
    predictions = make_predictions(tasks)
    pages = {
        "task": tasks["<b>0"]._repr_html_(),
        "tasks": tasks._repr_html_(),
        "prediction": predictions[0]._repr_html_(),
        "predictions": predictions._repr_html_(),
    }
    for name, page in pages.items():
        assert page is not None
        div, _, more = page.rpartition("</div>")
        ElementTree.fromstring(div + "</div>")  # well-formed, with ids escaped
        assert "<b>" not in page and "script" not in page and 'role="img"' in page
        assert (more == "<p>The first 12 of 20.</p>") == (name in ("tasks", "predictions"))
        assert (">right<" in page and ">no grid<" in page) == name.startswith("prediction")
    assert 'aria-label="&lt;made up&gt;: 20 tasks, 40 test outputs"' in str(pages["tasks"])
    assert "attempts at 20 of 20 tasks" in str(pages["predictions"])


def test_an_empty_set_is_shown_too() -> None:
    bare = Task("bare", (), (Pair(as_grid([[1]])),))  # as a solver of one test input may get it
    assert ">Task bare<" in str(bare._repr_html_())
    assert ">bare<" in str(TaskSet.from_tasks("x", [bare])._repr_html_())
    empty = TaskSet.from_tasks("none", [])
    assert "0 tasks, 0 test outputs" in str(empty._repr_html_())
    assert "attempts at 0 of 0 tasks" in str(PredictionSet(empty, ())._repr_html_())


def test_predictions_are_plain_dicts_and_arrays() -> None:
    tasks = make_tasks()
    predictions = make_predictions(tasks)
    (plain,) = json.loads(json.dumps(predictions.to_dicts()))
    assert plain == {
        "task": "<b>0",
        "test": 0,
        "attempts": [[[3]], None],
        "candidates": [],
        "trace": [{"grid": [[1]], "halt_prob": 0.5}, {"grid": None, "halt_prob": 1}],
    }
    first = predictions["<b>0", 0].attempts[0]
    assert first is not None and first.dtype == np.uint8
    assert predictions[0] is predictions["<b>0", 0]
    assert repr(predictions[0]) == (
        "<InputPrediction <b>0, test input 1: attempts 1×1, none; 0 candidates, 0 votes>"
    )
    assert predictions.attempts() == {"<b>0": [[[[3]], []], []]}
    scored = predictions.score()
    assert isinstance(scored, sub.Score)
    assert scored.pass_at[2].per_output == sub.Rate(1, 2)
    assert sub.submission_problems(predictions.submission(), tasks.to_json()) == []
    assert sub.challenges_problems(tasks.to_json()) == []
    assert sub.solutions_problems(tasks.known_solutions(), tasks.to_json()) == []


def test_official_solutions_replace_the_known_outputs() -> None:
    tasks = make_tasks(2)
    given = tasks.with_solutions({"<b>1": [[[7]], [[8]]]})
    assert given.known_solutions() == {"<b>1": [[[7]], [[8]]]}
    with pytest.raises(UserError, match="has 2 test inputs, but the solutions have 1 test output"):
        tasks.with_solutions({"<b>1": [[[7]]]})


def test_a_run_may_have_the_name_of_another_kind_of_file(tiny_run: Path) -> None:
    for name in ("x.csv", "run.json"):
        predictions = predict(tiny_run, out=tiny_run.parent / name)
        assert predictions.job is not None
        (tiny_run.parent / name / "submission.json").unlink()
        path = PredictionSource.open(tiny_run.parent / name).path
        assert path == tiny_run.parent / name / "predictions.jsonl"
