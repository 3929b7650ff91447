"""Bucketed canvases: which one fits a task, unbiased batches, positions, nothing cut off."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_cli
from groups import FakeGroup
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import GOLDEN
from tiny import MODEL, run_config

from arc_trm.checkpoint import Weights, load_weights
from arc_trm.config import ModelConfig, TrainConfig, from_dict, load_config
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.loader import load_tasks
from arc_trm.data.sampler import IGNORE_LABEL, BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.inference import predict_tasks
from arc_trm.inference.engine import predict_batch
from arc_trm.inference.queries import Query, build_queries, max_batch_size
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.embedding import canvas_position_ids
from arc_trm.puzzles.arc.augmentation import ArcAugmentation
from arc_trm.puzzles.arc.canvas import CANVAS_SIDES, canvas_side
from arc_trm.puzzles.arc.tokenizer import EOS, encode_pair
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from arc_trm.training import Trainer, train_run

CPU = torch.device("cpu")
SHAPE = {**MODEL, "seq_len": 225}
BUCKETED = {**SHAPE, "canvas": "bucketed"}


def grid(height: int, width: int, colour: int = 1):
    return as_grid(np.full((height, width), colour, np.uint8))


def make_task(name: str, *shapes: tuple[int, int], test: tuple[int, int] = (1, 1)) -> Task:
    """A task whose demonstrations have these shapes, with one test input."""
    pairs = tuple(Pair(grid(*shape), grid(*shape, 2)) for shape in shapes)
    return Task(name, pairs, (Pair(grid(*test)),))


sizes = st.integers(1, 30)


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4), st.tuples(sizes, sizes))
def test_a_canvas_holds_all_grids_and_the_line_that_ends_them(shapes, test) -> None:
    task = make_task("t", *shapes, test=test)
    side = canvas_side(task)
    largest = max(max(shape) for shape in (*shapes, test))
    assert side in (*CANVAS_SIDES, 30)
    assert largest < side or side == 30
    smaller = [each for each in CANVAS_SIDES if each < side]
    assert not smaller or smaller[-1] <= largest
    for pair in task.train:
        for dihedral in range(8):
            augmentation = ArcAugmentation(dihedral)
            augmented = Pair(augmentation.apply(pair.input), augmentation.apply(pair.output))
            tokens = encode_pair(augmented, side)[0].reshape(side, side)
            height, width = augmented.input.shape
            assert height == side or (tokens[height, :width] == EOS).all()


def test_a_canvas_leaves_room_for_outputs_that_grow_as_shown() -> None:
    task = Task("t", (Pair(grid(3, 3), grid(9, 6)),), (Pair(grid(5, 5)),))
    assert canvas_side(task) == 16  # 15 rows and a line
    assert canvas_side(task, 16) == 16


@pytest.mark.slow
def test_known_test_outputs_do_not_change_the_canvas_of_predictions() -> None:
    for task in list(load_tasks("arc-agi-1/evaluation"))[:60]:
        assert canvas_side(task.without_solutions()) <= canvas_side(task)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(0, 5))
@pytest.mark.slow
def test_batches_have_one_canvas_and_visit_all_groups_equally_often(size: int, seed: int) -> None:
    groups = [FakeGroup(number, (4, 9, 16)[number % 3], num_pairs=1) for number in range(6)]
    sampler = BatchSampler(groups, size, seed)
    visits: Counter[int] = Counter(dict.fromkeys(range(6), 0))
    for step in range(120):
        batch = sampler(step)
        visited = [puzzle_id // 2 for puzzle_id in batch["puzzle_ids"].tolist()]
        assert batch["inputs"].shape == (size, groups[visited[0]].seq_len)
        assert {groups[number].seq_len for number in visited} == {batch["inputs"].shape[1]}
        visits.update(visited)
    for number in range(3):  # two groups for each canvas
        assert abs(visits[number] - visits[number + 3]) <= 1
    # At most `size` - 1 visits of a canvas, of its two groups, wait for a full batch.
    assert max(visits.values()) - min(visits.values()) <= 1 + math.ceil((size - 1) / 2)


def test_batches_are_the_same_on_every_rank_and_from_any_step() -> None:
    tasks = [make_task(f"t{n}", *[(2 + 3 * (n % 4), 3)] * (1 + n % 3)) for n in range(6)]
    dataset = TaskDataset(TaskSet.from_tasks("t", tasks), 3, 0, 15, bucketed=True)
    whole = [BatchSampler(dataset, 4, 0)(step) for step in range(12)]
    assert len({batch["inputs"].shape for batch in whole}) > 1
    halves = [BatchSampler(dataset, 4, 0, rank, world_size=2) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        parts = [half(step) for half in halves]
        for name, array in batch.items():
            assert np.array_equal(array, np.concatenate([part[name] for part in parts]))
    other = BatchSampler(dataset, 4, 0)
    assert all(np.array_equal(other(step)["inputs"], whole[step]["inputs"]) for step in (11, 3, 7))


def make_model(**changes: object) -> PuzzleModel:
    config = from_dict(ModelConfig, {**SHAPE, **changes})
    return build_model(config, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pos_encoding", ["rope", "learned"])
def test_cells_keep_the_positions_of_the_full_canvas(pos_encoding: str) -> None:
    model = make_model(pos_encoding=pos_encoding)
    side, full = 6, 15
    position_ids = canvas_position_ids(model.config, 1 + side * side, CPU)
    assert position_ids is not None and position_ids[0] == 0
    expected = [1 + row * full + column for row in range(side) for column in range(side)]
    assert position_ids[1:].tolist() == expected
    if pos_encoding == "learned":
        tokens = torch.arange(36)[None] % 12
        small = model.embed(tokens, torch.zeros(1, 32))
        canvas = torch.zeros(1, full, full, dtype=torch.long)
        canvas[:, :side, :side] = tokens.view(1, side, side)
        whole = model.embed(canvas.view(1, -1), torch.zeros(1, 32))
        assert torch.equal(small, whole[:, position_ids])
    assert canvas_position_ids(model.config, 1 + full * full, CPU) is None


@pytest.mark.parametrize("cells", [0, 7, 256])
def test_other_numbers_of_cells_are_no_canvas(cells: int) -> None:
    with pytest.raises(ValueError, match=f"{cells} cells are neither the canvas of 225 nor"):
        next(make_model().predict_steps(torch.zeros(1, cells).int(), torch.tensor([0])))


def test_a_mixer_has_one_canvas() -> None:
    with pytest.raises(UserError, match='canvas = "bucketed" needs model'):
        load_config(overrides=["model.mixer=mlp", "model.canvas=bucketed"])


def make_batch(step: int, cells: int, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(0, 12, (size, cells), generator=generator)
    labels[:, cells // 2 :] = IGNORE_LABEL
    return {
        "inputs": torch.randint(0, 12, (size, cells), generator=generator),
        "labels": labels,
        "puzzle_ids": torch.randint(0, 4, (size,), generator=generator),
    }


def make_trainer(micro_batch_size: int | None = None) -> Trainer:
    config = TrainConfig(global_batch_size=4, lr=1e-3, warmup_steps=2)
    generator = torch.Generator().manual_seed(0)
    return Trainer(make_model(), config, generator, micro_batch_size)


CELLS = (225, 36, 36, 225, 121, 36, 225, 121)


@pytest.mark.slow
def test_state_holds_the_carry_of_every_canvas() -> None:
    straight, killed, resumed = make_trainer(), make_trainer(), make_trainer()
    expected = [dict(straight.step(make_batch(n, cells))) for n, cells in enumerate(CELLS)]
    got = [dict(killed.step(make_batch(n, cells))) for n, cells in enumerate(CELLS[:5])]
    resumed.load_state_dict({name: t.clone() for name, t in killed.state_dict().items()})
    assert set(resumed.carries) == {36, 121, 225}
    got += [dict(resumed.step(make_batch(n, c))) for n, c in enumerate(CELLS[5:], 5)]
    assert got == expected
    assert torch.equal(straight.flat_params, resumed.flat_params)


@pytest.mark.slow
def test_splitting_batches_of_several_canvases_changes_rounding_only() -> None:
    whole, split = make_trainer(), make_trainer(micro_batch_size=1)
    for step, cells in enumerate(CELLS):
        expected, got = whole.step(make_batch(step, cells)), split.step(make_batch(step, cells))
        assert dict(got) == pytest.approx(dict(expected), rel=1e-5)
    assert torch.allclose(whole.flat_params, split.flat_params, atol=1e-6)


def write_tasks(folder: Path) -> Path:
    """Three tasks that fit 8×8, and two that need the full 15×15."""
    tasks = [make_task(f"s{n}", (3, 4), (2, 2)) for n in range(3)]
    tasks += [make_task(f"l{n}", (14, 4)) for n in range(2)]
    path = folder / "mixed_challenges.json"
    path.write_text(json.dumps({each.id: each.to_json(solutions=False) for each in tasks}))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A run on bucketed canvases, and its challenges file."""
    folder = tmp_path_factory.mktemp("bucketed")
    challenges = write_tasks(folder)
    train_run(run_config(challenges, model=BUCKETED), CPU, folder / "run")
    return folder / "run", challenges


@pytest.mark.slow
def test_a_run_on_bucketed_canvases_predicts_on_them(trained) -> None:
    run, challenges = trained
    weights = load_weights(run)
    tasks = load_tasks(str(challenges))
    assert weights.model.config.canvas == "bucketed"
    queries, skipped = build_queries(weights, tasks)
    assert not skipped
    assert {(query.task_id[0], query.side) for query in queries} == {("s", 8), ("l", 15)}
    first = len(tasks)
    assert [query.order for query in queries[:first]] == [0] * first  # every task itself
    later = [query.side for query in queries[first:]]
    assert later == sorted(later)
    assert all(each.attempts for each in predict_tasks(weights, tasks, batch_size=4))


def test_a_grid_at_the_edge_of_its_canvas_is_predicted_again_on_the_full_one(
    trained, monkeypatch
) -> None:
    run, challenges = trained
    weights, tasks = load_weights(run), load_tasks(str(challenges))
    cells: list[int] = []

    def read_logits(state):
        cells.append(state.x.shape[1] - weights.model.config.puzzle_emb_len)
        side = round(cells[-1] ** 0.5)
        logits = torch.zeros(len(state), side, side, 12)
        logits[:, :12, :13, 5] = 1.0  # 12×13 of colour 3 where there is room
        return logits.flatten(1, 2)

    monkeypatch.setattr(weights.model, "read_logits", read_logits)
    queries, _ = build_queries(weights, tasks)
    small = [query for query in queries if query.side == 8]
    retry: list[Query] = []
    assert not list(predict_batch(weights, tasks, small, None, retry))
    assert [(query.puzzle, query.side) for query in retry] == [(q.puzzle, 15) for q in small]
    cells.clear()
    predictions = predict_tasks(weights, tasks)
    assert set(cells) == {64, 225}
    for prediction in predictions:
        assert sorted(prediction.candidates[0].grid.shape) == [12, 13]


@pytest.mark.slow
def test_predictions_can_be_on_another_canvas(trained, tmp_path) -> None:
    run, challenges = trained
    headers = []
    for canvas in ("full", "bucketed"):
        out = tmp_path / canvas
        out.mkdir()
        result = run_cli("predict", run, "--data", challenges, "--canvas", canvas, "--out", out)
        assert result.exit_code == 0, result.output
        headers.append((out / "predictions.jsonl").read_text().splitlines()[0])
    assert headers[0] != headers[1]  # so that a log of one is not continued with the other


def test_examples_of_a_prebuilt_folder_stay_on_the_full_canvas() -> None:
    settings = [f'data.train=["{GOLDEN / "arc" / "built"}"]', "data.test=[]"]
    settings += ["data.optional_train=[]", "model.seq_len=900", "model.canvas=bucketed"]
    training_set = build_training_set(load_config(overrides=settings))
    assert {group.seq_len for group in training_set.dataset} == {900}
    assert any("on the full canvas whatever model.canvas" in note for note in training_set.notes)


def test_a_smaller_canvas_has_larger_batches() -> None:
    model = build_model(from_dict(ModelConfig, {**BUCKETED, "seq_len": 900}), 1)
    weights = Weights(model, {"<blank>": 0})
    assert max_batch_size(weights, 26) > max_batch_size(weights, 30)
