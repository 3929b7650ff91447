"""What weights are for and how they were trained, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from arc_trm.config import ModelConfig, format_preset
from arc_trm.config.schema import MAX_AUGMENTATIONS, MAX_INT, require_range
from arc_trm.errors import format_names


@dataclass(frozen=True)
class TrainingFacts:
    """How weights were trained. It is in config.json, so that copied weights still say it."""

    trained_on: tuple[str, ...] = ()
    """Datasets, without folders; empty if they are unknown."""
    adapted_to: tuple[str, ...] = ()
    """Datasets that the weights were adapted to afterwards."""
    preset: str | None = None
    changed: tuple[str, ...] = ()
    """Settings that differ from the preset's, as for --set."""
    seed: int | None = None
    total_steps: int | None = None
    """Planned training steps of the run."""
    augmentations: int | None = None
    """Augmentations of a task that were trained, at most."""

    def __post_init__(self) -> None:
        require_range("training.", self, 0, MAX_INT, "seed")
        require_range("training.", self, 0, MAX_AUGMENTATIONS, "augmentations")


@dataclass(frozen=True)
class WeightsDescription:
    """What a weights folder holds. `lines` says it in words, `to_dict` for JSON.

    Attributes:
        architecture: its title, such as "Tiny Recursive Model".
        parameters: numbers in the network, without the puzzle embedding.
        block: name of its block.
        layers: blocks of a network; of an HRM those of the low-level network.
        side: of the full canvas in cells; None if it is no square.
        puzzles: the kinds of puzzles with as many tokens, in words.
        puzzle_embedding: `table` or `composed`, as `ModelConfig` says.
        puzzle_embeddings: rows of the puzzle embedding, the blank one included; 0 without one.
        tasks: distinct tasks that the puzzle embeddings belong to.
        step: training steps done, 0 if unknown.
        checkpoint: which weights of their run they are, such as `best by exact (93 %), step 1000`;
            None for the last ones.
        training: how they were trained.
        source: where converted or pulled weights come from; None for the weights of a run here.
    """

    architecture: str
    parameters: int
    block: str
    layers: int
    hidden_size: int
    outer_cycles: int
    inner_cycles: int
    supervision_steps: int
    side: int | None
    puzzles: tuple[str, ...]
    puzzle_embedding: str
    puzzle_embeddings: int
    tasks: int
    step: int
    checkpoint: str | None
    training: TrainingFacts
    source: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return all facts as plain JSON, those of the training beside the others."""
        facts = asdict(self)
        training: dict[str, Any] = facts.pop("training")
        return {**facts, **training}

    def lines(self) -> list[str]:
        """Return the facts for a person, one line each."""
        size = "unknown" if self.side is None else f"{self.side}×{self.side}"
        puzzles = f", for {' or '.join(self.puzzles)}" if self.puzzles else ""
        training = self.training
        cycles = f"{self.outer_cycles} × {self.inner_cycles} cycles"
        block = "" if self.block == ModelConfig.block else f" {self.block}"
        depth = f"{self.layers}{block} layers of width {self.hidden_size}, {cycles}"
        facts = {
            "model": f"{self.architecture}, {self.parameters:,} parameters",
            "depth": f"{depth}, {self.supervision_steps} supervision steps",
            "canvas": f"{size}{puzzles}",
            "trained on": format_names(training.trained_on) or "unknown",
            "adapted to": format_names(training.adapted_to),
            "steps": self._steps(),
            "checkpoint": self.checkpoint,
            "puzzle embeddings": self._puzzle_embeddings(),
            "source": self.source,
        }
        return [f"{label + ':':<19}{text}" for label, text in facts.items() if text]

    def _steps(self) -> str:
        training = self.training
        done = f"{self.step:,}" if self.step else "unknown"
        if training.total_steps is not None and self.step <= training.total_steps:
            done = f"{self.step:,} of {training.total_steps:,}"
        parts = [done]
        if training.preset:
            parts.append(f"preset {format_preset(training.preset, training.changed)}")
        if training.seed is not None:
            parts.append(f"seed {training.seed}")
        return ", ".join(parts)

    def _puzzle_embeddings(self) -> str:
        if not self.puzzle_embeddings:
            return "none, so that no ARC task can be predicted"
        if not self.tasks:
            return "the blank one alone, which all puzzles share"
        if self.puzzle_embedding == "composed":
            return f"composed from the vectors of {self.tasks:,} tasks, for any augmentation"
        return f"{self.puzzle_embeddings:,}, of {self.tasks:,} tasks"
