"""Settings of before and of now: what an upgrade adds is no difference, all else is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from arc_trm.config import (
    RunConfig,
    compare_settings,
    load_config,
    preset_names,
    preset_of,
    to_dict,
)
from arc_trm.config.compare import Change, flatten

DEFAULTS = to_dict(RunConfig())


def without(settings: dict[str, object], key: str) -> dict[str, object]:
    """Return nested settings without the key `a.b`."""
    first, _, rest = key.partition(".")
    if not rest:
        return {name: value for name, value in settings.items() if name != first}
    inner = settings[first]
    assert isinstance(inner, dict)
    return {**settings, first: without(inner, rest)}


@pytest.mark.parametrize("key", flatten(DEFAULTS))
def test_every_setting_may_be_newer_than_what_was_written(key: str) -> None:
    old = without(DEFAULTS, key)
    assert key not in flatten(old)
    assert compare_settings(old, DEFAULTS) == ((), ())
    unlike = object()
    first, _, rest = key.partition(".")
    now = {**DEFAULTS, first: {**DEFAULTS[first], rest: unlike} if rest else unlike}
    default = flatten(DEFAULTS)[key]
    assert compare_settings(old, now) == ((Change(key, default, unlike),), ())


def test_an_unknown_setting_differs_whatever_it_says() -> None:
    for value in (None, False, "swiglu"):
        old = {"model": {"mixer": "attention", "feed_forward": value}}
        found = compare_settings(old, {"model": {"mixer": "attention"}})
        assert found == ((), (Change("model.feed_forward", value, None),))


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_is_told_from_what_was_changed_in_it(preset: str) -> None:
    config = load_config(preset)
    assert preset_of(config) == (preset, ())
    same = ["seed=7", 'data.train=["elsewhere.json"]', 'data.test=["x.json"]', "dtype=float32"]
    assert preset_of(load_config(preset, overrides=same)) == (preset, ())
    changed = ("epochs=3", f"train.lr={2 * config.train.lr}", "train.total_steps=5")
    assert preset_of(load_config(preset, overrides=changed)) == (preset, changed)


def test_the_model_of_adapted_weights_is_no_change_of_the_preset() -> None:
    weights = replace(load_config("quickstart").model, hidden_size=256)
    assert preset_of(load_config("adapt-long", pretrained=weights)) == ("adapt-long", ())
    assert preset_of(replace(load_config("quickstart"), model=weights)) == (
        "quickstart",
        ("model.hidden_size=256",),
    )


def test_a_config_of_another_name_is_of_no_preset() -> None:
    assert preset_of(replace(load_config("quickstart"), name="mine")) == (None, ())
