"""Weights folders and published files: read as written, and broken or hostile ones refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import paths
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from tiny import ARCHITECTURES, MODEL, make_batch, make_trainer, run_config

from arc_trm.checkpoint import (
    CONFIG_FILE,
    EMBEDDING_FILE,
    NETWORK_FILE,
    PUZZLE_IDS_FILE,
    TrainingFacts,
    WeightsDir,
    load_weights,
    read_published,
    read_tensors,
    save_config,
    save_weights,
    write_tensors,
)
from arc_trm.config import AdaptConfig, ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.io import WriteError
from arc_trm.models import build_model
from arc_trm.models.trm import TRM
from arc_trm.runs import write_run_config

GOLDEN = paths.GOLDEN / "trm_learned_positions"
Mutation = Callable[[Path], object]
"""Breaks a weights folder."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weights folder of step 5 that knows the puzzles a and b."""
    model = build_model(
        from_dict(ModelConfig, MODEL), 3, generator=torch.Generator().manual_seed(0)
    )
    save_config(tmp_path, model.config, ["<blank>", "a", "b"])
    save_weights(tmp_path, model.config, model.state_dict(), torch.randn(3, 32), step=5)
    return tmp_path


def test_a_weights_folder_is_read_as_written(folder: Path) -> None:
    weights = load_weights(folder)
    assert weights.puzzle_ids == {"<blank>": 0, "a": 1, "b": 2}
    inputs = torch.zeros(2, 16, dtype=torch.int32)
    answers = [
        list(load_weights(folder).model.predict_steps(inputs, torch.tensor([1, 2]))) for _ in "ab"
    ]
    assert len(answers[0]) == 3
    for (logits, halt), (again, _) in zip(*answers, strict=True):
        assert logits.shape == (2, 16, 12) and halt.shape == (2,)
        assert logits.dtype == halt.dtype == torch.float32
        assert torch.equal(logits, again)


def test_a_network_alone_has_the_blank_puzzle(folder: Path) -> None:
    remove(EMBEDDING_FILE, PUZZLE_IDS_FILE)(folder)
    weights = load_weights(folder)
    assert weights.puzzle_ids == {"<blank>": 0} and not weights.has_puzzle_embedding


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
    return config


def edit_config(**model: object) -> Mutation:
    """Change the model in config.json."""

    def mutate(folder: Path) -> None:
        config = read_config(folder)
        config["model"] |= model
        (folder / CONFIG_FILE).write_text(json.dumps(config))

    return mutate


def edit_config_of_foreign_network(**model: object) -> Mutation:
    """Change config.json beside a network that another program saved, without metadata."""

    def mutate(folder: Path) -> None:
        network, _ = read_tensors(folder / NETWORK_FILE)
        copied = {name: tensor.clone() for name, tensor in network.items()}
        remove(EMBEDDING_FILE, PUZZLE_IDS_FILE)(folder)
        write_tensors(folder / NETWORK_FILE, copied)
        edit_config(**model)(folder)

    return mutate


def remove(*names: str) -> Mutation:
    def mutate(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return mutate


def write(name: str, text: str) -> Mutation:
    return lambda folder: (folder / name).write_text(text)


def link_to_itself(name: str) -> Mutation:
    def mutate(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(name)

    return mutate


def write_infinite_expansion(folder: Path) -> None:
    text = json.dumps(read_config(folder))
    (folder / CONFIG_FILE).write_text(text.replace('"expansion": 4.0', '"expansion": 1e400'))


def write_metadata(text: str) -> Mutation:
    """Write the network again with other metadata."""

    def mutate(folder: Path) -> None:
        network, _ = read_tensors(folder / NETWORK_FILE)
        write_tensors(folder / NETWORK_FILE, network, {"arc_trm": text})

    return mutate


def save_again(folder: Path, embedding: torch.Tensor, first: float = 0.0, step: int = 5) -> None:
    """Save another network and embedding; `first` is a number of the network."""
    model = build_model(from_dict(ModelConfig, MODEL), 1)
    model.embedding.tokens.data[0, 0] = first
    save_weights(folder, model.config, model.state_dict(), embedding, step)


def mix_steps(folder: Path) -> None:
    embedding = (folder / EMBEDDING_FILE).read_bytes()
    save_again(folder, torch.zeros(3, 32), step=6)
    (folder / EMBEDDING_FILE).write_bytes(embedding)


def cut_network(folder: Path) -> None:
    data = (folder / NETWORK_FILE).read_bytes()
    (folder / NETWORK_FILE).write_bytes(data[:-1])


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (remove(CONFIG_FILE), "is not a weights folder: it has no config.json"),
        (write(CONFIG_FILE, '{"model_type": "bert"}'), "does not say 'arc-trm weights 3'"),
        (
            write(CONFIG_FILE, '{"format": "arc-trm weights 3", "model": [1]}'),
            "has no table 'model'",
        ),
        (
            write(CONFIG_FILE, '{"format": "arc-trm weights 1", "model": {"heads": 8}}'),
            "does not say 'arc-trm weights 3': it is from another version of arc-trm, which can",
        ),
        (link_to_itself(CONFIG_FILE), "is not a weights folder: it has no config.json"),
        (link_to_itself(NETWORK_FILE), "has no model.safetensors"),
        (link_to_itself(EMBEDDING_FILE), "but no puzzle_embedding.safetensors"),
        (link_to_itself(PUZZLE_IDS_FILE), "puzzle_ids.json cannot be read (Too many levels of"),
        (write_infinite_expansion, "config.json: holds 1e400, expected numbers up to"),
        (remove(NETWORK_FILE), "has no model.safetensors: copy it again"),
        (cut_network, "is not a whole safetensors file"),
        (
            edit_config(hidden_size=64),
            "says model.hidden_size is 64, but model.safetensors was saved with 32",
        ),
        (
            edit_config(num_heads=4),
            "says model.num_heads is 4, but model.safetensors was saved with 2",
        ),
        (
            edit_config(inner_cycles=6),
            "says model.inner_cycles is 6, but model.safetensors was saved with 1",
        ),
        (
            edit_config(puzzle_emb_len=16),
            "says model.puzzle_emb_len is 16, but model.safetensors was saved with 1",
        ),
        (
            edit_config_of_foreign_network(vocab_size=11),
            "is of shape (12, 32), but the config needs (11, 32)",
        ),
        (edit_config_of_foreign_network(num_layers=3), "lacks the tensor 'blocks.2."),
        (edit_config_of_foreign_network(num_layers=1), "has a tensor 'blocks.1."),
        (
            edit_config_of_foreign_network(hidden_size=2**15, num_layers=1000),
            "but the config needs (32768, 87552)",
        ),
        (write_metadata('{"model": [1]}'), "has metadata 'arc_trm' that are not as saved"),
        (write_metadata('{"model": {"depth": 1}}'), "has metadata 'arc_trm' that are not as saved"),
        (write_metadata("[]"), "has metadata 'arc_trm' that are not as saved"),
        (write_metadata('{"step": -1}'), "are of different steps, None and 5"),
        (remove(EMBEDDING_FILE), "has puzzle_ids.json but no puzzle_embedding.safetensors"),
        (remove(PUZZLE_IDS_FILE), "puzzle_ids.json cannot be read (No such file or directory)"),
        (write(PUZZLE_IDS_FILE, '["<blank>", "a"]'), "holds 2 names, but the puzzle embedding has"),
        (write(PUZZLE_IDS_FILE, '["<blank>", "a", "a"]'), "more than once"),
        (write(PUZZLE_IDS_FILE, '["<blank>", ["a"], 3]'), "is not a list of names"),
        (write(PUZZLE_IDS_FILE, '["<blank>", '), "is not JSON"),
        (
            write(PUZZLE_IDS_FILE, '["<blank>", "b", "a"]'),
            "puzzle_ids.json does not hold the names that puzzle_embedding.safetensors was saved",
        ),
        (mix_steps, "network and puzzle embedding are of different steps, 6 and 5"),
        (
            partial(save_again, embedding=torch.zeros(3, 32), first=torch.nan),
            "'embedding.tokens' holds something else than finite numbers",
        ),
        (
            partial(save_again, embedding=torch.zeros(3, 32, dtype=torch.int32)),
            "holds torch.int32, not floating-point numbers",
        ),
        (partial(save_again, embedding=torch.tensor(1.0)), "is of shape ()"),
    ],
)
def test_a_broken_folder_is_reported(
    folder: Path, mutate: Mutation, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arc_trm.checkpoint.weights_dir.RETRY_DELAYS_S", (0.0,))
    mutate(folder)
    with pytest.raises(UserError) as error:
        load_weights(folder)
    assert message in str(error.value)


def test_each_file_is_read_once(folder: Path) -> None:
    weights = WeightsDir(folder)
    assert weights.config.hidden_size == 32
    (folder / CONFIG_FILE).unlink()
    assert weights.parts.step == 5 and weights.parts.puzzle_names == ["<blank>", "a", "b"]
    for name in (NETWORK_FILE, EMBEDDING_FILE, PUZZLE_IDS_FILE):
        (folder / name).unlink()
    assert weights.load(tasks={"b"}).puzzle_ids == {"<blank>": 0, "b": 1}
    assert weights.load().puzzle_ids == {"<blank>": 0, "a": 1, "b": 2}


def test_a_description_says_canvas_sets_and_steps(folder: Path) -> None:
    changed = ("train.lr=0.01", "model.hidden_size=32", "dtype=float32", "data.augmentations=2")
    facts = TrainingFacts(
        ("a/train", "b (demonstrations)"), ("c.json",), "tiny", changed, seed=3, total_steps=9
    )
    save_config(folder, load_weights(folder).model.config, ["<blank>", "a", "b"], facts)
    about = WeightsDir(folder).description
    assert (about.side, about.tasks, about.puzzle_embeddings, about.step) == (4, 2, 3, 5)
    assert about.training == facts and about.puzzles == ("ARC",)
    model = load_weights(folder).model
    assert about.parameters == sum(each.numel() for each in model.parameters())
    assert about.lines() == [
        f"model:             Tiny Recursive Model, {about.parameters:,} parameters",
        "depth:             2 layers of width 32, 2 × 1 cycles, 3 supervision steps",
        "canvas:            4×4, for ARC",
        "trained on:        a/train, b (demonstrations)",
        "adapted to:        c.json",
        "steps:             5 of 9, preset tiny with train.lr=0.01, model.hidden_size=32, "
        "dtype=float32 and 1 more, seed 3",
        "puzzle embeddings: 3, of 2 tasks",
    ]
    assert about.to_dict()["trained_on"] == ("a/train", "b (demonstrations)")
    (folder / "run.json").touch()  # the facts survive a copy without it
    for name in (CONFIG_FILE, NETWORK_FILE, EMBEDDING_FILE, PUZZLE_IDS_FILE):
        (folder / "copy").mkdir(exist_ok=True)
        shutil.copy(folder / name, folder / "copy")
    assert WeightsDir(folder / "copy").description == about


def test_augmented_puzzles_are_of_one_task(folder: Path) -> None:
    weights = load_weights(folder)
    model = weights.model
    names = ["<blank>", "a", "a|||t1|||0123456789"]
    save_config(folder, model.config, names)
    save_weights(folder, model.config, model.state_dict(), model.puzzle_embedding, 5)
    about = WeightsDir(folder).description
    assert (about.tasks, about.puzzle_embeddings) == (1, 3)


def test_what_is_unknown_is_said_to_be(folder: Path) -> None:
    config = read_config(folder)
    del config["training"]  # as another program writes it
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    remove(EMBEDDING_FILE, PUZZLE_IDS_FILE)(folder)
    about = WeightsDir(folder).description
    assert about.training == TrainingFacts()
    lines = about.lines()
    assert "trained on:        unknown" in lines
    assert "puzzle embeddings: none, so that no ARC task can be predicted" in lines


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ([], "has no table 'training'"),
        ({"trained_on": "x"}, '"training.trained_on" is a list'),
        ({"trained_on": [1]}, '"training.trained_on" is of type str'),
        ({"seed": 2**70}, '"training.seed" is at most'),
    ],
)
def test_a_broken_description_is_reported(folder: Path, training: object, message: str) -> None:
    config = {**read_config(folder), "training": training}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(message)):
        _ = WeightsDir(folder).description


def test_facts_that_a_newer_version_adds_are_passed_over(folder: Path) -> None:
    config = {**read_config(folder), "training": {"seed": 3, "teacher": "x"}}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    assert WeightsDir(folder).description.training == TrainingFacts(seed=3)


def test_names_from_elsewhere_cannot_break_a_line(folder: Path) -> None:
    facts = TrainingFacts(("a\nb\x1b[2J", "x" * 5000), (), "p\nq")
    save_config(folder, load_weights(folder).model.config, ["<blank>", "a", "b"], facts)
    (folder / "origin.json").write_text(json.dumps({"repository": "\x1b[2J", "file": 3}))
    about = WeightsDir(folder).description
    assert all(line.isprintable() and len(line) < 200 for line in about.lines())


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    bomb = {"weights": Bomb(tmp_path / "exploded")}
    torch.save(bomb, tmp_path / "step_1")
    (tmp_path / "step_2").write_bytes(pickle.dumps(bomb))
    for name in ("step_1", "step_2"):
        with pytest.raises(UserError, match="is not a published weight file"):
            read_published(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(0, 60_000))
def test_a_cut_file_is_refused(tmp_path: Path, length: int) -> None:
    data = (GOLDEN / "step_0").read_bytes()
    (tmp_path / "step_0").write_bytes(data[: min(length, len(data) - 1)])
    with pytest.raises(UserError, match=r"step_0"):
        read_published(tmp_path / "step_0")


@pytest.mark.parametrize("prefix", ["_orig_mod.model.inner.", "model.inner.", "inner.", ""])
def test_published_files_with_and_without_prefixes(tmp_path: Path, prefix: str) -> None:
    state = torch.load(GOLDEN / "step_0", weights_only=True)
    renamed = {prefix + name.removeprefix("_orig_mod.model.inner."): t for name, t in state.items()}
    torch.save(renamed, tmp_path / "step_9")
    shutil.copy(GOLDEN / "all_config.yaml", tmp_path)
    model, expected = read_published(tmp_path / "step_9"), read_published(GOLDEN / "step_0")
    assert model.config == expected.config
    assert all(torch.equal(t, expected.state_dict()[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("L_layers", 4, "L_layers is 1 in the weights, but 4 in the settings"),
        ("hidden_size", 64, "hidden_size is 32 in the weights, but 64"),
        ("puzzle_emb_ndim", 32, "puzzle_emb_ndim is 48 in the weights, but 32"),
        ("num_heads", 5, "hidden_size (32) must be a multiple of num_heads (5)"),
        ("H_cycles", "many", 'got "many"'),
        ("pos_encodings", "alibi", 'pos_encodings is "learned" in the weights, but "alibi" in'),
        (
            "pos_encodings",
            ["rope"],
            "pos_encodings is a list of 1 item, expected a",
        ),
        ("puzzle_emb_len", "3", "puzzle_emb_len must be a whole number"),
        ("expansion", float("inf"), "must be finite"),
    ],
)
def test_settings_that_differ_from_the_tensors_are_reported(
    tmp_path: Path, setting: str, value: object, message: str
) -> None:
    settings_ = yaml.safe_load((GOLDEN / "all_config.yaml").read_text())
    settings_["arch"][setting] = value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings_))
    with pytest.raises(UserError) as error:
        read_published(GOLDEN / "step_0", tmp_path / "config.yaml")
    assert message in str(error.value)


def test_shapes_may_be_a_file(tmp_path: Path) -> None:
    model = read_published(GOLDEN / "step_0", shapes=GOLDEN / "shapes.json")
    assert model.config.seq_len == 100
    (tmp_path / "shapes.json").write_text("[]")
    with pytest.raises(UserError, match="does not hold an object of shapes"):
        read_published(GOLDEN / "step_0", shapes=tmp_path / "shapes.json")


def test_shapes_that_differ_from_the_tensors_are_reported() -> None:
    with pytest.raises(UserError, match="num_puzzle_identifiers is 10 in the weights, but 11"):
        read_published(GOLDEN / "step_0", shapes={"num_puzzle_identifiers": 11})


@pytest.mark.parametrize(
    "text", ["[", "a: 1", "- 1", "arch: 3", "!!python/object/apply:os.getcwd []"]
)
def test_an_invalid_settings_file_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml is not the settings file"):
        read_published(GOLDEN / "step_0", tmp_path / "c.yaml")


def test_invalid_layer_numbers_are_reported(tmp_path: Path) -> None:
    state = torch.load(GOLDEN / "step_0", weights_only=True)
    for number in ("x", "99999999999"):
        more = {f"_orig_mod.model.inner.L_level.layers.{number}.a": torch.zeros(1)}
        torch.save({**state, **more}, tmp_path / "step_1")
        with pytest.raises(UserError, match="L_layers is 2 in the weights, but 1"):
            read_published(tmp_path / "step_1", GOLDEN / "all_config.yaml", {})


def test_learned_positions_need_their_length() -> None:
    config = replace(from_dict(ModelConfig, MODEL), pos_encoding="learned")
    assert TRM(config, 1).embedding.positions.shape == (17, 32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_predicts_the_same_bits(architecture: str, tmp_path: Path) -> None:
    trainer = make_trainer(architecture=architecture)
    for step in range(3):
        trainer.step(make_batch(step))
    model, state = trainer.model, trainer.averaged_state()
    save_config(tmp_path, model.config, ["<blank>", *"abcde"])
    save_weights(tmp_path, model.config, state, model.puzzle_embedding, step=3)
    model.load_state_dict(state)
    loaded = load_weights(tmp_path)
    batch = make_batch(0)
    for each in (model, loaded.model):
        each.eval()
    before, after = (
        [
            tensor
            for step in each.predict_steps(batch["inputs"], batch["puzzle_ids"])
            for tensor in step
        ]
        for each in (model, loaded.model)
    )
    assert before
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_equal_weights_are_equal_files(folder: Path, tmp_path: Path) -> None:
    weights = load_weights(folder)
    model = weights.model
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        save_config(tmp_path / name, model.config, list(weights.puzzle_ids))
        save_weights(tmp_path / name, model.config, model.state_dict(), model.puzzle_embedding, 5)
    for file in ("model.safetensors", "puzzle_embedding.safetensors"):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("one", "other"))
        assert one == other


def test_the_puzzle_embedding_stays_on_the_cpu(folder: Path) -> None:
    """PyTorch's device `meta` stands for any other device."""
    weights = load_weights(folder, "meta")
    assert weights.model.y_init.device.type == "meta"
    assert weights.model.puzzle_embedding.device.type == "cpu"
    assert torch.equal(weights.model.puzzle_embedding, load_weights(folder).model.puzzle_embedding)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I/O error: Disc full (os error 28)", "the disk is full"),
        ("I/O error: No such file (os error 2)", "the folder .* does not exist"),
        ("I/O error: Denied (os error 13)", "permission denied in the folder"),
        ("I/O error: Stale handle (os error 116)", "Stale file handle"),
        ("without a number", "the disk reported an error"),
    ],
)
def test_every_error_of_the_file_system_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    def refuse(*_: object) -> None:
        raise SafetensorError(text)

    monkeypatch.setattr("arc_trm.checkpoint.safetensors_io.save_file", refuse)
    with pytest.raises(WriteError, match=rf"x\.safetensors: cannot be written: {reason}"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_a_table_larger_than_the_memory_is_read_by_rows(tmp_path: Path) -> None:
    """It lies in a sparse file, which takes no room on the disk."""
    rows = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2048
    place = {"dtype": "F32", "shape": [rows, 512], "data_offsets": [0, 2048 * rows]}
    header = json.dumps({"puzzle_embedding": place}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "table.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2048 * rows)
    table = read_tensors(path)[0]["puzzle_embedding"]
    assert table.shape == (rows, 512)
    assert not table[[0, rows // 2, rows - 1]].any()


def test_a_path_that_is_no_text_is_written_and_read(folder: Path) -> None:
    named = folder.with_name(os.fsdecode(b"bad\xff"))
    folder.rename(named)
    assert load_weights(named).puzzle_ids == {"<blank>": 0, "a": 1, "b": 2}
    network, embedding, _, _ = WeightsDir(named).parts
    save_weights(named, WeightsDir(named).config, network, embedding, step=6)
    assert WeightsDir(named).parts.step == 6


@pytest.mark.parametrize("name", ["F4", "F8_E4M3", "F8_E5M2", "C64", "I16"])
@pytest.mark.parametrize("file", [NETWORK_FILE, EMBEDDING_FILE])
def test_numbers_that_no_model_can_use_are_refused(folder: Path, file: str, name: str) -> None:
    content = (folder / file).read_bytes()
    changed = content.replace(b'"F32"', f'"{name}"'.encode())
    length = int.from_bytes(content[:8], "little") + len(changed) - len(content)
    (folder / file).write_bytes(length.to_bytes(8, "little") + changed[8:])
    with pytest.raises(UserError, match=f"holds numbers of the type '{name}'"):
        load_weights(folder)


@pytest.mark.parametrize("command", ["train", "adapt", None])
def test_the_advice_is_the_command_of_the_run(
    command: str | None, folder: Path, challenges: Path
) -> None:
    adapted = AdaptConfig(str(folder)) if command == "adapt" else None
    if command is not None:
        write_run_config(folder, replace(run_config(challenges), adapt=adapted))
    (folder / NETWORK_FILE).unlink()
    with pytest.raises(UserError, match=r"has no model\.safetensors") as caught:
        load_weights(folder)
    advice = f"`arc-trm {command} --resume {folder}`" if command else "copy it again"
    assert advice in str(caught.value)
