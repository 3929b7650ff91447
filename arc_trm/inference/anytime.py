"""Anytime prediction: files are valid from the start and improve until the time limit."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from arc_trm._version import __version__
from arc_trm.callbacks import Note, Progress, ignore
from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig, to_dict
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog, submission_digest
from arc_trm.evaluation.predictions import (
    Prediction,
    PredictionJob,
    PredictionSet,
    QueryKey,
    Skipped,
    build_submission,
)
from arc_trm.evaluation.selection import SELECTION_RULES, SelectionRule, selection_label
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference.code_digest import code_digest
from arc_trm.inference.engine import Engine
from arc_trm.inference.groups import GROUP_RULES
from arc_trm.inference.pace import Pace
from arc_trm.inference.queries import Query, build_queries, max_batch_size, shard
from arc_trm.inference.resolve import resolve_inference
from arc_trm.inference.schedule import DoubtSchedule, FixedSchedule, Schedule, VoteSchedule
from arc_trm.inference.workers import Workers
from arc_trm.io import relative_path
from arc_trm.models import BLOCKS, PuzzleModel
from arc_trm.puzzles import kind_of
from arc_trm.runs import PREDICTIONS, PREDICTIONS_FOLDER, SUBMISSION, is_run, make_folder
from arc_trm.runs.history import remember
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import SubmissionError, read_submission, write_submission

WORKER_GRACE_S = 10.0  # how long to wait for other processes after the time limit
FLUSH_INTERVAL_RATIO = 20.0  # seconds between writing the files, per second that it takes

COPY_BATCH = 1000  # predictions copied at once

DRAFT_SHARE = 8
"""A draft takes one of so many supervision steps."""
NO_GRID = "the model predicts no grid"
NO_TIME = "there was no time for it"


def predict_tasks(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    batch_size: int | None = None,
    config: InferenceConfig | None = None,
    attempts: int | None = None,
    rule: SelectionRule | None = None,
) -> PredictionSet:
    """Predict every test input of `tasks` in memory.

    Args:
        weights: only tasks with a puzzle embedding can be predicted.
        tasks: to predict; their test outputs have no effect.
        augmentations: maximum number besides the task itself; None is all that were trained.
        batch_size: queries per batch; None depends on the size of the canvas.
        config: how the model is asked; None asks once.
        attempts: number per test input; None is the maximum of the kind of puzzle.
        rule: ranks the predictions of a test input in place of the rule that `config` names.

    Raises:
        UserError: the model cannot predict this kind of puzzle, or cannot be asked so.
    """
    kind_of(tasks).check_model(weights.model.config, tasks)
    plan = make_plan(weights, tasks, augmentations, config, attempts, rule)
    counter, schedule = plan.counter(), plan.schedule(plan.queries)
    for batch in predict_scheduled(plan, schedule, TimeLimit(), batch_size):
        counter.add(batch)
    guesses = tuple(plan.skipped) + tuple(
        Skipped(*key, NO_GRID) for key in _inputs(plan.queries) if not counter[key].candidates
    )
    count = sum(counter[key].answers for key in _inputs(plan.queries))
    job = PredictionJob(count, count, guesses)
    predictions = PredictionSet(tasks, counter).fill_missing()
    return PredictionSet(tasks, predictions, job, plan.selected_by)


def _inputs(queries: Sequence[Query]) -> list[tuple[str, int]]:
    """Return the test inputs of queries, (task id, test index), each once."""
    return list(dict.fromkeys((query.task_id, query.test) for query in queries))


def predict_scheduled(
    plan: PredictionPlan,
    schedule: Schedule,
    time_limit: TimeLimit,
    batch_size: int | None = None,
    reserve: Callable[[], float] = lambda: 0.0,
    paced: bool = True,
) -> Iterator[list[Prediction]]:
    """Yield predictions for the queries of a schedule, as they are made, until the time limit.

    Queries that are cut off then have a draft as their prediction, which is yielded last. If
    `paced`, batches are small first and grow as long as the time limit allows.
    """
    weights, steps = plan.weights, plan.supervision_steps
    engine = Engine(weights, plan.tasks, plan.config)
    pace = Pace(
        time_limit if paced else TimeLimit(),
        reserve,
        lambda side: batch_size or max_batch_size(weights, side),
    )
    while True:
        if (query := schedule.peek(engine.side)) is not None:
            room = pace.room(len(engine), query.side, query.steps or steps)
            engine.add(schedule.take(room, engine.side))
        if not len(engine):
            return
        active, most, started = len(engine), engine.max_steps, time.monotonic()
        found = engine.step()
        pace.measure(active, most, time.monotonic() - started)
        schedule.repeat(engine.retry)
        engine.retry.clear()
        schedule.add(found)
        if found:
            yield found
        if time_limit.left - reserve() <= 0:
            if drafts := engine.drain():
                yield drafts
            return


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """Everything that a prediction job depends on; `make_plan` makes it.

    Attributes:
        weights: only tasks with a puzzle embedding can be predicted.
        queries: of the job, in order; of puzzles that are asked several times, the plain ones.
        skipped: test inputs that cannot be queried.
        config: how the model is asked; no field is None or `auto`, except `starts`.
        attempts: number per test input.
        rule: ranks the predictions of a test input.
        augmentations: largest number that votes.
    """

    weights: Weights
    tasks: TaskSet
    queries: Sequence[Query]
    skipped: Sequence[Skipped]
    config: InferenceConfig
    attempts: int
    rule: SelectionRule
    augmentations: int

    @property
    def supervision_steps(self) -> int:
        """Supervision steps of a query."""
        return self.config.supervision_steps or self.weights.model.config.supervision_steps

    @property
    def draft_steps(self) -> int:
        """Supervision steps of the first answers under a time limit; 0 if all take all steps."""
        steps = self.supervision_steps
        return 0 if steps == 1 else max(1, steps // DRAFT_SHARE)

    @property
    def is_adaptive(self) -> bool:
        """Whether what is asked depends on earlier predictions."""
        return self.config.answers > 1 and not kind_of(self.tasks).embeds_tasks

    @property
    def selected_by(self) -> str:
        """The rule that selects among several answers, as of `Scored`."""
        return selection_label(self.config.select, self.config.answers, kind_of(self.tasks))

    def counter(self) -> VoteCounter:
        """Return a counter without predictions."""
        return VoteCounter(self.tasks, self.rule, self.attempts)

    def schedule(
        self,
        queries: Sequence[Query],
        counter: VoteCounter | None = None,
        is_timed: bool = False,
    ) -> Schedule:
        """Return the schedule of some of the queries.

        Args:
            queries: of the plan.
            counter: has the predictions so far; None has none.
            is_timed: whether a time limit may end the job, so that it has to begin with few steps.
        """
        known = counter or self.counter()
        inputs = dict.fromkeys((query.task_id, query.test) for query in queries)
        predictions = (each for key in inputs for each in known.predictions(*key))
        if self.is_adaptive:
            kind = kind_of(self.tasks)
            return DoubtSchedule(queries, self.config, kind, self.rule, predictions)
        if is_timed and self.draft_steps and self.config.select not in GROUP_RULES:
            return VoteSchedule(queries, self.draft_steps, predictions)
        missing = {query.key for query in queries if not known.has(*query.key)}
        groups = {query.group for query in queries if query.key in missing and query.group}
        return FixedSchedule(q for q in queries if q.key in missing or q.group in groups)

    @cached_property
    def key(self) -> Mapping[str, Any]:
        """What tells the job from others, as JSON."""
        model, config = self.weights.model, self.config
        digest = hashlib.sha256()
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        digest.update(model.puzzle_embedding.detach().cpu().contiguous().numpy().data)
        shape = replace(model.config, canvas="full")  # the canvas has a field of its own
        digest.update(json.dumps([to_dict(shape), list(self.weights.puzzle_ids)]).encode())
        is_grouped = config.select in GROUP_RULES
        return {
            "weights": digest.hexdigest(),
            "tasks": self.tasks.fingerprint(solutions=False),
            "dtype": str(model.dtype).removeprefix("torch."),
            "canvas": model.config.canvas,
            "puzzle_embedding": self.weights.embedding_choice,
            "version": __version__,
            "code": code_digest(*_parts(model), type(kind_of(self.tasks)), self.rule),
            "augmentations": self.augmentations,
            "attempts": self.attempts,
            **to_dict(config),
            "group": [config.select, config.samples, config.views] if is_grouped else None,
        }

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits for the name of a folder."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:8]


def make_plan(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    config: InferenceConfig | None = None,
    attempts: int | None = None,
    rule: SelectionRule | None = None,
) -> PredictionPlan:
    """Return the queries of a job, and all that decides what is predicted.

    Args:
        weights, tasks, augmentations, config, attempts, rule: as for `predict_tasks`.

    Raises:
        UserError: the model cannot be asked so.
    """
    model, kind = weights.model, kind_of(tasks)
    resolved = resolve_inference(model, kind, tasks, config or InferenceConfig(), rule)
    queries, skipped = build_queries(weights, tasks, augmentations, resolved)
    return PredictionPlan(
        weights,
        tasks,
        queries,
        skipped,
        resolved,
        kind.max_attempts if attempts is None else attempts,
        rule or SELECTION_RULES[resolved.select],
        max((query.order for query in queries), default=0),
    )


def _parts(model: PuzzleModel) -> list[object]:
    """Return the classes that a model consists of, and what makes its blocks."""
    return [*dict.fromkeys(map(type, model.modules())), BLOCKS[model.config.block]]


SELECTION_FIELDS = ("augmentations", "attempts", "select", "samples", "views")
"""Fields of a key that decide which predictions count, and how, but not what they are."""
SAMPLE_FIELDS = (*SELECTION_FIELDS, "noise", "starts", "seed", "group")
"""Fields of a key on which the plain predictions do not depend."""


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
            for key in _inputs(self.queries)
            if not self.counter[key].candidates
        ]

    def counts(self) -> tuple[int, int]:
        """Return how many queries have a prediction, and how many are known to need one."""
        predicted = sum(self.counter.count(*key) for key in _inputs(self.queries))
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
        self, metadata: Mapping[str, Any], others: Sequence[Path], fresh: bool, note: Note
    ) -> Schedule:
        """Start or continue the log, and return what this process has to ask.

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
        predicted, total = self.counts()
        if self.is_first and predicted:
            note(f"{predicted} of {total} predictions exist already")
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
        UserError: another job wrote into the folder; a process did not end; a file cannot be
            written.
    """
    check_folder(folder, plan)
    make_folder(folder, "folder for the predictions")
    writer = PredictionWriter(folder, plan, time_limit, grace)
    schedule, done = writer.start(metadata or {}, others, fresh, note), 0
    try:
        if writer.is_first:
            remember("predictions", folder)
            writer.flush()
            if total := len(schedule):
                progress(done, total)
        for batch in predict_scheduled(plan, schedule, time_limit, batch_size, writer.reserve):
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
