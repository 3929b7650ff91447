"""`make` says at once that it needs a newer Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

(PHONY,) = re.findall(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text("utf-8"))
TARGETS = [target for target in PHONY.split() if target != "clean"]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(target: str, python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile in an empty folder that has what the target depends on."""
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    command = ["make", "--no-print-directory", "-f", ROOT / "Makefile", target, f"PYTHON={python}"]
    # The tests may run in a `make` of their own, whose variables are not for this one.
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "VENV")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_an_old_python_is_one_sentence_before_anything_is_installed(
    tmp_path: Path, target: str
) -> None:
    old = tmp_path / "python3.10"
    code = "import sys; sys.version_info = (3, 10, 2); exec(sys.argv.pop(1) or '')"
    old.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{code}" "$2"\n')
    old.chmod(0o755)
    done = make(target, str(old), tmp_path)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert said == [
        f"this needs Python 3.11 or newer, but {old} is not: name another, as in make "
        "PYTHON=python3.12"
    ]
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_a_new_python_makes_an_environment(tmp_path: Path) -> None:
    new = tmp_path / "python3.99"  # passes the check and then does nothing
    new.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 1\nexec {sys.executable} "$@"\n')
    new.chmod(0o755)
    done = make("quickstart", str(new), tmp_path)
    assert done.returncode == 2
    assert "Python 3.11" not in done.stderr and f"{new} -m venv .venv" in done.stdout
