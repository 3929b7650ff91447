"""A composed puzzle embedding from training to weights that others load."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from click.testing import Result
from paths import GOLDEN
from tiny import MODEL, TRAIN, run_config, write_weights

from arc_trm import load_tasks
from arc_trm.checkpoint import (
    WeightsDir,
    load_weights,
    read_published,
    read_tensors,
    save_config,
    save_weights,
    write_tensors,
)
from arc_trm.config import AdaptConfig, RunConfig, load_config
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.readers.prebuilt import compose_ids, open_prebuilt
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.inference import inference_notes, make_plan, predict_tasks
from arc_trm.inference.queries import MAX_COMPOSED
from arc_trm.models import build_model
from arc_trm.puzzles import KINDS, SEPARATOR, register_augmenter
from arc_trm.puzzles.base import AUGMENTERS
from arc_trm.runs import TRAINING_STATE
from arc_trm.training import Callback, Trainer, train_run
from arc_trm.training.batches import to_tensors
from arc_trm.training.evaluation import Evaluator, averaged_weights

CPU = torch.device("cpu")
COMPOSED = {**MODEL, "puzzle_embedding": "composed"}


@pytest.fixture
def config(challenges: Path) -> RunConfig:
    return run_config(challenges, model=COMPOSED)


@pytest.fixture
def trained(config: RunConfig, tmp_path: Path) -> Path:
    """A run with a composed puzzle embedding, of three tasks with two augmentations each."""
    train_run(config, CPU, tmp_path / "run")
    return tmp_path / "run"


def sentence(result: Result) -> str:
    assert result.exit_code == 2, result.stderr
    (line,) = (each for each in result.stderr.splitlines() if each.startswith("Error: "))
    return line


def test_a_run_learns_a_vector_for_each_task(trained: Path, tmp_path: Path) -> None:
    weights = load_weights(trained)
    assert list(weights.puzzle_ids) == ["<blank>", "task0", "task1", "task2"]
    assert weights.model.puzzle_embedding.shape == (4, MODEL["puzzle_emb_dim"])
    assert weights.model.puzzle_embedding[1:].any(1).all()
    assert not weights.model.puzzle_embedding[0].any()
    before = build_model(WeightsDir(trained).config, 4, generator=torch.Generator().manual_seed(0))
    composition = weights.model.composition
    assert composition is not None and before.composition is not None
    assert not torch.equal(composition.position, before.composition.position)
    (line,) = (each for each in WeightsDir(trained).description.lines() if "embeddings" in each)
    assert line.endswith("composed from the vectors of 3 tasks, for any augmentation")


def test_each_example_of_a_batch_has_its_augmentation(config: RunConfig) -> None:
    dataset = build_training_set(config).dataset
    kind = KINDS["arc"]
    for group in dataset:
        codes = [group.augmentation_code(puzzle) for puzzle in range(len(group))]
        assert len({group.puzzle_id(puzzle) for puzzle in range(len(group))}) == 1
        assert codes[0] is not None and codes[0].tolist() == [0, *range(10)]
        for code, augmentation in zip(codes[1:], group.augmentations, strict=True):
            assert np.array_equal(code, kind.augmentation_code(augmentation))


@pytest.mark.parametrize(("asked", "votes"), [(None, 3), (0, 1), (2, 3), (40, 41)])
def test_any_augmentation_can_be_asked(
    trained: Path, challenges: Path, asked: int | None, votes: int
) -> None:
    tasks, weights = load_tasks(challenges), load_weights(trained)
    plan = make_plan(weights, tasks, asked)
    assert len(plan.queries) == len({query.puzzle for query in plan.queries}) == 3 * votes
    for query in plan.queries:
        assert weights.puzzle_ids[query.task_id] == query.puzzle_id
        assert query.puzzle.partition(SEPARATOR)[0] == query.task_id
    predictions = predict_tasks(weights, tasks, augmentations=asked)
    assert [len({*each.candidates[0].puzzles}) <= votes for each in predictions] == [True] * 3
    assert inference_notes(weights, tasks, asked) == inference_notes(weights, tasks, 0)


def test_the_trained_augmentations_are_asked_first_and_then_others(
    config: RunConfig, trained: Path, challenges: Path
) -> None:
    tasks, weights = load_tasks(challenges), load_weights(trained)
    alone = make_plan(weights, tasks.select(["task1"]), 7).queries
    among = [q for q in make_plan(weights, tasks, 9).queries if q.task_id == "task1"]
    assert [query.puzzle for query in alone] == [query.puzzle for query in among[:8]]
    dataset = build_training_set(config).dataset
    trained_names = [f"task1|||{each.name}" for each in dataset[1].augmentations]
    assert [query.puzzle for query in alone][:3] == ["task1", *trained_names]
    assert len({query.puzzle for query in among}) == 10


def test_a_killed_run_resumes_to_the_last_bit(config: RunConfig, tmp_path: Path) -> None:
    class Stop(Callback):
        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            if done == 5:
                raise InterruptedError

    config = replace(config, train=replace(config.train, save_interval_s=1e-6))
    train_run(config, CPU, tmp_path / "straight")
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[Stop()])
    train_run(config, CPU, tmp_path / "killed", resume=True)
    for file in (TRAINING_STATE, "model.safetensors", "puzzle_embedding.safetensors"):
        one, other = (read_tensors(tmp_path / run / file)[0] for run in ("straight", "killed"))
        names = one.keys() - {"metrics.summed_seconds"}
        assert one.keys() == other.keys() and any("augmentations" in name for name in names) == (
            file == TRAINING_STATE
        )
        assert all(torch.equal(one[name], other[name]) for name in names)


def test_vectors_are_averaged_as_the_weights_are_and_a_table_is_not(challenges: Path) -> None:
    for model_settings, is_averaged in ((COMPOSED, True), (MODEL, False)):
        config = run_config(challenges, model=model_settings)
        training_set = build_training_set(config)
        size = len(training_set.puzzle_names) + 1
        model = build_model(config.model, size, generator=torch.Generator().manual_seed(0))
        trainer = Trainer(model, replace(config.train, ema_decay=0.5))
        sampler = BatchSampler(training_set.dataset, TRAIN["global_batch_size"], 0)
        average = vectors = model.puzzle_embedding.clone()
        for step in range(4):
            trainer.step(to_tensors(sampler(step), CPU))
            vectors = model.puzzle_embedding.clone()
            average = torch.lerp(average, vectors, 0.5) if is_averaged else vectors
            assert torch.equal(trainer.averaged_embedding, average)
        assert torch.equal(average, vectors) != is_averaged
        with averaged_weights(trainer):
            assert torch.equal(model.puzzle_embedding, average)
        assert torch.equal(model.puzzle_embedding, vectors)


def test_the_averaged_vectors_are_the_ones_that_a_run_saves(trained: Path) -> None:
    state, _ = read_tensors(trained / TRAINING_STATE)
    saved, average = load_weights(trained).model.puzzle_embedding, state["embedding_ema"]
    assert torch.equal(saved, average) and not torch.equal(saved, state["puzzle_embedding"])


def test_a_training_state_with_impossible_augmentations_is_named(
    trained: Path, cli: Callable[..., Result]
) -> None:
    state, metadata = read_tensors(trained / TRAINING_STATE)
    state["carry.16.augmentations"][0, 0] = 8
    write_tensors(trained / TRAINING_STATE, state, metadata)
    said = sentence(cli("train", "--resume", trained))
    assert "carry.16.augmentations must begin with the id of a symmetry" in said


def test_adapting_adds_a_vector_for_each_task_from_their_mean(
    config: RunConfig, tmp_path: Path
) -> None:
    pretrained = write_weights(tmp_path / "weights", "abc", puzzle_embedding="composed")
    start = replace(
        config,
        train=replace(config.train, total_steps=0),
        adapt=AdaptConfig(weights=str(pretrained)),
    )
    train_run(start, CPU, tmp_path / "adapted")
    before, after = load_weights(pretrained), load_weights(tmp_path / "adapted")
    assert list(after.puzzle_ids) == ["<blank>", "task0", "task1", "task2"]
    mean = before.model.puzzle_embedding[1:].double().mean(0).float()
    vectors = after.model.puzzle_embedding
    torch.testing.assert_close(vectors[1:], mean.expand(3, -1))
    assert torch.equal(vectors[0], before.model.puzzle_embedding[0])


def test_adapting_trains_the_vectors_first_and_then_all(config: RunConfig, tmp_path: Path) -> None:
    pretrained = write_weights(tmp_path / "weights", "abc", puzzle_embedding="composed")
    train = replace(config.train, total_steps=4, embedding_only_fraction=1.0)
    config = replace(config, train=train, adapt=AdaptConfig(weights=str(pretrained)))
    train_run(config, CPU, tmp_path / "adapted")
    before, after = load_weights(pretrained), load_weights(tmp_path / "adapted")
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(tensor, after.model.state_dict()[name])
    rows = after.model.puzzle_embedding[1:]
    assert not torch.equal(rows[0], rows[1]) and not torch.equal(rows[1], rows[2])


@pytest.mark.parametrize("choice", ["zero", "mean", "shuffled"])
def test_the_vectors_can_be_replaced_to_see_what_they_contribute(
    trained: Path, tmp_path: Path, choice: str, cli: Callable[..., Result]
) -> None:
    options = ("--augmentations", 3, "--out", tmp_path / "out", "--puzzle-embedding", choice)
    result = cli("predict", trained, *options)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out" / "submission.json").exists()


def test_a_published_folder_is_trained_on_by_task_and_augmentation(
    trained: Path, tmp_path: Path
) -> None:
    folder = GOLDEN / "arc" / "built"
    built = open_prebuilt(folder)
    config = run_config(
        folder,
        model={**COMPOSED, "seq_len": built.seq_len},
        data={"train": [str(folder)], "test": []},
        train={**TRAIN, "total_steps": 2},
    )
    training_set = build_training_set(config)
    tasks = list(dict.fromkeys(name.partition(SEPARATOR)[0] for name in built.names))
    assert list(training_set.puzzle_names) == tasks
    kind = KINDS["arc"]
    for group, original in zip(training_set.dataset, built, strict=True):
        assert len(group) == len(original) and group.num_pairs == original.num_pairs
        for puzzle in range(len(group)):
            task_id, _, name = built.names[original.puzzle_id(puzzle)].partition(SEPARATOR)
            assert tasks[group.puzzle_id(puzzle)] == task_id
            expected = kind.augmentation_code(kind.parse_augmentation(name))
            assert np.array_equal(group.augmentation_code(puzzle), expected)
    train_run(config, CPU, tmp_path / "built")


def test_a_table_for_published_code_predicts_the_same(
    challenges: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    trained = tmp_path / "run"
    train_run(run_config(challenges, model={**COMPOSED, "colour_roles": False}), CPU, trained)
    tasks, composed = load_tasks(challenges), load_weights(trained)
    queries = make_plan(composed, tasks, 5).queries
    names = [
        "<blank>",
        *(query.puzzle for task in tasks for query in queries if query.task_id == task.id),
    ]
    (tmp_path / "ids.json").write_text(json.dumps(names))
    result = cli(
        *("convert", trained, tmp_path / "published", "--to-published"),
        *("--identifiers", tmp_path / "ids.json"),
    )
    assert result.exit_code == 0, result.stderr
    assert f"the table has {len(names)} rows of 32 numbers" in result.stderr
    assert read_published(tmp_path / "published" / "step_12").puzzle_embedding.shape == (
        len(names),
        32,
    )
    back = cli(
        *("convert", tmp_path / "published" / "step_12", tmp_path / "back"),
        *("--identifiers", tmp_path / "ids.json"),
    )
    assert back.exit_code == 0, back.stderr
    table = load_weights(tmp_path / "back")
    assert table.model.composition is None
    for one, other in zip(
        predict_tasks(composed, tasks, augmentations=5),
        predict_tasks(table, tasks),
        strict=True,
    ):
        assert [each.puzzles for each in one.candidates] == [
            each.puzzles for each in other.candidates
        ]
        for candidate, same in zip(one.candidates, other.candidates, strict=True):
            assert np.array_equal(candidate.grid, same.grid)
            assert candidate.halt_prob == pytest.approx(same.halt_prob, abs=1e-6)


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(
    tmp_path: Path,
    challenges: Path,
    cli: Callable[..., Result],
    torchrun: Callable[..., CompletedProcess[str]],
) -> None:
    settings = [f"model.{key}={value}" for key, value in COMPOSED.items()]
    settings += [f"train.{key}={value}" for key, value in TRAIN.items()]
    settings += [f'data.test=["{challenges}"]', "data.augmentations=5", "dtype=float32"]
    options = ["--device", "cpu", *(f"--set={setting}" for setting in settings)]
    result = cli("train", *options, "--out", tmp_path / "alone")
    assert result.exit_code == 0, result.stderr
    done = torchrun("-m", "arc_trm", "train", *options, "--out", tmp_path / "together")
    assert done.returncode == 0, done.stderr
    alone, together = (load_weights(tmp_path / name).model for name in ("alone", "together"))
    torch.testing.assert_close(
        together.puzzle_embedding, alone.puzzle_embedding, rtol=1e-3, atol=1e-5
    )


def test_a_folder_of_the_published_size_has_less_than_30_mb(tmp_path: Path) -> None:
    config = replace(load_config("arc-agi-1").model, puzzle_embedding="composed")
    names = ["<blank>", *(f"{number:08x}" for number in range(960))]
    model = build_model(config, len(names))
    save_config(tmp_path, config, names)
    save_weights(tmp_path, config, model.state_dict(), model.puzzle_embedding, 1)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 30e6


def test_a_copied_folder_knows_how_many_augmentations_were_trained(
    trained: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    written = tmp_path / "copy"
    written.mkdir()
    WeightsDir(trained).write(written)
    assert load_weights(written).trained_augmentations == (2, 0)
    data = tmp_path / "tiny_challenges.json"
    result = cli("predict", written, "--data", data, "--augmentations", 9, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.stderr


def test_mistakes_are_one_sentence_each(
    trained: Path, challenges: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    out = ("--out", tmp_path / "out")
    table = write_weights(tmp_path / "table", "abc")
    plain = write_weights(
        tmp_path / "plain", "abc", puzzle_embedding="composed", colour_roles=False
    )
    composed = "--set=model.puzzle_embedding=composed"
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(["<blank>", "other"]))
    to_published = ("--to-published", "--identifiers", ids)
    for arguments, reason in (
        (
            ("train", "--preset", "sudoku-quick-published", composed, *out),
            "is for ARC, whose tasks have",
        ),
        (("train", composed, "--set=model.puzzle_emb_dim=31", *out), "at least 32, got 31"),
        (("train", "--set=model.puzzle_embedding=sum", *out), "composed"),
        (("train", "--set=data.vote_augmentations=5", *out), "without a composed puzzle embedding"),
        (("adapt", table, "--data", challenges, composed, *out), "model.puzzle_embedding"),
        (
            ("adapt", trained, "--data", challenges, "--set=model.puzzle_embedding=table", *out),
            "model.puzzle_embedding",
        ),
        (("convert", trained, tmp_path / "out", "--to-published"), "model.colour_roles=false"),
        (("convert", trained, tmp_path / "out", *to_published), "model.colour_roles=false"),
        (
            ("convert", plain, tmp_path / "out", "--to-published"),
            "so 3,003 rows (1,000 augmentations of",
        ),
        (("convert", plain, tmp_path / "out", *to_published), 'names the task "other"'),
        (("convert", table, tmp_path / "out", *to_published), "--identifiers has no use"),
    ):
        assert reason in sentence(cli(*arguments))
        assert not (tmp_path / "out").exists()


def test_augmentations_of_ones_own_cannot_be_composed(config: RunConfig) -> None:
    tasks = build_training_set(config).dataset
    assert isinstance(tasks, TaskDataset)
    register_augmenter("mine")(object())
    try:
        with pytest.raises(UserError, match=r'but data\.augmentation is "mine": use standard'):
            replace(tasks, augmenter="mine")
    finally:
        AUGMENTERS.pop("mine")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"augmentations": -1}, "training.augmentations must be 0 to 1000000, got -1"),
        ({"augmentations": 10**9}, "training.augmentations must be 0 to 1000000"),
        ({"seed": -5}, "training.seed must be 0 to"),
    ],
)
def test_a_strangers_config_does_not_decide_how_much_is_asked(
    trained: Path, challenges: Path, changes: dict[str, int], reason: str
) -> None:
    config = json.loads((trained / "config.json").read_text())
    config["training"] |= changes
    (trained / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(reason)):
        load_weights(trained)
    config["training"] |= {"augmentations": 10**6, "seed": 0}
    (trained / "config.json").write_text(json.dumps(config))
    weights, tasks = load_weights(trained), load_tasks(challenges).select(["task1"])
    assert len(make_plan(weights, tasks, 3).queries) == 4
    assert len(make_plan(weights, tasks).queries) <= 1 + MAX_COMPOSED
    with pytest.raises(UserError, match="at most 10,000 augmentations of a composed puzzle"):
        make_plan(weights, tasks, MAX_COMPOSED + 1)


def test_evaluations_ask_as_a_prediction_does(config: RunConfig, challenges: Path) -> None:
    config = replace(config, data=replace(config.data, validation=(str(challenges),), test=()))
    training_set = build_training_set(config)
    model = build_model(config.model, len(training_set.puzzle_names))
    evaluator = Evaluator(model, training_set, config)
    assert [len(queries) for queries in evaluator._queries.values()] == [3, 3, 3]


@pytest.mark.parametrize("name", ["task0|||t9|||0123456789", "task0|||", "|||t1|||0123456789", ""])
def test_folders_and_files_with_names_of_no_puzzle_are_told_at_once(
    tmp_path: Path, cli: Callable[..., Result], name: str
) -> None:
    copied = Path(shutil.copytree(GOLDEN / "arc" / "built", tmp_path / "copied"))
    identifiers = json.loads((copied / "identifiers.json").read_text())
    identifiers[-1] = name
    (copied / "identifiers.json").write_text(json.dumps(identifiers))
    built = open_prebuilt(copied)
    with pytest.raises(UserError, match=r"names no (task|augmentation)"):
        compose_ids(built)
    plain = write_weights(
        tmp_path / "plain", ["task0"], puzzle_embedding="composed", colour_roles=False
    )
    (tmp_path / "ids.json").write_text(json.dumps(["<blank>", name]))
    options = ("--to-published", "--identifiers", tmp_path / "ids.json")
    assert "names no" in sentence(cli("convert", plain, tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_names_of_augmented_tasks_are_no_names_of_vectors(tmp_path: Path) -> None:
    names = ["a", "a|||t1|||0123456789"]
    weights = write_weights(tmp_path / "weights", names, puzzle_embedding="composed")
    with pytest.raises(UserError, match="but a composed puzzle embedding has vectors of tasks"):
        load_weights(weights)


def test_a_task_without_a_vector_is_said_to_have_no_embedding(
    tmp_path: Path, challenges: Path, cli: Callable[..., Result]
) -> None:
    weights = write_weights(tmp_path / "weights", "abc", puzzle_embedding="composed")
    result = cli("predict", weights, "--data", challenges, "--out", tmp_path / "out")
    assert "adapt" in result.stderr and "Traceback" not in result.stderr
