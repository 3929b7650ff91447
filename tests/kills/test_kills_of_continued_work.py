"""Kills at every write of `predict` and `--resume`; `kill_cases` says what must be true then."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_cases import CONTINUED, MARKS, check_kills

pytestmark = MARKS


@pytest.mark.parametrize("name", CONTINUED)
def test_kills(name: str, before: Path) -> None:
    check_kills(name, before)
