"""Who may import whom, what loads without torch, and what the wheel holds."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import ROOT
from sources import imports

# From the ground up. A module imports from floors below its own only, never from its own floor.
FLOORS = [
    ("submission",),
    ("errors", "_version"),
    (
        "io",
        "rng",
        "time_limit",
        "display",
        "registry",
        "callbacks",
        "metric_keys",
        "source_code",
        "cores",
    ),
    ("tasks", "environment"),
    ("config",),
    ("puzzles", "device"),
    ("runs",),
    ("file_kind", "tracking"),
    ("data", "models"),
    ("checkpoint",),
    ("evaluation",),
    ("inference",),
    ("training",),
    ("viz",),
    ("hub",),
    ("run_inputs",),
    ("pipeline",),
    ("benchmarks",),
    ("integrations", "cli", "__init__"),
    ("__main__",),
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
NEED_TORCH = ("device", "models", "checkpoint", "training", "inference", "hub", "benchmarks")
PRINT_WITH_RICH = ("arc_trm.viz.terminal", "arc_trm.viz.progress")


def top_name(module: str) -> str | None:
    """The name in FLOORS that a module of ours belongs to; None is a module of others."""
    first, _, rest = module.partition(".")
    if first == "arc_trm":
        return rest.partition(".")[0] or "__init__"
    return "submission" if first == "submission" else None


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


SOURCES = sorted([*(ROOT / "arc_trm").rglob("*.py"), *(ROOT / "submission").rglob("*.py")])


@pytest.mark.parametrize("file", SOURCES, ids=module_of)
@pytest.mark.slow
def test_imports_point_downward(file: Path) -> None:
    module = module_of(file)
    name = top_name(module)
    assert name in FLOOR, f"{module} has no floor: give it one"
    for imported in imports(file):
        other = top_name(imported)
        if other is None or other == name:
            continue
        assert other in FLOOR, f"{module} imports {imported}, which is no module: name where it is"
        assert FLOOR[other] < FLOOR[name], f"{module} imports {imported}"


@pytest.mark.parametrize("file", SOURCES, ids=module_of)
def test_only_some_modules_import_some_packages(file: Path) -> None:
    module = module_of(file)
    packages = {imported.partition(".")[0] for imported in imports(file)}
    assert not packages & {"datasets", "kaggle"}, "these are folders here, and packages on PyPI"
    if "rich" in packages:
        assert top_name(module) == "cli" or module in PRINT_WITH_RICH


@pytest.mark.parametrize("file", SOURCES, ids=module_of)
def test_nothing_in_a_file_can_run(file: Path) -> None:
    """No pickle is loaded, `torch.load` neither, and YAML by the safe loader only."""
    modules = imports(file)
    assert not modules & {"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
    text = file.read_text("utf-8")
    assert "torch.load(" not in text and "allow_pickle" not in text
    names = set(re.findall(r"\byaml\.(\w+)", text))
    assert names <= {"safe_load", "safe_dump", "SafeLoader", "parse", "events"}, names


@pytest.mark.parametrize("file", SOURCES, ids=module_of)
def test_keys_of_metrics_are_spelled_in_one_module(file: Path) -> None:
    found = {
        node.value
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch(r"(train|eval)/\w*", str(node.value))
    }
    is_folder = {"train/"} if module_of(file) == "arc_trm.data.readers.prebuilt" else set()
    assert module_of(file) == "arc_trm.metric_keys" or found <= is_folder


# Imports the modules named as arguments; prints those that do not load without torch, and where.
WITHOUT_TORCH = """
import importlib, sys, traceback
sys.modules["torch"] = None  # so that importing it fails
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(f"{name}: {error} ({place.filename}, line {place.lineno})")
"""


def test_the_rest_loads_without_torch() -> None:
    names = [module_of(file).removesuffix(".__init__") for file in SOURCES]
    names = [name for name in names if top_name(name) not in NEED_TORCH]
    assert {"arc_trm", "arc_trm.cli.train", "submission.__main__"} <= set(names)
    command = [sys.executable, "-c", WITHOUT_TORCH, *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


LOAD_LOCALLY = """
import sys
from arc_trm.run_inputs import resolve_folder
resolve_folder(sys.argv[1])
print("huggingface_hub" in sys.modules)
"""


def test_local_weights_do_without_the_client_of_the_hub(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOAD_LOCALLY, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.slow
def test_the_wheel_holds_what_it_should(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, for building leaves files behind
    for name in ("arc_trm", "submission", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
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
