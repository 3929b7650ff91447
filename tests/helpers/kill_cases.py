"""Small runs of commands that are killed at every write, and what must be true after each kill.

Files are whole or absent, nothing else is gone, and the next command ends as if there had been no
kill and removes what is left. Where a kill leaves the same files as an earlier one did, the next
command is not run again. docs/development/architecture.md says how to run it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from kills import command, essences, in_child, kill_at_every_write, renew
from tiny import MODEL

from arc_trm.checkpoint import NETWORK_FILE, WeightsDir
from arc_trm.runs import check_free
from arc_trm.runs.lock import LOCK
from submission import write_json

MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and lists writes as Linux does"),
]
"""Of every module of kills."""
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


@dataclass
class Case:
    """A command, and what ends its work after a kill.

    Attributes:
        again: arguments of the command that continues the work; None is the same command.
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
    # A time limit starts with the process, which has run many tests before.
    "tune-inference": Case(
        ["tune-inference", "sudoku", "--data", "other.csv", "--time-limit", "10h"]
    ),
    "show": Case(["show", "task0", "--data", DATA, "--out", "task.svg"]),
}


# Modules of about the same time, so that two workers of pytest take as long.
CONTINUED = [
    name
    for name in CASES
    if name.startswith(("train", "adapt", "predict")) and name not in ("train", "adapt")
]
OTHERS = [name for name in CASES if name not in ("train", "adapt", *CONTINUED)]


def check_kills(name: str, before: Path) -> None:
    """Kill a command at every write. The current folder is made anew from `before` each time."""
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
