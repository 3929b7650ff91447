"""Canvases that fit their tasks: what fits, unbiased batches, positions, nothing cut off."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import GOLDEN
from tiny import MODEL, run_config

from arc_trm.checkpoint import Weights, load_weights
from arc_trm.cli import main
from arc_trm.config import ModelConfig, from_dict, load_config
from arc_trm.data.loader import load_tasks
from arc_trm.data.puzzle_ids import TaskGroup, assign_puzzle_ids
from arc_trm.data.sampler import IGNORE, BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.inference import predict
from arc_trm.inference.predictor import Question, answers, batch_limit, questions
from arc_trm.models import PuzzleModel, build_model
from arc_trm.puzzles.arc.kind import CANVAS_SIDES, EOS, Augmentation, canvas_side, encode_pair
from arc_trm.tasks import Pair, Task, as_grid
from arc_trm.training import TrainConfig, Trainer
from arc_trm.training.loop import train

CPU = torch.device("cpu")
SHAPE = {**MODEL, "seq_len": 225}
FIT = {**SHAPE, "canvas": "bucketed"}


def grid(height: int, width: int, colour: int = 1):
    return as_grid(np.full((height, width), colour, np.uint8))


def task(name: str, *shapes: tuple[int, int], test: tuple[int, int] = (1, 1)) -> Task:
    """Demonstrations whose inputs and outputs are of these shapes, and one test input."""
    return Task(
        name, tuple(Pair(grid(*shape), grid(*shape, 2)) for shape in shapes), (Pair(grid(*test)),)
    )


sizes = st.integers(1, 30)


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4), st.tuples(sizes, sizes))
def test_a_canvas_holds_all_grids_and_the_line_that_ends_them(shapes, test) -> None:
    made = task("t", *shapes, test=test)
    side = canvas_side(made)
    largest = max(max(shape) for shape in (*shapes, test))
    assert side in (*CANVAS_SIDES, 30)
    assert largest < side or (largest == side == 30) or side == 30
    smaller = [each for each in CANVAS_SIDES if each < side]
    assert not smaller or smaller[-1] <= largest
    for pair in made.train:
        for dihedral in range(8):
            moved = Augmentation(dihedral).apply_pair(pair)
            tokens = encode_pair(moved, side)[0].reshape(side, side)
            height, width = moved.input.shape
            assert height == side or (tokens[height, :width] == EOS).all()


def test_a_canvas_leaves_room_for_outputs_that_grow_as_shown() -> None:
    grows = Task("t", (Pair(grid(3, 3), grid(9, 6)),), (Pair(grid(5, 5)),))
    assert canvas_side(grows) == 16  # 15 rows and a line
    assert canvas_side(grows, 16) == 16


def test_known_test_outputs_do_not_change_what_is_predicted_on() -> None:
    for each in list(load_tasks("arc-agi-1/evaluation"))[:60]:
        hidden = canvas_side(each.without_solutions())
        assert hidden <= canvas_side(each)


def fitted(names: int = 6) -> list[TaskGroup]:
    tasks = [task(f"t{n}", *[(2 + 3 * (n % 4), 3)] * (1 + n % 3)) for n in range(names)]
    puzzles = assign_puzzle_ids(tasks, 3, seed=0)
    return [TaskGroup(each, canvas_side(each.task, 15)) for each in puzzles]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(0, 5))
def test_batches_are_of_one_canvas_and_see_every_task_equally_often(size: int, seed: int) -> None:
    groups = fitted()
    batches = BatchSampler(groups, size, seed)
    visits: Counter[int] = Counter()
    for step in range(120):
        before = batches._epoch
        for group in batches._next_visits():
            visits[group] += 1
        assert batches._epoch >= before
        made = BatchSampler(groups, size, seed)(step) if step < 3 else None
        assert made is None or made["inputs"].shape == (size, made["inputs"].shape[1])
    waiting = Counter(group for chosen, _ in batches._waiting.values() for group in chosen)
    total = {group: visits[group] + waiting[group] for group in range(len(groups))}
    assert max(total.values()) - min(total.values()) <= 1


def test_batches_hold_the_same_on_every_rank_and_from_any_step() -> None:
    groups = fitted()
    whole = [BatchSampler(groups, 4, 0)(step) for step in range(12)]
    halves = [BatchSampler(groups, 4, 0, (rank, 2)) for rank in (0, 1)]
    assert len({batch["inputs"].shape for batch in whole}) > 1
    for step, batch in enumerate(whole):
        parts = [half(step) for half in halves]
        for name, array in batch.items():
            assert np.array_equal(array, np.concatenate([part[name] for part in parts]))
    again = BatchSampler(groups, 4, 0)
    assert all(np.array_equal(again(step)["inputs"], whole[step]["inputs"]) for step in (11, 3, 7))


def model_of(**changes: object) -> PuzzleModel:
    config = from_dict(ModelConfig, {**SHAPE, **changes})
    return build_model(config, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_cells_keep_the_positions_of_the_full_canvas(positions: str) -> None:
    model = model_of(pos_encoding=positions)
    side, full = 6, 15
    position_ids = model.position_ids(1 + side * side)
    assert position_ids is not None and position_ids[0] == 0
    expected = [1 + row * full + column for row in range(side) for column in range(side)]
    assert position_ids[1:].tolist() == expected
    if positions == "learned":
        tokens = torch.arange(36)[None] % 12
        small = model.embed(tokens, torch.zeros(1, 32))
        canvas = torch.zeros(1, full, full, dtype=torch.long)
        canvas[:, :side, :side] = tokens.view(1, side, side)
        whole = model.embed(canvas.view(1, -1), torch.zeros(1, 32))
        assert torch.equal(small, whole[:, position_ids])
    assert model.position_ids(1 + full * full) is None


@pytest.mark.parametrize("cells", [0, 7, 256])
def test_other_numbers_of_cells_are_no_canvas(cells: int) -> None:
    with pytest.raises(ValueError, match=f"{cells} cells are neither the canvas of 225 nor"):
        next(model_of().predict_steps(torch.zeros(1, cells).int(), torch.tensor([0])))


def test_a_mixer_has_one_canvas() -> None:
    with pytest.raises(UserError, match='canvas = "bucketed" needs model'):
        load_config(overrides=["model.mixer=mlp", "model.canvas=bucketed"])


def batch(step: int, cells: int, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(0, 12, (size, cells), generator=generator)
    labels[:, cells // 2 :] = IGNORE
    return {
        "inputs": torch.randint(0, 12, (size, cells), generator=generator),
        "labels": labels,
        "puzzle_ids": torch.randint(0, 4, (size,), generator=generator),
    }


def trainer_of(micro_batch: int | None = None) -> Trainer:
    config = TrainConfig(global_batch_size=4, lr=1e-3, warmup_steps=2)
    generator = torch.Generator().manual_seed(0)
    return Trainer(model_of(), config, generator, micro_batch)


CELLS = (225, 36, 36, 225, 121, 36, 225, 121)


def test_state_holds_the_slots_of_every_canvas() -> None:
    straight, killed, resumed = trainer_of(), trainer_of(), trainer_of()
    expected = [dict(straight.step(batch(n, cells))) for n, cells in enumerate(CELLS)]
    got = [dict(killed.step(batch(n, cells))) for n, cells in enumerate(CELLS[:5])]
    resumed.load_state_dict({name: t.clone() for name, t in killed.state_dict().items()})
    assert set(resumed.carries) == {36, 121, 225}
    got += [dict(resumed.step(batch(n, c))) for n, c in enumerate(CELLS[5:], 5)]
    assert got == expected
    assert torch.equal(straight.values, resumed.values)


def test_splitting_batches_of_several_canvases_changes_rounding_only() -> None:
    whole, split = trainer_of(), trainer_of(micro_batch=1)
    for step, cells in enumerate(CELLS):
        expected, got = whole.step(batch(step, cells)), split.step(batch(step, cells))
        assert dict(got) == pytest.approx(dict(expected), rel=1e-5)
    assert torch.allclose(whole.values, split.values, atol=1e-6)


def write_tasks(folder: Path) -> Path:
    """Three tasks that fit 8×8, and two that need the full 15×15."""
    tasks = [task(f"s{n}", (3, 4), (2, 2)) for n in range(3)]
    tasks += [task(f"l{n}", (14, 4)) for n in range(2)]
    path = folder / "mixed_challenges.json"
    path.write_text(json.dumps({each.id: each.to_json(solutions=False) for each in tasks}))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("fit")
    challenges = write_tasks(folder)
    train(run_config(challenges, model=FIT), CPU, folder / "run")
    return folder / "run", challenges


def test_a_run_on_fitting_canvases_predicts_on_them(trained) -> None:
    run, challenges = trained
    weights = load_weights(run)
    tasks = load_tasks(str(challenges))
    assert weights.model.config.canvas == "bucketed"
    asked, unanswerable = questions(weights, tasks)
    assert not unanswerable
    assert {(q.task[0], q.side) for q in asked} == {("s", 8), ("l", 15)}
    first = len(tasks)
    assert [q.order for q in asked[:first]] == [0] * first  # every task as it is comes first
    assert [q.side for q in asked[first:]] == sorted(q.side for q in asked[first:])
    made, _ = predict(weights, tasks, batch_size=4)
    for votes in made:
        assert votes.candidates or votes.attempts


def test_a_grid_that_reaches_the_end_of_its_canvas_is_asked_again_on_the_full_one(
    trained, monkeypatch
) -> None:
    run, challenges = trained
    weights, tasks = load_weights(run), load_tasks(str(challenges))
    seen: list[int] = []

    def predict_steps(inputs, puzzle_ids, supervision_steps=None):
        seen.append(inputs.shape[1])
        side = round(inputs.shape[1] ** 0.5)
        logits = torch.zeros(len(inputs), side, side, 12)
        logits[:, :12, :13, 5] = 1.0  # 12×13 of colour 3 where there is room
        yield logits.flatten(1, 2), torch.zeros(len(inputs))

    monkeypatch.setattr(weights.model, "predict_steps", predict_steps)
    asked, _ = questions(weights, tasks)
    small = [question for question in asked if question.side == 8]
    again: list[Question] = []
    assert not list(answers(weights, tasks, small, None, again))
    assert [(each.puzzle, each.side) for each in again] == [(each.puzzle, 15) for each in small]
    seen.clear()
    made, _ = predict(weights, tasks)
    assert set(seen) == {64, 225}
    for prediction in made:
        assert sorted(prediction.candidates[0].grid.shape) == [12, 13]


def test_the_canvas_can_be_another_at_prediction(trained, tmp_path) -> None:
    run, challenges = trained
    marks = []
    for canvas in ("full", "fit"):
        out = tmp_path / canvas
        out.mkdir()
        command = ["predict", str(run), "--data", str(challenges), "--canvas", canvas]
        result = CliRunner().invoke(main, [*command, "--out", str(out)])
        assert result.exit_code == 0, result.output
        marks.append((out / "predictions.jsonl").read_text().splitlines()[0])
    assert marks[0] != marks[1]  # so that answers of one are not taken for the other's


def test_examples_of_a_built_folder_stay_on_the_full_canvas() -> None:
    golden = GOLDEN / "arc" / "built"
    config = load_config(
        overrides=[
            f'data.train=["{golden}"]',
            "data.test=[]",
            "model.seq_len=900",
            "model.canvas=bucketed",
        ]
    )
    learnt = build_training_set(config)
    assert {group.cells for group in learnt.groups} == {900}
    assert any("model.canvas has no effect" in note for note in learnt.notes)


def test_more_questions_go_through_at_once_on_a_smaller_canvas() -> None:
    model = build_model(from_dict(ModelConfig, {**FIT, "seq_len": 900}), 1)
    weights = Weights(model, {"<blank>": 0})
    assert batch_limit(weights, 26) > batch_limit(weights, 30)
