"""Settings of before and of now: what an upgrade adds is no difference, all else is named."""

from __future__ import annotations

import pytest

from arc_trm.config import RunConfig, compare_settings, to_dict
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
