"""How weights are asked: what is refused, in one sentence, and how it is named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import InferenceConfig, inference_config
from arc_trm.config.inference import MAX_ANSWERS
from arc_trm.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples must be 1 to 1024, got 0"),
        ({"samples": 1025}, "samples must be 1 to 1024, got 1025"),
        ({"views": 0}, "views must be 1 to 1024, got 0"),
        ({"samples": 33, "views": 32}, "samples × views must be at most 1024, got 1056"),
        ({"samples": 2, "noise": -0.1}, "noise must be 0 to 100, got -0.1"),
        ({"samples": 2, "noise": 101.0}, "noise must be 0 to 100, got 101"),
        ({"samples": 2, "noise": math.nan}, "noise"),
        ({"samples": 2, "noise": math.inf}, "noise"),
        (
            {"noise": 0.3},
            "noise has no effect on the first sample: ask for more, with --samples 16",
        ),
        ({"noise": 0.3, "views": 4}, "noise has no effect on the first sample"),
        ({"starts": "random"}, "starts has no effect on the first sample"),
        ({"starts": "rnadom", "samples": 2}, 'did you mean "random"?'),
        ({"supervision_steps": 0}, "supervision_steps must be 1 to 1024, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"samples": "abc"}, '"samples" is of type int, got "abc"'),
        ({"samples": True}, '"samples" is of type int'),
        ({"samples": 2.5}, '"samples" is of type int'),
        ({"early_exit": 1}, '"early_exit" is of type bool'),
        ({"select": 3}, '"select" is of type str'),
        ({"sample": 3}, 'did you mean "samples"?'),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        inference_config(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_given_is_no_config() -> None:
    assert inference_config() is None
    assert inference_config(samples=None, early_exit=None) is None
    assert inference_config(samples=1) == InferenceConfig()
    assert inference_config(samples=2, noise=1) == InferenceConfig(samples=2, noise=1.0)


def test_what_differs_from_the_defaults_is_said() -> None:
    assert str(InferenceConfig()) == "once"
    config = InferenceConfig(samples=8, noise=0.3, supervision_steps=32)
    assert str(config) == "samples 8, noise 0.3, supervision steps 32"


@given(st.integers(1, MAX_ANSWERS), st.integers(1, MAX_ANSWERS))
def test_the_number_of_answers_is_bounded(samples: int, views: int) -> None:
    if samples * views > MAX_ANSWERS:
        with pytest.raises(UserError, match="samples × views"):
            InferenceConfig(samples=samples, views=views)
    else:
        assert InferenceConfig(samples=samples, views=views).answers == samples * views
