"""The log keeps every field of a prediction, and names what is wrong with a line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import log_with

from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.puzzles import KINDS
from arc_trm.tasks import as_grid

probabilities = st.floats(0, 1)
grids = st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 9), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    ).map(as_grid)
)


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    grid = draw(st.none() | grids)
    runner_up = None
    if grid is not None and draw(st.booleans()):
        runner_up = grid.copy()
        cell = draw(st.integers(0, grid.size - 1))
        runner_up.flat[cell] = (int(grid.flat[cell]) + draw(st.integers(1, 9))) % 10
    steps = st.builds(
        TraceStep, st.none() | grids, st.integers(0, 10_000).map(lambda n: n / 10_000)
    )
    return Prediction(
        draw(st.text(min_size=1, max_size=5)),
        draw(st.integers(0, 3)),
        draw(st.text(min_size=1, max_size=5)),
        draw(st.integers(0, 2000)),
        grid,
        draw(probabilities) if grid is not None else 0.0,
        runner_up,
        tuple(draw(st.lists(steps, max_size=3))),
        draw(st.integers(0, 1023)),
        draw(st.integers(0, 64)),
        draw(st.booleans()),
        draw(probabilities),
        draw(st.sampled_from([None, True, False])),
    )


def plain(value: object) -> object:
    """A prediction as values that can be compared."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, each.name)) for each in dataclasses.fields(value)]
    return [plain(each) for each in value] if isinstance(value, tuple) else value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(predictions(), max_size=3))
def test_every_field_is_read_as_it_was_written(tmp_path: Path, made: list[Prediction]) -> None:
    path = tmp_path / "predictions.jsonl"
    path.unlink(missing_ok=True)
    log = PredictionLog(path)
    log.begin({"samples": 2}, {})
    log.append(made)
    read = list(PredictionLog(path).read())
    assert list(map(plain, read)) == list(map(plain, made))


GOOD: dict[str, Any] = {
    "task": "t",
    "test": 0,
    "puzzle": "t",
    "order": 1,
    "sample": 2,
    "steps": 3,
    "confidence": 0.5,
    "draft": True,
    "valid": False,
    "halt_prob": 0.5,
    "grid": [[1]],
}


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arc_trm.evaluation.prediction_log.MAX_LINE", 1 << 20)
    log = log_with(tmp_path, "x" * (1 << 20))
    for read in (lambda: list(log.read()), log.digest, lambda: log.status_of({})):
        with pytest.raises(UserError, match="has a line of more than 1 MiB"):
            read()


def test_the_line_that_the_hostile_ones_change_is_read(tmp_path: Path) -> None:
    (found,) = log_with(tmp_path, json.dumps(GOOD)).read()
    assert (found.order, found.sample, found.steps, found.confidence) == (1, 2, 3, 0.5)
    assert found.is_draft and found.valid is False


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("sample", -1, "it has the number -1"),
        ("sample", 1 << 31, f"it has the number {1 << 31}"),
        ("sample", "two", ""),
        ("sample", None, ""),
        ("sample", [1], ""),
        ("order", -1, "it has the number -1"),
        ("steps", -3, "it has the number -3"),
        ("steps", float("inf"), ""),
        ("steps", float("nan"), ""),
        ("confidence", 1.1, "its confidence is 1.1, not 0 to 1"),
        ("confidence", float("nan"), "its confidence is nan, not 0 to 1"),
        ("halt_prob", -0.1, "its halting probability is -0.1, not 0 to 1"),
        ("draft", "yes", 'its draft is "yes", not true or false'),
        ("draft", 1, "its draft is 1, not true or false"),
        ("valid", "no", 'its valid is "no", not true or false'),
        ("valid", {"a": []}, "its valid is"),
        ("grid", [[10]], ""),
        ("trace", [[2.0]], "its halting probability is 2.0"),
        ("trace", 3, ""),
    ],
)
def test_a_hostile_value_is_one_sentence(
    tmp_path: Path, field: str, value: object, reason: str
) -> None:
    log = log_with(tmp_path, json.dumps({**GOOD, field: value}))
    with pytest.raises(UserError) as error:
        list(log.read())
    message = str(error.value)
    assert "p.jsonl, line 2 is not a prediction: " in message and reason in message
    assert message.endswith("remove that line and predict again") and "\n" not in message
    assert len(message) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("header", "answers", "selected_by"),
    [
        ({"samples": 4, "views": 2, "select": "rule"}, 8, "rule"),
        ({"samples": 1, "views": 1, "select": "rule"}, 1, ""),
        ({"samples": "4", "views": -2, "select": "rule"}, 1, ""),
        ({"samples": 10**9, "views": True, "select": 7}, 1, ""),
        ({"samples": 4, "select": None}, 4, ""),
        ({}, 1, ""),
    ],
)
def test_a_hostile_header_says_nothing(
    tmp_path: Path, header: dict[str, Any], answers: int, selected_by: str
) -> None:
    log = PredictionLog(tmp_path / "predictions.jsonl")
    log.begin(header, {})
    assert log.answers == answers
    assert log.selected_by(KINDS["sudoku"]) == selected_by
