"""Kills at every write of a small run of each command; docs/development/architecture.md says how.

After each kill, files are whole or absent, nothing else is gone, and the next command ends as if
there had been no kill and removes what is left. Where a kill leaves the same files as an earlier
one did, the next command is not run again.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from commands import run_cli
from kills import (
    command,
    essences,
    in_child,
    kill_at_every_write,
    renew,
)
from puzzles import grid_config, write_puzzles
from tiny import MODEL, write_challenges, write_weights

import arc_trm
from arc_trm.callbacks import Callback
from arc_trm.checkpoint import NETWORK_FILE, WeightsDir
from arc_trm.config import InferenceConfig
from arc_trm.runs import check_free
from arc_trm.runs.lock import LOCK
from arc_trm.training import train_run
from submission import write_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and lists writes as Linux does"),
]

CPU = torch.device("cpu")
DATA = "tiny_challenges.json"
SETTINGS = {
    "dtype": "float32",
    "train.save_interval_s": 1e-6,  # after every step
    "train.keep_checkpoints": 1,
    "train.global_batch_size": 2,
    "data.augmentations": 1,
}
OVERRIDES = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
SHAPE = [part for key, value in MODEL.items() for part in ("--set", f"model.{key}={value}")]
# Both save twice: adapt before its step, too.
TRAIN = ["train", *SHAPE, "--data", DATA, *OVERRIDES, "--max-steps", "2", "--out"]
ADAPT = ["adapt", "weights", "--data", DATA, *OVERRIDES, "--max-steps", "1", "--out"]
CONVERT = ["convert", "published/step_7", "--identifiers", "published/identifiers.json"]
EXPORT = ["export", "out", "--format", "arcprize", "--out"]


TWO_SETTINGS = [InferenceConfig(), InferenceConfig(samples=2, noise=0.1)]


@dataclass
class Case:
    """A command, and what ends its work after a kill.

    Attributes:
        again: arguments of the command that goes on; None is the same command.
        run: the folder of a run that the command makes.
        improves: whether files are replaced on the way.
        may_lose: what the command replaces, which a kill may leave missing.
    """

    arguments: Sequence[str]
    again: Sequence[str] | None = None
    run: str | None = None
    improves: bool = False
    may_lose: str | None = None


CASES = {
    "train": Case([*TRAIN, "run"], ["train", "--resume", "run"], "run"),
    "train --resume": Case(["train", "--resume", "stopped"], run="stopped"),
    "adapt": Case([*ADAPT, "run"], ["adapt", "--resume", "run"], "run"),
    "predict": Case(["predict", "trained", "--data", DATA, "--out", "new"], improves=True),
    "predict --seal": Case(["predict", "trained", "--seal", "--fresh"], improves=True),
    "merge": Case(["merge", "out", "out/submission.json", "--out", "merged.json"]),
    "merge --overwrite": Case(
        ["merge", "out", "out/submission.json", "--out", "old.json", "--overwrite"]
    ),
    "report": Case(["report", "out", "--out", "report.html"]),
    "convert": Case([*CONVERT, "new"]),
    "convert into an empty folder": Case([*CONVERT, "empty"]),
    "convert --to-published": Case(["convert", "weights", "new", "--to-published"]),
    "export": Case([*EXPORT, "new"]),
    "export into a run": Case([*EXPORT, "trained/new"]),
    "export --overwrite": Case([*EXPORT, "attempts", "--overwrite"], may_lose="attempts/"),
    "data generate": Case(
        ["data", "generate", "maze", "--side", "3", "--count", "2", "--out", "mazes.csv"]
    ),
    "data convert": Case(["data", "convert", DATA, "--out", "new"]),
    "data convert to two files": Case(["data", "convert", DATA, "--out", "x_challenges.json"]),
    "convert-submission": Case(
        ["convert-submission", "bare.json", "--challenges", DATA, "--out", "new.json"]
    ),
    "tune-inference": Case(["tune-inference", "sudoku", "--data", "other.csv"]),
    "show": Case(["show", "task0", "--data", DATA, "--out", "task.svg"]),
}


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


@pytest.mark.parametrize("name", CASES)
def test_kills(name: str, before: Path) -> None:
    case, root = CASES[name], Path.cwd()
    renew(root, before)
    reference, start = _end(case.arguments), essences(before)[0]
    states, places = set[str](), set[str]()
    has_weights, writes = False, 0
    for writes in kill_at_every_write(command(*case.arguments), before):  # noqa: B007
        state, left = essences(root)  # raises an error if a file is not whole
        _check_nothing_else_changed(case, start, state, reference)
        if case.run is not None:
            has_weights = _check_weights(root / case.run, has_weights)
        place = repr(sorted(str(each.parent) for each in left))
        if repr(state) in states and place in places:
            _remove_leftovers(left)
            continue
        states.add(repr(state))
        places.add(place)
        is_begun = case.run is not None and (root / case.run / "run.json").exists()
        _check_end(case.again if case.again and is_begun else case.arguments, reference)
    print(f"{name}: killed at each of {writes} writes, {len(states)} states of the files")
    assert writes > 5


def _end(arguments: Sequence[str]) -> dict[str, object]:
    """Run a command to its end in a child; return what is in the files then."""
    answer = in_child(command(*arguments))
    assert answer is not None and answer[0] in "03", answer
    return essences(Path.cwd())[0]


def _check_nothing_else_changed(
    case: Case,
    start: dict[str, object],
    state: dict[str, object],
    reference: dict[str, object],
) -> None:
    for name, content in start.items():
        if not (reference.get(name) != content or name.startswith(case.may_lose or "/")):
            assert state[name] == content, name
    made = set(state) - set(start) - set(reference)
    assert all(each.endswith((".safetensors", ".zip")) for each in made), made
    if not (case.run or case.improves):
        for name in set(state) - set(start):
            assert name.endswith(".jsonl") or state[name] == reference[name], name


def _check_weights(run: Path, has_weights: bool) -> bool:
    """Check that weights can be loaded if there are any, and that there are if there were."""
    if not (run / NETWORK_FILE).exists():
        assert not has_weights
        return False
    parts = WeightsDir(run, "last").parts
    assert parts.embedding is not None
    choice = WeightsDir(run, "last").choice
    assert len(choice.file_digests()) == 2
    return True


def _check_end(again: Sequence[str], reference: dict[str, object]) -> None:
    """Check that a command ends as if there had been no kill, and removes what is left."""
    answer = in_child(command(*again))
    assert answer is not None
    if answer.startswith("2 "):
        assert "already exists" in answer, answer  # it is whole
        _remove_leftovers(essences(Path.cwd())[1])
    else:
        assert answer[0] in "03", answer
    assert essences(Path.cwd()) == (reference, set())


def _remove_leftovers(left: set[Path]) -> None:
    """Check that the next write in each folder removes what a kill left, and that no lock holds."""
    for place in {each.parent for each in left}:
        write_json(place / "next.json", [])
        (place / "next.json").unlink()
        check_free(place)
    assert {each.name for each in left if each.exists()} <= {LOCK}
