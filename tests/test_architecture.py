"""Who may import whom (docs/architecture.md), what loads without torch, what the wheel holds."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import ROOT

# From the ground up; a room imports rooms before it only, and those in one tuple not each other.
FLOORS = [
    ("submission",),
    ("errors",),
    ("pictures",),
    ("config", "tasks", "clock"),
    ("domains",),
    ("voting", "objective", "optim", "device", "model", "data"),
    ("runs", "checkpoint", "answers", "judging"),
    ("hub", "results"),
    ("train", "predict", "report"),
    ("harness", "bench"),
    ("cli",),
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "submission":
        return "submission"
    if parts[0] == "arc_trm" and len(parts) > 1:
        return parts[1]
    return None


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


SOURCES = sorted([*(ROOT / "arc_trm").rglob("*.py"), *(ROOT / "submission").rglob("*.py")])


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downwards(file: Path) -> None:
    relative = file.relative_to(ROOT).with_suffix("")
    room = room_of(".".join(relative.parts))
    if room in (None, "__init__", "__main__"):  # the way in from Python and from the shell
        return
    assert room in FLOOR, f"{room} has no floor: give it one"
    for module in imports(file):
        other = room_of(module)
        if other is not None and other != room and other in FLOOR:
            assert FLOOR[other] < FLOOR[room], f"{room} imports {module}"
        if room != "cli":
            assert module.split(".")[0] != "rich", "rich is for the command line"
        assert module.split(".")[0] not in {"datasets", "kaggle"}


@pytest.mark.parametrize(
    "module",
    [
        *(
            "arc_trm",
            "arc_trm.tasks",
            "arc_trm.puzzles.arc.kind",
            "arc_trm.evaluation.voting",
            "arc_trm.config",
        ),
        *("arc_trm.data.loader", "arc_trm.data.training_set", "arc_trm.viz", "arc_trm.cli"),
        *(
            "arc_trm.evaluation.source",
            "arc_trm.viz.report",
            "arc_trm.integrations.inspect_ai.plugin",
        ),
        *("submission", "submission.__main__"),
    ],
)
def test_loads_without_torch(module: str) -> None:
    program = f"import sys, {module}; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_wheel_holds_what_it_should(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, for building leaves files behind
    ignored = shutil.ignore_patterns(".*", "runs", "build", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"arc_trm", "submission"}
    for package in ("arc_trm", "submission"):
        sources = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*") if p.is_file()}
        assert {s for s in sources if "__pycache__" not in s} <= set(names)
    for manifest in (ROOT / "datasets").rglob("*.*"):
        assert f"arc_trm/{manifest.relative_to(ROOT)}" in names
