"""A model that predicts its own input, and tasks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tiny import MODEL

from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, from_dict
from arc_trm.data.dataset import TaskDataset
from arc_trm.models.state import LatentState, Sampling
from arc_trm.models.trm import TRM
from arc_trm.puzzles.arc.tokenizer import FIRST_COLOUR
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

SIDE = 4


class Copycat(TRM):
    """Predicts its own input, with a halting probability that rises with the puzzle id."""

    def begin(
        self,
        inputs: torch.Tensor,
        puzzle_ids: torch.Tensor,
        sampling: Sequence[Sampling],
        augmentations: torch.Tensor | None = None,
    ) -> LatentState:
        logits = torch.nn.functional.one_hot(inputs.long(), 12).float()
        logits[:, 0, FIRST_COLOUR] += 0.5  # so colour 0 is second in the first cell
        halt_logits = puzzle_ids.float().reshape(-1, 1, 1) / 10
        return LatentState(logits, halt_logits, halt_logits, None, (0.0,) * len(inputs))

    def advance(self, state: LatentState) -> LatentState:
        return state

    def read_logits(self, state: LatentState) -> torch.Tensor:
        return state.x

    def read_halt_logits(self, state: LatentState) -> torch.Tensor:
        return state.y[:, 0, 0]


def tasks() -> TaskSet:
    """Return the tasks a, with two test inputs, and b."""
    rng = np.random.default_rng(0)
    grids = [as_grid(1 + rng.integers(9, size=(2, 3))) for _ in range(6)]
    first = Task("a", (Pair(grids[0], grids[1]),), (Pair(grids[2]), Pair(grids[3])))
    second = Task("b", (Pair(grids[4], grids[4]),), (Pair(grids[5]),))
    return TaskSet.from_tasks("x", [first, second])


def weights(architecture: type[TRM], known: TaskSet) -> Weights:
    """Return random weights that know these tasks and at most six augmentations of each."""
    names = list(TaskDataset(known, 6, 0, SIDE).puzzle_names())
    model = architecture(
        from_dict(ModelConfig, MODEL), len(names), generator=torch.Generator().manual_seed(0)
    )
    model.puzzle_embedding.normal_(generator=torch.Generator().manual_seed(1))
    return Weights(model.eval(), {name: puzzle_id for puzzle_id, name in enumerate(names)})
