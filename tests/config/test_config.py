"""Presets, files and overrides make a config; mistakes are named with the right key."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import (
    InferenceConfig,
    ModelConfig,
    Preset,
    RunConfig,
    from_dict,
    key_types,
    load_config,
    preset_names,
    read_preset,
    to_dict,
)
from arc_trm.errors import UserError


@pytest.mark.parametrize("preset", preset_names())
def test_presets_load_and_survive_json(preset: str) -> None:
    config = load_config(preset)
    assert config.name == preset
    assert from_dict(RunConfig, to_dict(config)) == config


@pytest.mark.parametrize("preset", preset_names())
def test_presets_are_described(preset: str) -> None:
    described = read_preset(preset)
    assert all(getattr(described, field.name) for field in fields(Preset))
    assert described.text.startswith("# ")
    assert max(map(len, described.text.splitlines())) <= 110


def test_arc_presets_are_the_published_recipe() -> None:
    for preset in ("arc-agi-1", "arc-agi-2"):
        config = load_config(preset)
        model, train = config.model, config.train
        assert (model.hidden_size, model.num_layers, model.num_heads, model.expansion) == (
            512,
            2,
            8,
            4,
        )
        assert (model.outer_cycles, model.inner_cycles, model.supervision_steps) == (3, 4, 16)
        assert (model.seq_len, model.puzzle_emb_len, model.pos_encoding) == (900, 16, "rope")
        assert (train.global_batch_size, train.lr, train.puzzle_emb_lr) == (768, 1e-4, 1e-2)
        assert (train.weight_decay, train.puzzle_emb_weight_decay) == (0.1, 0.1)
        assert (train.betas, train.warmup_steps, train.lr_schedule) == (
            (0.9, 0.95),
            2000,
            "constant",
        )
        assert (train.ema_decay, train.halt_exploration_prob) == (0.999, 0.1)
        assert (config.epochs, config.data.augmentations) == (100_000, 1000)
        assert config.data.optional_train == ("concept-arc",)


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[train]\nlr = 0.5\nglobal_batch_size = 7\n")
    config = load_config("quickstart", file, ["train.lr=0.25", "name=mine", "data.train=['a']"])
    assert (config.train.lr, config.train.global_batch_size) == (0.25, 7)
    assert (config.name, config.data.train) == ("mine", ("a",))
    assert config.model == load_config("quickstart").model


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lrr=1", 'unknown config key "train.lrr"; did you mean "train.lr"?'),
        ("modle.num_layers=2", 'unknown config key "modle"; did you mean "model"?'),
        ("train.lr='high'", '"train.lr" is of type float, got "high"'),
        ("model.num_layers=true", '"model.num_layers" is of type int, got true'),
        ("model.num_layers=1.5", '"model.num_layers" is of type int, got 1.5'),
        ("model.mixer=atention", 'got "atention"; did you mean "attention"?'),
        ("model.num_heads=7", "must be a multiple of model.num_heads"),
        ("model.num_heads=0", "model.num_heads must be 1 to 1024"),
        ("model.puzzle_emb_dim=9999", "does not fit model.puzzle_emb_len"),
        ("train.betas=[0.9]", "train.betas must be two numbers"),
        ("train.betas=[0.9, 1.0]", "train.betas must be two numbers"),
        ("train.lr=nan", '"train.lr" must be finite, got NaN'),
        ("train.lr=1e38", "train.lr must be 0 to 1e+30, got 1e+38"),
        ("train.lr=-1", "train.lr must be 0 to 1e+30, got -1"),
        ("train.total_steps=-1", "train.total_steps must be 0 to 2147483647"),
        ("train.max_steps=-1", "train.max_steps must be 0 to 2147483647"),
        ("train.lr=1" + "0" * 400, '"train.lr" is of type float, got a huge integer'),
        ("epochs=1" + "0" * 40, '"epochs" is at most 2147483647, got a huge integer'),
        ("seed=" + "9" * 5000, '"seed" is of type int'),
        ("seed=" + "[" * 5000, '"seed" is of type int'),
        ("train.save_interval_s=inf", '"train.save_interval_s" must be finite'),
        ("train.save_interval_s=1e10", "train.save_interval_s must be above 0 and at most 1e+09"),
        ("train.time_limit=-1", "train.time_limit must be above 0 and at most 1e+09 seconds"),
        ("train.global_batch_size=2000000", "train.global_batch_size must be 1 to 1048576"),
        ("train.supervision_steps=1025", "train.supervision_steps must be 1 to 1024"),
        ("data.augmentations=1000001", "data.augmentations must be 0 to 1000000"),
        ("model.expansion=1e9", "model.expansion must be above 0 and at most 64"),
        ("model.num_layers=1000000", "model.num_layers must be 1 to 1024"),
        ("train=3", '"train" is a table, got 3'),
        ("train.lr", '--set takes key=value, got "train.lr"'),
        ("data.train=x", '"data.train" is a list, got "x"'),
        ("epochs=0", "epochs must be at least 1, got 0"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config("quickstart", overrides=[override])
    assert message in str(error.value)


def test_unknown_preset_and_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='did you mean "quickstart"'):
        load_config("quikstart")
    with pytest.raises(UserError, match=r"none\.toml: does not exist, expected a file"):
        load_config("quickstart", tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML"):
        load_config("quickstart", tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        load_config("quickstart", tmp_path / "binary.toml")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["seed", "train", "model", "data", "dtype", "x"]), json_values),
    st.sampled_from(["lr", "betas", "num_layers", "expansion", "train", "max_grid_size"]),
    json_values,
)
@pytest.mark.slow
def test_any_values_make_a_config_or_a_user_error(values: dict, key: str, value: object) -> None:
    for tried in (values, {"train": {key: value}}, {"model": {key: value}}, {"data": {key: value}}):
        try:
            from_dict(RunConfig, tried)
        except UserError as error:
            assert "\n" not in str(error).replace(repr(value), "")


def test_a_deeply_nested_file_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text("a = " + "[" * 100_000)
    with pytest.raises(UserError, match=r"deep\.toml is nested too deeply"):
        load_config("quickstart", file)


def test_a_choice_may_be_left_open() -> None:
    """A field of several words or None takes both, and names a mistake."""
    for starts in (None, "random"):
        assert from_dict(InferenceConfig, {"samples": 2, "starts": starts}).starts == starts
    with pytest.raises(UserError, match=r'"starts" is one of fixed, random, got .*did you mean'):
        from_dict(InferenceConfig, {"samples": 2, "starts": "randon"})


def test_a_config_of_inference_says_its_options() -> None:
    assert InferenceConfig().options() == "--samples 1"
    config = InferenceConfig(samples=4, noise=0.3, supervision_steps=32, early_exit=True)
    assert config.options() == "--samples 4 --noise 0.3 --supervision-steps 32 --early-exit"


MODEL_INTEGERS = [
    key.removeprefix("model.")
    for key, kind in key_types().items()
    if key.startswith("model.") and kind in (int, int | None)
]


@pytest.mark.parametrize("name", MODEL_INTEGERS)
def test_every_size_of_a_model_has_an_upper_bound(name: str) -> None:
    assert len(MODEL_INTEGERS) >= 11
    with pytest.raises(UserError, match=rf"model\.{name} must be \d+ to \d+, got "):
        from_dict(ModelConfig, {name: 2**31 - 1}, "model")


def test_repeats_are_bounded_together() -> None:
    with pytest.raises(UserError, match="must be at most 100000, got 1600000"):
        from_dict(ModelConfig, {"outer_cycles": 1000, "inner_cycles": 99}, "model")


def test_a_list_of_many_paths_may_be_one_line(tmp_path: Path) -> None:
    paths = [f"../../data.v1/{n}.json" for n in range(300)]
    file = tmp_path / "config.toml"
    text = ", ".join(map(json.dumps, paths))
    file.write_text(f"# {'.' * 500}\n[data]\ntrain = [{text}]\n")
    assert load_config(file=file).data.train == tuple(paths)
    assert load_config(overrides=[f"data.train=[{text}]"]).data.train == tuple(paths)
