"""Anytime prediction: valid from the start, better with time, unharmed by kills, shared."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from click.testing import Result
from commands import ONE_THREAD, torchrun_command
from copycat import Copycat, tasks, weights
from hypothesis import given
from hypothesis import strategies as st
from processes import finds_processes, worker
from tiny import log_with, run_config, write_challenges

from arc_trm import load_tasks
from arc_trm.checkpoint import load_weights
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import Prediction, PredictionJob
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference import build_queries, predict_tasks, predict_to_folder
from arc_trm.inference.predictor import shard
from arc_trm.models.trm import TRM
from arc_trm.tasks import as_grid
from arc_trm.time_limit import TimeLimit
from arc_trm.training.loop import train_run
from submission import Submission, WriteError, read_submission

CPU = torch.device("cpu")
CHALLENGES = tasks().to_json(solutions=False)
KEY = ("task_id", "test", "puzzle")


def predict_into(folder: Path, kind: type[TRM] = TRM, **options: object) -> PredictionJob:
    known = tasks()
    options = {"time_limit": TimeLimit(), **options}
    job = predict_to_folder(folder, weights(kind, known), known, **options).job
    assert job is not None
    return job


def submitted(folder: Path) -> Submission:
    return read_submission(folder / "submission.json", CHALLENGES)


def keys(items: Iterable[object]) -> list[tuple[object, ...]]:
    """Which puzzle of which test input each query or prediction is of."""
    return [tuple(getattr(item, name) for name in KEY) for item in items]


class Killed(Exception):
    pass


def kill_after(count: int):
    def progress(done: int, total: int) -> None:
        if done >= count:
            raise Killed

    return progress


def test_rounds_go_over_all_tasks_and_begin_with_the_tasks_themselves() -> None:
    known = tasks()
    queries, _ = build_queries(weights(TRM, known), known)
    assert keys(queries[:3]) == [("a", 0, "a"), ("a", 1, "a"), ("b", 0, "b")]
    assert [query.order for query in queries] == sorted(query.order for query in queries)
    assert len(set(keys(queries))) == len(queries) == 21


@pytest.mark.parametrize("count", [0, 1, 6, 20])
def test_a_killed_job_resumes_to_the_same_files(tmp_path: Path, count: int) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    job = predict_into(straight, batch_size=1)
    assert (job.answered, job.total) == (21, 21)
    assert job.guesses == predict_into(straight).guesses
    with pytest.raises(Killed):
        predict_into(killed, batch_size=1, progress=kill_after(count))
    submitted(killed)
    assert len(list(PredictionLog(killed / "predictions.jsonl").read())) == count
    notes: list[str] = []
    assert predict_into(killed, batch_size=1, note=notes.append).answered == 21
    assert notes == ([f"{count} of 21 predictions exist already"] if count else [])
    for file in ("submission.json", "predictions.jsonl"):
        one, other = ((each / file).read_text().split() for each in (straight, killed))
        assert one == other


def test_files_hold_what_is_predicted_in_memory(tmp_path: Path) -> None:
    known = tasks()
    predict_into(tmp_path)
    expected = predict_tasks(weights(TRM, known), known)
    log = PredictionLog(tmp_path / "predictions.jsonl")
    for one, other in zip(expected, read_predictions(log, known), strict=True):
        assert [c.puzzles for c in one.candidates] == [c.puzzles for c in other.candidates]
        assert all(map(np.array_equal, one.attempts, other.attempts))


def test_fewer_augmentations_count_their_votes_only(tmp_path: Path) -> None:
    predict_into(tmp_path)
    log = (tmp_path / "predictions.jsonl").read_bytes()
    job = predict_into(tmp_path, augmentations=2)
    assert (job.answered, job.total, job.guesses) == (9, 9, ())
    assert (tmp_path / "predictions.jsonl").read_bytes() == log


def test_other_weights_start_anew_and_lose_nothing(tmp_path: Path) -> None:
    predict_into(tmp_path)
    before, log = submitted(tmp_path), (tmp_path / "predictions.jsonl").read_bytes()
    known, notes = tasks(), list[str]()
    other = weights(Copycat, known)
    with torch.no_grad():
        other.model.token_head.weight.add_(1)

    def resume(time_limit: TimeLimit, **options: object) -> PredictionJob | None:
        options |= {"previous": submitted(tmp_path), "note": notes.append, "batch_size": 1}
        return predict_to_folder(tmp_path, other, known, time_limit, **options).job

    job = resume(TimeLimit(1e-9))
    assert job is not None and job.answered == 0
    assert "had predictions of other weights, tasks or settings, which are in" in notes[0]
    (moved,) = tmp_path.glob("predictions.*.jsonl")
    assert moved.read_bytes() == log and str(moved) in notes[0]
    assert submitted(tmp_path) == before
    with pytest.raises(Killed):
        resume(TimeLimit(), progress=kill_after(2))
    now = submitted(tmp_path)
    assert now["b"] == before["b"]  # which was not queried yet
    assert [output["attempt_1"] for output in now["a"]] == [
        pair.input.tolist() for pair in known["a"].test
    ]
    resume(TimeLimit())
    assert submitted(tmp_path)["b"][0]["attempt_1"] == known["b"].test[0].input.tolist()
    predict_into(tmp_path)  # the first weights again, whose predictions come back
    assert (tmp_path / "predictions.jsonl").read_bytes() == log
    assert submitted(tmp_path) == before


def test_two_jobs_in_one_folder_do_not_mix_their_predictions(tmp_path: Path) -> None:
    def start_another(done: int, total: int) -> None:
        if done == 2:
            predict_into(tmp_path, Copycat)

    with pytest.raises(UserError, match=r"another job has started .*predictions\.jsonl anew"):
        predict_into(tmp_path, batch_size=1, progress=start_another, supervision_steps=1)
    (aside,) = tmp_path.glob("predictions.*.jsonl")
    assert len(list(PredictionLog(aside).read())) == 2
    assert len(list(PredictionLog(tmp_path / "predictions.jsonl").read())) == 21


def test_no_time_at_all_still_leaves_a_valid_submission(tmp_path: Path) -> None:
    job = predict_into(tmp_path, time_limit=TimeLimit(1e-9))
    assert (job.answered, job.total) == (0, 21)
    assert {each.reason for each in job.guesses} == {
        "there was no time for it, so the previous submission's attempts stay"
    }
    submitted(tmp_path)


def test_a_full_disk_is_an_error_and_the_submission_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        predict_into(tmp_path, batch_size=1, progress=kill_after(3))
    before = submitted(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(WriteError, match=r"predictions\.jsonl.*No space left"):
            predict_into(tmp_path)
    assert submitted(tmp_path) == before


def test_half_a_line_is_predicted_again(tmp_path: Path) -> None:
    predict_into(tmp_path)
    path = tmp_path / "predictions.jsonl"
    expected = submitted(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert predict_into(tmp_path).answered == 21
    assert submitted(tmp_path) == expected


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]]}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[10]],"halt_prob":1,"order":0}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt_prob":"x","order":0}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt_prob":1,"order":0,'
        '"runner_up":[0,4,1]}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt_prob":1,"order":0,'
        '"runner_up":[0,0,300]}',
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    log = log_with(tmp_path, line)
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not a prediction"):
        list(log.read())


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    for text in ("{}\n", "{\n", "[1]\n", "\xff\n"):
        (tmp_path / "p.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"p\.jsonl, line 1 is not a prediction"):
            read_predictions(PredictionLog(tmp_path / "p.jsonl"), tasks())


grid_lists = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=8)


@given(grid_lists, st.randoms())
def test_votes_do_not_depend_on_the_order_of_predictions(
    cells: list[tuple[int, float]], random: object
) -> None:
    made = [
        Prediction("b", 0, str(n), n, as_grid([[cell]]), halt_prob, as_grid([[9 - cell]]))
        for n, (cell, halt_prob) in enumerate(cells)
    ]
    mixed = made + made[:2]  # some twice, as after a kill
    random.shuffle(mixed)  # type: ignore[attr-defined]
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
    ids = torch.randint(0, 15, (7,), generator=generator)
    *_, (together, together_halt) = model.predict_steps(inputs, ids)
    for n in range(7):
        *_, (alone, alone_halt) = model.predict_steps(inputs[n : n + 1], ids[n : n + 1])
        torch.testing.assert_close(alone[0], together[n], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone_halt[0], together_halt[n], rtol=0, atol=1e-5)


@pytest.mark.parametrize("world_size", [1, 2, 4, 5])
def test_every_query_is_in_one_shard_whatever_the_number_of_workers(world_size: int) -> None:
    known = tasks()
    queries, _ = build_queries(weights(TRM, known), known)
    shards = [shard(queries, rank, world_size) for rank in range(world_size)]
    assert sorted(keys(q for each in shards for q in each)) == sorted(keys(queries))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def command(folder: Path, *more: str) -> list[str]:
    return [
        *("predict", str(folder / "run"), "--data", str(folder / "tiny_challenges.json")),
        *("--out", str(folder / "out"), "--device", "cpu", *more),
    ]


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
def test_torchrun_shares_the_work_and_gives_the_same(
    folder: Path, cli: Callable[..., Result], torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    assert cli(*command(folder)).exit_code == 0
    expected = json.loads((folder / "out" / "submission.json").read_text())
    (folder / "out" / "predictions.jsonl").unlink()
    result = torchrun("-m", "arc_trm", *command(folder))
    assert result.returncode == 0, result.stderr
    assert json.loads((folder / "out" / "submission.json").read_text()) == expected
    log = list(PredictionLog(folder / "out" / "predictions.jsonl").read())
    assert len(log) == len(set(keys(log)))


# `arc-trm` with a time limit that ends when the test says so, however slow the machine is. The
# first argument is a file that holds the seconds left.
PROGRAM = """
import sys
from pathlib import Path
from arc_trm.cli import main
from arc_trm.time_limit import TimeLimit

left = Path(sys.argv.pop(1))
TimeLimit.left = property(lambda limit: float(left.read_text()))
main()
"""


class Job:
    """Two slow processes under torchrun that predict the run in `folder`."""

    def __init__(self, folder: Path, *more: str, augmentations: int = 40) -> None:
        self.left = folder / "left"
        self.set_left(3600)
        program = folder / "program.py"
        program.write_text(PROGRAM)
        more += ("--batch-size", "1", "--supervision-steps", "30")  # slowly
        more += ("--augmentations", str(augmentations))
        self.process = subprocess.Popen(
            torchrun_command(program, self.left, *command(folder, *more)),
            env=ONE_THREAD,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stderr = ""  # when it has ended
        self.submission = folder / "out" / "submission.json"
        self.log = folder / "out" / "predictions.jsonl"
        self.tasks = load_tasks(str(folder / "tiny_challenges.json"))
        self.queries, _ = build_queries(load_weights(folder / "run"), self.tasks, augmentations)

    def set_left(self, seconds: float) -> None:
        """Say how much of the time limit is left."""
        new = self.left.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.left)

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.02)

    def wait_for_predictions(self, count: int) -> None:
        self.wait(lambda: self.log.exists() and len(self.predicted()) >= count)

    def predicted(self) -> set[tuple[object, ...]]:
        return set(keys(PredictionLog(self.log).read()))

    def all_is_submitted(self) -> bool:
        made = read_submission(self.submission, self.tasks.to_json(solutions=False))
        return made == read_predictions(PredictionLog(self.log), self.tasks).submission()


@contextmanager
def hanging(job: Job, process: int | None) -> Iterator[None]:
    """While `process` of the job hangs; then it is killed, as torchrun would after half a minute,
    and the job ends."""
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
    """Here the one that keeps the file up to date."""
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
    """And keeps the file up to date."""
    job = Job(folder, augmentations=8)
    job.wait_for_predictions(3)
    first, second = (worker(rank, "predict", folder) for rank in (0, 1))
    assert first is not None
    with hanging(job, second):
        mine = set(keys(shard(job.queries, 0, 2)))
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
    assert job.process.returncode and "Error: not all processes ended in time" in job.stderr
    assert job.all_is_submitted() and len(job.predicted()) < len(job.queries)


@pytest.mark.slow
@finds_processes
def test_a_worker_that_hangs_at_its_start_does_not_keep_the_others(folder: Path) -> None:
    """Here the one that would write the submission."""
    job = Job(folder, "--time-limit", "1h")
    job.wait(lambda: worker(0, "predict", folder) is not None)
    with hanging(job, worker(0, "predict", folder)):
        job.wait_for_predictions(1)
        job.set_left(-60)
        job.wait(lambda: worker(1, "predict", folder) is None)
    assert job.process.returncode and "Error: not all processes ended in time" in job.stderr
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
