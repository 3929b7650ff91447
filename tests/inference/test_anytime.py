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
from collections.abc import Callable, Iterator
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
from arc_trm.evaluation.prediction_log import Answer, PredictionLog, VoteCounter, read_predictions
from arc_trm.evaluation.voting import Prediction, to_submission
from arc_trm.inference import Outcome, predict, predict_into
from arc_trm.inference.predictor import dealt, questions
from arc_trm.models.trm import TRM
from arc_trm.tasks import as_grid
from arc_trm.time_limit import TimeLimit
from arc_trm.training.loop import train
from submission import WriteError, read_submission

CPU = torch.device("cpu")
CHALLENGES = {task.id: task.to_json(solutions=False) for task in tasks()}


def into(folder: Path, **options: object) -> Outcome:
    known = tasks()
    return predict_into(folder, weights(TRM, known), known, TimeLimit(), **options)


def submitted(folder: Path) -> object:
    return read_submission(folder / "submission.json", CHALLENGES)


class Killed(Exception):
    pass


def kill_after(count: int):
    def progress(done: int, total: int) -> None:
        if done >= count:
            raise Killed

    return progress


def test_rounds_go_over_all_tasks_and_begin_with_the_tasks_themselves() -> None:
    known = tasks()
    asked, _ = questions(weights(TRM, known), known)
    assert [(q.task, q.test) for q in asked[:3]] == [("a", 0), ("a", 1), ("b", 0)]
    assert [q.puzzle for q in asked[:3]] == ["a", "a", "b"]
    assert [q.order for q in asked] == sorted(q.order for q in asked)
    assert len({(q.task, q.test, q.puzzle) for q in asked}) == len(asked) == 21


@pytest.mark.parametrize("count", [0, 1, 6, 20])
def test_a_kill_loses_nothing_and_the_same_comes_out(tmp_path: Path, count: int) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    assert into(straight, batch_size=1) == Outcome(21, 21, into(straight).guessed)
    with pytest.raises(Killed):
        into(killed, batch_size=1, progress=kill_after(count))
    submitted(killed)
    assert len(list(PredictionLog(killed / "predictions.jsonl").read())) == count
    told: list[str] = []
    assert into(killed, batch_size=1, note=told.append).answered == 21
    assert told == ([f"{count} of 21 answers are there already"] if count else [])
    for file in ("submission.json", "predictions.jsonl"):
        one, other = ((each / file).read_text().split() for each in (straight, killed))
        assert one == other


def test_the_files_say_what_the_votes_in_memory_say(tmp_path: Path) -> None:
    known = tasks()
    into(tmp_path)
    expected, _ = predict(weights(TRM, known), known)
    for one, other in zip(
        expected, read_predictions(tmp_path / "predictions.jsonl", known), strict=True
    ):
        assert [c.puzzles for c in one.candidates] == [c.puzzles for c in other.candidates]
        assert all(map(np.array_equal, one.attempts, other.attempts))


def test_fewer_voters_count_only_theirs(tmp_path: Path) -> None:
    into(tmp_path)
    whole = (tmp_path / "predictions.jsonl").read_bytes()
    assert into(tmp_path, augmentations=2) == Outcome(9, 9, ())
    assert (tmp_path / "predictions.jsonl").read_bytes() == whole


def test_other_weights_begin_anew_and_lose_nothing(tmp_path: Path) -> None:
    into(tmp_path)
    before, log = submitted(tmp_path), (tmp_path / "predictions.jsonl").read_bytes()
    known, told = tasks(), list[str]()
    other = weights(Copycat, known)
    with torch.no_grad():
        other.model.token_head.weight.add_(1)

    def go_on(**options: object) -> Outcome:
        return predict_into(tmp_path, other, known, note=told.append, batch_size=1, **options)

    assert go_on(clock=TimeLimit(1e-9)).answered == 0
    assert "held answers of other weights, tasks or settings, which are in" in told[0]
    (moved,) = tmp_path.glob("predictions.*.jsonl")
    assert moved.read_bytes() == log and str(moved) in told[0]
    assert submitted(tmp_path) == before
    with pytest.raises(Killed):
        go_on(clock=TimeLimit(), progress=kill_after(2))
    now = submitted(tmp_path)
    assert now["b"] == before["b"]  # which nobody has asked yet
    assert [output["attempt_1"] for output in now["a"]] == [
        pair.input.tolist() for pair in known["a"].test
    ]
    go_on(clock=TimeLimit())
    assert submitted(tmp_path)["b"][0]["attempt_1"] == known["b"].test[0].input.tolist()
    into(tmp_path)  # the first weights again, whose answers come back
    assert (tmp_path / "predictions.jsonl").read_bytes() == log
    assert submitted(tmp_path) == before


def test_two_jobs_in_one_folder_do_not_mix_their_answers(tmp_path: Path) -> None:
    known = tasks()

    def begin_another(done: int, total: int) -> None:
        if done == 2:
            predict_into(tmp_path, weights(Copycat, known), known, TimeLimit())

    with pytest.raises(UserError, match=r"another job has begun .*predictions\.jsonl anew"):
        into(tmp_path, batch_size=1, progress=begin_another, supervision_steps=1)
    (aside,) = tmp_path.glob("predictions.*.jsonl")
    assert len(list(PredictionLog(aside).read())) == 2
    assert len(list(PredictionLog(tmp_path / "predictions.jsonl").read())) == 21


def test_no_time_at_all_still_leaves_a_valid_submission(tmp_path: Path) -> None:
    known = tasks()
    clock = TimeLimit(1e-9)
    outcome = predict_into(tmp_path, weights(TRM, known), known, clock)
    assert (outcome.answered, outcome.wanted) == (0, 21)
    assert {each.reason for each in outcome.guessed} == {
        "there was no time to ask, so what was submitted before stays"
    }
    submitted(tmp_path)


def test_a_full_disk_is_told_and_the_submission_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        into(tmp_path, batch_size=1, progress=kill_after(3))
    before = submitted(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(WriteError, match=r"predictions\.jsonl.*No space left"):
            into(tmp_path)
    assert submitted(tmp_path) == before


def test_half_a_line_is_asked_again(tmp_path: Path) -> None:
    into(tmp_path)
    path = tmp_path / "predictions.jsonl"
    expected = submitted(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert into(tmp_path).answered == 21
    assert submitted(tmp_path) == expected


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]]}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[10]],"halt":1,"order":0}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt":"x","order":0}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt":1,"order":0,"second":[0,4,1]}',
        '{"task":"a","test":0,"puzzle":"a","grid":[[1]],"halt":1,"order":0,"second":[0,0,300]}',
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    log = log_with(tmp_path, line)
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not a prediction"):
        list(log.read())


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    for text in ("{}\n", "{\n", "[1]\n", "\xff\n"):
        (tmp_path / "p.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"p\.jsonl, line 1 is not a prediction"):
            read_predictions(tmp_path / "p.jsonl", tasks())


grid_lists = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=8)


@given(grid_lists, st.randoms())
def test_votes_do_not_depend_on_the_order_of_the_answers(
    said: list[tuple[int, float]], random: object
) -> None:
    made = [
        Answer("b", 0, str(n), Prediction(str(n), as_grid([[c]]), h, as_grid([[9 - c]]), n))
        for n, (c, h) in enumerate(said)
    ]
    mixed = made + made[:2]  # some twice, as after a kill
    random.shuffle(mixed)  # type: ignore[attr-defined]
    results = []
    for each in (made, mixed):
        votes = VoteCounter(tasks())
        votes.add(each)
        results.append(votes["b", 0])
    one, other = results
    assert [(c.puzzles, c.halt) for c in one.candidates] == [
        (c.puzzles, c.halt) for c in other.candidates
    ]
    assert all(map(np.array_equal, one.attempts, other.attempts))


def test_logits_do_not_depend_on_the_rest_of_the_batch() -> None:
    """Beyond rounding: 1e-5 of logits of size 1, in float32."""
    model = weights(TRM, tasks()).model
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 12, (7, 16), generator=generator, dtype=torch.int32)
    rows = torch.randint(0, 15, (7,), generator=generator)
    *_, (together, together_halt) = model.predict_steps(inputs, rows)
    for index in range(7):
        *_, (alone, alone_halt) = model.predict_steps(
            inputs[index : index + 1], rows[index : index + 1]
        )
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone_halt[0], together_halt[index], rtol=0, atol=1e-5)


def test_every_question_is_dealt_once_whatever_the_number_of_workers() -> None:
    known = tasks()
    asked, _ = questions(weights(TRM, known), known)
    for world in (1, 2, 4, 5):
        shares = [dealt(asked, rank, world) for rank in range(world)]
        assert sorted(id(q) for share in shares for q in share) == sorted(map(id, asked))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


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
    train(run_config(folder / "tiny_challenges.json", data=data), CPU, folder / "run")
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
    assert len(log) == len({(a.task, a.test, a.puzzle) for a in log})


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
        more += ("--batch-size", "1", "--supervision-steps", "100")  # slowly
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
        self.asked, _ = questions(load_weights(folder / "run"), self.tasks, augmentations)

    def set_left(self, seconds: float) -> None:
        """Say how much of the time limit is left."""
        new = self.left.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.left)

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.02)

    def wait_for_answers(self, count: int) -> None:
        self.wait(lambda: self.log.exists() and len(self.answered()) >= count)

    def answered(self) -> set[tuple[str, int, str]]:
        return {(a.task, a.test, a.puzzle) for a in PredictionLog(self.log).read()}

    def all_is_submitted(self) -> bool:
        made = read_submission(
            self.submission, {task.id: task.to_json(solutions=False) for task in self.tasks}
        )
        return made == to_submission(read_predictions(self.log, self.tasks), self.tasks)


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
    job.wait_for_answers(3)
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
    job.wait_for_answers(3)
    first, second = (worker(rank, "predict", folder) for rank in (0, 1))
    assert first is not None
    with hanging(job, second):
        mine = {(q.task, q.test, q.puzzle) for q in dealt(job.asked, 0, 2)}
        job.wait(lambda: mine <= job.answered())
        job.wait(job.all_is_submitted)
        os.kill(first, signal.SIGTERM)
        job.wait(lambda: worker(0, "predict", folder) is None)
    assert job.all_is_submitted() and len(job.answered()) < len(job.asked)


@pytest.mark.slow
@finds_processes
def test_a_hanging_worker_does_not_keep_the_others_beyond_the_time(folder: Path) -> None:
    job = Job(folder, "--time-limit", "1h")
    job.wait_for_answers(3)
    with hanging(job, worker(1, "predict", folder)):
        job.set_left(0)
        job.wait(job.all_is_submitted)
        assert worker(0, "predict", folder) is not None  # it waits a little for the other
        job.set_left(-60)
        job.wait(lambda: worker(0, "predict", folder) is None)
    assert job.process.returncode and "Error: not all processes ended in time" in job.stderr
    assert job.all_is_submitted() and len(job.answered()) < len(job.asked)


@pytest.mark.slow
@finds_processes
def test_a_worker_that_hangs_at_its_start_does_not_keep_the_others(folder: Path) -> None:
    """Here the one that would write the submission."""
    job = Job(folder, "--time-limit", "1h")
    job.wait(lambda: worker(0, "predict", folder) is not None)
    with hanging(job, worker(0, "predict", folder)):
        job.wait_for_answers(1)
        job.set_left(-60)
        job.wait(lambda: worker(1, "predict", folder) is None)
    assert job.process.returncode and "Error: not all processes ended in time" in job.stderr
    assert job.all_is_submitted() and job.answered()


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
