"""Settings: TOML files, --set, run.json, inference.json and the arguments of commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fuzzing import assert_sentence, fuzz, mutations, reads_or_refuses
from hypothesis import example, given
from hypothesis import strategies as st
from paths import ROOT

from arc_trm.cli import main
from arc_trm.config import (
    InferenceChoice,
    InferenceConfig,
    RunConfig,
    load_config,
    loader,
    read_config,
    to_dict,
)
from arc_trm.data import registry
from arc_trm.hub.known_weights import read_known_weights
from arc_trm.runs import RUN_CONFIG
from arc_trm.runs.folder import FORMAT

CONFIG = b"""name = "x"
seed = 1
[model]
num_layers = 2
mixer = "mlp"
[data]
train = ["arc-agi-1/training"]
[train]
lr = 1e-3
betas = [0.9, 0.95]
early_halting = false
"""
DEEP = b"seed = " + b"[" * 600 + b"]" * 600
LONG = b"seed = " + b"9" * 5000
MANIFESTS = [path.read_bytes() for path in (ROOT / "datasets").glob("maze*/manifest.toml")]
MANIFEST = (ROOT / "datasets/arc-agi-1/manifest.toml").read_bytes()
KNOWN = (ROOT / "arc_trm/hub/known_weights.toml").read_bytes()


@fuzz
@given(mutations(CONFIG, DEEP, LONG, b"model" + b".a" * 1000 + b" = 1", b"a = 2001-01-01"))
@example(DEEP)
@example(LONG)
@example(b"model.layers" + b".a" * 1000 + b" = 1")
@example(b"a." * 60_000 + b"a = 1")
@example(b"seed = [" + b"0," * 60_000 + b"]")
def test_config_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    reads_or_refuses(lambda: load_config(file=path))


@fuzz
@given(
    mutations(
        b"train.lr=1e-3",
        b"data.train=[a,b]",
        b"model.mixer='mlp'",
        b"seed=" + b"9" * 5000,
        b"model.layers" + b".a" * 1000 + b"=1",
        b"train={lr=1, betas=[0.9, 0.95]}",
    )
)
def test_overrides(content: bytes) -> None:
    reads_or_refuses(lambda: load_config(overrides=[content.decode("utf-8", "surrogateescape")]))


@fuzz
@given(mutations(loader.PRESETS.joinpath("quickstart.toml").read_bytes(), b"[preset]\nname = 1"))
def test_presets(tmp_path: Path, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loader, "PRESETS", tmp_path)
        tmp_path.joinpath("own.toml").write_bytes(content)
        reads_or_refuses(lambda: loader.read_preset("own"))
        reads_or_refuses(lambda: load_config("own"))


@fuzz
@given(mutations(MANIFEST[:4000], MANIFEST, *MANIFESTS, DEEP, b"\xff", b"title = 1", b"splits = 1"))
def test_manifests(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.toml").write_bytes(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "manifests_folder", lambda: tmp_path)
        registry.manifests.cache_clear()
        reads_or_refuses(lambda: registry.find_manifest("own"))
    registry.manifests.cache_clear()


@fuzz
@given(mutations(KNOWN, b"[settings]\nx = 1", b"[[weights]]\nrecipe = []"))
def test_known_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(content)
    reads_or_refuses(lambda: read_known_weights(path))


RUN = json.dumps({"format": FORMAT, **to_dict(RunConfig())}).encode()


@fuzz
@given(mutations(RUN, RUN.replace(b'"seed": 0', b'"seed": [' + b"0, " * 5000 + b"0]")))
def test_run_configs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / RUN_CONFIG
    path.write_bytes(content)
    reads_or_refuses(lambda: read_config(path, "run folder", FORMAT, RunConfig))


CHOICE = InferenceChoice(InferenceConfig(samples=2), "0" * 16, "x", 1, ("1" * 16,), "best")


@fuzz
@given(mutations(json.dumps({"format": "x", **to_dict(CHOICE)}).encode()))
def test_inference_settings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inference.json"
    path.write_bytes(content)
    reads_or_refuses(lambda: read_config(path, "weights folder", "x", InferenceChoice))


LINES = [
    "train --set train.lr=1 --max-steps 5 --time-limit 3h --seed 1 --config c.toml --out r",
    "adapt w --data d --checkpoint best --device cpu",
    "predict w --data d --attempts 2 --samples 3 --noise 0.3 --select votes --json",
    "score p --data d --solutions s",
    "export p --format arcprize --out o",
    "export",
    "merge a b --vote-weights 2,1 --out o",
    "data generate sudoku --count 5 --side 9 --out p.csv",
    "data show arc-agi-1",
    "--nproc-per-node 2 train",
    "pull o/n --out w",
]


@pytest.fixture
def without_work() -> Iterator[None]:
    """Let all commands parse their arguments and do nothing."""
    with pytest.MonkeyPatch.context() as patched:
        context = click.Context(main)
        left = [main.get_command(context, name) for name in main.list_commands(context)]
        while left:
            command = left.pop()
            assert command is not None
            if isinstance(command, click.Group):
                left += command.commands.values()
            else:
                patched.setattr(command, "callback", lambda **_: None)
        patched.setattr("arc_trm.cli.launch", lambda **_: 0)
        yield


@fuzz
@given(st.lists(mutations(*(line.encode() for line in LINES)), max_size=2))
@example([b"export p --out o"])
@example([b"train --seed " + b"9" * 5000])
@example([b"train --config a\0b"])
def test_arguments(without_work: None, parts: list[bytes]) -> None:
    arguments = b" ".join(parts).decode("utf-8", "surrogateescape").split(" ")
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 2)
    if result.stderr.startswith("Error: "):
        assert_sentence(result.stderr.removeprefix("Error: ").removesuffix("\n"))
    else:
        assert result.exit_code == 0 or result.stderr.startswith("Usage: "), "the help of a group"
