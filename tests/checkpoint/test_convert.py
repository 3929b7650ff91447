"""Published weight files to weights folders and back, without changes or half-made folders."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import run_cli
from paths import GOLDEN
from tiny import ARCHITECTURES, MODEL, TRAIN, make_batch

from arc_trm.checkpoint import (
    convert_from_published,
    convert_to_published,
    load_weights,
    read_published,
    save_config,
    save_weights,
)
from arc_trm.checkpoint.published import open_published
from arc_trm.checkpoint.published_ids import PublishedIds
from arc_trm.config import ModelConfig, RunConfig, TrainConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import BLOCKS, PuzzleModel, build_model
from arc_trm.models.layers import PostNormBlock
from arc_trm.models.linear import Linear
from arc_trm.training import Trainer

NAMES = ["trm_attention", "trm_mixer", "trm_learned_positions", "hrm"]
PREFIX = "_orig_mod.model.inner."
EMBEDDING = PREFIX + "puzzle_emb.weights"


def state_of(name: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(GOLDEN / name / "step_0", weights_only=True)
    return state


def names_for(name: str) -> list[str]:
    return ["<blank>", *(f"task{n}" for n in range(1, len(state_of(name)[EMBEDDING])))]


def write_published_ids(folder: Path, name: str) -> Path:
    path = folder / "identifiers.json"
    path.write_text(json.dumps(names_for(name)))
    return path


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = run_cli(*arguments)
    return result.exit_code, result.stdout, result.stderr


def predictions(model: PuzzleModel) -> list[torch.Tensor]:
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
@pytest.mark.slow
def test_a_converted_file_predicts_the_same_bits(name: str, tmp_path: Path) -> None:
    cells = json.loads((GOLDEN / name / "shapes.json").read_text())["seq_len"]
    ids = PublishedIds(names_for(name), len(names_for(name)), "made-up")
    out = tmp_path / "weights"
    convert_from_published(GOLDEN / name / "step_0", out, settings={"seq_len": cells}, ids=ids)
    before = read_published(GOLDEN / name / "step_0", shapes=GOLDEN / name / "shapes.json")
    after = load_weights(out)
    assert after.model.config == before.config
    assert list(after.puzzle_ids) == names_for(name)
    for one, other in zip(predictions(before), predictions(after.model), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_there_and_back_is_the_same_file(name: str, tmp_path: Path) -> None:
    identifiers = write_published_ids(tmp_path, name)
    source = GOLDEN / name
    there, back = tmp_path / "there", tmp_path / "back"
    code, out, errors = invoke("convert", source / "step_0", there, "--identifiers", identifiers)
    assert code == 0, errors
    rows = len(names_for(name))
    assert f"{rows} of {rows} puzzle embeddings" in out
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


@pytest.mark.slow
def test_without_identifiers_the_network_alone_is_converted(tmp_path: Path) -> None:
    out = tmp_path / "weights"
    code, printed, errors = invoke("convert", GOLDEN / "trm_attention" / "step_0", out, "--json")
    assert code == 0
    printed = json.loads(printed)
    assert (printed["folder"], printed["puzzle_ids"], printed["named"]) == (str(out), 40, 0)
    assert printed["about"]["puzzle_embeddings"] == 0
    assert "the network alone was converted" in errors
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "origin.json",
    }
    assert "the network alone was converted" in (out / "origin.json").read_text()
    code, _, errors = invoke("predict", out, "--data", "arc-agi-1", "--out", tmp_path)
    assert code == 2 and "a network without a puzzle embedding, which can predict no task" in errors
    code, _, errors = invoke("convert", out, tmp_path / "back", "--to-published")
    assert code == 2 and "holds a network alone, but the published code loads none" in errors


def test_with_fewer_names_the_last_rows_are_left_out(tmp_path: Path) -> None:
    ids = PublishedIds(["<blank>", "a", "b"], 40, "made-up", note="37 rows are left out")
    converted = convert_from_published(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", ids=ids)
    assert (converted.num_puzzles, converted.num_named) == (40, 3)
    assert "37 rows are left out" in converted.notes
    weights = load_weights(tmp_path / "w")
    assert torch.equal(weights.model.puzzle_embedding, state_of("trm_attention")[EMBEDDING][:3])


def test_an_embedding_with_the_blank_row_alone_needs_no_identifiers(tmp_path: Path) -> None:
    state = state_of("trm_attention")
    torch.save({**state, EMBEDDING: state[EMBEDDING][:1].clone()}, tmp_path / "step_5")
    converted = convert_from_published(tmp_path / "step_5", tmp_path / "w")
    assert (converted.num_puzzles, converted.num_named) == (1, 1)
    assert list(load_weights(tmp_path / "w").puzzle_ids) == ["<blank>"]


def test_assumed_settings_are_reported(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "trm_mixer" / "step_0", tmp_path / "step_77")
    converted = convert_from_published(tmp_path / "step_77", tmp_path / "w")
    assert (
        "step_77: assumed the published puzzle_emb_len 16, expansion 4, H_cycles 3, L_cycles 4, "
        "halt_max_steps 16, because there is no all_config.yaml beside it" in converted.notes[0]
    )
    assert converted.notes[0] in json.loads((tmp_path / "w" / "origin.json").read_text())["notes"]
    shutil.copy(GOLDEN / "trm_mixer" / "all_config.yaml", tmp_path)
    assert not convert_from_published(tmp_path / "step_77", tmp_path / "w2").notes


@pytest.mark.parametrize(("tokens", "side"), [(11, 9), (18, 16), (6, 30)])
def test_the_tokens_say_the_canvas_where_nothing_else_does(
    tokens: int, side: int, tmp_path: Path
) -> None:
    rows = torch.zeros(tokens, 64)
    step = write(
        tmp_path / "step_1",
        **{"embed_tokens.embedding_weight": rows, "lm_head.weight": rows.clone()},
    )
    assert open_published(step).config.side == side


def write(path: Path, **changes: Any) -> Path:
    """A published file as recorded but for some tensors; None takes one away."""
    state = {**state_of("trm_attention"), **{PREFIX + k: v for k, v in changes.items()}}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, path)
    shutil.copy(GOLDEN / "trm_attention" / "all_config.yaml", path.parent)
    return path


BAD_TENSORS = {
    "lacks the tensor 'heads.halt.bias'": {"q_head.bias": None},
    "holds no TRM or HRM: there is no matrix 'puzzle_emb.weights'": {"puzzle_emb.weights": None},
    "has a tensor 'unknown', which its config does not need": {"unknown": torch.zeros(1)},
    "puzzle_emb_ndim is 32 in the weights, but 64 in the settings": {
        "puzzle_emb.weights": torch.zeros(40, 32)
    },
    "names 40: give the identifiers.json of the set": {"puzzle_emb.weights": torch.zeros(41, 64)},
    "try --published-set arc1-aug10, which has so many": {
        "puzzle_emb.weights": torch.zeros(8799, 64)
    },
    "holds something else than finite numbers": {"H_init": torch.full((64,), torch.nan)},
    "puzzle embedding holds numbers that are not finite": {
        "puzzle_emb.weights": torch.full((40, 64), torch.inf)
    },
    "refused (numbers that are not floating-point, in torch IntStorage)": {
        "H_init": torch.zeros(64, dtype=torch.int32)
    },
    "refused (a tensor is larger than its numbers)": {
        "puzzle_emb.weights": torch.zeros(1).expand(2**20, 64)
    },
    "refused (it calls torch._utils _rebuild_sparse_tensor)": {
        "H_init": torch.zeros(64).to_sparse()
    },
    "lacks the tensor 'y_blocks.0.swiglu.gate_up.weight'": {
        "H_level.layers.0.mlp.down_proj.weight": torch.zeros(64, 256)
    },
    "it is cut short, or holds more than tensors": {"H_init": slice(3)},
}


@pytest.mark.parametrize("message", BAD_TENSORS)
@pytest.mark.slow
def test_files_that_do_not_fit_are_reported_and_leave_nothing(message: str, tmp_path: Path) -> None:
    step = write(tmp_path / "step_1", **BAD_TENSORS[message])
    if "H_level" in str(BAD_TENSORS[message]):
        (tmp_path / "all_config.yaml").unlink()
    identifiers = write_published_ids(tmp_path, "trm_attention")
    before = sorted(tmp_path.iterdir())
    code, _, errors = invoke("convert", step, tmp_path / "out", "--identifiers", identifiers)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert message.strip() in errors and "step_1" in errors
    assert sorted(tmp_path.iterdir()) == before


def test_a_tensor_under_two_names_is_reported(tmp_path: Path) -> None:
    state = state_of("trm_attention")
    torch.save({**state, "model.inner.H_init": state[PREFIX + "H_init"]}, tmp_path / "step_1")
    with pytest.raises(UserError, match=r"holds the tensor '_orig_mod.model.inner.H_init' twice"):
        convert_from_published(tmp_path / "step_1", tmp_path / "out")


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


@pytest.mark.parametrize(
    "source",
    ["", "model.safetensors", "puzzle_embedding.safetensors", "training_state.safetensors"],
)
def test_weights_of_our_own_format_need_no_conversion(source: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "w")
    (folder / "training_state.safetensors").touch()
    code, _, errors = invoke("convert", folder / source, tmp_path / "out")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{folder / source} is in arc-trm's format already and needs no conversion" in errors
    assert f"`arc-trm convert {folder} OUT --to-published`" in errors
    with pytest.raises(UserError, match="needs no conversion"):
        convert_from_published(folder / source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_safetensors_file_of_another_project_is_reported(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    code, _, errors = invoke("convert", tmp_path / "model.safetensors", tmp_path / "out")
    assert code == 2 and "the published trainer writes PyTorch files: name one of those" in errors
    code, _, errors = invoke("convert", tmp_path / "nowhere", tmp_path / "out")
    assert code == 2 and "nowhere is not a file: name one that the published trainer" in errors


def test_an_hrm_with_the_settings_of_a_trm_is_reported(tmp_path: Path) -> None:
    settings = GOLDEN / "trm_attention" / "all_config.yaml"
    text = settings.read_text().replace("64", "32")
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match="H_layers is 2 in the weights, but 0 in the settings"):
        convert_from_published(
            GOLDEN / "hrm" / "step_0", tmp_path / "out", arch_config=tmp_path / "c.yaml"
        )
    (tmp_path / "c.yaml").write_text(text.replace("H_layers: 0", "H_layers: 2"))
    with pytest.raises(UserError, match="weights are of the architecture hrm, the settings of trm"):
        convert_from_published(
            GOLDEN / "hrm" / "step_0", tmp_path / "out", arch_config=tmp_path / "c.yaml"
        )


def test_an_old_pickle_without_a_zip_is_refused(tmp_path: Path) -> None:
    torch.save(state_of("trm_attention"), tmp_path / "step_3", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"step_3 is not .* PyTorch before version 1\.6 wrote it"):
        convert_from_published(tmp_path / "step_3", tmp_path / "out")


def test_a_link_to_itself_is_no_file_and_no_folder_to_make(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(UserError, match="loop cannot be read: Too many levels of symbolic links"):
        read_published(loop)
    with pytest.raises(UserError, match="loop already exists and is not an empty folder"):
        convert_from_published(GOLDEN / "trm_attention" / "step_0", loop)
    assert loop.is_symlink() and list(tmp_path.iterdir()) == [loop]


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
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
    ("options", "message"),
    [
        (["--identifiers", "a", "--published-set", "b"], "exclude each other"),
        (["--to-published", "--published-set", "b"], "leave out the other options"),
        (["--published-set", "arc3"], 'unknown published set "arc3"'),
        (["--arch-config", "nowhere.yaml"], "nowhere.yaml is not the settings file"),
        (["--identifiers", "nowhere.json"], "nowhere.json: does not exist"),
    ],
)
def test_mistakes_are_reported(options: list[str], message: str, tmp_path: Path) -> None:
    step = GOLDEN / "trm_attention" / "step_0"
    code, _, errors = invoke("convert", step, tmp_path / "out", *options)
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_direct_prediction_has_no_published_form(tmp_path: Path) -> None:
    shape = {**MODEL, "outer_cycles": 1, "inner_cycles": 1, "supervision_steps": 1}
    config = from_dict(ModelConfig, {**shape, "architecture": "transformer"})
    (tmp_path / "w").mkdir()
    save_config(tmp_path / "w", config, ["<blank>"])
    model = build_model(config, 1)
    save_weights(tmp_path / "w", config, model.state_dict(), model.puzzle_embedding, 1)
    code, _, errors = invoke("convert", tmp_path / "w", tmp_path / "out", "--to-published")
    assert code == 2
    assert "has no place for model.architecture 'transformer' (only for 'trm', 'hrm')" in errors
    assert not (tmp_path / "out").exists()


def test_the_embeddings_of_some_tasks_are_those_of_the_whole(tmp_path: Path) -> None:
    names = [
        "<blank>",
        *(
            f"task{n // 3}" + ["", "|||t1|||0123456789", "|||t4|||0213456789"][n % 3]
            for n in range(39)
        ),
    ]
    ids = PublishedIds(names, 40, "made-up")
    convert_from_published(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", ids=ids)
    whole, some = load_weights(tmp_path / "w"), load_weights(tmp_path / "w", tasks={"task5", "x"})
    expected = ["<blank>", "task5", "task5|||t1|||0123456789", "task5|||t4|||0213456789"]
    assert list(some.puzzle_ids) == expected
    for name, row in some.puzzle_ids.items():
        table, there = whole.model.puzzle_embedding, whole.puzzle_ids[name]
        assert torch.equal(some.model.puzzle_embedding[row], table[there])


def test_changing_a_loaded_embedding_leaves_the_file(tmp_path: Path) -> None:
    ids = PublishedIds(names_for("trm_attention"), 40, "made-up")
    convert_from_published(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", ids=ids)
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
@pytest.mark.slow
def test_weights_written_for_published_code_come_back(shape: dict, tmp_path: Path) -> None:
    folder = saved(tmp_path / "w", **shape)
    code, out, errors = invoke("convert", folder, tmp_path / "p", "--to-published")
    assert code == 0, errors
    identifiers = tmp_path / "p" / "identifiers.json"
    code, _, errors = invoke("convert", out.strip(), tmp_path / "b", "--identifiers", identifiers)
    assert (code, errors) == (0, "")
    before, after = load_weights(folder), load_weights(tmp_path / "b")
    assert before.model.config == after.model.config and before.puzzle_ids == after.puzzle_ids
    for one, other in zip(predictions(before.model), predictions(after.model), strict=True):
        assert torch.equal(one, other)


def test_an_hrm_with_networks_of_different_depths_keeps_both(tmp_path: Path) -> None:
    config = from_dict(ModelConfig, {**ARCHITECTURES["hrm"], "num_high_level_layers": 2})
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    Trainer(model, TrainConfig(**TRAIN)).step(make_batch(0))
    folder = tmp_path / "weights"
    folder.mkdir()
    save_config(folder, model.config, ["<blank>", *"abcde"])
    save_weights(folder, model.config, model.state_dict(), model.puzzle_embedding, 1)
    file = convert_to_published(folder, tmp_path / "published")
    arch = yaml.safe_load((tmp_path / "published" / "all_config.yaml").read_text())["arch"]
    assert (arch["H_layers"], arch["L_layers"]) == (2, 1)
    ids = PublishedIds(["<blank>", *"abcde"], 6, "made-up")
    convert_from_published(file, tmp_path / "back", ids=ids)
    back = load_weights(tmp_path / "back").model
    assert back.config == model.config
    for expected, got in zip(predictions(model), predictions(back), strict=True):
        assert torch.equal(got, expected)


UNPUBLISHED = [
    ({"architecture": "hrm", "puzzle_emb_len": 3}, "model.puzzle_emb_len 3 (only for 1)"),
    ({"architecture": "hrm", "mixer": "mlp"}, "model.mixer 'mlp' (only for 'attention')"),
    (
        {"architecture": "hrm", "pos_encoding": "none"},
        "model.pos_encoding 'none' (only for 'rope', 'learned')",
    ),
    ({"canvas": "bucketed"}, "model.canvas 'bucketed' (only for 'full')"),
    ({"separate_networks": True}, "model.separate_networks True (only for False)"),
    (
        {"canvas": "bucketed", "backprop_through": "all_cycles"},
        "model.canvas 'bucketed' (only for 'full'), model.backprop_through 'all_cycles'",
    ),
]


@pytest.mark.parametrize(("shape", "message"), UNPUBLISHED)
def test_models_that_published_code_lacks_are_reported(
    shape: dict, message: str, tmp_path: Path
) -> None:
    code, _, errors = invoke(
        "convert", saved(tmp_path / "w", **shape), tmp_path / "p", "--to-published"
    )
    assert (code, errors.count("\n")) == (2, 1)
    assert f"the published code, which has no place for {message}" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@dataclass(frozen=True)
class NewModelConfig(ModelConfig):
    """What ModelConfig may become."""

    feed_forward: str = "swiglu"


def test_a_setting_that_is_new_has_no_place_in_published_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arc_trm.checkpoint.weights_dir.ModelConfig", NewModelConfig)
    config = from_dict(NewModelConfig, MODEL)
    model = build_model(config, 1)
    (tmp_path / "w").mkdir()
    save_config(tmp_path / "w", config, ["<blank>"])
    save_weights(tmp_path / "w", config, model.state_dict(), model.puzzle_embedding, 3)
    code, _, errors = invoke("convert", tmp_path / "w", tmp_path / "p", "--to-published")
    assert (code, errors.count("\n")) == (2, 1)
    assert "has no place for model.feed_forward 'swiglu'" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


class WithKernel(PostNormBlock):
    """A published block with one more tensor, as an experiment leaves it."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.kernel = torch.nn.Parameter(torch.zeros(5, 1, 3))


class Narrow(PostNormBlock):
    """A published block whose SwiGLU is half as wide."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.swiglu.down = Linear(128, config.hidden_size, generator)


class WithoutMixer(PostNormBlock):
    """A published block that does not mix positions."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        del self.token_mixer


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (WithKernel, "the tensor L_level.layers.0.kernel (5, 1, 3), the tensor L_level.layers.1."),
        (Narrow, "the tensor L_level.layers.0.mlp.down_proj.weight (32, 128), "),
        (WithoutMixer, "a model without L_level.layers.0.self_attn.qkv_proj.weight, a model "),
    ],
)
def test_tensors_without_a_place_in_published_code_are_reported(
    block: type[PostNormBlock], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BLOCKS, "post_norm", block)
    folder = saved(tmp_path / "w")
    code, _, errors = invoke("convert", folder, tmp_path / "p", "--to-published")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"the published code, which has no place for {message}" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@dataclass(frozen=True)
class NewTrainConfig(TrainConfig):
    """What TrainConfig may become."""

    dropout: float = 0.0


@pytest.mark.parametrize(
    ("train", "left_out"),
    [
        (TrainConfig(total_steps=9, time_limit=60.0, lr=2e-4), ""),
        (TrainConfig(lr=2e-4, lr_schedule="cosine", eval_interval=9, muon_lr=0.1), ""),
        (TrainConfig(lr_schedule="linear", grad_clip=1.0), "train.lr_schedule 'linear', train.gra"),
        (TrainConfig(loss="softmax", early_halting=False), "train.loss 'softmax', train.early_hal"),
        (NewTrainConfig(), "train.dropout 0.0"),
    ],
)
def test_training_settings_that_the_published_trainer_lacks_are_left_out(
    train: TrainConfig, left_out: str, tmp_path: Path
) -> None:
    notes: list[str] = []
    run = RunConfig(train=train)
    convert_to_published(saved(tmp_path / "w"), tmp_path / "p", run, notes.append)
    written = yaml.safe_load((tmp_path / "p" / "all_config.yaml").read_text())
    if left_out:
        assert set(written) == {"arch"}
        assert notes[0].startswith(
            "all_config.yaml has no training settings, because the published"
        )
        assert left_out in notes[0]
    else:
        assert written["lr"] == 2e-4 and notes == []
        assert written["lr_min_ratio"] == (0.1 if train.lr_schedule == "cosine" else 1.0)


@pytest.mark.parametrize("is_current", [False, True])
def test_an_empty_folder_keeps_its_permissions_and_the_current_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_current: bool
) -> None:
    out = tmp_path / "mine"
    out.mkdir(mode=0o750)
    before = out.stat()
    if is_current:
        monkeypatch.chdir(out)
    convert_from_published(GOLDEN / "trm_attention" / "step_0", out)
    assert out.stat().st_mode == before.st_mode
    assert (out.stat().st_ino == before.st_ino) == is_current
    names = {"config.json", "model.safetensors", "origin.json"}
    assert {path.name for path in out.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "w")

    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr("torch.save", fail)
    code, _, errors = invoke("convert", folder, tmp_path / "p", "--to-published")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{tmp_path / 'p' / 'step_3'}: cannot be written" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_numbers_too_large_for_float32_are_reported(tmp_path: Path) -> None:
    big = torch.full((12, 64), 1e300, dtype=torch.float64)
    write(tmp_path / "step_1", **{"embed_tokens.embedding_weight": big})
    with pytest.raises(UserError, match="holds something else than finite numbers"):
        convert_from_published(tmp_path / "step_1", tmp_path / "out")


def test_empty_matrices_and_endless_settings_are_reported(tmp_path: Path) -> None:
    nothing = {"embed_tokens.embedding_weight": torch.zeros(12, 0)}
    with pytest.raises(UserError, match=r"no matrix 'embed_tokens.embedding_weight'"):
        convert_from_published(write(tmp_path / "step_1", **nothing), tmp_path / "out")
    (tmp_path / "c.yaml").write_text(
        "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a]\narch: {hidden_size: [*b,*b,*b,*b]}"
    )
    with pytest.raises(UserError) as error:
        convert_from_published(
            GOLDEN / "trm_attention" / "step_0", tmp_path / "o", arch_config=tmp_path / "c.yaml"
        )
    assert len(str(error.value)) < 500


def test_other_names_beside_a_converted_embedding_are_reported(tmp_path: Path) -> None:
    ids = PublishedIds(names_for("trm_attention"), 40, "made-up")
    convert_from_published(GOLDEN / "trm_attention" / "step_0", tmp_path / "w", ids=ids)
    others = ["<blank>", *reversed(names_for("trm_attention")[1:])]
    (tmp_path / "w" / "puzzle_ids.json").write_text(json.dumps(others))
    with pytest.raises(UserError, match=r"puzzle_ids\.json does not hold the names that"):
        load_weights(tmp_path / "w")
