"""Batches are a function of (seed, step), sampled as the published trainer samples."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
from groups import FakeGroup
from puzzles import augment_pair, parse_puzzle_name

from arc_trm.data.dataset import TaskDataset
from arc_trm.data.sampler import IGNORE_LABEL, BatchSampler
from arc_trm.errors import UserError
from arc_trm.puzzles import PAD
from arc_trm.puzzles.arc.tokenizer import FIRST_COLOUR, decode
from arc_trm.rng import rng_for
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

SIDE = 6


def sample_tasks(count: int = 7) -> list[Task]:
    rng = np.random.default_rng(0)

    def pair() -> Pair:
        height, width = rng.integers(1, 5, size=2)
        return Pair(*(as_grid(rng.integers(10, size=(height, width))) for _ in range(2)))

    return [
        Task(f"t{n}", tuple(pair() for _ in range(1 + n % 4)), (Pair(pair().input),))
        for n in range(count)
    ]


def make_dataset(
    tasks: list[Task] | None = None, augmentations: int = 5, translate: bool = True
) -> TaskDataset:
    task_set = TaskSet.from_tasks("made", sample_tasks() if tasks is None else tasks)
    return TaskDataset(task_set, augmentations, seed=0, side=SIDE, translate=translate)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, other = BatchSampler(make_dataset(), 8, seed=3), BatchSampler(make_dataset(), 8, seed=3)
    ahead = other(20)
    in_order = [one(step) for step in range(21)]
    assert all(np.array_equal(ahead[key], in_order[20][key]) for key in ahead)
    back = other(4)
    assert all(np.array_equal(back[key], in_order[4][key]) for key in back)
    assert not np.array_equal(BatchSampler(make_dataset(), 8, seed=4)(4)["inputs"], back["inputs"])


def visits_one_by_one(groups: list[FakeGroup], size: int, seed: int) -> Iterator[list[int]]:
    """The groups of each batch, by the definition: visits wait until they fill a batch."""
    waiting = defaultdict[int, list[int]](list)
    for epoch in itertools.count():
        rng = rng_for(seed, "epoch", epoch)
        for number in rng.permutation([n for n, group in enumerate(groups) if group.num_pairs]):
            visits = waiting[groups[number].seq_len]
            visits.append(int(number))
            if sum(groups[each].num_pairs for each in visits) >= size:
                yield visits
                del waiting[groups[number].seq_len]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_batches_are_filled_in_the_order_of_the_visits(size: int) -> None:
    rng = np.random.default_rng(size)
    numbers = [(4 + int(rng.integers(3)), int(rng.integers(6))) for _ in range(12)]
    groups = [FakeGroup(n, side**2, pairs) for n, (side, pairs) in enumerate(numbers)]
    sampler = BatchSampler(groups, size, seed=2)
    for step, visits in enumerate(itertools.islice(visits_one_by_one(groups, size, 2), 60)):
        ids = (sampler(step)["puzzle_ids"] // 2).tolist()  # a fake group has two puzzles
        of_visits = [n for n in visits for _ in range(groups[n].num_pairs)]
        assert ids == of_visits[:size] and len(ids) == size


@pytest.mark.parametrize("world", [2, 4])
def test_the_parts_of_all_processes_make_up_the_batch(world: int) -> None:
    whole = BatchSampler(make_dataset(), 8, seed=0)
    samplers = [BatchSampler(make_dataset(), 8, 0, rank, world) for rank in range(world)]
    for step in range(5):
        parts = [sampler(step) for sampler in samplers]
        for key, expected in whole(step).items():
            assert np.array_equal(np.concatenate([part[key] for part in parts]), expected)


def test_every_example_is_a_known_pair_of_its_puzzle() -> None:
    dataset = make_dataset()
    names = list(dataset.puzzle_names())
    sampler = BatchSampler(dataset, 16, seed=1)
    puzzle_ids = set()
    for step in range(30):
        for inputs, labels, puzzle_id in zip(*sampler(step).values(), strict=True):
            task_id, augmentation = parse_puzzle_name(names[puzzle_id])
            pairs = [augment_pair(augmentation, pair) for pair in dataset.tasks[task_id].train]
            shown = [
                colours_on_canvas(inputs),
                colours_on_canvas(np.where(labels == IGNORE_LABEL, PAD, labels)),
            ]
            assert any(all(map(np.array_equal, shown, pair.grids)) for pair in pairs)
            assert not (labels == PAD).any() and (labels == IGNORE_LABEL).any()
            puzzle_ids.add(int(puzzle_id))
    assert puzzle_ids == set(range(1, len(names)))


def colours_on_canvas(tokens: np.ndarray) -> np.ndarray:
    """Return the grid on a canvas, wherever it is."""
    canvas = tokens.reshape(SIDE, SIDE)
    rows, columns = np.nonzero(canvas >= FIRST_COLOUR)
    return canvas[np.ix_(np.unique(rows), np.unique(columns))] - FIRST_COLOUR


def num_training_pairs(dataset: TaskDataset) -> dict[int, int]:
    """Map the puzzle id of every task to the number of its demonstrations."""
    return {group.puzzle_id(0): len(group.task.train) for group in dataset}


def test_an_epoch_visits_every_task_once_and_takes_pairs_without_replacement() -> None:
    dataset = make_dataset(augmentations=0, translate=False)
    pairs = num_training_pairs(dataset)
    sampler = BatchSampler(dataset, sum(pairs.values()), seed=0)
    for step in range(3):
        assert Counter(sampler(step)["puzzle_ids"].tolist()) == pairs


def test_all_grids_are_at_the_corner_without_translation_and_one_a_visit_with_it() -> None:
    pairs = num_training_pairs(make_dataset(augmentations=0))
    total = sum(pairs.values())
    plain = BatchSampler(make_dataset(augmentations=0, translate=False), total, seed=0)(0)
    assert all(decode(tokens) is not None for tokens in plain["inputs"])
    translated = BatchSampler(make_dataset(augmentations=0), total, seed=0)(0)
    at_corner = Counter(
        int(puzzle_id)
        for tokens, puzzle_id in zip(translated["inputs"], translated["puzzle_ids"], strict=True)
        if decode(tokens) is not None
    )
    assert all(at_corner[puzzle_id] >= 1 for puzzle_id in pairs)
    assert sum(at_corner.values()) < total


def test_only_known_test_outputs_are_trained_on() -> None:
    hidden = make_dataset([task.without_solutions() for task in sample_tasks()], 3)
    (test,) = sample_tasks(1)[0].test
    known = Task("t0", sample_tasks(1)[0].train, (Pair(test.input, test.input),))
    assert BatchSampler(hidden, 4, 0).mean_pairs == np.mean([1, 2, 3, 4, 1, 2, 3])
    assert BatchSampler(make_dataset([known], 3), 4, 0).mean_pairs == 2


def test_the_numbering_does_not_depend_on_test_outputs() -> None:
    task = sample_tasks(1)[0]
    (test,) = task.test
    known = Task(task.id, task.train, (Pair(test.input, as_grid([[1, 2, 3]])),))
    names, others = (list(make_dataset([each], 6).puzzle_names()) for each in (known, task))
    assert names == others


@pytest.mark.parametrize("task_id", ["a|||b", "a|||t1|||0123456789", "<blank>"])
def test_an_id_that_reads_as_another_name_is_an_error(task_id: str) -> None:
    task = Task(task_id, sample_tasks(1)[0].train, ())
    with pytest.raises(UserError, match="cannot be trained on under this id"):
        make_dataset([task], 1)


def test_an_id_may_be_any_other_text() -> None:
    names = []
    for task_id in ("\ud800", "\n", "../x", "🙂", " "):
        task = Task(task_id, sample_tasks(1)[0].train, ())
        names += make_dataset([task], 1).puzzle_names()
        assert task_id in names
    assert len(names) == 15


def test_nothing_to_train_on_is_an_error() -> None:
    task = Task("t", (), (Pair(as_grid([[1]])),))
    with pytest.raises(ValueError, match="no pair"):
        BatchSampler(make_dataset([task], 2), 4, 0)
