"""Fixtures that every test may use; the functions behind them lie in tests/helpers."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import hypothesis
import pytest
from click.testing import Result
from commands import run_cli, run_torchrun

# Kernels in Triton are tested in its interpreter, which is chosen before Triton is loaded.
os.environ["TRITON_INTERPRET"] = "1"
# A busy machine is no reason to fail an example that takes longer than usual. The same examples in
# every run, so that a change that is right never fails by chance; `--hypothesis-profile explore`
# looks for others.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark the tests that open a browser."""
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker(pytest.mark.browser)


# `tiny` imports torch, which takes seconds: fixtures import it when a test asks for them.


@pytest.fixture(autouse=True)
def state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own, not made yet, for the index of what was made last."""
    folder = tmp_path_factory.getbasetemp() / "states" / secrets.token_hex(8)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def cli() -> Callable[..., Result]:
    """Runs `arc-trm` in this process: `cli("train", "--out", folder).exit_code`."""
    return run_cli


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., CompletedProcess[str]]:
    """Runs a program or a module in two processes: `torchrun("-m", "arc_trm", "train")`."""
    return run_torchrun


@pytest.fixture
def challenges(tmp_path: Path) -> Path:
    """A challenges file of three tiny tasks in `tmp_path`; its solutions lie beside it."""
    from tiny import write_challenges

    return write_challenges(tmp_path)


@pytest.fixture
def weights_dir(tmp_path: Path) -> Path:
    """A folder of tiny random weights that know the puzzles a, b and c."""
    from tiny import write_weights

    return write_weights(tmp_path / "weights")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `tiny_run` copies."""
    import torch
    from tiny import run_config, write_challenges

    from arc_trm.training import train_run

    folder = tmp_path_factory.mktemp("tiny")
    config = run_config(write_challenges(folder))
    train_run(config, torch.device("cpu"), folder / "runs" / "tiny")
    return folder


@pytest.fixture
def tiny_run(trained_once: Path, tmp_path: Path) -> Path:
    """A finished run, `runs/tiny` in `tmp_path`, of the challenges file in `tmp_path`."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "runs" / "tiny"
    config = (run / "run.json").read_text()
    (run / "run.json").write_text(config.replace(str(trained_once), str(tmp_path)))
    return run
