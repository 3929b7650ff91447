"""Where Chromium is."""

from __future__ import annotations

import os
import shutil

import pytest


def chromium() -> str:
    """Return the path of Chromium; skip the test without one."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
    )
    if not found:
        assert "CI" not in os.environ, "no Chromium: .ci/run installs it"
        pytest.skip("needs Chromium: `apt-get install chromium`, or its path in CHROMIUM")
    return found
