"""What made a run: its code, versions, machine and command line."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from click.testing import Result
from notes import Notes
from paths import ROOT
from tiny import TRAIN, run_config

import arc_trm
from arc_trm import source_code
from arc_trm.errors import UserError
from arc_trm.runs import Run, provenance
from arc_trm.runs.provenance import read_provenance, record_start
from arc_trm.training import register_loss, train_run
from arc_trm.training.losses import LOSSES
from submission import WriteError

CPU = torch.device("cpu")
PLUGIN = """
import torch

def loss(logits, labels):
    return torch.zeros(())
"""


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    """A process reads its own code once, but here it changes."""
    caches = (provenance._package_sources, provenance._commit, provenance._is_released)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def start(folder: Path, step: int = 0) -> dict[str, Any]:
    """Record a start; the entry that is the last one then."""
    folder.mkdir(exist_ok=True)
    record_start(folder, step, CPU, 1)
    return read_provenance(folder).entries[-1]


def archive(folder: Path, entry: dict[str, Any]) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / entry["source"]) as found:
        return {name: found.read(name) for name in found.namelist()}


def load_plugin(path: Path, name: str) -> ModuleType:
    path.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packages, in the place of the ones that run."""
    root = tmp_path / "site-packages"
    for each in source_code.PACKAGES:
        (root / each.name).mkdir(parents=True)
        (root / each.name / "__init__.py").write_text(f"# {each.name}\n")
    (root / "arc_trm" / "kernels.c").write_text("// C")
    packages = tuple(root / each.name for each in source_code.PACKAGES)
    monkeypatch.setattr(source_code, "PACKAGES", packages)
    monkeypatch.setattr(provenance, "PACKAGE", packages[0])
    return root


def test_a_run_says_what_made_it(tiny_run: Path) -> None:
    (entry,) = read_provenance(tiny_run).entries
    assert (entry["step"], entry["command"], entry["device"]) == (0, None, "cpu")
    assert (entry["version"], entry["torch"]) == (arc_trm.__version__, torch.__version__)
    assert entry["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(entry["source_digest"]) == 16
    files = archive(tiny_run, entry)
    sources = {name for name in files if not name.startswith("plugins/")}
    assert sources == {name for name, _ in source_code.package_files()}
    assert {"arc_trm/models/cpu_kernels.c", "submission/scoring.py"} < sources
    assert "arc_trm/config/presets/quickstart.toml" in sources
    assert files["arc_trm/runs/lock.py"] == (ROOT / "arc_trm" / "runs" / "lock.py").read_bytes()


def test_the_command_line_is_as_given(
    cli: Callable[..., Result], challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    options = ["--data", challenges.name, "--max-steps", 0, "--device", "cpu", "--out", "a run"]
    assert cli("train", *options).exit_code == 0
    (entry,) = read_provenance(Path("a run")).entries
    assert entry["command"] == (
        "arc-trm train --data tiny_challenges.json --max-steps 0 --device cpu --out 'a run'"
    )
    assert "hf_secret" not in Path("a run", "provenance.json").read_text()


def test_the_commit_is_that_of_the_checkout_of_the_package(package: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), "-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    if shutil.which("git") is None:
        pytest.skip("there is no git")
    assert (start(tmp_path / "run")["commit"], start(tmp_path / "run")["changed"]) == (None, None)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    for change, changed in ((None, False), ("elsewhere.txt", False), ("arc_trm/new.py", True)):
        if change:
            (package / change).write_text("")
        provenance._commit.cache_clear()
        entry = start(tmp_path / "run")
        assert (entry["commit"], entry["changed"]) == (git("rev-parse", "HEAD"), changed)


def test_a_package_in_the_checkout_of_another_has_no_commit(tmp_path: Path, package: Path) -> None:
    (package.parent / ".git").mkdir()
    assert start(tmp_path / "run")["commit"] is None


def install(root: Path, *, hashed: bool = True, direct_url: str | None = None) -> None:
    """What pip leaves beside an installed package."""
    about = root / "arc_trm-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: arc-trm\nVersion: 0.1.0\n")
    lines = []
    for path in sorted(root.rglob("*.*")):
        if path.is_file():
            digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
            text = f"sha256={digest.decode().rstrip('=')}" if hashed else ""
            lines.append(f"{path.relative_to(root)},{text},1")
    (about / "RECORD").write_text("\n".join(lines))
    if direct_url is not None:
        (about / "direct_url.json").write_text(direct_url)


@pytest.mark.parametrize(
    ("change", "released"),
    [
        (None, True),
        ("edited", False),
        ("added", False),
        ("unhashed", False),
        ("from a file", False),
        ("not installed", False),
    ],
)
def test_the_source_of_a_released_package_is_not_copied(
    tmp_path: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str | None,
    released: bool,
) -> None:
    url = '{"url": "file:///arc_trm.whl"}' if change == "from a file" else None
    install(package, hashed=change != "unhashed", direct_url=url)
    if change == "edited":
        (package / "arc_trm" / "kernels.c").write_text("// changed")
    if change == "added":
        (package / "arc_trm" / "more.py").write_text("")

    def distribution(name: str) -> metadata.Distribution:
        if change == "not installed":
            raise metadata.PackageNotFoundError(name)
        return metadata.PathDistribution(package / "arc_trm-0.1.0.dist-info")

    monkeypatch.setattr(metadata, "distribution", distribution)
    monkeypatch.setattr(provenance, "_registered", lambda: [])
    entry = start(tmp_path / "run")
    assert (entry["source"] is None) == released
    assert [path.name for path in (tmp_path / "run").glob("*.zip")] == (
        [] if released else [entry["source"]]
    )


def test_what_is_registered_is_copied(tmp_path: Path) -> None:
    module = load_plugin(tmp_path / "idea.py", "my.idea")
    register_loss("mine")(module.loss)
    try:
        entry = start(tmp_path / "run")
    finally:
        del LOSSES["mine"]
    assert entry["plugins"]["loss mine"] == "plugins/my/idea.py"
    assert archive(tmp_path / "run", entry)["plugins/my/idea.py"] == PLUGIN.encode()
    other = start(tmp_path / "other")
    assert "loss mine" not in other["plugins"] and other["source"] != entry["source"]
    assert other["source_digest"] == entry["source_digest"]  # which is of the package alone
    assert not any("arc_json" in name for name in other["plugins"])  # parts of the package


def test_what_has_no_source_is_named(tmp_path: Path) -> None:
    typed: dict[str, Any] = {"__name__": "__main__"}
    exec("def loss(logits, labels): ...", typed)
    register_loss("typed")(typed["loss"])
    try:
        assert start(tmp_path / "run")["plugins"]["loss typed"] is None
    finally:
        del LOSSES["typed"]


def test_equal_source_makes_an_equal_file(tmp_path: Path) -> None:
    entries = [start(tmp_path / name) for name in "ab"]
    assert entries[0]["source"] == entries[1]["source"]
    one, other = (tmp_path / name / entries[0]["source"] for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_a_resumed_run_gets_an_entry_if_its_code_is_another(tmp_path: Path, package: Path) -> None:
    run = tmp_path / "run"
    first = start(run)
    start(run, 5)
    assert read_provenance(run).entries == [first]
    (package / "arc_trm" / "kernels.c").write_text("// changed")
    provenance._package_sources.cache_clear()
    second = start(run, 7)
    assert read_provenance(run).entries == [first, second]
    assert (second["step"], second["source_digest"] != first["source_digest"]) == (7, True)
    assert archive(run, first)["arc_trm/kernels.c"] == b"// C"
    assert archive(run, second)["arc_trm/kernels.c"] == b"// changed"
    assert start(run, 0) == read_provenance(run).entries[0]  # it starts again: what it was is gone
    assert [path.name for path in run.glob("*.zip")] == [second["source"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"entries": 5}',
        '{"entries": [5, "x"]}',
        '{"entries": [{"step": 1e400}]}',
        "[" * 5000,
    ],
)
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "provenance.json").write_text(text)
    assert read_provenance(tmp_path).entries == []
    kept = tmp_path / "source-12345678.zip"  # of an entry that cannot be read
    kept.write_bytes(b"")
    assert start(tmp_path, 5)["step"] == 5
    assert kept.exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"source-.*\.zip: cannot be written: the disk is full"):
        start(tmp_path)
    assert not list(tmp_path.iterdir())


# State


def test_a_run_has_a_state(tmp_path: Path, challenges: Path) -> None:
    states = []

    class Ask(arc_trm.Callback):
        def progress(self, *_: object) -> None:
            states.append(Run(tmp_path / "run").state)

    config = run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "run", callbacks=[Ask(), Notes(stop=4)])
    assert set(states) == {"running"}
    run = Run(tmp_path / "run")
    assert run.state == "interrupted"
    train_run(run.config, CPU, run.path, resume=True)
    assert Run(run.path).state == "complete"


def test_a_run_that_ends_by_its_time_limit_is_complete(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges, train={**TRAIN, "total_steps": None, "time_limit": 3.0})
    path = train_run(config, CPU, tmp_path / "run").path
    run = Run(path)
    assert run.total_steps is not None
    write = json.loads((path / "run.json").read_text())
    write["train"]["total_steps"] = run.step + 10  # fewer steps than planned fitted
    (path / "run.json").write_text(json.dumps(write))
    assert Run(path).state == "complete"


def test_two_processes_do_not_train_one_run(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges)
    errors = []

    class Resume(arc_trm.Callback):
        def progress(self, done: int, *_: object) -> None:
            if done == 3:
                with pytest.raises(UserError) as caught:
                    train_run(config, CPU, tmp_path / "run", resume=True)
                errors.append(str(caught.value))

    run = train_run(config, CPU, tmp_path / "run", callbacks=[Resume()])
    (error,) = errors
    assert error.startswith(f"{run.path} is being written by process {os.getpid()}, started ")
    assert run.step == 12
