"""Anytime prediction: files are valid from the start and improve until the time limit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from arc_trm.callbacks import Note, Progress, ignore
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog, submission_digest
from arc_trm.evaluation.predictions import (
    Prediction,
    PredictionJob,
    PredictionSet,
    QueryKey,
    Skipped,
    build_submission,
)
from arc_trm.inference.plan import SAMPLE_FIELDS, SELECTION_FIELDS, PredictionPlan
from arc_trm.inference.predictor import NO_GRID, predict_scheduled
from arc_trm.inference.queries import shard
from arc_trm.inference.schedule import Schedule
from arc_trm.inference.workers import Workers
from arc_trm.io import relative_path
from arc_trm.puzzles import kind_of
from arc_trm.runs import (
    PREDICTIONS,
    PREDICTIONS_FOLDER,
    SUBMISSION,
    FolderLock,
    is_run,
    make_folder,
)
from arc_trm.runs.history import remember
from arc_trm.time_limit import TimeLimit
from submission import SubmissionError, read_submission, write_submission

WORKER_GRACE_S = 10.0  # how long to wait for other processes after the time limit
FLUSH_INTERVAL_RATIO = 20.0  # seconds between writing the files, per second that it takes

COPY_BATCH = 1000  # predictions copied at once

NO_TIME = "there was no time for it"


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
        self.counter = plan.counter()
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
            for key in self.plan.inputs
            if not self.counter[key].candidates
        ]

    def counts(self) -> tuple[int, int]:
        """Return how many queries have a prediction, and how many are known to need one."""
        predicted = sum(self.counter.count(*key) for key in self.plan.inputs)
        waiting = {q.key for q in self.plan.schedule(self.queries, self.counter).waiting()}
        missing = sum(not self.counter.has(*key) for key in waiting)
        return predicted, predicted + missing

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
        metadata: Mapping[str, Any],
        others: Sequence[Path],
        fresh: bool,
        note: Note,
        lock: FolderLock,
    ) -> Schedule:
        """Start or continue the log, and return what this process has to ask.

        The first process to arrive takes the lock for all and starts the log, because any other
        might never arrive, and publishes the log's size through a counter. All processes read the
        log up to that size, so that they see the same predictions while others are appended.
        """
        workers = self.workers
        if workers.arrive("started") == 1:
            lock.acquire(self.folder)
            if self.log.begin(self.plan.key, metadata, fresh) and not fresh:
                self._copy_equal(others)
            workers.arrive("size", self.log.size)
        if not workers.wait("size", 1, self.timed_out):
            raise UserError(f"{self.log.path} was not started in time by the first process")
        self.counter.add(self.log.read(self.tasks, workers.arrive("size", 0)))
        predicted, total = self.counts()
        drafts = sum(
            each.is_draft for key in self.plan.inputs for each in self.counter.predictions(*key)
        )
        if self.is_first and (predicted or drafts):
            more = f", and {pluralise(drafts, 'draft')}" if drafts else ""
            note(f"{predicted} of {total} predictions exist already{more}")
        plan, queries = self.plan, self.queries
        if not plan.is_adaptive:
            queries = plan.schedule(queries, self.counter).waiting()
        own = shard(queries, workers.rank, workers.world_size)
        return plan.schedule(own, self.counter, self.time_limit.limit is not None)

    def _copy_equal(self, others: Sequence[Path]) -> None:
        """Copy what other jobs predicted for the same queries by the same weights and settings.

        If further queries depend on what was copied, these are looked for, too.
        """
        counter = self.plan.counter()
        while needed := {q.key for q in self.plan.schedule(self.queries, counter).waiting()}:
            wanted = len(needed)
            for folder in others:
                with suppress(UserError):  # a damaged log is no reason not to predict
                    for batch in self._equal(PredictionLog(folder / PREDICTIONS), needed):
                        self.log.append(batch)
                        counter.add(batch)
                        needed.difference_update(each.key for each in batch)
            if len(needed) == wanted or not self.plan.is_adaptive:
                return

    def _equal(self, log: PredictionLog, needed: set[QueryKey]) -> Iterator[list[Prediction]]:
        """Yield the predictions of another job's log for queries that this job has, too."""
        if log.path == self.log.path or log.differences(self.plan.key, SAMPLE_FIELDS):
            return
        same_samples = not log.differences(self.plan.key, SELECTION_FIELDS)
        embeds_tasks = kind_of(self.tasks).embeds_tasks
        found = (
            each
            for each in log.read(self.tasks)
            if each.key in needed
            and not each.is_draft
            and (same_samples or each.turn == (0, 0) or (embeds_tasks and not each.sample))
        )
        while batch := list(islice(found, COPY_BATCH)):
            yield batch

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
        files = {"submission": self.folder / SUBMISSION} if self.submits else {}
        job = PredictionJob(
            *self.counts(),
            (*self.plan.skipped, *self.guesses()),
            {**files, "predictions": self.log.path},
            self.time_limit.limit,
            str(relative_path(Path(weights))) if os.path.isabs(weights) else weights,
        )
        predictions = PredictionSet(self.tasks, self.counter).fill_missing()
        return PredictionSet(self.tasks, predictions, job, self.plan.selected_by)


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
            the number of augmentations or attempts or the selection rule differs.
        fresh: predict everything anew, in place of what the job predicted before.
        grace: seconds to wait for other processes after the time limit.
        progress: called with the number of queries that rank 0 has finished and their total.
        note: called with sentences for the user.

    Raises:
        UserError: another job wrote into the folder, or a process writes there now; a process did
            not end; a file cannot be written.
    """
    check_folder(folder, plan)
    make_folder(folder, "folder for the predictions")
    writer = PredictionWriter(folder, plan, time_limit, grace)
    with FolderLock() as lock:
        schedule, done = writer.start(metadata or {}, others, fresh, note, lock), 0
        try:
            if writer.is_first:
                remember("predictions", folder)
                writer.flush()
                if total := len(schedule):
                    progress(done, total)
            for batch in predict_scheduled(
                plan, schedule, time_limit, batch_size, writer.reserve, note=note
            ):
                writer.log.append(batch)
                writer.flush_if_due()
                done += len(batch)
                if writer.is_first:
                    progress(done, done + len(schedule))
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
