"""Published weight files to weight folders and back: nothing changes, nothing half-made is left."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from paths import GOLDEN
from tiny import ARCHITECTURES, MODEL, TRAIN, make_batch

from arc_trm.checkpoint import (
    convert,
    convert_back,
    load_weights,
    read_published,
    save_config,
    save_weights,
)
from arc_trm.checkpoint.published_ids import PublishedIds
from arc_trm.cli import main
from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel, build_model
from arc_trm.training import TrainConfig, Trainer

NAMES = ["trm_attention", "trm_mixer", "trm_learned_positions", "hrm"]
PREFIX = "_orig_mod.model.inner."
TABLE = PREFIX + "puzzle_emb.weights"


def state_of(name: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(GOLDEN / name / "step_0", weights_only=True)
    return state


def names_for(name: str) -> list[str]:
    return ["<blank>", *(f"task{n}" for n in range(1, len(state_of(name)[TABLE])))]


def write_published_ids(folder: Path, name: str) -> Path:
    path = folder / "identifiers.json"
    path.write_text(json.dumps(names_for(name)))
    return path


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def answers(model: PuzzleModel) -> list[torch.Tensor]:
    """All logits and halting logits of two supervision steps."""
    config = model.config
    generator = torch.Generator().manual_seed(0)
    shape = (2, config.seq_len)
    inputs = torch.randint(0, config.vocab_size, shape, generator=generator, dtype=torch.int32)
    steps = model.predict_steps(
        inputs, torch.tensor([0, len(model.puzzle_embedding) - 1]), supervision_steps=2
    )
    return [tensor for step in steps for tensor in step]


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_file_answers_as_before_to_the_last_bit(name: str, tmp_path: Path) -> None:
    cells = json.loads((GOLDEN / name / "shapes.json").read_text())["seq_len"]
    identifiers = PublishedIds(names_for(name), len(names_for(name)), "made-up")
    out = tmp_path / "weights"
    convert(GOLDEN / name / "step_0", out, settings={"seq_len": cells}, identifiers=identifiers)
    before = read_published(GOLDEN / name / "step_0", shapes=GOLDEN / name / "shapes.json")
    after = load_weights(out)
    assert after.model.config == before.config
    assert list(after.rows) == names_for(name)
    for one, other in zip(answers(before), answers(after.model), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_is_the_same_file(name: str, tmp_path: Path) -> None:
    identifiers = write_published_ids(tmp_path, name)
    source = GOLDEN / name
    there, back = tmp_path / "there", tmp_path / "back"
    code, out, errors = invoke("convert", source / "step_0", there, "--identifiers", identifiers)
    assert code == 0, errors
    rows = len(names_for(name))
    assert f"{rows} of {rows} puzzle rows" in out
    code, out, errors = invoke("convert", there, back, "--to-published")
    assert (code, out.strip()) == (0, str(back / "step_0")), errors
    expected = state_of(name)
    written = torch.load(back / "step_0", weights_only=True)
    assert written.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(written[key], tensor) and written[key].dtype == tensor.dtype
    assert (back / "identifiers.json").read_bytes() == identifiers.read_bytes()
    arch = yaml.safe_load((back / "all_config.yaml").read_text())["arch"]
    recorded = yaml.safe_load((source / "all_config.yaml").read_text())["arch"]
    differing = {key for key in recorded if arch[key] != recorded[key]}
    assert differing <= {"forward_dtype", "halt_exploration_prob"}  # not of the model's shape
    assert read_published(back / "step_0").config == read_published(source / "step_0").config


def test_without_identifiers_the_network_alone_is_converted(tmp_path: Path) -> None:
    out = tmp_path / "weights"
    code, printed, errors = invoke("convert", GOLDEN / "trm_attention" / "step_0", out, "--json")
    assert code == 0
    assert json.loads(printed) == {"folder": str(out), "rows": 40, "named_rows": 0}
    assert "the network alone was converted" in errors
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "model.safetensors", "origin.json")
    }
    assert "the network alone was converted" in (out / "origin.json").read_text()
    code, _, errors = invoke("predict", out, "--data", "arc-agi-1", "--out", tmp_path)
    assert code == 2 and "a network without puzzle rows, which can answer no task" in errors
    code, _, errors = invoke("convert", out, tmp_path / "back", "--to-published")
    assert code == 2 and "holds a network alone, but the published code loads none" in errors


def test_fewer_names_leave_the_last_rows_out(tmp_path: Path) -> None:
    identifiers = PublishedIds(["<blank>", "a", "b"], 40, "made-up", note="37 rows are left out")
    converted = convert(
        GOLDEN / "trm_attention" / "step_0", tmp_path / "w", identifiers=identifiers
    )
    assert (converted.rows, converted.named) == (40, 3)
    assert "37 rows are left out" in converted.notes
    weights = load_weights(tmp_path / "w")
    assert torch.equal(weights.model.puzzle_embedding, state_of("trm_attention")[TABLE][:3])


def test_a_table_with_the_blank_row_alone_needs_no_identifiers(tmp_path: Path) -> None:
    state = state_of("trm_attention")
    torch.save({**state, TABLE: state[TABLE][:1].clone()}, tmp_path / "step_5")
    converted = convert(tmp_path / "step_5", tmp_path / "w")
    assert (converted.rows, converted.named) == (1, 1)
    assert list(load_weights(tmp_path / "w").rows) == ["<blank>"]


def test_what_was_assumed_is_told(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "trm_mixer" / "step_0", tmp_path / "step_77")
    converted = convert(tmp_path / "step_77", tmp_path / "w")
    assert (
        "step_77: puzzle_emb_len 16, expansion 4, H_cycles 3, L_cycles 4, halt_max_steps 16 taken "
        "as published, for there is no all_config.yaml beside it" in converted.notes[0]
    )
    assert converted.notes[0] in json.loads((tmp_path / "w" / "origin.json").read_text())["notes"]
    shutil.copy(GOLDEN / "trm_mixer" / "all_config.yaml", tmp_path)
    assert not convert(tmp_path / "step_77", tmp_path / "w2").notes


def write(path: Path, **changes: Any) -> Path:
    """A published file as recorded but for some tensors; None takes one away."""
    state = {**state_of("trm_attention"), **{PREFIX + k: v for k, v in changes.items()}}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, path)
    shutil.copy(GOLDEN / "trm_attention" / "all_config.yaml", path.parent)
    return path


BAD_TENSORS = {
    "lacks the tensor 'halt_head.bias'": {"q_head.bias": None},
    "holds no TRM or HRM: there is no matrix 'puzzle_emb.weights'": {"puzzle_emb.weights": None},
    "has a tensor 'unknown' that its config does not explain": {"unknown": torch.zeros(1)},
    "puzzle_emb_ndim is 32 in the weights, but 64 in the settings": {
        "puzzle_emb.weights": torch.zeros(40, 32)
    },
    "names 40: give the identifiers.json of the set": {"puzzle_emb.weights": torch.zeros(41, 64)},
    "try --set arc1-aug10, which has so many rows": {"puzzle_emb.weights": torch.zeros(8799, 64)},
    "holds something else than finite numbers": {"H_init": torch.full((64,), torch.nan)},
    "puzzle embedding holds numbers that are not finite": {
        "puzzle_emb.weights": torch.full((40, 64), torch.inf)
    },
    "is not a plain array of numbers": {"H_init": torch.zeros(64, dtype=torch.int32)},
    "'_orig_mod.model.inner.puzzle_emb.weights' is not a plain array of numbers": {
        "puzzle_emb.weights": torch.zeros(1).expand(2**20, 64)
    },
    "is not a plain array of numbers ": {"H_init": torch.zeros(64).to_sparse()},
    "lacks the tensor 'y_blocks.0.swiglu.gate_up.weight'": {
        "H_level.layers.0.mlp.down_proj.weight": torch.zeros(64, 256)
    },
    "it is cut short, or holds more than tensors": {"H_init": slice(3)},
}


@pytest.mark.parametrize("told", BAD_TENSORS)
def test_files_that_do_not_fit_are_told_and_leave_nothing(told: str, tmp_path: Path) -> None:
    step = write(tmp_path / "step_1", **BAD_TENSORS[told])
    if "H_level" in str(BAD_TENSORS[told]):
        (tmp_path / "all_config.yaml").unlink()
    identifiers = write_published_ids(tmp_path, "trm_attention")
    before = sorted(tmp_path.iterdir())
    code, _, errors = invoke("convert", step, tmp_path / "out", "--identifiers", identifiers)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert told.strip() in errors and "step_1" in errors
    assert sorted(tmp_path.iterdir()) == before


def test_the_same_tensor_under_two_spellings_is_told(tmp_path: Path) -> None:
    state = state_of("trm_attention")
    torch.save({**state, "model.inner.H_init": state[PREFIX + "H_init"]}, tmp_path / "step_1")
    with pytest.raises(UserError, match=r"holds the tensor '_orig_mod.model.inner.H_init' twice"):
        convert(tmp_path / "step_1", tmp_path / "out")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


FOREIGN = {
    "code in a pickle": lambda path: path.write_bytes(pickle.dumps(Bomb(path.parent / "exploded"))),
    "code in a zip": lambda path: torch.save({"a": Bomb(path.parent / "exploded")}, path),
    "text": lambda path: path.write_text("not weights"),
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: torch.save([torch.zeros(1)], path),
    "cut": lambda path: path.write_bytes(
        (GOLDEN / "trm_attention" / "step_0").read_bytes()[:300_000]
    ),
    "safetensors": lambda path: path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      "),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_refused_and_not_run(kind: str, tmp_path: Path) -> None:
    FOREIGN[kind](tmp_path / "step_1")
    code, _, errors = invoke("convert", tmp_path / "step_1", tmp_path / "out")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert "step_1" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_an_hrm_with_the_settings_of_a_trm_is_told(tmp_path: Path) -> None:
    settings = GOLDEN / "trm_attention" / "all_config.yaml"
    text = settings.read_text().replace("64", "32")
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match="H_layers is 2 in the weights, but 0 in the settings"):
        convert(GOLDEN / "hrm" / "step_0", tmp_path / "out", config=tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(text.replace("H_layers: 0", "H_layers: 2"))
    with pytest.raises(UserError, match="weights are of a HRM, the settings of a TRM"):
        convert(GOLDEN / "hrm" / "step_0", tmp_path / "out", config=tmp_path / "c.yaml")


def test_an_old_pickle_without_a_zip_is_read(tmp_path: Path) -> None:
    torch.save(state_of("trm_attention"), tmp_path / "step_3", _use_new_zipfile_serialization=False)
    shutil.copy(GOLDEN / "trm_attention" / "all_config.yaml", tmp_path)
    identifiers = PublishedIds(names_for("trm_attention"), 40, "made-up")
    convert(tmp_path / "step_3", tmp_path / "out", identifiers=identifiers)
    assert len(load_weights(tmp_path / "out").rows) == 40


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work").write_text("of years")
    step = GOLDEN / "trm_attention" / "step_0"
    for out in ("mine", "mine/work"):
        code, _, errors = invoke("convert", step, tmp_path / out)
        assert code == 2 and "already exists and is not an empty folder" in errors
    assert (tmp_path / "mine" / "work").read_text() == "of years"
    (tmp_path / "empty").mkdir()
    assert invoke("convert", step, tmp_path / "empty")[0] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--identifiers", "a", "--set", "b"], "give one of them"),
        (["--to-published", "--set", "b"], "leave out the other options"),
        (["--set", "arc3"], "unknown set 'arc3'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml is not the settings file"),
        (["--identifiers", "nowhere.json"], "nowhere.json: does not exist"),
    ],
)
def test_mistakes_are_told(options: list[str], told: str, tmp_path: Path) -> None:
    step = GOLDEN / "trm_attention" / "step_0"
    code, _, errors = invoke("convert", step, tmp_path / "out", *options)
    assert (code, errors.count("\n")) == (2, 1)
    assert told in errors
    assert not list(tmp_path.iterdir())


def test_direct_prediction_has_no_published_form(tmp_path: Path) -> None:
    shape = {**MODEL, "outer_cycles": 1, "inner_cycles": 1, "supervision_steps": 1}
    config = from_dict(ModelConfig, {**shape, "architecture": "transformer"})
    (tmp_path / "w").mkdir()
    save_config(tmp_path / "w", config, ["<blank>"])
    model = build_model(config, 1)
    save_weights(tmp_path / "w", config, model.state_dict(), model.puzzle_embedding, 1)
    code, _, errors = invoke("convert", tmp_path / "w", tmp_path / "out", "--to-published")
    assert code == 2 and "no model of architecture 'transformer'" in errors
    assert not (tmp_path / "out").exists()


def test_rows_of_some_tasks_answer_as_in_the_whole_table(tmp_path: Path) -> None:
    names = [
        "<blank>",
        *(
            f"task{n // 3}" + ["", "|||t1|||0123456789", "|||t4|||0213456789"][n % 3]
            for n in range(39)
        ),
    ]
    identifiers = PublishedIds(names, 40, "made-up")
    convert(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", identifiers=identifiers)
    whole, some = load_weights(tmp_path / "w"), load_weights(tmp_path / "w", tasks={"task5", "x"})
    expected = ["<blank>", "task5", "task5|||t1|||0123456789", "task5|||t4|||0213456789"]
    assert list(some.rows) == expected
    for name, row in some.rows.items():
        table, there = whole.model.puzzle_embedding, whole.rows[name]
        assert torch.equal(some.model.puzzle_embedding[row], table[there])


def test_a_loaded_table_can_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    identifiers = PublishedIds(names_for("trm_attention"), 40, "made-up")
    convert(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", identifiers=identifiers)
    before = (tmp_path / "w" / "puzzle_embedding.safetensors").read_bytes()
    load_weights(tmp_path / "w").model.puzzle_embedding.fill_(7)
    assert (tmp_path / "w" / "puzzle_embedding.safetensors").read_bytes() == before


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    read_published(GOLDEN / "trm_attention" / "step_0")
    assert torch.equal(torch.get_rng_state(), state)


def saved(folder: Path, **shape: object) -> Path:
    """A weight folder of a model of this shape, with a table of six rows."""
    config = from_dict(ModelConfig, {**MODEL, **shape})
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    folder.mkdir()
    save_config(folder, config, ["<blank>", *"abcde"])
    save_weights(folder, config, model.state_dict(), model.puzzle_embedding, 3)
    return folder


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"seq_len": 25, "num_heads": 4, "inner_cycles": 3},
        {"architecture": "hrm", "num_layers": 1},
        {"architecture": "hrm", "num_layers": 1, "num_high_level_layers": 3},
        {"pos_encoding": "learned"},
        {"pos_encoding": "none"},
        {"mixer": "mlp", "pos_encoding": "none", "puzzle_emb_len": 2},
        {"mixer": "mlp", "pos_encoding": "learned"},
    ],
)
def test_what_is_written_for_published_code_comes_back(shape: dict, tmp_path: Path) -> None:
    folder = saved(tmp_path / "w", **shape)
    code, out, errors = invoke("convert", folder, tmp_path / "p", "--to-published")
    assert code == 0, errors
    identifiers = tmp_path / "p" / "identifiers.json"
    code, _, errors = invoke("convert", out.strip(), tmp_path / "b", "--identifiers", identifiers)
    assert (code, errors) == (0, "")
    before, after = load_weights(folder), load_weights(tmp_path / "b")
    assert before.model.config == after.model.config and before.rows == after.rows
    for one, other in zip(answers(before.model), answers(after.model), strict=True):
        assert torch.equal(one, other)


def test_an_hrm_with_networks_of_different_depths_keeps_both(tmp_path: Path) -> None:
    config = from_dict(ModelConfig, {**ARCHITECTURES["hrm"], "num_high_level_layers": 2})
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    Trainer(model, TrainConfig(**TRAIN)).step(make_batch(0))
    folder = tmp_path / "weights"
    folder.mkdir()
    save_config(folder, model.config, ["<blank>", *"abcde"])
    save_weights(folder, model.config, model.state_dict(), model.puzzle_embedding, 1)
    file = convert_back(folder, tmp_path / "published")
    arch = yaml.safe_load((tmp_path / "published" / "all_config.yaml").read_text())["arch"]
    assert (arch["H_layers"], arch["L_layers"]) == (2, 1)
    identifiers = PublishedIds(["<blank>", *"abcde"], 6, "made-up")
    convert(file, tmp_path / "back", identifiers=identifiers)
    back = load_weights(tmp_path / "back").model
    assert back.config == model.config
    for expected, got in zip(answers(model), answers(back), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"architecture": "hrm", "puzzle_emb_len": 3}, "1 puzzle positions in an HRM"),
        ({"architecture": "hrm", "mixer": "mlp"}, "no HRM with a mixer"),
    ],
)
def test_what_published_code_has_not_is_told(shape: dict, told: str, tmp_path: Path) -> None:
    code, _, errors = invoke(
        "convert", saved(tmp_path / "w", **shape), tmp_path / "p", "--to-published"
    )
    assert (code, errors.count("\n")) == (2, 1) and told in errors
    assert not (tmp_path / "p").exists()


def test_an_empty_folder_is_filled_and_stays_the_same(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir(mode=0o700)
    before = out.stat()
    convert(GOLDEN / "trm_attention" / "step_0", out)
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)
    names = {"config.json", "model.safetensors", "origin.json"}
    assert {path.name for path in out.iterdir()} == names


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "w")

    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr("torch.save", fail)
    code, _, errors = invoke("convert", folder, tmp_path / "p", "--to-published")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{tmp_path / 'p' / 'step_3'}: cannot be written" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_too_large_for_float32_is_told(tmp_path: Path) -> None:
    big = torch.full((12, 64), 1e300, dtype=torch.float64)
    write(tmp_path / "step_1", **{"embed_tokens.embedding_weight": big})
    with pytest.raises(UserError, match="holds something else than finite numbers"):
        convert(tmp_path / "step_1", tmp_path / "out")


def test_a_matrix_of_nothing_and_endless_settings_are_told(tmp_path: Path) -> None:
    nothing = {"embed_tokens.embedding_weight": torch.zeros(12, 0)}
    with pytest.raises(UserError, match=r"no matrix 'embed_tokens.embedding_weight'"):
        convert(write(tmp_path / "step_1", **nothing), tmp_path / "out")
    (tmp_path / "c.yaml").write_text(
        "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a]\narch: {hidden_size: [*b,*b,*b,*b]}"
    )
    with pytest.raises(UserError) as error:
        convert(GOLDEN / "trm_attention" / "step_0", tmp_path / "o", config=tmp_path / "c.yaml")
    assert len(str(error.value)) < 500


def test_other_names_beside_a_converted_table_are_told(tmp_path: Path) -> None:
    identifiers = PublishedIds(names_for("trm_attention"), 40, "made-up")
    convert(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", identifiers=identifiers)
    others = ["<blank>", *reversed(names_for("trm_attention")[1:])]
    (tmp_path / "w" / "puzzles.json").write_text(json.dumps(others))
    with pytest.raises(UserError, match=r"puzzles\.json does not hold the names that"):
        load_weights(tmp_path / "w")
