"""Select among the answers to a test input (docs/inference.md).

A selection rule ranks the grids that were predicted for a test input, by the augmentations or views
of its task and by samples with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arc_trm.config.inference import AUTO
from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import Candidate, GridKey, Prediction, grid_key
from arc_trm.puzzles import PuzzleKind
from arc_trm.registry import Registry

SelectionRule = Callable[[Sequence[Prediction]], list[Candidate]]
"""Maps predictions with a grid, in any order, to candidates, best first."""

SELECTION_RULES: Registry[SelectionRule] = Registry("selection rule", "select")
register_selection = SELECTION_RULES.register

VOTES, RULE, FIRST_HALT, PARTICLES = "votes", "rule", "first_halt", "particles"


def resolve_selection(name: str, kind: PuzzleKind) -> str:
    """Return the name of the rule that `name`, maybe `auto`, means for a kind of puzzle.

    Raises:
        UserError: there is no such rule, or the kind has no rule by which answers are valid.
    """
    if name == AUTO:
        return RULE if kind.has_rule else VOTES
    _ = SELECTION_RULES[name]
    if name == RULE and not kind.has_rule:
        raise UserError(
            f"the selection rule {RULE!r} needs puzzles with a rule, but {kind.title} has none: "
            f"use {VOTES!r}"
        )
    return name


def selection_label(select: str, answers: int, kind: PuzzleKind) -> str:
    """Return the `selected_by` of a score: empty for a single answer, and for the votes of ARC.

    `answers`: largest number of answers under one augmentation.
    """
    return "" if answers == 1 or (select == VOTES and not kind.has_rule) else select


@register_selection(PARTICLES)
@register_selection(VOTES)
def select_by_votes(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank equal grids by their votes, then by the sum of their halting probabilities.

    Of candidates with equal rank, the one that was asked first comes first. This is the published
    vote (docs/model.md, section 7): with equal votes, the sum ranks as the mean does.
    """
    candidates = [_candidate(group) for group in _equal_grids(predictions)]
    return sorted(candidates, key=lambda each: (-each.votes, -each.halt_prob))


@register_selection(FIRST_HALT)
@register_selection("best_halt")
def select_by_halting(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank grids by the largest halting probability of their predictions."""
    return _ranked(predictions, lambda each: each.halt_prob)


@register_selection("confidence")
def select_by_confidence(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank grids by the largest mean over cells of the most likely token's probability."""
    return _ranked(predictions, lambda each: each.confidence)


@register_selection(RULE)
def select_by_rule(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank valid grids by when they were asked, then the others by votes."""
    valid = [each for each in predictions if each.valid]
    first = [_candidate(group) for group in _equal_grids(valid)]
    return first + select_by_votes([each for each in predictions if not each.valid])


def _ranked(
    predictions: Sequence[Prediction], value: Callable[[Prediction], float]
) -> list[Candidate]:
    """Rank grids by the largest value of their predictions, then by votes."""
    groups = _equal_grids(predictions)
    groups.sort(key=lambda group: (-max(map(value, group)), -len(group)))
    return [_candidate(group) for group in groups]


def _equal_grids(predictions: Sequence[Prediction]) -> list[list[Prediction]]:
    """Group predictions with equal grids, in the order in which they were asked."""
    groups: dict[GridKey, list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda each: each.turn):
        assert prediction.grid is not None, "only predictions with a grid are selected"
        groups.setdefault(grid_key(prediction.grid), []).append(prediction)
    return list(groups.values())


def _candidate(group: Sequence[Prediction]) -> Candidate:
    grid, halt_prob = group[0].grid, sum(each.halt_prob for each in group) / len(group)
    assert grid is not None
    return Candidate(grid, len(group), halt_prob, tuple(each.puzzle for each in group))
