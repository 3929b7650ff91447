"""Answer many samples at once, from weights, from stored predictions or by guesses.

inspect_ai runs samples one by one, but a model predicts in batches. `RequestBatcher` gathers the
requests of many samples for a source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.to_thread

from arc_trm.callbacks import Callback
from arc_trm.config import InferenceConfig
from arc_trm.errors import format_name, quote_path, verb
from arc_trm.evaluation.predictions import InputPrediction, Skipped, build_submission
from arc_trm.evaluation.seal import Seal
from arc_trm.evaluation.selection import resolve_selection
from arc_trm.evaluation.source import PredictionSource
from arc_trm.puzzles import KINDS, kind_of
from arc_trm.runs import find_run
from arc_trm.tasks import DEFAULT_KIND, Grid, Pair, Task, TaskSet, same_grid
from submission import Grid as Rows

if TYPE_CHECKING:
    from arc_trm.checkpoint import Weights, WeightsDir

logger = getLogger(__name__)

GATHER_INTERVAL_S = 0.1  # requests are complete if no new one arrives for so long
NO_SOURCE = "guesses (no weights, predictions or run given)"

QueryKey: TypeAlias = tuple[str, int]


class LoggingCallback(Callback):
    """Logs notes."""

    def note(self, sentence: str) -> None:
        logger.info(sentence)


@dataclass(frozen=True, eq=False)
class SampleQuery:
    """Test input `test` (from 0) of a task with these test inputs."""

    task_id: str
    test: int
    inputs: tuple[Grid, ...]

    @property
    def key(self) -> QueryKey:
        """Task id and test index."""
        return self.task_id, self.test


@dataclass(frozen=True)
class SampleAnswer:
    """The answer to a sample.

    Attributes:
        attempts: at most two grids, None where one failed.
        votes: of each attempt; None for attempts that were not voted for.
        halt_probs: mean halting probability of each attempt; None for attempts without votes.
        note: what is wrong with the answer, if anything.
    """

    attempts: tuple[Rows | None, ...] = ()
    votes: tuple[int | None, ...] = ()
    halt_probs: tuple[float | None, ...] = ()
    note: str = ""

    @classmethod
    def from_prediction(cls, prediction: InputPrediction, note: str = "") -> SampleAnswer:
        """Return the first attempts of a prediction."""
        attempts = prediction.attempts[: KINDS[DEFAULT_KIND].max_attempts]
        found = [
            next((each for each in prediction.candidates if same_grid(each.grid, attempt)), None)
            for attempt in attempts
        ]
        return cls(
            tuple(None if grid is None else grid.tolist() for grid in attempts),
            tuple(None if each is None else each.votes for each in found),
            tuple(None if each is None else each.halt_prob for each in found),
            note,
        )


SampleAnswers: TypeAlias = Mapping[QueryKey, SampleAnswer]
Source: TypeAlias = Callable[[Sequence[SampleQuery]], SampleAnswers]
"""Answers the first query and any number of the others, such as fill a batch."""


def guess(queries: Sequence[SampleQuery]) -> SampleAnswers:
    """Answer with the fallback guesses of a submission without predictions."""
    submission = build_submission((), _whole_tasks(queries))
    return {
        query.key: SampleAnswer(
            tuple(submission[query.task_id][query.test].values()), note="a guess"
        )
        for query in queries
    }


class FileSource:
    """Answers from stored predictions in any format. Raises UserError if they cannot be read.

    Of a predictions.jsonl, which may be large, only the header is read before the first query.
    """

    def __init__(self, source: PredictionSource) -> None:
        self.source = source
        if source.log is None:
            source.attempts({})

    def __call__(self, queries: Sequence[SampleQuery]) -> SampleAnswers:
        """Answer all queries."""
        found = self.source.load(_whole_tasks(queries)).by_input
        answers = {query.key: self._answer(found.get(query.key)) for query in queries}
        missing = [query for query in queries if answers[query.key].note]
        if missing:
            first = missing[0]
            logger.warning(
                f"for {len(missing)} of {len(queries)} test inputs there is no grid in "
                f"{self.source.path}; first task {first.task_id}, test input {first.test + 1}: "
                f"{answers[first.key].note}"
            )
        return answers

    def _answer(self, found: InputPrediction | None) -> SampleAnswer:
        if found is None:
            return SampleAnswer(note="no answer, which counts as unsolved")
        guessed = self.source.log is not None and not found.candidates
        return SampleAnswer.from_prediction(found, "a guess: no prediction" if guessed else "")


class WeightsSource:
    """Answers with a model.

    Args:
        weights: a run, a weights folder or a Hub repository, which is downloaded.
        augmentations: number that vote besides the task itself; None is all that were trained.
        config: how the weights are asked; None is as `tune_inference` chose, or plainly.

    Raises:
        UserError: there are no such weights, or no such selection rule for their puzzles.
    """

    def __init__(
        self, weights: str, augmentations: int | None, config: InferenceConfig | None = None
    ) -> None:
        from arc_trm.checkpoint import WeightsDir
        from arc_trm.run_inputs import resolve_folder

        folder = resolve_folder(weights, LoggingCallback())
        self.folder: WeightsDir = WeightsDir(folder)
        self.name = folder.resolve().name if Path(weights) == folder else weights
        _ = self.folder.config  # raises if the folder holds no weights
        run = find_run(folder)
        if augmentations is None and run is not None:
            augmentations = run.config.data.vote_augmentations
        self.augmentations = augmentations
        self.config, self._is_given = config, config is not None
        if config is not None:  # what cannot work is an error before any sample starts
            from arc_trm.inference.resolve import check_samples

            resolve_selection(config.select, KINDS[DEFAULT_KIND])
            check_samples(self.folder.config, config)
        self._weights: Weights | None = None
        self._tasks: frozenset[str] = frozenset()  # whose puzzle embeddings are loaded
        self._per_batch = 1  # queries that fill a batch with their augmentations
        self._warned = False

    def __call__(self, queries: Sequence[SampleQuery]) -> SampleAnswers:
        """Answer all test inputs of the tasks of as many queries as fill a batch.

        The tasks are whole because random numbers depend on the index of a test input.
        """
        from arc_trm.inference import predict_tasks

        weights = self._load(queries)
        tasks = _whole_tasks(queries[: self._per_batch])
        predictions = predict_tasks(weights, tasks, self.augmentations, config=self.config)
        assert predictions.job is not None
        reasons = {
            (each.task_id, each.test): f"a guess: {each.reason}" for each in predictions.job.guesses
        }
        answers = {
            key: SampleAnswer.from_prediction(prediction, reasons.get(key, ""))
            for key, prediction in predictions.by_input.items()
        }
        guessed = [(key, answer.note) for key, answer in answers.items() if answer.note]
        if guessed and not self._warned:
            (task_id, test), reason = guessed[0]
            logger.warning(
                f"task {task_id}, test input {test + 1}, is {reason} "
                "(the metadata of each sample says so)"
            )
            self._warned = True
        return answers

    def seal(self, tasks: TaskSet) -> Seal:
        """Seal what the answers to these tasks depend on, before there are any.

        Raises UserError if the weights cannot predict the tasks, or cannot be asked so.
        """
        from arc_trm.inference import default_inference, load_for_inference, make_plan

        kind_of(tasks).check_model(self.folder.config, tasks)
        if not self._is_given:
            self.config = default_inference(self.folder, tasks, logger.info)
        weights = load_for_inference(self.folder, tasks.ids)
        plan = make_plan(weights, tasks, self.augmentations, self.config)
        names = {
            "model": self.name,
            "checkpoint": self.folder.choice.name,
            "data": [tasks.name],
        }
        return Seal.of(plan.key, names, self.folder.file_digests())

    def _load(self, queries: Sequence[SampleQuery]) -> Weights:
        """Return the weights with the puzzle embeddings of the queried tasks."""
        from arc_trm.inference import build_queries, default_inference, load_for_inference
        from arc_trm.inference.queries import max_batch_size

        wanted = frozenset(query.task_id for query in queries)
        if self._weights is None or not wanted <= self._tasks:
            tasks = _whole_tasks(queries)
            if not self._is_given:
                self.config = default_inference(self.folder, tasks, logger.info)
            self._weights, self._tasks = load_for_inference(self.folder, wanted), wanted
            voters, skipped = build_queries(self._weights, tasks, self.augmentations, self.config)
            if skipped and not self._warned:
                self._warned = True
                logger.warning(self._describe(skipped, tasks))
            limit = max_batch_size(self._weights, self._weights.model.config.side)
            self._per_batch = max(1, limit * tasks.test_outputs // max(1, len(voters)))
        return self._weights

    def _describe(self, skipped: Sequence[Skipped], tasks: TaskSet) -> str:
        """Return how many test inputs get guesses, why, and what to do."""
        first, folder = skipped[0], self.folder.folder
        advice = f"adapt the weights first, with `arc-trm adapt {quote_path(folder)} --data DATA`"
        if find_run(folder):
            advice = f"leave out `-T data=...` for the tasks of the run, or {advice}"
        get = verb(len(skipped), "gets a guess, which counts", "get guesses, which count")
        return (
            f"{len(skipped)} of {tasks.test_outputs} test inputs {get} as "
            f"unsolved: task {format_name(first.task_id)}, test input {first.test + 1}: "
            f"{first.reason}; {advice}"
        )


def _whole_tasks(queries: Sequence[SampleQuery]) -> TaskSet:
    """Return the tasks with all their test inputs, without demonstrations."""
    return TaskSet.from_tasks(
        "queries", (Task(query.task_id, (), tuple(map(Pair, query.inputs))) for query in queries)
    )


class RequestBatcher:
    """Answers the queries of many samples, each at most once.

    All waiting queries are given to the source together, in a thread, so that other samples
    continue. Queries that the source leaves out are given to it again.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._queries: dict[QueryKey, SampleQuery] = {}
        self._answers: dict[QueryKey, SampleAnswer] = {}
        self._lock = anyio.Lock()

    async def answer(self, query: SampleQuery) -> SampleAnswer:
        """Return the answer to a query. Raises what the source raises."""
        key = query.key
        if key in self._answers:
            return self._answers[key]
        self._queries[key] = query
        is_first = not self._lock.locked()
        try:
            async with self._lock:
                if is_first:  # those who waited for the lock need not wait again
                    await self._wait_for_all()
                while key not in self._answers:
                    queries = {key: query, **self._queries}  # the source must answer the first
                    found = await anyio.to_thread.run_sync(self._source, list(queries.values()))
                    self._answers |= found
                    for each in found:
                        self._queries.pop(each, None)
        finally:
            self._queries.pop(key, None)  # also if the sample is cancelled
        return self._answers[key]

    async def _wait_for_all(self) -> None:
        """Wait until no new query arrives: samples start one by one, but faster than answers."""
        count = -1
        while count != len(self._queries):
            count = len(self._queries)
            await anyio.sleep(GATHER_INTERVAL_S)
