"""Weight files from outside are hostile or broken until they have been read."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import paths
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import ARCHITECTURES, MODEL, make_batch, make_trainer

from arc_trm.checkpoint import (
    load_weights,
    read_published,
    read_tensors,
    save_config,
    save_weights,
    write_tensors,
)
from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models.trm import TRM

GOLDEN = paths.GOLDEN / "trm_learned_positions"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = from_dict(ModelConfig, MODEL)
    model = TRM(config, 3, generator=torch.Generator().manual_seed(0))
    save_config(tmp_path, config, ["<blank>", "a", "b"])
    save_weights(tmp_path, config, model.state_dict(), torch.randn(3, 32), step=5)
    return tmp_path


def test_a_weight_folder_is_read_as_written(folder: Path) -> None:
    weights = load_weights(folder)
    assert weights.rows == {"<blank>": 0, "a": 1, "b": 2}
    inputs = torch.zeros(2, 16, dtype=torch.int32)
    answers = [
        list(load_weights(folder).model.predict_steps(inputs, torch.tensor([1, 2]))) for _ in "ab"
    ]
    assert len(answers[0]) == 3
    for (logits, halt), (again, _) in zip(*answers, strict=True):
        assert logits.shape == (2, 16, 12) and halt.shape == (2,)
        assert logits.dtype == halt.dtype == torch.float32
        assert torch.equal(logits, again)


def test_without_a_table_the_blank_row_is_there(folder: Path) -> None:
    (folder / "puzzle_embedding.safetensors").unlink()
    with pytest.raises(UserError, match=r"has puzzles.json but no puzzle_embedding.safetensors"):
        load_weights(folder)
    (folder / "puzzles.json").unlink()
    assert load_weights(folder).rows == {"<blank>": 0}


def write_unmarked(folder: Path) -> None:
    """Write the network again without the config that it was saved with, as other programs do."""
    network, _ = read_tensors(folder / "model.safetensors")
    copied = {name: tensor.clone() for name, tensor in network.items()}
    (folder / "puzzle_embedding.safetensors").unlink()
    (folder / "puzzles.json").unlink()
    write_tensors(folder / "model.safetensors", copied)


def edit(folder: Path, **shape: int) -> None:
    """Change the model's shape in config.json."""
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= shape
    (folder / "config.json").write_text(json.dumps(config))


def spoil(folder: Path, how: str) -> str:
    """Break a weight folder; returns what must be told."""
    config = json.loads((folder / "config.json").read_text())
    match how:
        case "no config":
            (folder / "config.json").unlink()
            return "is not a weight folder: it has no config.json"
        case "foreign config":
            (folder / "config.json").write_text('{"model_type": "bert"}')
            return "does not say 'arc-trm weights 1'"
        case "no network":
            (folder / "model.safetensors").unlink()
            return "has no model.safetensors: if it is a run, it has saved nothing yet"
        case "other width":
            edit(folder, hidden_size=64)
            return "says model.hidden_size is 64, but model.safetensors was saved with 32"
        case "other heads":
            edit(folder, num_heads=4)
            return "says model.num_heads is 4, but model.safetensors was saved with 2"
        case "other depth":
            edit(folder, inner_cycles=6)
            return "says model.inner_cycles is 6, but model.safetensors was saved with 1"
        case "other puzzle positions":
            edit(folder, puzzle_emb_len=16)
            return "says model.puzzle_emb_len is 16, but model.safetensors was saved with 1"
        case "other vocabulary":
            edit(folder, vocab_size=11)
            write_unmarked(folder)
            return "is of shape (12, 32), but the config asks for (11, 32)"
        case "names of another build":
            (folder / "puzzles.json").write_text('["<blank>", "b", "a"]')
            return "puzzles.json does not hold the names that puzzle_embedding.safetensors was"
        case "a mark that is none":
            network, _ = read_tensors(folder / "model.safetensors")
            write_tensors(folder / "model.safetensors", network, mark='{"model": [1]}')
            return "has a mark that is no model's config"
        case "more layers":
            edit(folder, num_layers=3)
            write_unmarked(folder)
            return "lacks the tensor 'blocks.2."
        case "fewer layers":
            edit(folder, num_layers=1)
            write_unmarked(folder)
            return "has a tensor 'blocks.1."
        case "names of another set":
            (folder / "puzzles.json").write_text('["<blank>", "a"]')
            return "holds 2 names, but the table has 3 rows"
        case "a name twice":
            (folder / "puzzles.json").write_text('["<blank>", "a", "a"]')
            return "more than once"
        case "files of two steps":
            old = TRM(from_dict(ModelConfig, MODEL), 1).state_dict()
            kept = (folder / "puzzle_embedding.safetensors").read_bytes()
            save_weights(folder, from_dict(ModelConfig, MODEL), old, torch.zeros(3, 32), step=6)
            (folder / "puzzle_embedding.safetensors").write_bytes(kept)
            return "network and table are of different steps, 6 and 5"
        case "no model in config":
            (folder / "config.json").write_text('{"format": "arc-trm weights 1", "model": [1]}')
            return "has no table 'model'"
        case "a model beyond all memory":
            write_unmarked(folder)
            edit(folder, hidden_size=2**20, num_layers=1000)
            return "but the config asks for (1048576, 2796288)"
        case "infinite":
            text = json.dumps(config).replace('"expansion": 4.0', '"expansion": 1e400')
            (folder / "config.json").write_text(text)
            return "'model.expansion' must be finite"
        case "names that are none":
            (folder / "puzzles.json").write_text('["<blank>", ["a"], 3]')
            return "is not a list of names"
        case "not finite":
            model = TRM(from_dict(ModelConfig, MODEL), 1)
            model.token_embedding.data[0, 0] = torch.nan
            save_weights(folder, model.config, model.state_dict(), torch.zeros(3, 32), step=5)
            return "'token_embedding' holds something else than finite numbers"
        case "a table of integers":
            state = TRM(from_dict(ModelConfig, MODEL), 1).state_dict()
            save_weights(
                folder,
                from_dict(ModelConfig, MODEL),
                state,
                torch.zeros(3, 32, dtype=torch.int32),
                step=5,
            )
            return "holds torch.int32, not floating-point numbers"
        case "a table without rows":
            state = TRM(from_dict(ModelConfig, MODEL), 1).state_dict()
            save_weights(folder, from_dict(ModelConfig, MODEL), state, torch.tensor(1.0), step=5)
            return "is of shape ()"
        case "cut":
            data = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(data[:-1])
            return "is not a whole safetensors file"
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        *("no config", "foreign config", "no network", "other width", "more layers"),
        *("other heads", "other depth", "other puzzle positions", "other vocabulary"),
        *("a mark that is none", "names of another build"),
        *("no model in config", "a model beyond all memory", "infinite", "names that are none"),
        *("not finite", "a table of integers", "a table without rows"),
        *("fewer layers", "names of another set", "a name twice", "files of two steps", "cut"),
    ],
)
def test_a_spoilt_folder_is_told(folder: Path, how: str) -> None:
    expected = spoil(folder, how)
    with pytest.raises(UserError) as error:
        load_weights(folder)
    assert expected in str(error.value)


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
def test_published_files_of_every_spelling(tmp_path: Path, prefix: str) -> None:
    state = torch.load(GOLDEN / "step_0", weights_only=True)
    renamed = {prefix + name.removeprefix("_orig_mod.model.inner."): t for name, t in state.items()}
    torch.save(renamed, tmp_path / "step_9")
    shutil.copy(GOLDEN / "all_config.yaml", tmp_path)
    model, expected = read_published(tmp_path / "step_9"), read_published(GOLDEN / "step_0")
    assert model.config == expected.config
    assert all(torch.equal(t, expected.state_dict()[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("L_layers", 4, "L_layers is 1 in the weights, but 4 in the settings"),
        ("hidden_size", 64, "hidden_size is 32 in the weights, but 64"),
        ("puzzle_emb_ndim", 32, "puzzle_emb_ndim is 48 in the weights, but 32"),
        ("num_heads", 5, "must be a multiple of model.num_heads"),
        ("H_cycles", "many", "got 'many'"),
        ("pos_encodings", "alibi", "pos_encodings is 'learned' in the weights, but 'alibi' in"),
        ("pos_encodings", ["rope"], "pos_encodings is 'learned' in the weights, but a list in"),
        ("puzzle_emb_len", "3", "puzzle_emb_len must be a whole number"),
        ("expansion", float("inf"), "must be finite"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, setting: str, value: object, told: str) -> None:
    settings_ = yaml.safe_load((GOLDEN / "all_config.yaml").read_text())
    settings_["arch"][setting] = value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings_))
    with pytest.raises(UserError) as error:
        read_published(GOLDEN / "step_0", tmp_path / "config.yaml")
    assert told in str(error.value)


def test_shapes_may_be_a_file(tmp_path: Path) -> None:
    model = read_published(GOLDEN / "step_0", shapes=GOLDEN / "shapes.json")
    assert model.config.seq_len == 100
    (tmp_path / "shapes.json").write_text("[]")
    with pytest.raises(UserError, match="does not hold an object of shapes"):
        read_published(GOLDEN / "step_0", shapes=tmp_path / "shapes.json")


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="num_puzzle_identifiers is 10 in the weights, but 11"):
        read_published(GOLDEN / "step_0", shapes={"num_puzzle_identifiers": 11})


@pytest.mark.parametrize(
    "text", ["[", "a: 1", "- 1", "arch: 3", "!!python/object/apply:os.getcwd []"]
)
def test_a_bad_settings_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml is not the settings file"):
        read_published(GOLDEN / "step_0", tmp_path / "c.yaml")


def test_layers_of_strange_numbers_are_told(tmp_path: Path) -> None:
    state = torch.load(GOLDEN / "step_0", weights_only=True)
    for number in ("x", "99999999999"):
        more = {f"_orig_mod.model.inner.L_level.layers.{number}.a": torch.zeros(1)}
        torch.save({**state, **more}, tmp_path / "step_1")
        with pytest.raises(UserError, match="L_layers is 2 in the weights, but 1"):
            read_published(tmp_path / "step_1", GOLDEN / "all_config.yaml", {})


def test_learned_positions_need_their_length() -> None:
    config = replace(from_dict(ModelConfig, MODEL), pos_encoding="learned")
    assert TRM(config, 1).position_embedding.shape == (17, 32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_answers_as_before_to_the_last_bit(architecture: str, tmp_path: Path) -> None:
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
        save_config(tmp_path / name, model.config, list(weights.rows))
        save_weights(tmp_path / name, model.config, model.state_dict(), model.puzzle_embedding, 5)
    for file in ("model.safetensors", "puzzle_embedding.safetensors"):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("one", "other"))
        assert one == other


def test_the_table_stays_in_memory_when_the_model_goes_to_a_device(folder: Path) -> None:
    """Of a million rows a batch needs few; PyTorch's `meta` device stands for any other."""
    weights = load_weights(folder, "meta")
    assert weights.model.y_init.device.type == "meta"
    assert weights.model.puzzle_embedding.device.type == "cpu"
    assert torch.equal(weights.model.puzzle_embedding, load_weights(folder).model.puzzle_embedding)
