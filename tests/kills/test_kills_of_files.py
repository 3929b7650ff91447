"""Kills at every write of other commands; `kill_cases` says what must be true then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kill_cases import CASES, check_kills

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and lists writes as Linux does"),
]


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].run])
def test_kills(name: str, before: Path) -> None:
    check_kills(name, before)
