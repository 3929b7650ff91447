"""The scripts of the records as modules."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from paths import ROOT


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/measure.py."""
    monkeypatch.syspath_prepend(ROOT / "records")
    return importlib.import_module("measure")


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script records/ablate.py."""
    monkeypatch.syspath_prepend(ROOT / "records")
    return importlib.import_module("ablate")
