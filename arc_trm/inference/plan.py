"""The plan of a prediction job: what is asked of which weights, and what tells it from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from arc_trm._version import __version__
from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig, to_dict
from arc_trm.evaluation.predictions import Skipped
from arc_trm.evaluation.selection import SELECTION_RULES, SelectionRule, selection_label
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference.code_digest import code_digest
from arc_trm.inference.groups import GROUP_RULES
from arc_trm.inference.queries import Query, build_queries
from arc_trm.inference.resolve import resolve_inference
from arc_trm.inference.schedule import DoubtSchedule, FixedSchedule, Schedule, VoteSchedule
from arc_trm.models import BLOCKS, PuzzleModel
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet

DRAFT_SHARE = 8
"""A draft takes one of so many supervision steps."""
SELECTION_FIELDS = ("augmentations", "attempts", "select", "samples", "views")
"""Fields of a key that decide which predictions count, and how, but not what they are."""
SAMPLE_FIELDS = (*SELECTION_FIELDS, "noise", "starts", "seed", "group")
"""Fields of a key on which the plain predictions do not depend."""


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
    def inputs(self) -> list[tuple[str, int]]:
        """The test inputs that are queried, (task id, test index), each once."""
        return list(dict.fromkeys((query.task_id, query.test) for query in self.queries))

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
