"""Schedules decide which queries are asked next, from what was predicted so far."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from arc_trm.config import InferenceConfig
from arc_trm.evaluation.predictions import GridKey, Prediction, QueryKey, grid_key
from arc_trm.evaluation.selection import RULE, SelectionRule
from arc_trm.inference.groups import GROUP_RULES
from arc_trm.inference.queries import Query, further_queries
from arc_trm.puzzles import PuzzleKind
from arc_trm.tasks import same_grid

HALTS = 0.5
"""The halting probability of a halting logit of 0."""
MAX_DRAFTS = 300
"""Votes with few supervision steps; more change little (docs/inference.md)."""
SETTLED = 0.3
"""Votes are settled if at most this share of them is not for the most frequent grid."""


class Schedule(ABC):
    """The queries of one process: `take` hands them out, `add` is told of predictions."""

    def __init__(self) -> None:
        self._next: deque[Query] = deque()  # handed out before all others

    @abstractmethod
    def _refill(self) -> None:
        """Append the next queries to `_next`, which is empty; none if nothing is left."""

    @abstractmethod
    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions, on which the next queries may depend."""

    def __len__(self) -> int:
        """Return the number of queries that `waiting` returns."""
        return len(self._next)

    @abstractmethod
    def waiting(self) -> list[Query]:
        """Return the queries that are known to be needed and were not handed out."""

    def peek(self, side: int | None) -> Query | None:
        """Return the next query without handing it out; None if none can be asked now.

        `side` is that of the queries that are asked now, as in `take`.
        """
        if not self._next:
            self._refill()
        if not self._next or self._next[0].side != (side or self._next[0].side):
            return None
        return self._next[0]

    def repeat(self, queries: Sequence[Query]) -> None:
        """Hand out queries again, before all others."""
        self._next.extendleft(reversed(queries))

    def take(self, room: int, side: int | None) -> list[Query]:
        """Return the next queries, all on canvases of one size.

        Args:
            room: number of queries that may be asked besides those that are. A group stays
                together, and may be larger if nothing else is asked.
            side: of the canvas of the queries that are asked now; None if there are none.
        """
        taken: list[Query] = []
        is_idle = side is None
        while len(taken) < room and (query := self.peek(side)) is not None:
            side, size = query.side, self._first_group()
            if len(taken) + size > room and (taken or not is_idle):
                break
            taken += [self._hand_out() for _ in range(size)]
        return taken

    def _hand_out(self) -> Query:
        """Remove the next query and return it."""
        return self._next.popleft()

    def _first_group(self) -> int:
        """Return how many queries at the front are asked side by side."""
        group, size = self._next[0].group, 1
        while group is not None and size < len(self._next) and self._next[size].group == group:
            size += 1
        return size


class FixedSchedule(Schedule):
    """Queries in an order that nothing changes."""

    def __init__(self, queries: Iterable[Query]) -> None:
        super().__init__()
        self._next.extend(queries)

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Change nothing."""

    def _refill(self) -> None:
        """There are no others."""

    def waiting(self) -> list[Query]:
        return list(self._next)


@dataclass(slots=True)
class _OpenPuzzle:
    """A puzzle that may be asked again.

    Attributes:
        plain: its plain query.
        index: of the puzzle.
        missing: the queries of the current round.
        asked: number of queries up to the end of the current round.
        answers: its predictions.
    """

    plain: Query
    index: int
    missing: set[QueryKey]
    asked: int = 1
    answers: dict[QueryKey, Prediction] = field(default_factory=dict)


class DoubtSchedule(Schedule):
    """Puzzles that are asked plainly first, and again while their answer is doubtful.

    An answer is doubtful if it breaks the rule of the puzzle, or if no copy that gave it halts;
    where the rule selects, only if it breaks the rule. Doubtful puzzles are asked again in rounds,
    each of which doubles the number of answers, the most doubtful ones of a round first. Copies
    that decide together are asked in one round. What is asked about a puzzle depends on its own
    answers alone.

    Args:
        queries: the plain queries, one for each puzzle.
        config: how the model is asked; its selection rule is one of `SELECTION_RULES`.
        kind: of the puzzles.
        rule: selects among the answers to a puzzle.
        known: predictions that exist already.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        config: InferenceConfig,
        kind: PuzzleKind,
        rule: SelectionRule,
        known: Iterable[Prediction] = (),
    ) -> None:
        super().__init__()
        self._config, self._has_rule, self._rule = config, kind.has_rule, rule
        self._open = {
            (query.task_id, query.test): _OpenPuzzle(query, index, {query.key})
            for index, query in enumerate(queries)
        }
        self._doubtful: list[tuple[int, float, int, list[Query]]] = []
        self._later = 0  # queries in `_doubtful`
        for prediction in known:
            self._count(prediction)
        for key, puzzle in list(self._open.items()):
            if puzzle.plain.key in puzzle.answers:
                self._ask_again(key)
            else:
                self._next.append(puzzle.plain)

    def add(self, predictions: Iterable[Prediction]) -> None:
        for prediction in predictions:
            puzzle = self._count(prediction)
            if puzzle is not None and puzzle.missing <= puzzle.answers.keys():
                self._ask_again((prediction.task_id, prediction.test))

    def _count(self, prediction: Prediction) -> _OpenPuzzle | None:
        puzzle = self._open.get((prediction.task_id, prediction.test))
        if puzzle is not None and not prediction.is_draft:
            puzzle.answers[prediction.key] = prediction
        return puzzle

    def _ask_again(self, key: tuple[str, int]) -> None:
        """Ask the next round of a puzzle whose last round is answered, if it needs one."""
        puzzle, config = self._open[key], self._config
        while (doubt := self._doubt(puzzle)) is not None and puzzle.asked < config.answers:
            first, is_grouped = puzzle.asked, config.select in GROUP_RULES
            puzzle.asked = config.answers if is_grouped else min(2 * first, config.answers)
            queries = further_queries(puzzle.plain, config, first, puzzle.asked)
            missing = [query for query in queries if query.key not in puzzle.answers]
            if missing:
                puzzle.missing = {query.key for query in missing}
                wanted = queries if is_grouped else missing  # a group is asked as a whole
                heapq.heappush(self._doubtful, (first, doubt, puzzle.index, wanted))
                self._later += len(wanted)
                return
        del self._open[key]

    def _doubt(self, puzzle: _OpenPuzzle) -> float | None:
        """Return how little doubtful the answer to a puzzle is so far; None if it is not."""
        answers = [
            each
            for each in puzzle.answers.values()
            if each.grid is not None
            and each.sample * self._config.views + each.order < puzzle.asked
        ]
        candidates = self._rule(answers)
        if not candidates:
            return -1.0
        same = [each for each in answers if same_grid(each.grid, candidates[0].grid)]
        halt_prob = max(each.halt_prob for each in same)
        if self._has_rule and not any(each.valid for each in same):
            return halt_prob - 1
        return None if self._config.select == RULE or halt_prob > HALTS else halt_prob

    def _refill(self) -> None:
        if self._doubtful:
            queries = heapq.heappop(self._doubtful)[-1]
            self._later -= len(queries)
            self._next.extend(queries)

    def __len__(self) -> int:
        return len(self._next) + self._later

    def waiting(self) -> list[Query]:
        later = [query for *_, queries in sorted(self._doubtful) for query in queries]
        return [*self._next, *later]


@dataclass(slots=True)
class _VotedInput:
    """A test input that is voted on.

    Attributes:
        queries: its queries, in the order in which they are asked.
        votes: number of supervision steps and grid of the deepest prediction of each query.
    """

    queries: list[Query] = field(default_factory=list)
    votes: dict[QueryKey, tuple[int, GridKey | None]] = field(default_factory=dict)

    @property
    def doubt(self) -> float:
        """The share of votes that are not for the most frequent grid; 1 with less than two."""
        grids = Counter(grid for _, grid in self.votes.values() if grid is not None)
        total = grids.total()
        return 1.0 if total < 2 else 1 - max(grids.values()) / total


class VoteSchedule(Schedule):
    """Test inputs under votes and a time limit: few steps for all first, then what is open.

    First the augmentations of all test inputs are asked with few supervision steps, in rounds that
    double the number of votes. Then they are asked with all steps in the same rounds: first the
    plain ones of all test inputs, then those of test inputs whose votes disagree, then the others.
    If there is time for everything, all queries are asked with all steps, as without a time limit.

    Args:
        queries: of the job, in order.
        draft_steps: number of supervision steps of drafts; 0 makes none.
        known: predictions that exist already.
    """

    def __init__(
        self, queries: Sequence[Query], draft_steps: int, known: Iterable[Prediction] = ()
    ) -> None:
        super().__init__()
        self._draft_steps = draft_steps
        self._inputs: dict[tuple[str, int], _VotedInput] = {}
        for query in queries:
            each = self._inputs.setdefault((query.task_id, query.test), _VotedInput())
            each.queries.append(query)
        self._final: set[QueryKey] = set()
        self._unanswered: set[QueryKey] = set()
        self.add(known)
        self._rounds = self._plan()

    def add(self, predictions: Iterable[Prediction]) -> None:
        for prediction in predictions:
            each = self._inputs.get((prediction.task_id, prediction.test))
            if each is None:
                continue
            self._unanswered.discard(prediction.key)
            steps, _ = each.votes.get(prediction.key, (0, None))
            if not prediction.is_draft:
                self._final.add(prediction.key)
            if steps < prediction.steps or not prediction.is_draft:
                grid = None if prediction.grid is None else grid_key(prediction.grid)
                each.votes[prediction.key] = prediction.steps, grid

    def _plan(self) -> Iterator[list[Query]]:
        """Yield the rounds; each is made when the one before has been handed out."""
        inputs = list(self._inputs.values())
        most = max((len(each.queries) for each in inputs), default=0)
        if self._draft_steps:
            for voters in _doubled(min(most, MAX_DRAFTS)):
                chosen = [each for each in inputs if voters <= 2 or each.doubt > SETTLED]
                yield self._drafts(chosen, voters)
        for voters in _doubled(most):
            chosen = [each for each in inputs if voters == 1 or each.doubt > SETTLED]
            yield self._finals(chosen, voters)
        yield self._finals(inputs, most)

    def _drafts(self, inputs: Sequence[_VotedInput], voters: int) -> list[Query]:
        return [
            replace(query, steps=self._draft_steps, is_draft=True)
            for each in sorted(inputs, key=_side_and_doubt)
            for query in each.queries[:voters]
            if query.key not in each.votes
        ]

    def _finals(self, inputs: Sequence[_VotedInput], voters: int) -> list[Query]:
        return [
            query
            for each in sorted(inputs, key=_side_and_doubt)
            for query in each.queries[:voters]
            if query.key not in self._final
        ]

    def _refill(self) -> None:
        while not self._next and not self._unanswered:  # on which the next round depends
            queries = next(self._rounds, None)
            if queries is None:
                return
            self._next.extend(queries)

    def _hand_out(self) -> Query:
        query = super()._hand_out()
        self._unanswered.add(query.key)
        return query

    def waiting(self) -> list[Query]:
        return [
            q for each in self._inputs.values() for q in each.queries if q.key not in self._final
        ]

    def __len__(self) -> int:
        return sum(len(each.queries) for each in self._inputs.values()) - len(self._final)


def _side_and_doubt(each: _VotedInput) -> tuple[int, float]:
    return each.queries[0].side, -each.doubt


def _doubled(most: int) -> Iterator[int]:
    """Yield 1, 2, 4, ... below `most`, then `most` if it is not 0."""
    number = 1
    while number < most:
        yield number
        number *= 2
    if most:
        yield most
