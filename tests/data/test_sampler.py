"""BatchSampler are a function of (seed, step), and sample as the published trainer does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from arc_trm.data.puzzle_ids import TaskGroup, TaskPuzzles, assign_puzzle_ids, row_names
from arc_trm.data.sampler import IGNORE, BatchSampler
from arc_trm.errors import UserError
from arc_trm.puzzles.arc.kind import FIRST_COLOUR, decode, parse_puzzle_name
from arc_trm.puzzles.base import PAD
from arc_trm.tasks import Pair, Task, as_grid

SIDE = 6


def made_tasks(count: int = 7) -> list[Task]:
    rng = np.random.default_rng(0)

    def pair() -> Pair:
        height, width = rng.integers(1, 5, size=2)
        return Pair(*(as_grid(rng.integers(10, size=(height, width))) for _ in range(2)))

    return [
        Task(f"t{n}", tuple(pair() for _ in range(1 + n % 4)), (Pair(pair().input),))
        for n in range(count)
    ]


def made(augmentations: int = 5) -> list[TaskPuzzles]:
    return assign_puzzle_ids(made_tasks(), augmentations, seed=0)


def groups(puzzles: list[TaskPuzzles], shift: bool = True) -> list[TaskGroup]:
    return [TaskGroup(each, SIDE, shift) for each in puzzles]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, other = BatchSampler(groups(made()), 8, seed=3), BatchSampler(groups(made()), 8, seed=3)
    ahead = other(20)
    in_order = [one(step) for step in range(21)]
    assert all(np.array_equal(ahead[key], in_order[20][key]) for key in ahead)
    back = other(4)
    assert all(np.array_equal(back[key], in_order[4][key]) for key in back)
    assert not np.array_equal(BatchSampler(groups(made()), 8, seed=4)(4)["inputs"], back["inputs"])


@pytest.mark.parametrize("world", [2, 4])
def test_shares_make_up_the_batch(world: int) -> None:
    whole = BatchSampler(groups(made()), 8, seed=0)
    shares = [BatchSampler(groups(made()), 8, seed=0, share=(rank, world)) for rank in range(world)]
    for step in range(5):
        parts = [share(step) for share in shares]
        for key, expected in whole(step).items():
            assert np.array_equal(np.concatenate([part[key] for part in parts]), expected)


def test_every_example_is_a_known_pair_of_its_puzzle() -> None:
    puzzles = made()
    names = list(row_names(puzzles))
    tasks = {p.task.id: p.task for p in puzzles}
    batches = BatchSampler(groups(puzzles), 16, seed=1)
    rows = set()
    for step in range(30):
        batch = batches(step)
        for inputs, labels, row in zip(*batch.values(), strict=True):
            task_id, augmentation = parse_puzzle_name(names[row])
            pairs = [augmentation.apply_pair(pair) for pair in tasks[task_id].train]
            cells = [np.where(t < FIRST_COLOUR, PAD, t) for t in (inputs, np.maximum(labels, 0))]
            shown = [
                canvas.reshape(SIDE, SIDE)[np.ix_(*map(np.unique, np.nonzero(box)))]
                for canvas in cells
                for box in [canvas.reshape(SIDE, SIDE)]
            ]
            assert any(
                all(
                    np.array_equal(s - FIRST_COLOUR, g) for s, g in zip(shown, p.grids, strict=True)
                )
                for p in pairs
            )
            assert not (labels == PAD).any() and (labels == IGNORE).any()
            rows.add(int(row))
    assert rows == set(range(1, len(names)))


def test_an_epoch_visits_every_task_once_and_takes_pairs_without_replacement() -> None:
    puzzles = made(0)
    pairs = sum(len(p.task.train) for p in puzzles)
    batches = BatchSampler(groups(puzzles, shift=False), pairs, seed=0)
    for step in range(3):
        rows = Counter(batches(step)["puzzle_ids"].tolist())
        assert rows == {p.first_row: len(p.task.train) for p in puzzles}


def test_without_shift_every_grid_is_at_the_corner_and_with_it_one_a_visit() -> None:
    puzzles = made(0)
    pairs = sum(len(p.task.train) for p in puzzles)
    plain = BatchSampler(groups(puzzles, shift=False), pairs, seed=0)(0)
    assert all(decode(tokens) is not None for tokens in plain["inputs"])
    shifted = BatchSampler(groups(puzzles), pairs, seed=0)(0)
    at_corner = Counter(
        int(row)
        for tokens, row in zip(shifted["inputs"], shifted["puzzle_ids"], strict=True)
        if decode(tokens) is not None
    )
    assert all(at_corner[p.first_row] >= 1 for p in puzzles)
    assert sum(at_corner.values()) < pairs


def test_test_outputs_are_not_learnt_unless_known() -> None:
    hidden = assign_puzzle_ids([t.without_solutions() for t in made_tasks()], 3, 0)
    (test,) = made_tasks(1)[0].test
    known = Task("t0", made_tasks(1)[0].train, (Pair(test.input, test.input),))
    assert BatchSampler(groups(hidden), 4, 0).mean_pairs == np.mean([1, 2, 3, 4, 1, 2, 3])
    assert BatchSampler(groups(assign_puzzle_ids([known], 3, 0)), 4, 0).mean_pairs == 2


def test_the_numbering_does_not_depend_on_test_outputs() -> None:
    task = made_tasks(1)[0]
    (test,) = task.test
    known = Task(task.id, task.train, (Pair(test.input, as_grid([[1, 2, 3]])),))
    assert [*row_names(assign_puzzle_ids([known], 6, 0))] == [
        *row_names(assign_puzzle_ids([task], 6, 0))
    ]


@pytest.mark.parametrize("task_id", ["a|||b", "a|||t1|||0123456789", "<blank>"])
def test_an_id_that_reads_as_another_name_is_refused(task_id: str) -> None:
    task = Task(task_id, made_tasks(1)[0].train, ())
    with pytest.raises(UserError, match="cannot be learnt under this id"):
        assign_puzzle_ids([task], 1, 0)


def test_an_id_may_be_any_other_text() -> None:
    names = []
    for task_id in ("\ud800", "\n", "../x", "🙂", " "):
        names += row_names(assign_puzzle_ids([Task(task_id, made_tasks(1)[0].train, ())], 1, 0))
    assert len(names) == 15


def test_nothing_to_learn_from_is_an_error() -> None:
    task = Task("t", (), (Pair(as_grid([[1]])),))
    with pytest.raises(ValueError, match="no pair"):
        BatchSampler(groups(assign_puzzle_ids([task], 2, 0)), 4, 0)
