"""Rules for copies of a puzzle that run side by side and decide together.

A rule is asked after every supervision step. It ends the group with a winner, or lets it continue,
each copy from itself or from another one. It is named like the selection rule that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arc_trm.evaluation.selection import FIRST_HALT, PARTICLES
from arc_trm.registry import Registry
from arc_trm.rng import rng_for

GroupKey = tuple[str | int, ...]
"""What is asked side by side: task id and test index, for ARC also the puzzle."""
INVERSE_TEMPERATURE = 0.25
"""β of particles: weights are in proportion to exp(β · halting logit)."""


@dataclass(frozen=True)
class Stop:
    """The group ends; `winner` is the index of the copy whose answer stays."""

    winner: int


@dataclass(frozen=True)
class Continue:
    """Copy i continues from the state of copy `ancestors[i]`."""

    ancestors: Sequence[int]


GroupRule = Callable[[npt.NDArray[np.float32], int, bool, GroupKey], Stop | Continue]
"""Decides from the halting logits (N,) of a group's copies after supervision step `step`.

The other arguments are the step, from 1, whether it is the last, and a key of random numbers.
"""

GROUP_RULES: Registry[GroupRule] = Registry("group rule")


@GROUP_RULES.register(FIRST_HALT)
def stop_at_first_halt(
    halt_logits: npt.NDArray[np.float32], step: int, is_last: bool, key: GroupKey
) -> Stop | Continue:
    """Stop as soon as a halting logit is above 0; of several at once the largest wins.

    Source: SiC (arXiv 2601.19085).
    """
    best = int(halt_logits.argmax())
    return Stop(best) if halt_logits[best] > 0 else Continue(range(len(halt_logits)))


@GROUP_RULES.register(PARTICLES)
def resample_particles(
    halt_logits: npt.NDArray[np.float32], step: int, is_last: bool, key: GroupKey
) -> Continue:
    """Resample the copies in proportion to exp(β · halting logit), but not after the last step.

    Resampling is systematic: one random number places N evenly spaced pointers, so that a copy
    with weight w has w · N successors, rounded up or down.
    """
    count = len(halt_logits)
    if is_last:
        return Continue(range(count))
    logits = halt_logits.astype(np.float64)
    weights = np.exp(INVERSE_TEMPERATURE * (logits - logits.max()))
    edges = np.cumsum(weights / weights.sum())
    pointers = (rng_for(*key, step).random() + np.arange(count)) / count
    return Continue(np.minimum(np.searchsorted(edges, pointers), count - 1).tolist())
