"""Anytime prediction: files are valid from the start, improve with time and survive kills."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from subprocess import CompletedProcess
from typing import Any

import copycat
import numpy as np
import pytest
import torch
from click.testing import Result
from commands import one_thread, torchrun_command
from copycat import Copycat, tasks, weights
from hypothesis import given
from hypothesis import strategies as st
from limits import file_size_limit, limits_files
from processes import finds_processes, worker
from sources import imports
from tiny import MODEL, log_with, run_config, write_challenges

from arc_trm import load_tasks
from arc_trm.checkpoint import load_weights
from arc_trm.config import InferenceConfig
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import Prediction, PredictionSet, build_submission
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference import (
    build_queries,
    code_digest,
    make_plan,
    predict_tasks,
    predict_to_folder,
)
from arc_trm.inference.plan import PredictionPlan
from arc_trm.inference.queries import shard
from arc_trm.models import BLOCKS, PuzzleModel
from arc_trm.models.trm import TRM
from arc_trm.runs.lock import LOCK, FolderLock
from arc_trm.tasks import as_grid
from arc_trm.time_limit import TimeLimit
from arc_trm.training import train_run
from submission import WriteError, read_submission, write_submission

CPU = torch.device("cpu")
CHALLENGES = {task.id: task.to_json(solutions=False) for task in tasks()}


def plan(
    model: type[PuzzleModel] = TRM,
    augmentations: int | None = None,
    supervision_steps: int | None = None,
    attempts: int | None = None,
) -> PredictionPlan:
    known = tasks()
    config = InferenceConfig(supervision_steps=supervision_steps)
    return make_plan(weights(model, known), known, augmentations, config, attempts)


def predict_into(
    folder: Path,
    made: PredictionPlan | None = None,
    limit: TimeLimit | None = None,
    **options: object,
) -> PredictionSet:
    return predict_to_folder(folder, made or plan(), limit or TimeLimit(), **options)


def counts(predictions: PredictionSet) -> tuple[int, int]:
    """Return the queries with a prediction and all queries."""
    assert predictions.job is not None
    return predictions.job.predicted_queries, predictions.job.queries


def reasons(predictions: PredictionSet) -> set[str]:
    assert predictions.job is not None
    return {guess.reason for guess in predictions.job.guesses}


def submitted(folder: Path) -> object:
    return read_submission(folder / "submission.json", CHALLENGES)


class Killed(Exception):
    pass


def kill_after(count: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= count:
            raise Killed

    return progress


def test_rounds_go_over_all_tasks_and_begin_with_the_tasks_themselves() -> None:
    known = tasks()
    queries, skipped = build_queries(weights(TRM, known), known)
    assert not skipped
    assert [(q.task_id, q.test) for q in queries[:3]] == [("a", 0), ("a", 1), ("b", 0)]
    assert [q.puzzle for q in queries[:3]] == ["a", "a", "b"]
    assert [q.order for q in queries] == sorted(q.order for q in queries)
    assert len({(q.task_id, q.test, q.puzzle) for q in queries}) == len(queries) == 21


@pytest.mark.parametrize("count", [0, 1, 6, 20])
@pytest.mark.slow
def test_a_kill_loses_nothing_and_the_files_come_out_the_same(tmp_path: Path, count: int) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    first = predict_into(straight, batch_size=1)
    assert counts(first) == (21, 21)
    assert first.job == predict_into(straight).job
    with pytest.raises(Killed):
        predict_into(killed, batch_size=1, progress=kill_after(count))
    submitted(killed)
    assert len(list(PredictionLog(killed / "predictions.jsonl").read())) == count
    notes: list[str] = []
    assert counts(predict_into(killed, batch_size=1, note=notes.append)) == (21, 21)
    assert notes == ([f"{count} of 21 predictions exist already"] if count else [])
    assert submitted(straight) == submitted(killed)
    assert lines_of(straight) == lines_of(killed)


def test_the_files_hold_the_votes_of_a_prediction_in_memory(tmp_path: Path) -> None:
    known = tasks()
    predict_into(tmp_path)
    expected = predict_tasks(weights(TRM, known), known)
    log = PredictionLog(tmp_path / "predictions.jsonl")
    for one, other in zip(expected, read_predictions(log, known), strict=True):
        assert [c.puzzles for c in one.candidates] == [c.puzzles for c in other.candidates]
        assert all(map(np.array_equal, one.attempts, other.attempts))


def watched(folder: Path, made: PredictionPlan | None = None, **options: object) -> list[int]:
    """Predict as `predict_into` does; return what was told of the progress."""
    done: list[int] = []
    predict_into(folder, made, progress=lambda number, _: done.append(number), **options)
    return done


def lines_of(folder: Path) -> list[str]:
    """The predictions in a folder's log, as lines."""
    lines = (folder / "predictions.jsonl").read_text().splitlines()[1:]
    return [line for line in lines if line and not line.startswith('{"status"')]


def test_predictions_of_the_same_queries_are_copied_from_other_jobs(tmp_path: Path) -> None:
    one, other, third = tmp_path / "one", tmp_path / "other", tmp_path / "third"
    predict_into(one)
    whole = (one / "predictions.jsonl").read_bytes()
    few = plan(augmentations=2, attempts=1)
    assert not watched(other, few, others=[one])  # nothing was left to predict
    fewer = predict_into(other, few)
    assert counts(fewer) == (9, 9)
    assert fewer.job is not None and fewer.job.guesses == ()
    assert set(lines_of(other)) < set(lines_of(one))
    assert (one / "predictions.jsonl").read_bytes() == whole
    predict_into(third, few)
    assert lines_of(other) == lines_of(third)
    assert submitted(other) == submitted(third)


def test_predictions_of_other_weights_settings_or_damaged_logs_are_not_copied(
    tmp_path: Path,
) -> None:
    predict_into(tmp_path / "one")
    for name, made in (("code", plan(Copycat)), ("steps", plan(supervision_steps=1))):
        done = watched(tmp_path / name, made, others=[tmp_path / "one"])
        assert done[-1] == 21
    log = tmp_path / "one" / "predictions.jsonl"
    log.write_text(log.read_text().replace('"grid":[[', '"grid":[["'))
    assert counts(predict_into(tmp_path / "again", others=[tmp_path / "one"])) == (21, 21)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"model": Copycat}, "other code"),
        ({"supervision_steps": 1}, r"supervision_steps \d+, not 1"),
        ({"augmentations": 2}, "augmentations 6, not 2"),
        ({"attempts": 1}, "attempts 2, not 1"),
    ],
)
def test_a_folder_of_another_job_is_refused_and_stays(
    tmp_path: Path, other: dict[str, Any], difference: str
) -> None:
    predict_into(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for fresh in (False, True):
        with pytest.raises(UserError, match=r"another job \(.*" + difference):
            predict_into(tmp_path, plan(**other), fresh=fresh)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_submission_that_another_program_wrote_is_refused(tmp_path: Path) -> None:
    predict_into(tmp_path / "one")
    submission = tmp_path / "two" / "submission.json"
    submission.parent.mkdir()
    shutil.copy(tmp_path / "one" / "submission.json", submission)
    before = submission.read_bytes()
    with pytest.raises(UserError, match=r"submission\.json was not written by this job"):
        predict_into(submission.parent)
    submission.write_text("{")
    with pytest.raises(UserError, match=r"submission\.json was not written by this job"):
        predict_into(submission.parent)
    submission.write_bytes(before)
    write_submission(submission, build_submission((), tasks()), CHALLENGES)  # first guesses
    assert counts(predict_into(submission.parent)) == (21, 21)
    assert submission.read_bytes() == before


def test_a_run_is_no_folder_for_predictions(tiny_run: Path, cli: Callable[..., Result]) -> None:
    result = cli("predict", tiny_run, "--out", tiny_run)
    assert result.exit_code == 2
    assert f"{tiny_run} is of a run, which has a folder for each prediction job" in result.stderr
    assert not (tiny_run / "predictions.jsonl").exists()


def test_other_code_is_another_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan()
    assert first.key == plan().key
    monkeypatch.setattr("arc_trm.inference.plan.code_digest", lambda *_: "changed")
    assert plan().digest != first.digest
    predict_into(tmp_path, first)
    with pytest.raises(UserError, match=r"another job \(other code\)"):
        predict_into(tmp_path, plan())


# Of all that `arc_trm.inference` imports, what neither predicts nor ranks.
COMPUTES_NOTHING = [
    "_version",
    "environment",
    "callbacks",
    "display",
    "errors",
    "file_kind",
    "io",
    "metric_keys",
    "registry",
    "rng",
    "runs",
    "source_code",
    "time_limit",
    "config",
    "checkpoint/__init__",
    "checkpoint/convert",
    "checkpoint/description",
    "checkpoint/expansion",
    "checkpoint/kept",
    "checkpoint/mapped_file",
    "checkpoint/published",
    "checkpoint/published_ids",
    "checkpoint/safetensors_io",
    "checkpoint/torch_file",
    "checkpoint/yaml_file",
    "data/file_search",
    "data/files",
    "data/invalid",
    "data/leakage",
    "data/loader",
    "data/package",
    "data/puzzle_ids",
    "data/readers",
    "data/registry",
    "data/sampler",
    "data/splits",
    "data/training_set",
    "evaluation/prediction_log",
]


def imported_modules() -> set[str]:
    """The modules of arc_trm that `arc_trm.inference` imports, and those that these import."""
    found: set[Path] = set()
    waiting = [*(code_digest.PACKAGE / "inference").glob("*.py")]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for name in {part for each in imports(file) for part in (each, each.rpartition(".")[0])}:
            path = code_digest.PACKAGE.parent.joinpath(*name.split("."))
            if path.is_relative_to(code_digest.PACKAGE):
                files = (path.with_suffix(".py"), path / "__init__.py")
                waiting += [each for each in files if each.is_file()]
    return {file.relative_to(code_digest.PACKAGE).as_posix() for file in found}


def test_every_module_that_prediction_imports_computes_or_is_known_not_to() -> None:
    modules = imported_modules() - {"__init__.py"}
    assert {"models/trm.py", "puzzles/arc/kind.py", "runs/folder.py"} < modules
    names = (*code_digest.COMPUTES, *COMPUTES_NOTHING)
    for module in modules:
        parts = {module, module.removesuffix(".py"), *map(str, Path(module).parents)}
        assert parts & set(names), f"{module}: add it to COMPUTES, or to the list of this test"


OWN_BLOCK = """
import torch

class Layer(torch.nn.Linear):
    pass

def build(config, generator):
    return torch.nn.Linear(config.hidden_size, config.hidden_size)
"""


@pytest.mark.parametrize("name", ["Layer", "build"])
def test_another_block_of_ones_own_is_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A block may change and keep its tensors, so its predictions are told apart by its source."""
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / f"block_by_{name.lower()}.py"
    source.write_text(OWN_BLOCK)
    own = importlib.import_module(source.stem)
    makers = {"Layer": lambda *_: own.Layer(MODEL["hidden_size"], MODEL["hidden_size"])}
    monkeypatch.setitem(BLOCKS, "own", makers.get(name, own.build))
    monkeypatch.setattr(copycat, "MODEL", {**MODEL, "block": "own"})
    before = plan().key["code"]
    assert plan().key["code"] == before
    source.write_text(f"{OWN_BLOCK}# changed")
    assert plan().key["code"] != before


def test_the_digest_is_of_every_module_that_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "arc_trm"
    shutil.copytree(Path(code_digest.PACKAGE), package)
    monkeypatch.setattr(code_digest, "PACKAGE", package)
    before = code_digest.code_digest()
    assert code_digest.code_digest() == before
    for name in (
        "models/trm.py",
        "models/cpu_kernels.c",
        "puzzles/arc/kind.py",
        "inference/queries.py",
        "evaluation/voting.py",
        "data/dataset.py",
        "device.py",
    ):
        source = package / name
        text = source.read_text()
        source.write_text(f"{text}\n")
        assert code_digest.code_digest() != before, name
        source.write_text(text)
    (package / "viz" / "svg.py").write_text("")
    assert code_digest.code_digest() == before
    for plugin in (Copycat, tasks):  # whose source is not in the package
        assert code_digest.code_digest(plugin) != before
    assert code_digest.code_digest(dict, torch.nn.Module) == before
    for rule in (partial(tasks), ObjectRule()):
        assert code_digest.code_digest(rule) != before


class ObjectRule:
    """A voting rule may be an object."""

    def __call__(self) -> None:
        pass


def test_fresh_predicts_everything_anew(tmp_path: Path) -> None:
    predict_into(tmp_path)
    log = tmp_path / "predictions.jsonl"
    lines, before = lines_of(tmp_path), log.read_text()
    log.write_text(before.replace('"halt_prob":0.', '"halt_prob":0.0'))
    assert watched(tmp_path, fresh=True)[-1] == 21
    assert lines_of(tmp_path) == lines


def test_one_job_at_a_time_predicts_into_a_folder(tmp_path: Path) -> None:
    errors = []

    def start_again(done: int, total: int) -> None:
        if done == 2:
            for fresh in (False, True):
                with pytest.raises(UserError) as caught:
                    predict_into(tmp_path, fresh=fresh)
                errors.append(str(caught.value))

    predict_into(tmp_path, batch_size=1, progress=start_again)
    assert len(errors) == 2
    for error in errors:
        assert error.startswith(f"{tmp_path} is being written by process {os.getpid()}, started")
    assert not (tmp_path / LOCK).exists()


def test_where_there_are_no_locks_a_job_whose_log_is_started_anew_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderLock, "acquire", lambda *_: None)

    def start_again(done: int, total: int) -> None:
        if done == 2:
            predict_into(tmp_path, fresh=True)

    with pytest.raises(UserError, match=r"another job has started .*predictions\.jsonl anew"):
        predict_into(tmp_path, batch_size=1, progress=start_again)
    assert len(list(PredictionLog(tmp_path / "predictions.jsonl").read())) == 21


@pytest.mark.parametrize("attempts", [1, 2])
def test_no_time_at_all_still_leaves_a_valid_submission(tmp_path: Path, attempts: int) -> None:
    for _ in range(2):
        predictions = predict_into(tmp_path, plan(attempts=attempts), TimeLimit(1e-9))
        assert counts(predictions) == (0, 21)
        assert reasons(predictions) == {"there was no time for it"}
        submitted(tmp_path)


def test_the_log_knows_every_submission_that_was_written(tmp_path: Path) -> None:
    """Whatever moment a kill comes at, the submission is one of the log's."""
    seen: set[str] = set()

    def look(done: int, total: int) -> None:
        text = (tmp_path / "submission.json").read_text()
        assert PredictionLog(tmp_path / "predictions.jsonl").status_of(json.loads(text))
        seen.add(text)

    predictions = predict_into(tmp_path, batch_size=1, progress=look)
    assert len(seen) > 1
    log, written = PredictionLog(tmp_path / "predictions.jsonl"), submitted(tmp_path)
    status = log.status_of(written)
    votes = [each.votes for each in predictions]
    assert status is not None and status.guessed == ()
    assert status.voters == (sum(votes) / len(votes), min(votes), max(votes))
    written["a"][0]["attempt_1"] = [[1]]
    assert log.status_of(written) is None


def test_the_status_counts_votes_that_change_no_attempt(tmp_path: Path) -> None:
    """The answers of Copycat are those that are guessed before the first prediction."""
    made, seen = plan(Copycat, attempts=1), set[str]()

    def look(done: int, total: int) -> None:
        seen.add((tmp_path / "submission.json").read_text())

    predict_into(tmp_path, made, batch_size=1, progress=look)
    assert len(seen) == 1
    status = PredictionLog(tmp_path / "predictions.jsonl").status_of(submitted(tmp_path))
    assert status is not None
    assert (status.voters, status.guessed) == ((7.0, 7, 7), ())


def test_a_full_disk_is_reported_and_the_submission_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        predict_into(tmp_path, batch_size=1, progress=kill_after(3))
    before = submitted(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(WriteError, match=r"predictions\.jsonl: .*the disk is full"):
            predict_into(tmp_path)
    assert submitted(tmp_path) == before


@limits_files
@pytest.mark.parametrize("size", [100, 5000])
def test_a_file_that_may_not_grow_is_named(
    folder: Path, cli: Callable[..., Result], size: int
) -> None:
    with file_size_limit(size):
        result = cli(*command(folder))
    assert result.exit_code == 2
    error = result.stderr.splitlines()[-1]
    reason = "the file is larger than this system allows"
    assert error == f"Error: {folder / 'out' / 'predictions.jsonl'}: cannot be written: {reason}"
    assert not list((folder / "out").glob(".*.tmp"))


def test_the_query_of_a_cut_off_line_is_repeated(tmp_path: Path) -> None:
    predict_into(tmp_path)
    path = tmp_path / "predictions.jsonl"
    expected = submitted(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b'{"task"') + 30])
    assert counts(predict_into(tmp_path)) == (21, 21)
    assert submitted(tmp_path) == expected


PREDICTION = '{"task":"a","test":0,"puzzle":"a","order":0,"halt_prob":1,"grid":[[1]]}'


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]]}',
        PREDICTION.replace("[[1]]", "[[10]]"),
        PREDICTION.replace('"halt_prob":1', '"halt_prob":"x"'),
        PREDICTION.replace("}", ',"runner_up":[0,4,1]}'),
        PREDICTION.replace("}", ',"runner_up":[0,0,300]}'),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    assert list(log_with(tmp_path, PREDICTION).read())
    (tmp_path / "p.jsonl").unlink()
    log = log_with(tmp_path, line)
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not a prediction"):
        list(log.read())


def test_a_file_that_is_not_a_log_is_named(tmp_path: Path) -> None:
    for text in ("{}\n", "{\n", "[1]\n", "\xff\n"):
        (tmp_path / "p.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"p\.jsonl, line 1 is not a prediction"):
            read_predictions(PredictionLog(tmp_path / "p.jsonl"), tasks())


grid_lists = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=8)


@given(grid_lists, st.randoms())
def test_votes_do_not_depend_on_the_order_of_the_predictions(
    predicted: list[tuple[int, float]], random: Random
) -> None:
    made = [
        Prediction("b", 0, str(n), n, as_grid([[colour]]), halt_prob, as_grid([[9 - colour]]))
        for n, (colour, halt_prob) in enumerate(predicted)
    ]
    mixed = made + made[:2]  # some twice, as after a kill
    random.shuffle(mixed)
    results = []
    for each in (made, mixed):
        counter = VoteCounter(tasks())
        counter.add(each)
        results.append(counter["b", 0])
    one, other = results
    assert [(c.puzzles, c.halt_prob) for c in one.candidates] == [
        (c.puzzles, c.halt_prob) for c in other.candidates
    ]
    assert all(map(np.array_equal, one.attempts, other.attempts))


def test_logits_do_not_depend_on_the_rest_of_the_batch() -> None:
    """Beyond rounding: 1e-5 of logits of size 1, in float32."""
    model = weights(TRM, tasks()).model
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 12, (7, 16), generator=generator, dtype=torch.int32)
    puzzle_ids = torch.randint(0, 15, (7,), generator=generator)
    *_, (together, together_halt) = model.predict_steps(inputs, puzzle_ids)
    for index in range(7):
        *_, (alone, alone_halt) = model.predict_steps(
            inputs[index : index + 1], puzzle_ids[index : index + 1]
        )
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone_halt[0], together_halt[index], rtol=0, atol=1e-5)


def test_every_query_is_in_one_shard_whatever_the_number_of_workers() -> None:
    known = tasks()
    queries, _ = build_queries(weights(TRM, known), known)
    for world_size in (1, 2, 4, 5):
        shards = [shard(queries, rank, world_size) for rank in range(world_size)]
        assert sorted(id(q) for each in shards for q in each) == sorted(map(id, queries))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def command(folder: Path, *more: str) -> list[str]:
    arguments = ["predict", str(folder / "run"), "--data", str(folder / "tiny_challenges.json")]
    return [*arguments, "--out", str(folder / "out"), "--device", "cpu", *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of tiny tasks with many augmentations."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "out").mkdir()
    data = {"test": [str(write_challenges(folder))], "augmentations": 40}
    train_run(run_config(folder / "tiny_challenges.json", data=data), CPU, folder / "run")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained`."""
    return shutil.copytree(trained, tmp_path, dirs_exist_ok=True)


@pytest.mark.slow
def test_torchrun_shares_the_work_and_writes_the_same_submission(
    folder: Path, cli: Callable[..., Result], torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    assert cli(*command(folder)).exit_code == 0
    expected = json.loads((folder / "out" / "submission.json").read_text())
    shutil.rmtree(folder / "out")
    result = torchrun("-m", "arc_trm", *command(folder))
    assert result.returncode == 0, result.stderr
    assert json.loads((folder / "out" / "submission.json").read_text()) == expected
    log = list(PredictionLog(folder / "out" / "predictions.jsonl").read())
    assert len(log) == len({(each.task_id, each.test, each.puzzle) for each in log})


# `arc-trm` with a time limit that the test sets, however slow the machine is. The first argument is
# a file that holds the seconds left.
PROGRAM = """
import sys
from pathlib import Path
from random import Random
from arc_trm.cli import main
from arc_trm.time_limit import TimeLimit

left = Path(sys.argv.pop(1))
TimeLimit.left = property(lambda limit: float(left.read_text()))
main()
"""


class Job:
    """Two slow processes under torchrun that predict with the run in `folder`."""

    def __init__(self, folder: Path, *more: str, augmentations: int = 40) -> None:
        self.left = folder / "left"
        self.set_left(3600)
        program = folder / "program.py"
        program.write_text(PROGRAM)
        more += ("--batch-size", "1", "--supervision-steps", "100")  # slowly
        more += ("--augmentations", str(augmentations))
        self.process = subprocess.Popen(
            torchrun_command(program, self.left, *command(folder, *more)),
            env=one_thread(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stderr = ""  # known when the job has ended
        self.submission = folder / "out" / "submission.json"
        self.log = folder / "out" / "predictions.jsonl"
        self.tasks = load_tasks(str(folder / "tiny_challenges.json"))
        self.queries, _ = build_queries(load_weights(folder / "run"), self.tasks, augmentations)

    def set_left(self, seconds: float) -> None:
        """Set how much of the time limit is left."""
        new = self.left.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.left)

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.02)

    def wait_for_predictions(self, count: int) -> None:
        self.wait(lambda: self.log.exists() and len(self.predicted()) >= count)

    def predicted(self) -> set[tuple[str, int, str]]:
        """Return task id, test index and puzzle of all predictions in the log."""
        predictions = PredictionLog(self.log).read()
        return {(each.task_id, each.test, each.puzzle) for each in predictions}

    def all_is_submitted(self) -> bool:
        """Return whether the submission holds what the log holds.

        The first process writes it; another one may have started and predicted before.
        """
        if not self.submission.exists():
            return False
        submission = read_submission(self.submission, self.tasks.to_json(solutions=False))
        return submission == read_predictions(PredictionLog(self.log), self.tasks).submission()


@contextmanager
def hanging(job: Job, process: int | None) -> Iterator[None]:
    """Let `process` hang in the block, then kill it, as torchrun would, and wait for the job."""
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        job.stderr = job.process.communicate()[1]


@pytest.mark.slow
@finds_processes
def test_a_dying_worker_leaves_all_that_was_computed(folder: Path) -> None:
    """The first worker dies, which keeps the submission up to date."""
    job = Job(folder)
    job.wait_for_predictions(3)
    victim = worker(0, "predict", folder)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    job.process.communicate()
    assert job.process.returncode
    assert job.all_is_submitted()


@pytest.mark.slow
@finds_processes
def test_waiting_for_a_hanging_worker_can_be_ended(folder: Path) -> None:
    """While the first worker waits, it keeps the submission up to date."""
    job = Job(folder, augmentations=8)
    job.wait_for_predictions(3)
    first, second = (worker(rank, "predict", folder) for rank in (0, 1))
    assert first is not None
    with hanging(job, second):
        mine = {(q.task_id, q.test, q.puzzle) for q in shard(job.queries, 0, 2)}
        job.wait(lambda: mine <= job.predicted())
        job.wait(job.all_is_submitted)
        os.kill(first, signal.SIGTERM)
        job.wait(lambda: worker(0, "predict", folder) is None)
    assert job.all_is_submitted() and len(job.predicted()) < len(job.queries)


@pytest.mark.slow
@finds_processes
def test_a_hanging_worker_does_not_keep_the_others_beyond_the_time(folder: Path) -> None:
    job = Job(folder, "--time-limit", "1h")
    job.wait_for_predictions(3)
    with hanging(job, worker(1, "predict", folder)):
        job.set_left(0)
        job.wait(job.all_is_submitted)
        assert worker(0, "predict", folder) is not None  # it waits a little for the other
        job.set_left(-60)
        job.wait(lambda: worker(0, "predict", folder) is None)
    assert job.process.returncode and "not all processes ended in time" in job.stderr
    assert job.all_is_submitted() and len(job.predicted()) < len(job.queries)


@pytest.mark.slow
@finds_processes
def test_a_worker_that_hangs_at_its_start_does_not_keep_the_others(folder: Path) -> None:
    """The first worker hangs, which would write the submission."""
    job = Job(folder, "--time-limit", "1h")
    job.wait(lambda: worker(0, "predict", folder) is not None)
    with hanging(job, worker(0, "predict", folder)):
        job.wait_for_predictions(1)
        job.set_left(-60)
        job.wait(lambda: worker(1, "predict", folder) is None)
    assert job.process.returncode and "not all processes ended in time" in job.stderr
    assert job.all_is_submitted() and job.predicted()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_a_valid_file(
    folder: Path, cli: Callable[..., Result], number: int
) -> None:
    arguments = command(folder, "--batch-size", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "arc_trm", *arguments], stderr=subprocess.PIPE, text=True
    )
    log = folder / "out" / "predictions.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    challenges = json.loads((folder / "tiny_challenges.json").read_text())
    read_submission(folder / "out" / "submission.json", challenges)
    assert cli(*arguments).exit_code == 0
    straight = folder / "straight"
    straight.mkdir()
    assert cli(*arguments, "--out", straight).exit_code == 0
    assert (straight / "submission.json").read_bytes() == (
        folder / "out" / "submission.json"
    ).read_bytes()
