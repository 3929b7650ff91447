"""What a step needs is made one step ahead, and is the same as without."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from groups import fake_groups

from arc_trm.data.prefetch import Prefetcher
from arc_trm.data.sampler import BatchSampler
from arc_trm.errors import UserError


@pytest.mark.parametrize("first", [0, 5])
def test_prefetched_batches_are_those_of_their_steps(first: int) -> None:
    sampler, other = (BatchSampler(fake_groups(), 2, seed=0) for _ in range(2))
    with closing(Prefetcher(other)) as prefetcher:
        for step in (*range(first, first + 4), 1, 2):
            expected = sampler(step)
            for name, array in prefetcher(step).items():
                assert np.array_equal(array, expected[name])


def test_an_error_is_raised_at_the_step_that_needs_the_batch() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise UserError("a damaged example")
        return step

    with closing(Prefetcher(make)) as prefetcher:
        assert [prefetcher(0), prefetcher(1)] == [0, 1]
        with pytest.raises(UserError, match="a damaged example"):
            prefetcher(2)
