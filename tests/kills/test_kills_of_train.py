"""Kills at every write of a small run of `train`; `kill_cases` says what must be true then."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_cases import MARKS, check_kills

pytestmark = MARKS


@pytest.mark.parametrize("name", ["train"])
def test_kills(name: str, before: Path) -> None:
    check_kills(name, before)
