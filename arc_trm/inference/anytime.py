"""Anytime prediction: files are valid from the start and improve until the time limit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from arc_trm.callbacks import Note, Progress, ignore
from arc_trm.checkpoint import Weights
from arc_trm.config import to_dict
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import (
    Prediction,
    PredictionJob,
    PredictionSet,
    Skipped,
    build_submission,
)
from arc_trm.evaluation.voting import VoteCounter, VotingRule, majority_vote
from arc_trm.inference.predictor import Query, build_queries, max_batch_size, predict_batch, shard
from arc_trm.inference.workers import Workers
from arc_trm.puzzles import kind_of
from arc_trm.runs import PREDICTIONS, SUBMISSION
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import Submission, write_submission

FIRST_BATCH_SIZE = 1  # with a time limit, because the duration of a query is not known yet
MAX_BATCH_FRACTION = 0.01  # of the time limit, for one batch
WORKER_GRACE_S = 10.0  # how long to wait for other processes after the time limit
FLUSH_INTERVAL_RATIO = 20.0  # seconds between writing the files, per second that it takes

NO_GRID = "the model predicts no grid"


def predict_tasks(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    batch_size: int | None = None,
    supervision_steps: int | None = None,
    attempts: int | None = None,
    rule: VotingRule = majority_vote,
) -> PredictionSet:
    """Predict every test input of `tasks` in memory.

    Args:
        weights: only tasks with a puzzle embedding can be predicted.
        tasks: to predict; their test outputs have no effect.
        augmentations: maximum number besides the task itself; None is all that were trained.
        batch_size: queries per batch; None depends on the size of the canvas.
        supervision_steps: per query; None is the model's number.
        attempts: number per test input; None is the maximum of the kind of puzzle.
        rule: ranks the predictions of a test input.

    Raises:
        UserError: the model cannot predict this kind of puzzle.
    """
    kind_of(tasks).check_model(weights.model.config, tasks)
    queries, skipped = build_queries(weights, tasks, augmentations)
    counter = VoteCounter(tasks, None, rule, attempts)
    for batch in _predictions(weights, tasks, queries, batch_size, supervision_steps, TimeLimit()):
        counter.add(batch)
    guesses = tuple(skipped) + tuple(
        Skipped(*key, NO_GRID) for key in _inputs(queries) if not counter[key].candidates
    )
    job = PredictionJob(len(queries), len(queries), guesses)
    return PredictionSet(tasks, PredictionSet(tasks, counter).fill_missing(), job)


def _inputs(queries: Sequence[Query]) -> list[tuple[str, int]]:
    """Return the test inputs of queries, (task id, test index), each once."""
    return list(dict.fromkeys((query.task_id, query.test) for query in queries))


def _predictions(
    weights: Weights,
    tasks: TaskSet,
    queries: Sequence[Query],
    batch_size: int | None,
    supervision_steps: int | None,
    time_limit: TimeLimit,
    reserve: Callable[[], float] = lambda: 0.0,
) -> Iterator[list[Prediction]]:
    """Yield the predictions for queries batch by batch until the time limit.

    Queries that must be repeated on the full canvas follow their batch.
    """

    def limit(side: int) -> int:
        return batch_size or max_batch_size(weights, side)

    for batch in _batches(queries, limit, time_limit, reserve):
        retry: list[Query] = []
        yield list(predict_batch(weights, tasks, batch, supervision_steps, retry))
        for larger in _batches(retry, limit, time_limit, reserve):
            yield list(predict_batch(weights, tasks, larger, supervision_steps, []))


def _batches(
    queries: Sequence[Query],
    limit: Callable[[int], int],
    time_limit: TimeLimit,
    reserve: Callable[[], float],
) -> Iterator[Sequence[Query]]:
    """Yield batches of one canvas size and at most `limit` queries while there is time.

    With a time limit, batches start small and grow while they take a small fraction of it.
    """
    size, per_query, previous_side = float(FIRST_BATCH_SIZE), 0.0, 0
    for side, group in groupby(queries, key=lambda query: query.side):
        # The cost of a query grows at least as its cells, and at most as their square.
        if previous_side:
            growth = (side / previous_side) ** (4 if side > previous_side else 2)
            size, per_query = size / growth, per_query * growth
        previous_side, same_size, position = side, list(group), 0
        while position < len(same_size):
            seconds_left = time_limit.left - reserve()
            if time_limit.limit is None:
                size = limit(side)
            elif seconds_left <= per_query:
                return
            elif per_query:
                size = min(size, seconds_left / per_query)
            count = max(1, min(int(size), limit(side)))
            batch = same_size[position : position + count]
            position += count
            started = time.monotonic()
            yield batch
            duration = time.monotonic() - started
            if time_limit.limit is not None:
                per_query = max(0.9 * per_query, duration / len(batch))
                if 2 * duration < MAX_BATCH_FRACTION * time_limit.limit:
                    size = max(size, min(limit(side), 2 * len(batch)))


def prediction_key(
    weights: Weights, tasks: TaskSet, supervision_steps: int | None
) -> dict[str, Any]:
    """Return everything that predictions depend on; a log with an equal key is continued."""
    model, digest = weights.model, hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    digest.update(model.puzzle_embedding.detach().cpu().contiguous().numpy().data)
    digest.update(json.dumps([to_dict(model.config), list(weights.puzzle_ids)]).encode())
    return {
        "weights": digest.hexdigest(),
        "tasks": tasks.fingerprint(solutions=False),
        "supervision_steps": supervision_steps or model.config.supervision_steps,
        "dtype": str(model.dtype).removeprefix("torch."),
    }


class PredictionWriter:
    """A writer of predictions.jsonl and, if the kind of puzzle has submissions, submission.json.

    The submission is built from the log, so it has the predictions of every process. Only the first
    process writes it, but after an error every process does.

    Args:
        queries: of the job; for the other arguments see `predict_to_folder`.
    """

    def __init__(
        self,
        folder: Path,
        tasks: TaskSet,
        queries: Sequence[Query],
        previous: Submission | None,
        attempts: int | None,
        rule: VotingRule,
        time_limit: TimeLimit,
        grace: float,
    ) -> None:
        self.folder, self.tasks, self.queries = folder, tasks, queries
        self.previous, self.attempts = previous, attempts
        self.time_limit, self.grace = time_limit, grace
        self.workers = Workers()
        self.is_first = self.workers.rank == 0
        self.log = PredictionLog(folder / PREDICTIONS)
        voters = dict.fromkeys(query.puzzle for query in queries)
        self.counter = VoteCounter(tasks, voters, rule, attempts)
        self.submits = kind_of(tasks).writes_submission
        self.challenges = tasks.to_json(solutions=False) if self.submits else {}
        self.flushed_at, self.cost = 0.0, 0.0

    def flush(self) -> None:
        """Count the predictions of all processes and write the submission."""
        started = time.monotonic()
        self.counter.add(self.log.read(self.tasks))
        if self.submits:
            write_submission(self.folder / SUBMISSION, self.submission(), self.challenges)
        self.flushed_at = time.monotonic()
        self.cost = max(self.cost, self.flushed_at - started)

    def submission(self) -> Submission:
        """Return the submission of the predictions counted so far."""
        submission = build_submission(self.counter, self.tasks, self.attempts)
        if self.previous is not None:
            for task_id, test in _inputs(self.queries):
                if not self.counter.has(task_id, test):
                    submission[task_id][test] = self.previous[task_id][test]
        return submission

    def guesses(self) -> list[Skipped]:
        """Return the queried test inputs without a candidate, and the reasons."""
        first = build_submission((), self.tasks, self.attempts) if self.submits else {}
        guesses = []
        for task_id, test in _inputs(self.queries):
            if self.counter[task_id, test].candidates:
                continue
            reason = NO_GRID
            if not self.counter.has(task_id, test):
                reason = "there was no time for it"
                if self.submits:
                    stays = (self.previous or first)[task_id][test]
                    guessed = stays == first[task_id][test]
                    whose = "first guesses" if guessed else "previous submission's attempts"
                    reason += f", so the {whose} stay"
            guesses.append(Skipped(task_id, test, reason))
        return guesses

    def missing(self) -> list[Query]:
        """Return the queries without a prediction."""
        has = self.counter.has
        return [q for q in self.queries if not has(q.task_id, q.test, q.puzzle)]

    def flush_if_due(self) -> None:
        """Flush in the first process if the last flush was long ago."""
        idle = time.monotonic() - self.flushed_at
        if self.is_first and idle > FLUSH_INTERVAL_RATIO * self.cost:
            self.flush()

    def reserve(self) -> float:
        """Return the seconds to keep for the last flush."""
        return 2 * self.cost

    def timed_out(self) -> bool:
        """Return whether the time limit and the grace for other processes are over."""
        return self.time_limit.left < -self.grace

    def start(
        self,
        key: Callable[[], dict[str, Any]],
        metadata: Mapping[str, Any],
        note: Note,
    ) -> Sequence[Query]:
        """Start or continue the log, and return the queries of this process without a prediction.

        The first process to arrive starts the log, because any other might never arrive, and
        publishes its size through a counter. All processes read the log up to that size, so that
        they see the same predictions while others are appended.
        """
        workers = self.workers
        if workers.arrive("started") == 1:
            moved = self.log.begin(key(), metadata)
            if moved:
                note(
                    f"{self.log.path} had predictions of other weights, tasks or settings, which "
                    f"are in {moved} now"
                )
            workers.arrive("size", self.log.size)
        if not workers.wait("size", 1, self.timed_out):
            raise UserError(f"{self.log.path} was not started in time by the first process")
        self.counter.add(self.log.read(self.tasks, workers.arrive("size", 0)))
        missing, total = self.missing(), len(self.queries)
        if self.is_first and len(missing) < total:
            note(f"{total - len(missing)} of {total} predictions exist already")
        return shard(missing, workers.rank, workers.world_size)

    def finish(self) -> None:
        """Wait for the other processes, and write the submission.

        Raises:
            UserError: a process did not end in time.
        """
        workers = self.workers
        workers.arrive("done")
        all_done = workers.wait("done", workers.world_size, self.timed_out, self.flush_if_due)
        if self.is_first:
            self.flush()
            workers.arrive("written")
        if not all_done or not workers.wait("written", 1, self.timed_out):
            raise UserError("not all processes ended in time; their predictions so far are saved")

    def result(self, skipped: Sequence[Skipped]) -> PredictionSet:
        """Return the predictions for all test inputs and the outcome of the job."""
        total = len(self.queries)
        files = {"submission": self.folder / SUBMISSION} if self.submits else {}
        job = PredictionJob(
            total - len(self.missing()),
            total,
            (*skipped, *self.guesses()),
            {**files, "predictions": self.log.path},
            self.time_limit.limit,
        )
        predictions = PredictionSet(self.tasks, self.counter).fill_missing()
        if self.submits:
            predictions = predictions.with_submission(self.submission())
        return PredictionSet(self.tasks, predictions, job)


def predict_to_folder(
    folder: Path,
    weights: Weights,
    tasks: TaskSet,
    time_limit: TimeLimit,
    previous: Submission | None = None,
    augmentations: int | None = None,
    batch_size: int | None = None,
    supervision_steps: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    attempts: int | None = None,
    rule: VotingRule = majority_vote,
    grace: float = WORKER_GRACE_S,
    progress: Progress = ignore,
    note: Note = ignore,
) -> PredictionSet:
    """Predict into a folder: predictions.jsonl and, for some kinds of puzzle, submission.json.

    A log with the same key is continued. All tasks are predicted first, then their augmentations in
    rounds over all tasks. Under torchrun with N processes each takes every N-th query.

    Args:
        folder: an existing folder.
        weights, augmentations, batch_size, supervision_steps, attempts, rule: as for
            `predict_tasks`.
        tasks: tasks that the model can predict (`RunInputs.resolve` checks this).
        time_limit: of the job.
        previous: a valid submission in the folder, whose attempts stay until better ones exist;
            None if the folder has first guesses.
        metadata: facts for readers of predictions.jsonl, as JSON.
        grace: seconds to wait for other processes after the time limit.
        progress: called with the number of queries that rank 0 has finished and their total.
        note: called with sentences for the user.

    Raises:
        UserError: a process did not end; a file cannot be written.
    """
    queries, skipped = build_queries(weights, tasks, augmentations)
    writer = PredictionWriter(folder, tasks, queries, previous, attempts, rule, time_limit, grace)
    # Only one process calls it: hashing the weights takes time.
    key = partial(prediction_key, weights, tasks, supervision_steps)
    own_queries, done = writer.start(key, metadata or {}, note), 0
    try:
        if writer.is_first:
            writer.flush()
            progress(done, len(own_queries))
        for batch in _predictions(
            weights, tasks, own_queries, batch_size, supervision_steps, time_limit, writer.reserve
        ):
            writer.log.append(batch)
            writer.flush_if_due()
            done += len(batch)
            if writer.is_first:
                progress(done, len(own_queries))
        writer.finish()
    except BaseException:
        writer.flush()  # on every rank, because rank 0 may be gone
        raise
    return writer.result(skipped)
