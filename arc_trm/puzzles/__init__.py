"""The kinds of puzzles: tokens, augmentation, decoding and, where there is one, the rule."""

from __future__ import annotations

from arc_trm.puzzles.arc.kind import Arc
from arc_trm.puzzles.base import Board, Domain
from arc_trm.puzzles.maze.kind import Maze
from arc_trm.puzzles.sudoku.kind import Sudoku

ARC = Arc()
BOARDS: dict[str, Board] = {board.name: board for board in (Sudoku(), Maze())}
DOMAINS: dict[str, Domain] = {ARC.name: ARC, **BOARDS}


def of_vocab_size(size: int) -> Domain | None:
    """The kind of puzzle that has so many tokens, by which weights and built data tell theirs."""
    return next((domain for domain in DOMAINS.values() if domain.vocabulary == size), None)


__all__ = ["ARC", "BOARDS", "DOMAINS", "Board", "Domain", "of_vocab_size"]
