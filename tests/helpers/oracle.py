"""A model that answers a Sudoku rightly under a condition, so that tests know the best setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from tiny import MODEL

from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, from_dict
from arc_trm.models.state import LatentState, Sampling
from arc_trm.models.trm import TRM
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.sudoku.solver import solve
from arc_trm.tasks import TaskSet

SUDOKU = KINDS["sudoku"]
Condition = Callable[[float, int, bool, int], bool]
"""Whether an answer is right, from its noise, its supervision steps, whether it is of another view
than the puzzle itself, and a random number, 0 to 99, of the sample."""


def weights(tasks: TaskSet, condition: Condition) -> Weights:
    """Return weights of a model that is right if `condition` holds, and otherwise copies."""
    questions = {(task.test[0].input + 1).tobytes() for task in tasks}

    class Oracle(TRM):
        def begin(
            self,
            inputs: torch.Tensor,
            puzzle_ids: torch.Tensor,
            sampling: Sequence[Sampling],
            augmentations: torch.Tensor | None = None,
        ) -> LatentState:
            steps = torch.zeros(len(inputs), 1)
            numbers = torch.tensor([[each.seed % 100] for each in sampling])
            sigma = tuple(each.noise for each in sampling)
            return LatentState(inputs.long(), steps, numbers, None, sigma)

        def advance(self, state: LatentState) -> LatentState:
            return replace(state, y=state.y + 1)

        def read_logits(self, state: LatentState) -> torch.Tensor:
            tokens = state.x.clone()
            for index, row in enumerate(state.x):
                question = (row - 1).byte().numpy().reshape(1, 4, 4)
                is_view = (question + 1).tobytes() not in questions
                steps, number = int(state.y[index]), int(state.z[index])
                if condition(state.sigma[index], steps, is_view, number):
                    tokens[index] = torch.from_numpy(solve(question).solution.reshape(-1) + 1)
            return torch.nn.functional.one_hot(tokens, SUDOKU.vocab_size(4)).float()

        def read_halt_logits(self, state: LatentState) -> torch.Tensor:
            return -state.y[:, 0]

    config = from_dict(ModelConfig, {**MODEL, "vocab_size": SUDOKU.vocab_size(4)})
    model = Oracle(config, 1, generator=torch.Generator().manual_seed(0))
    return Weights(model.eval(), {"<blank>": 0})
