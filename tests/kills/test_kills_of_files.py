"""Kills at every write of other commands; `kill_cases` says what must be true then."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_cases import MARKS, OTHERS, check_kills

pytestmark = MARKS


@pytest.mark.parametrize("name", OTHERS)
def test_kills(name: str, before: Path) -> None:
    check_kills(name, before)
