"""A model that solves 4×4 Sudokus by itself, except for half of them, where noise may help it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from tiny import MODEL

from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig, ModelConfig, from_dict
from arc_trm.inference import make_plan
from arc_trm.inference.plan import PredictionPlan
from arc_trm.models.noise import Noise
from arc_trm.models.state import LatentState, Sampling
from arc_trm.models.trm import TRM
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.puzzles.sudoku.solver import solve
from arc_trm.tasks import PuzzleArray, TaskSet

SIDE = 4
SHAPE = {**MODEL, "vocab_size": 11, "mixer": "mlp"}
NEVER = -1e6
"""A logit of tokens that are no digits of the puzzle."""


class Lucky(TRM):
    """Adds its noise to the logits of the solution, of which it has spoiled one cell or none.

    Every number is computed for one example alone, so that no rounding depends on a batch.
    """

    has_trained_halting = True

    def begin(
        self,
        inputs: torch.Tensor,
        puzzle_ids: torch.Tensor,
        sampling: Sequence[Sampling],
        augmentations: torch.Tensor | None = None,
    ) -> LatentState:
        questions = (inputs - 1).reshape(-1, SIDE, SIDE).numpy().astype(np.uint8)
        answers = solve(questions).solution.reshape(len(inputs), -1).astype(np.int64)
        logits = torch.nn.functional.one_hot(torch.from_numpy(answers) + 1, 11) * 3.0
        for each, question, answer in zip(logits, questions, answers, strict=True):
            if self.spoils(question):
                each[0, 2 + int(answer[0]) % SIDE] = 3.4
        logits[..., :2] = logits[..., SIDE + 2 :] = NEVER
        zeros = torch.zeros_like(logits)
        noise = None
        if any(each.noise for each in sampling):
            noise = Noise.from_seeds([each.seed for each in sampling], logits.device)
        return LatentState(logits, zeros, zeros, noise, tuple(each.noise for each in sampling))

    @staticmethod
    def spoils(question: np.ndarray) -> bool:
        """Whether the plain answer has a wrong first cell."""
        return bool(int((question * np.arange(1, 17).reshape(SIDE, SIDE)).sum()) % 2)

    def advance(self, state: LatentState) -> LatentState:
        y, z = state.with_noise()
        return replace(state, y=y, z=z)

    def read_logits(self, state: LatentState) -> torch.Tensor:
        return state.x + state.y

    def read_halt_logits(self, state: LatentState) -> torch.Tensor:
        """An estimate that is right without noise."""
        return 1 - 2 * (state.x[:, 0].amax(-1) > 3.2).float() + 2 * state.z[:, 0, 0]


@cache
def sudokus(count: int = 12) -> TaskSet:
    """4×4 Sudokus with their answers."""
    return generate_puzzles(GeneratorConfig("sudoku", count, 3, SIDE)).puzzles


def without_answers(tasks: TaskSet) -> TaskSet:
    """The same puzzles, whose answers nobody knows."""
    assert isinstance(tasks, PuzzleArray)
    known = np.zeros(len(tasks), np.bool_)
    return PuzzleArray(tasks.name, tasks.kind, tasks.questions, tasks.answers, known)


def sudoku_weights(architecture: type[TRM] = Lucky) -> Weights:
    """Random weights for 4×4 Sudokus, in float32, with a halting head that is not constant."""
    generator = torch.Generator().manual_seed(2)
    model = architecture(from_dict(ModelConfig, SHAPE), 1, generator=generator)
    with torch.no_grad():
        model.heads.halt.weight.normal_(generator=generator)
        model.heads.halt.bias.zero_()
    return Weights(model.eval(), {"<blank>": 0})


def sudoku_plan(
    architecture: type[TRM] = Lucky, tasks: TaskSet | None = None, **settings: object
) -> PredictionPlan:
    """The job of asking about Sudokus with these fields of `InferenceConfig`."""
    config = InferenceConfig(**settings)
    return make_plan(sudoku_weights(architecture), tasks or sudokus(), config=config)
