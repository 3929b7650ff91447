"""Anytime prediction: files that are whole from the start and only get better, until time is up."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from arc_trm.checkpoint import Weights
from arc_trm.config import to_dict
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import Answer, PredictionLog, VoteCounter, digest_of
from arc_trm.evaluation.voting import PredictionSet, to_submission
from arc_trm.inference.predictor import (
    Question,
    Skipped,
    answers,
    batch_limit,
    dealt,
    questions,
)
from arc_trm.inference.workers import Workers
from arc_trm.runs import PREDICTIONS, SUBMISSION
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import Submission, SubmissionError, read_submission, write_submission

FIRST_BATCH = 1  # questions, with a clock: how long they take is not known yet
BATCH_SHARE = 0.01  # of the time limit, which one batch is to take at most
OVERTIME = 10.0  # seconds after the end of the time in which other processes may still end
REST = 20.0  # times as long as writing the files takes, they rest

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What was asked: answers there are now of all wanted, and the test inputs that are guesses."""

    answered: int
    wanted: int
    guessed: tuple[Skipped, ...]


def predict(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    batch_size: int | None = None,
    supervision_steps: int | None = None,
) -> tuple[PredictionSet, list[Skipped]]:
    """Attempts and all candidates for every test input of `tasks`, in order; no files.

    There are two attempts at an ARC task's and one answer to a Sudoku or maze.

    Args:
        weights: model and rows; only tasks with a row can be answered.
        tasks: their test outputs, where known, are not looked at.
        augmentations: at most so many beside the task itself; None is all that have a row.
        batch_size: questions that go through the model at once; None suits their length.
        supervision_steps: None is the model's own number.

    Returns predictions, and the test inputs that had to be guessed. Raises UserError if the
    weights' names or vocabulary are not those of ARC.
    """
    asked, unanswerable = questions(weights, tasks, augmentations)
    votes = VoteCounter(tasks)
    for given in _answered(weights, tasks, asked, batch_size, supervision_steps, TimeLimit()):
        votes.add(given)
    return PredictionSet.of(tasks, votes), _guessed(asked, votes, unanswerable)


def _guessed(asked: Sequence[Question], votes: VoteCounter, before: list[Skipped]) -> list[Skipped]:
    """The test inputs without a candidate."""
    guessed = list(before)
    for task, test in dict.fromkeys((each.task, each.test) for each in asked):
        if not votes[task, test].candidates:
            silent = votes.has(task, test)
            reason = "the model draws no grid" if silent else "there was no time to ask"
            if not silent and votes.tasks.is_arc:
                reason += ", so what was submitted before stays"
            guessed.append(Skipped(task, test, reason))
    return guessed


def _answered(
    weights: Weights,
    tasks: TaskSet,
    asked: Sequence[Question],
    batch_size: int | None,
    supervision_steps: int | None,
    clock: TimeLimit,
    reserve: Callable[[], float] = lambda: 0.0,
) -> Iterator[list[Answer]]:
    """The answers to `asked`, batch by batch, for as long as there is time.

    What has to be asked again on the full canvas follows the batch that it was in.
    """

    def limit(side: int) -> int:
        return batch_size or batch_limit(weights, side)

    for batch in _batches(asked, limit, clock, reserve):
        again: list[Question] = []
        yield list(answers(weights, tasks, batch, supervision_steps, again))
        for larger in _batches(again, limit, clock, reserve):
            yield list(answers(weights, tasks, larger, supervision_steps, []))


def _batches(
    asked: Sequence[Question],
    limit: Callable[[int], int],
    clock: TimeLimit,
    reserve: Callable[[], float],
) -> Iterator[Sequence[Question]]:
    """`asked` in batches of at most `limit` for as long as there is time for another.

    Each is on one canvas. Against a clock they begin small and grow while they take a small share
    of it.
    """
    size, each, before = float(FIRST_BATCH), 0.0, 0
    for side, questions_there in groupby(asked, key=lambda question: question.side):
        if before:  # the cost grows with the canvas' cells at least, and with their square at most
            growth = (side / before) ** (4 if side > before else 2)
            size, each = size / growth, each * growth
        before, there, begun = side, list(questions_there), 0
        while begun < len(there):
            left = clock.left - reserve()
            if clock.limit is None:
                size = limit(side)
            elif left <= each:
                return
            elif each:
                size = min(size, left / each)
            count = max(1, min(int(size), limit(side)))
            batch = there[begun : begun + count]
            begun += count
            began = time.monotonic()
            yield batch
            took = time.monotonic() - began
            if clock.limit is not None:
                each = max(0.9 * each, took / len(batch))
                if 2 * took < BATCH_SHARE * clock.limit:
                    size = max(size, min(limit(side), 2 * len(batch)))


def fingerprint(weights: Weights, tasks: TaskSet, supervision_steps: int | None) -> dict[str, Any]:
    """What answers depend on: files that say the same may be gone on with."""
    model, digest = weights.model, hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    digest.update(model.puzzle_embedding.detach().cpu().contiguous().numpy().data)
    digest.update(json.dumps([to_dict(model.config), list(weights.rows)]).encode())
    return {
        "weights": digest.hexdigest(),
        "tasks": digest_of(tasks),
        "supervision_steps": supervision_steps or model.config.supervision_steps,
        "dtype": str(model.dtype).removeprefix("torch."),
    }


class _Files:
    """submission.json, of ARC tasks, and predictions.jsonl of a job.

    The former is made of what the latter holds, so that it has every process's answers. Test inputs
    of `asked` that nobody has had time to ask keep what a valid submission said before.
    """

    def __init__(self, folder: Path, tasks: TaskSet, asked: Sequence[Question]) -> None:
        self.folder, self.tasks = folder, tasks
        self.log = PredictionLog(folder / PREDICTIONS)
        self.votes = VoteCounter(tasks, dict.fromkeys(each.puzzle for each in asked))
        self.submits = tasks.is_arc
        self.challenges = (
            {task.id: task.to_json(solutions=False) for task in tasks} if self.submits else {}
        )
        self.asked = dict.fromkeys((each.task, each.test) for each in asked)
        self.written, self.cost = 0.0, 0.0
        self.before: Submission | None = None
        if self.submits:
            with suppress(SubmissionError):
                self.before = read_submission(folder / SUBMISSION, self.challenges)

    def update(self) -> None:
        """Bring the submission up to date, whole or not at all."""
        started = time.monotonic()
        self.votes.add(self.log.read(self.votes.tasks))
        if self.submits:
            self._submit()
        self.written = time.monotonic()
        self.cost = max(self.cost, self.written - started)

    def _submit(self) -> None:
        made = to_submission(self.votes, self.tasks)
        if self.before is not None:
            for task, test in self.asked:
                if not self.votes.has(task, test):
                    made[task][test] = self.before[task][test]
        write_submission(self.folder / SUBMISSION, made, self.challenges)

    @property
    def due(self) -> bool:
        return time.monotonic() - self.written > REST * self.cost


def predict_into(
    folder: Path,
    weights: Weights,
    tasks: TaskSet,
    clock: TimeLimit,
    augmentations: int | None = None,
    batch_size: int | None = None,
    supervision_steps: int | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Predict into `folder`: submission.json, always whole, and predictions.jsonl, every answer.

    Of Sudokus and mazes there is no submission.

    Goes on from a predictions.jsonl of the same weights and tasks. Every task as it is comes first,
    then its augmentations in rounds over all tasks. Under torchrun the questions are dealt one by
    one to all processes: neighbours cost the same.

    Args:
        folder: exists.
        weights, tasks, augmentations, batch_size, supervision_steps: as in `predict`.
        clock: ends it when its time is over.
        about: for readers of predictions.jsonl, as JSON.
        progress: is told rank 0's answers and how many it is to give.
        note: takes a sentence for a person.

    Raises UserError as `predict`, submission.WriteError if a file cannot be written.
    """
    peers = Workers()
    first = peers.rank == 0
    asked, unanswerable = questions(weights, tasks, augmentations)
    files = _Files(folder, tasks, asked)

    def tired() -> bool:
        return clock.left < -OVERTIME

    def keep_up() -> None:
        if first and files.due:
            files.update()

    def of() -> dict[str, Any]:
        return fingerprint(weights, tasks, supervision_steps)

    left = _left(asked, files, of, about or {}, peers, tired, note)
    if first and len(left) < len(asked):
        note(f"{len(asked) - len(left)} of {len(asked)} answers are there already")
    mine, done = dealt(left, peers.rank, peers.world), 0
    try:
        if first:
            files.update()
            progress(done, len(mine))
        how = (batch_size, supervision_steps, clock, lambda: 2 * files.cost)
        for given in _answered(weights, tasks, mine, *how):
            files.log.add(given)
            keep_up()
            done += len(given)
            if first:
                progress(done, len(mine))
        peers.come("done")
        all_done = peers.wait("done", peers.world, tired, keep_up)
        if first:
            files.update()
            peers.come("written")
        if not all_done or not peers.wait("written", 1, tired):
            raise UserError("not all processes ended in time; what they answered counts")
    except BaseException:
        files.update()  # what was computed counts, and who writes it otherwise may be gone
        raise
    answered = sum(files.votes.has(q.task, q.test, q.puzzle) for q in asked)
    guessed = _guessed(asked, files.votes, unanswerable)
    return Outcome(answered, len(asked), tuple(guessed))


def _left(
    asked: Sequence[Question],
    files: _Files,
    of: Callable[[], dict[str, Any]],
    about: Mapping[str, Any],
    peers: Workers,
    tired: Callable[[], bool],
    note: Callable[[str], None],
) -> list[Question]:
    """What of `asked` is unanswered in predictions.jsonl, the same for all processes.

    Who is there first begins the file, as another might never be, and tells its size by coming to a
    point as many times. All read up to there, whatever is added meanwhile.
    """
    if peers.come("beginning") == 1:
        moved = files.log.begin(of(), about)  # one hashes the weights, not all
        if moved:
            note(
                f"{files.log.path} held answers of other weights, tasks or settings, which are in "
                f"{moved} now"
            )
        peers.come("size", files.log.size)
    if not peers.wait("size", 1, tired):
        raise UserError(f"{files.log.path} was not begun in time by the process that came first")
    files.votes.add(files.log.read(files.votes.tasks, peers.come("size", 0)))
    return [each for each in asked if not files.votes.has(each.task, each.test, each.puzzle)]
