"""Groups of puzzles to draw batches of, without any tasks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint8]


class FakeGroup:
    """A group of two puzzles, whose tokens say which puzzle and pair they are of."""

    def __init__(
        self, number: int, seq_len: int = 16, num_pairs: int = 2, composed: bool = False
    ) -> None:
        self.number, self.seq_len, self.num_pairs = number, seq_len, num_pairs
        self.composed = composed

    def __len__(self) -> int:
        return 2

    def puzzle_id(self, puzzle: int) -> int:
        return 2 * self.number + puzzle

    def augmentation_code(self, puzzle: int) -> Tokens | None:
        return np.full(11, puzzle, np.uint8) if self.composed else None

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        tokens = np.full(self.seq_len, 2 * puzzle + pair, np.uint8)
        return tokens, tokens


def fake_groups(composed: bool = False) -> list[FakeGroup]:
    """Three groups, the last on a smaller canvas."""
    return [FakeGroup(n, (16, 16, 9)[n], composed=composed) for n in range(3)]
