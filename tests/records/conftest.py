"""The scripts of the records as modules."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from paths import ROOT


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import records/NAME.py."""
    monkeypatch.syspath_prepend(ROOT / "records")
    return importlib.import_module(name)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/measure.py."""
    return script("measure", monkeypatch)


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/ablate.py."""
    return script("ablate", monkeypatch)


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/inference.py."""
    return script("inference", monkeypatch)


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/day.py."""
    return script("day", monkeypatch)


@pytest.fixture
def puzzle_embedding(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/puzzle_embedding.py."""
    return script("puzzle_embedding", monkeypatch)
