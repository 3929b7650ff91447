"""Anytime prediction: files are valid from the start and improve until the time limit."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from arc_trm._version import __version__
from arc_trm.callbacks import Note, Progress, ignore
from arc_trm.checkpoint import Weights
from arc_trm.config import to_dict
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog, submission_digest
from arc_trm.evaluation.predictions import (
    Prediction,
    PredictionJob,
    PredictionSet,
    Skipped,
    build_submission,
)
from arc_trm.evaluation.voting import VoteCounter, VotingRule, majority_vote
from arc_trm.inference.code_digest import code_digest
from arc_trm.inference.predictor import Query, build_queries, max_batch_size, predict_batch, shard
from arc_trm.inference.workers import Workers
from arc_trm.io import relative_path
from arc_trm.models import BLOCKS, PuzzleModel
from arc_trm.puzzles import kind_of
from arc_trm.runs import PREDICTIONS, PREDICTIONS_FOLDER, SUBMISSION, is_run, make_folder
from arc_trm.runs.history import remember
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import SubmissionError, read_submission, write_submission

FIRST_BATCH_SIZE = 1  # with a time limit, because the duration of a query is not known yet
MAX_BATCH_FRACTION = 0.01  # of the time limit, for one batch
WORKER_GRACE_S = 10.0  # how long to wait for other processes after the time limit
FLUSH_INTERVAL_RATIO = 20.0  # seconds between writing the files, per second that it takes

COPY_BATCH = 1000  # predictions copied at once

NO_GRID = "the model predicts no grid"
NO_TIME = "there was no time for it"


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
    counter = VoteCounter(tasks, rule, attempts)
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


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """Everything that the files of a prediction job depend on; `plan_predictions` makes it.

    Attributes:
        weights: only tasks with a puzzle embedding can be predicted.
        queries: of the job, in order.
        skipped: test inputs that cannot be queried.
        supervision_steps: per query.
        attempts: number per test input.
        rule: ranks the predictions of a test input.
        key: what tells the job from others, as JSON.
    """

    weights: Weights
    tasks: TaskSet
    queries: Sequence[Query]
    skipped: Sequence[Skipped]
    supervision_steps: int
    attempts: int
    rule: VotingRule
    key: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits for the name of a folder."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:8]


def plan_predictions(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    supervision_steps: int | None = None,
    attempts: int | None = None,
    rule: VotingRule = majority_vote,
    rule_name: str = "majority",
) -> PredictionPlan:
    """Return the queries of a job and its key.

    Args:
        weights, tasks, augmentations, supervision_steps, attempts, rule: as for `predict_tasks`.
        rule_name: of the rule, for the key.
    """
    model, kind = weights.model, kind_of(tasks)
    queries, skipped = build_queries(weights, tasks, augmentations)
    steps = supervision_steps or model.config.supervision_steps
    attempts = kind.max_attempts if attempts is None else attempts
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    digest.update(model.puzzle_embedding.detach().cpu().contiguous().numpy().data)
    config = replace(model.config, canvas="full")  # the canvas has a field of its own
    digest.update(json.dumps([to_dict(config), list(weights.puzzle_ids)]).encode())
    key = {
        "weights": digest.hexdigest(),
        "tasks": tasks.fingerprint(solutions=False),
        "supervision_steps": steps,
        "dtype": str(model.dtype).removeprefix("torch."),
        "canvas": model.config.canvas,
        "version": __version__,
        "code": code_digest(*_parts(model), type(kind), rule),
        "augmentations": max((query.order for query in queries), default=0),
        "attempts": attempts,
        "voting_rule": rule_name,
    }
    return PredictionPlan(weights, tasks, queries, skipped, steps, attempts, rule, key)


def _parts(model: PuzzleModel) -> list[object]:
    """Return the classes that a model consists of, and what makes its blocks."""
    return [*dict.fromkeys(map(type, model.modules())), BLOCKS[model.config.block]]


VOTE_FIELDS = ("augmentations", "attempts", "voting_rule")
"""Fields of a key that decide which predictions vote, and how, but not what they are."""


class PredictionWriter:
    """A writer of predictions.jsonl and, if the kind of puzzle has submissions, submission.json.

    The submission is built from the log, so it has the predictions of every process. Only the first
    process writes it, but after an error every process does.

    Args:
        plan: of the job; for the other arguments see `predict_to_folder`.
    """

    def __init__(
        self, folder: Path, plan: PredictionPlan, time_limit: TimeLimit, grace: float
    ) -> None:
        self.folder, self.plan, self.tasks, self.queries = folder, plan, plan.tasks, plan.queries
        self.time_limit, self.grace = time_limit, grace
        self.workers = Workers()
        self.is_first = self.workers.rank == 0
        self.log = PredictionLog(folder / PREDICTIONS)
        self.counter = VoteCounter(self.tasks, plan.rule, plan.attempts)
        self.submits = kind_of(self.tasks).writes_submission
        self.challenges = self.tasks.to_json(solutions=False) if self.submits else {}
        self.flushed_at, self.cost = 0.0, 0.0
        self.status: LogStatus | None = None
        self.logged = 0  # bytes in the log after that status

    def flush(self) -> None:
        """Count the predictions of all processes and write the submission."""
        started = time.monotonic()
        self.counter.add(self.log.read(self.tasks))
        if self.submits:
            submission = build_submission(self.counter, self.tasks, self.plan.attempts)
            status = LogStatus.of(self.counter, submission_digest(submission))
            try:
                # Before the file, so that the log knows it whenever the job is killed.
                if status != self.status or self.log.size != self.logged:
                    self.log.append_status(status)
                    self.status, self.logged = status, self.log.size
            finally:
                write_submission(self.folder / SUBMISSION, submission, self.challenges)
        self.flushed_at = time.monotonic()
        self.cost = max(self.cost, self.flushed_at - started)

    def guesses(self) -> list[Skipped]:
        """Return the queried test inputs without a candidate, and the reasons."""
        return [
            Skipped(*key, NO_GRID if self.counter.has(*key) else NO_TIME)
            for key in _inputs(self.queries)
            if not self.counter[key].candidates
        ]

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
        self, metadata: Mapping[str, Any], others: Sequence[Path], fresh: bool, note: Note
    ) -> Sequence[Query]:
        """Start or continue the log, and return the queries of this process without a prediction.

        The first process to arrive starts the log, because any other might never arrive, and
        publishes its size through a counter. All processes read the log up to that size, so that
        they see the same predictions while others are appended.
        """
        workers = self.workers
        if workers.arrive("started") == 1:
            if self.log.begin(self.plan.key, metadata, fresh) and not fresh:
                self._copy_equal(others)
            workers.arrive("size", self.log.size)
        if not workers.wait("size", 1, self.timed_out):
            raise UserError(f"{self.log.path} was not started in time by the first process")
        self.counter.add(self.log.read(self.tasks, workers.arrive("size", 0)))
        missing, total = self.missing(), len(self.queries)
        if self.is_first and len(missing) < total:
            note(f"{total - len(missing)} of {total} predictions exist already")
        return shard(missing, workers.rank, workers.world_size)

    def _copy_equal(self, others: Sequence[Path]) -> None:
        """Copy what other jobs predicted for the same queries by the same weights and settings."""
        needed = {(query.task_id, query.test, query.puzzle) for query in self.queries}
        for folder in others:
            log = PredictionLog(folder / PREDICTIONS)
            with suppress(UserError):  # a damaged log is no reason not to predict
                if log.path != self.log.path and not log.differences(self.plan.key, VOTE_FIELDS):
                    found = (each for each in log.read(self.tasks) if each.key in needed)
                    while batch := list(islice(found, COPY_BATCH)):
                        self.log.append(batch)
                        needed.difference_update(each.key for each in batch)

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

    def result(self, weights: str) -> PredictionSet:
        """Return the predictions for all test inputs and the outcome of the job."""
        total = len(self.queries)
        files = {"submission": self.folder / SUBMISSION} if self.submits else {}
        job = PredictionJob(
            total - len(self.missing()),
            total,
            (*self.plan.skipped, *self.guesses()),
            {**files, "predictions": self.log.path},
            self.time_limit.limit,
            str(relative_path(Path(weights))) if os.path.isabs(weights) else weights,
        )
        predictions = PredictionSet(self.tasks, self.counter).fill_missing()
        return PredictionSet(self.tasks, predictions, job)


def predict_to_folder(
    folder: Path,
    plan: PredictionPlan,
    time_limit: TimeLimit,
    batch_size: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    others: Sequence[Path] = (),
    fresh: bool = False,
    grace: float = WORKER_GRACE_S,
    progress: Progress = ignore,
    note: Note = ignore,
) -> PredictionSet:
    """Predict into a folder: predictions.jsonl and, for some kinds of puzzle, submission.json.

    A log with the same key is continued. All tasks are predicted first, then their augmentations in
    rounds over all tasks. Under torchrun with N processes each takes every N-th query.

    Args:
        folder: a folder in which no other job has written (`check_folder`), made if need be.
        plan: of the job, for tasks that the model can predict (`RunInputs.resolve` checks this).
        time_limit: of the job.
        batch_size: as for `predict_tasks`.
        metadata: facts for readers of predictions.jsonl, as JSON.
        others: folders of other jobs, whose predictions for the same queries are copied if only
            the number of augmentations or attempts or the voting rule differs.
        fresh: predict everything anew, in place of what the job predicted before.
        grace: seconds to wait for other processes after the time limit.
        progress: called with the number of queries that rank 0 has finished and their total.
        note: called with sentences for the user.

    Raises:
        UserError: another job wrote into the folder; a process did not end; a file cannot be
            written.
    """
    check_folder(folder, plan)
    make_folder(folder, "folder for the predictions")
    writer = PredictionWriter(folder, plan, time_limit, grace)
    own_queries, done = writer.start(metadata or {}, others, fresh, note), 0
    try:
        if writer.is_first:
            remember("predictions", folder)
            writer.flush()
            if own_queries:
                progress(done, len(own_queries))
        for batch in _predictions(
            plan.weights,
            plan.tasks,
            own_queries,
            batch_size,
            plan.supervision_steps,
            time_limit,
            writer.reserve,
        ):
            writer.log.append(batch)
            writer.flush_if_due()
            done += len(batch)
            if writer.is_first:
                progress(done, len(own_queries))
        writer.finish()
        if writer.is_first:
            remember("predictions", folder)
    except BaseException:
        writer.flush()  # on every rank, because rank 0 may be gone
        raise
    return writer.result(str((metadata or {}).get("weights", "WEIGHTS")))


def check_folder(folder: Path, plan: PredictionPlan) -> None:
    """Raise UserError if a folder is a run, or holds predictions that are not of this job."""
    if is_run(folder) or (folder.name == PREDICTIONS_FOLDER.name and is_run(folder.parent)):
        raise UserError(
            f"{folder} is of a run, which has a folder for each prediction job: leave out --out, "
            "or name another folder"
        )
    log = PredictionLog(folder / PREDICTIONS)
    if os.path.lexists(log.path):
        log.check_key(plan.key)
    elif os.path.lexists(folder / SUBMISSION) and kind_of(plan.tasks).writes_submission:
        guesses = build_submission((), plan.tasks, plan.attempts)
        with suppress(SubmissionError):
            if read_submission(folder / SUBMISSION) == guesses:
                return
        raise UserError(
            f"{folder / SUBMISSION} was not written by this job: name another folder with --out, "
            "or remove the file"
        )
