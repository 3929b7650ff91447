"""Where the answers of this package come from: weights, a file of answers, or guesses.

A source answers questions, and `Turns` gathers those of many samples for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.to_thread

from arc_trm.evaluation.source import about_answers, find_answers, is_log, read_some
from arc_trm.evaluation.voting import ATTEMPTS, InputPrediction, to_submission
from arc_trm.tasks import Grid, Pair, Task, TaskSet, same_grid
from submission import Grid as Rows
from submission import read_ranked

if TYPE_CHECKING:
    from arc_trm.checkpoint import Weights

logger = getLogger(__name__)

QUIET = 0.1  # seconds without a new question, after which all are there
NO_SOURCE = "guesses (no weights, predictions or run given)"

Key: TypeAlias = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Question:
    """Test input `test` (from 0) of a task, which has these `inputs`."""

    task: str
    test: int
    inputs: tuple[Grid, ...]

    @property
    def key(self) -> Key:
        return self.task, self.test


@dataclass(frozen=True)
class Given:
    """An answer: at most two attempts, None where one failed.

    `votes` and `halt`, the mean halting probability, are those of each attempt, None for attempts
    that nobody voted for. `remark` says what is wrong with the answer, if anything.
    """

    attempts: tuple[Rows | None, ...] = ()
    votes: tuple[int | None, ...] = ()
    halt: tuple[float | None, ...] = ()
    remark: str = ""

    @classmethod
    def of(cls, prediction: InputPrediction, remark: str = "") -> Given:
        attempts = prediction.attempts[:ATTEMPTS]
        found = [
            next((each for each in prediction.candidates if same_grid(each.grid, attempt)), None)
            for attempt in attempts
        ]
        return cls(
            tuple(None if grid is None else grid.tolist() for grid in attempts),
            tuple(None if each is None else each.votes for each in found),
            tuple(None if each is None else each.halt for each in found),
            remark,
        )


Answers: TypeAlias = Mapping[Key, Given]
Source: TypeAlias = Callable[[Sequence[Question]], Answers]
"""Answers the first of the questions, and of those after it as many as go well together."""


def guesses(asked: Sequence[Question]) -> Answers:
    """What may be right without knowing anything: `voting.to_submission` of nothing."""
    submission = to_submission((), _whole(asked))
    return {
        each.key: Given(tuple(submission[each.task][each.test].values()), remark="a guess")
        for each in asked
    }


class FromFile:
    """Out of anything that `arc_trm.evaluation.source` reads.

    Raises UserError if it does not read; of a predictions.jsonl, which may be
    large, only the first line is read before there is a question.
    """

    def __init__(self, predictions: str) -> None:
        self.answers = find_answers(Path(predictions))
        if is_log(self.answers):
            about_answers(self.answers)
        else:
            read_ranked(self.answers)

    def __call__(self, asked: Sequence[Question]) -> Answers:
        """Answers all of them. Raises UserError if they do not read."""
        found = read_some(self.answers, _whole(asked)).by_test
        given = {each.key: self._given(found.get(each.key)) for each in asked}
        lacking = [each for each in asked if given[each.key].remark]
        if lacking:
            logger.warning(
                f"for {len(lacking)} of {len(asked)} test inputs there is no grid in "
                f"{self.answers}; first task {lacking[0].task}, test input {lacking[0].test + 1}: "
                f"{given[lacking[0].key].remark}"
            )
        return given

    def _given(self, found: InputPrediction | None) -> Given:
        if found is None:
            return Given(remark="no answer, which counts as unsolved")
        guessed = is_log(self.answers) and not found.candidates
        return Given.of(found, "a guess: nobody answered" if guessed else "")


class FromWeights:
    """Out of a run, a weight folder or a Hub repository, which is fetched at once.

    Raises UserError if it is none, or holds no weights.
    """

    def __init__(self, weights: str, augmentations: int | None) -> None:
        from arc_trm.checkpoint import read_model_config
        from arc_trm.inference import voters

        self.folder = Path(weights)
        if not self.folder.exists():
            from arc_trm.hub import resolve

            self.folder = resolve(weights, note=logger.info)
        read_model_config(self.folder)
        self.augmentations = voters(self.folder, augmentations)
        self._weights: Weights | None = None
        self._tasks: frozenset[str] = frozenset()  # whose rows are in them
        self._together = 1  # questions, each with its augmentations, that make a batch
        self._warned = False

    def __call__(self, asked: Sequence[Question]) -> Answers:
        """Answers as many as go through the model at once. Raises UserError about the weights."""
        from arc_trm.inference import predict

        weights = self._load(asked)
        tests = defaultdict(list)
        for each in asked[: self._together]:
            tests[each.task].append(each)
        tasks = TaskSet.of("asked", (_task(each) for each in tests.values()))
        predictions, guessed = predict(weights, tasks, self.augmentations)
        reasons = {(each.task, each.test): f"a guess: {each.reason}" for each in guessed}
        self._warn(reasons, tests)
        return {
            each.key: Given.of(predictions[task, place], reasons.get((task, place), ""))
            for task, questions in tests.items()
            for place, each in enumerate(questions)
        }

    def _load(self, asked: Sequence[Question]) -> Weights:
        """The weights with the rows of the tasks asked about."""
        from arc_trm.inference import load_for_inference
        from arc_trm.inference.predictor import batch_limit, questions

        wanted = frozenset(each.task for each in asked)
        if self._weights is None or not wanted <= self._tasks:
            self._weights, self._tasks = load_for_inference(self.folder, wanted), wanted
            tasks = _whole(asked)
            voters, _ = questions(self._weights, tasks, self.augmentations)
            limit = batch_limit(self._weights, self._weights.model.config.side)
            self._together = max(1, limit * tasks.test_outputs // max(1, len(voters)))
        return self._weights

    def _warn(self, reasons: Mapping[Key, str], tests: Mapping[str, Sequence[Question]]) -> None:
        if reasons and not self._warned:
            (task, place), reason = next(iter(reasons.items()))
            logger.warning(
                f"task {task}, test input {tests[task][place].test + 1}, is {reason} (metadata "
                "says so of every other)"
            )
            self._warned = True


def _task(questions: Sequence[Question]) -> Task:
    """A task with the test inputs that are asked about only."""
    inputs = (each.inputs[each.test] for each in questions)
    return Task(questions[0].task, (), tuple(Pair(grid) for grid in inputs))


def _whole(asked: Sequence[Question]) -> TaskSet:
    """The tasks with all their test inputs, without demonstrations."""
    tasks = {each.task: Task(each.task, (), tuple(map(Pair, each.inputs))) for each in asked}
    return TaskSet("asked", tasks)


class Turns:
    """Answers the questions of many samples, each at most once, however often it is asked.

    All that wait are put to the source together, in a thread, so that others go on; it answers as
    many as it likes, and the next turn begins with those that are left.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked: dict[Key, Question] = {}
        self._given: dict[Key, Given] = {}
        self._lock = anyio.Lock()

    async def ask(self, question: Question) -> Given:
        """The answer to a question. Raises what the source does."""
        key = question.key
        if key in self._given:
            return self._given[key]
        self._asked[key] = question
        first = not self._lock.locked()
        try:
            async with self._lock:
                if first:  # those who have waited for the lock need not wait again
                    await self._all_there()
                while key not in self._given:
                    asked = {key: question, **self._asked}  # this one is answered in any case
                    given = await anyio.to_thread.run_sync(self._source, list(asked.values()))
                    self._given |= given
                    for each in given:
                        self._asked.pop(each, None)
        finally:
            self._asked.pop(key, None)  # also if nobody waits any more
        return self._given[key]

    async def _all_there(self) -> None:
        """Samples begin one after the other, but do so faster than any answer comes."""
        before = -1
        while before != len(self._asked):
            before = len(self._asked)
            await anyio.sleep(QUIET)
