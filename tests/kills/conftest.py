"""A folder to kill commands in, and what they start from."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from commands import run_cli
from kill_cases import DATA, EXPORT, OVERRIDES, SHAPE, TRAIN
from puzzles import grid_config, write_puzzles
from tiny import write_challenges, write_weights

import arc_trm
from arc_trm.callbacks import Callback
from arc_trm.config import InferenceConfig
from arc_trm.training import train_run

CPU = torch.device("cpu")
TWO_SETTINGS = [InferenceConfig(), InferenceConfig(samples=2, noise=0.1)]


class StopInTheSecondStep(Callback):
    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == 2:
            raise InterruptedError


@pytest.fixture(scope="module", autouse=True)
def in_one_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in a folder that is made anew for every kill, with an index of what was made in it."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("work")
        patch.chdir(root)
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        # No copies of the source, no git: they take most of the time.
        patch.setattr("arc_trm.runs.provenance._copied_files", lambda: ({"a.py": b""}, {}))
        patch.setattr("arc_trm.runs.provenance._commit", lambda: (None, None))
        patch.setattr("arc_trm.inference.anytime.FLUSH_INTERVAL_RATIO", 0.0)
        tune = importlib.import_module("arc_trm.inference.tune")
        patch.setattr(tune._Space, "settings", lambda *_: iter(TWO_SETTINGS))
        yield


@pytest.fixture(scope="module")
def before(in_one_folder: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands start from; they are warm then."""
    root = Path.cwd()
    write_challenges(root, 1)
    (root / "empty").mkdir()
    write_weights(root / "weights")
    for arguments in (
        [*TRAIN, "trained"],
        ["predict", "trained", "--data", DATA, "--out", "out"],
        ["convert", "weights", "published", "--to-published"],
        [*EXPORT, "attempts"],
    ):
        made = run_cli(*arguments)
        assert made.exit_code in (0, 3), made.stderr
    made = tmp_path_factory.mktemp("before") / "work"
    with pytest.raises(InterruptedError):
        arc_trm.train(
            data=DATA,
            overrides=[*OVERRIDES[1::2], *SHAPE[1::2]],
            max_steps=2,
            out="stopped",
            callbacks=[StopInTheSecondStep()],
        )
    train_run(grid_config(root, train_puzzles=3, validation_puzzles=3), CPU, root / "sudoku")
    write_puzzles(root, count=3, seed=5).rename(root / "other.csv")
    shutil.copy("out/submission.json", "old.json")
    answers = json.loads(Path("old.json").read_text())
    bare = {name: [each["attempt_1"] for each in outputs] for name, outputs in answers.items()}
    Path("bare.json").write_text(json.dumps(bare))
    shutil.copytree(root, made)
    return made
