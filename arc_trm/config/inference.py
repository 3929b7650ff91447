"""How trained weights are asked: breadth (samples and views), depth, and a selection rule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from arc_trm.config.loader import from_dict
from arc_trm.config.schema import MAX_SUPERVISION_STEPS, InitialState, require

EmbeddingChoice = Literal["trained", "zero", "shuffled", "mean"]
"""The puzzle embedding as it was trained, or what it is replaced by to see what it contributes."""
AUTO = "auto"
"""The selection rule that suits the kind of puzzle: `rule` where it has one, else `votes`."""
MAX_ANSWERS = 1024
"""Largest number of answers to one test input under one augmentation."""
MAX_NOISE = 100.0
MAX_TEXT_LENGTH = 500
"""Characters of a text in inference.json."""
_HEXADECIMAL = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class InferenceConfig:
    """How trained weights are asked (docs/inference.md). The defaults ask once, as published."""

    samples: int = 1
    """K, answers from each view or augmentation. The first is the plain one, without noise."""
    noise: float = 0.0
    """σ of the normal noise that is added to y and z before every supervision step of all samples
    but the first (PTRM, arXiv 2605.19943)."""
    starts: InitialState | None = None
    """Where y and z of all samples but the first start: `fixed`, or `random`, drawn for each
    position; None is as the model was trained."""
    views: int = 1
    """M, views of a Sudoku or maze, the puzzle itself first: permuted digits and symmetries, undone
    before selection (SiC, arXiv 2601.19085). ARC tasks have augmentations in their place."""
    supervision_steps: int | None = None
    """D, supervision steps of an answer; None is the model's number."""
    early_exit: bool = False
    """Whether an answer is taken at the first supervision step whose halting logit is above 0."""
    select: str = AUTO
    """Selection rule: `auto`, `votes`, `best_halt`, `first_halt`, `rule`, `confidence`,
    `particles`, or a name registered with `arc_trm.evaluation.selection.register_selection`."""

    seed: int = 0
    """Seed of the noise and of random starts."""

    def __post_init__(self) -> None:
        for name in ("samples", "views"):
            value = getattr(self, name)
            require(1 <= value <= MAX_ANSWERS, f"{name} must be 1 to {MAX_ANSWERS}, got {value}")
        require(
            self.answers <= MAX_ANSWERS,
            f"samples × views must be at most {MAX_ANSWERS}, got {self.answers}",
        )
        require(
            math.isfinite(self.noise) and 0 <= self.noise <= MAX_NOISE,
            f"noise must be 0 to {MAX_NOISE:g}, got {self.noise:g}",
        )
        require(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        steps = self.supervision_steps
        require(
            steps is None or 1 <= steps <= MAX_SUPERVISION_STEPS,
            f"supervision_steps must be 1 to {MAX_SUPERVISION_STEPS}, got {steps}",
        )
        for name, given in (("noise", self.noise > 0), ("starts", self.starts is not None)):
            require(
                not given or self.samples > 1,
                f"{name} has no effect on the first sample: ask for more, with --samples 16 for "
                "example",
            )

    def __str__(self) -> str:
        """Return what differs from the defaults: `samples 8, noise 0.3`."""
        changed = [
            f"{each.name.replace('_', ' ')} {value}"
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        ]
        return ", ".join(changed) or "once"

    def options(self) -> str:
        """Return the options of `arc-trm predict` that say the same: `--samples 8 --noise 0.3`."""
        changed = [
            f"--{each.name.replace('_', '-')}" + ("" if value is True else f" {value}")
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        ]
        return " ".join(changed) or "--samples 1"

    @property
    def answers(self) -> int:
        """Largest number of answers to a test input under one augmentation, samples × views."""
        return self.samples * self.views


@dataclass(frozen=True)
class InferenceChoice:
    """How some weights are asked by default, as `arc-trm tune-inference` chose it: inference.json.

    Texts from elsewhere are shown to users, so that they must be short and printable.
    """

    inference: InferenceConfig = field(default_factory=InferenceConfig)
    """What was chosen."""
    weights: str = ""
    """Digest of the weights that were asked, as of `CheckpointChoice.digest`."""
    data: str = ""
    """Name of the data that it was tuned on."""
    puzzles: int = 0
    """Number of tasks or puzzles of that data that were asked."""
    digests: tuple[str, ...] = ()
    """Digests of their test inputs, as of `Task.input_digests`."""
    reason: str = ""
    """Why this was chosen, a sentence."""

    def __post_init__(self) -> None:
        for name in ("data", "reason"):
            text = getattr(self, name)
            require(
                bool(text) and text.isprintable() and len(text) <= MAX_TEXT_LENGTH,
                f"{name} is not a text of one line, 1 to {MAX_TEXT_LENGTH} characters",
            )
        require(self.puzzles >= 1, f"puzzles must be at least 1, got {self.puzzles}")
        require(bool(self.digests), "digests is empty")
        for text in (self.weights, *self.digests):
            require(bool(_HEXADECIMAL.fullmatch(text)), "a digest is not 16 hexadecimal digits")

    def count_shared(self, digests: Iterable[Iterable[str]]) -> int:
        """Return how many tasks it was tuned on; `digests` are those of their test inputs."""
        known = set(self.digests)
        return sum(not known.isdisjoint(each) for each in digests)


def inference_config(**settings: Any) -> InferenceConfig | None:
    """Return how weights are asked from the fields that are not None, which a user has named.

    Returns:
        None if all are None.

    Raises:
        UserError: a value is of another type or out of range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    return from_dict(InferenceConfig, given) if given else None
