"""A command opens each of its input files once: whatever it needs of a file, it reads together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import paths
import pytest
from click.testing import Result
from commands import one_thread

# `arc-trm` that counts how often files are opened for reading. Python reports its own opens to the
# hook. safetensors opens files in native code, so calls of its reader are counted in their place.
PROGRAM = """
import atexit, collections, json, os, sys
from pathlib import Path

import safetensors

counts_file, folder, *sys.argv[1:] = sys.argv[1:]
counts = collections.Counter()


def count(path):
    if isinstance(path, (str, bytes, os.PathLike)):
        path = Path(os.fsdecode(path)).resolve()
        if path.is_relative_to(folder) and path.exists():
            counts[str(path.relative_to(folder))] += 1


def hook(event, arguments):
    if event == "open" and arguments[2] & os.O_ACCMODE != os.O_WRONLY:
        count(arguments[0])


def safe_open(path, *arguments, **options):
    count(path)
    return original(path, *arguments, **options)


original, safetensors.safe_open = safetensors.safe_open, safe_open
atexit.register(lambda: Path(counts_file).write_text(json.dumps(counts)))
sys.addaudithook(hook)

from arc_trm.cli import main

main()
"""

Count = Callable[..., dict[str, int]]

DATA = ["tiny_challenges.json", "tiny_solutions.json"]
WEIGHTS = ["config.json", "puzzle_ids.json", "model.safetensors", "puzzle_embedding.safetensors"]
CHECKPOINT = "checkpoints/12.safetensors"
PREDICTIONS = ["predictions.jsonl", "submission.json"]


@pytest.fixture
def count_opens(tmp_path: Path) -> Count:
    """Runs `arc-trm` and returns how often it opened each file of `tmp_path` for reading.

    Files that it wrote under a temporary name are left out.
    """
    counts_file = tmp_path.parent / f"{tmp_path.name}-counts.json"

    def run(*arguments: object) -> dict[str, int]:
        command = [sys.executable, "-c", PROGRAM, counts_file, tmp_path, *arguments]
        result = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            env={**one_thread(), "PYTHONPATH": str(paths.ROOT)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        counts = json.loads(counts_file.read_text())
        return {
            re.sub("predictions/[^/]+/", "", name): count
            for name, count in counts.items()
            if (tmp_path / name).exists()
        }

    return run


LOG = "predictions.jsonl"


def inputs(counts: dict[str, int]) -> dict[str, int]:
    """Return the opens of all files but the log, which the job itself writes and reads."""
    return {name: count for name, count in counts.items() if Path(name).name != LOG}


@pytest.fixture
def count_reads(count_opens: Count) -> Count:
    """As `count_opens`, without the weights, of which headers and digests are read."""

    def run(*arguments: object) -> dict[str, int]:
        counts = count_opens(*arguments)
        weights = [*WEIGHTS[2:], Path(CHECKPOINT).name]
        return {name: count for name, count in counts.items() if Path(name).name not in weights}

    return run


def once(*names: str, **folders: list[str]) -> dict[str, int]:
    """Return one open of each file of `names`, and of the files in each of `folders`."""
    inside = [f"{folder}/{name}" for folder, files in folders.items() for name in files]
    return dict.fromkeys([*names, *inside], 1)


@pytest.fixture
def predicted(tiny_run: Path, tmp_path: Path, cli: Callable[..., Result]) -> Path:
    """The folder of a run `run` that has predicted, also into the folder `out`."""
    tiny_run.rename(tmp_path / "run")
    (tmp_path / "out").mkdir()
    for options in ([], ["--data", tmp_path / DATA[0], "--out", tmp_path / "out"]):
        result = cli("predict", tmp_path / "run", *options)
        assert result.exit_code == 0, result.output
    return tmp_path


@pytest.mark.slow
def test_predict(count_opens: Count, tiny_run: Path, tmp_path: Path) -> None:
    tiny_run.rename(tmp_path / "run")
    # Network and embedding are read for their digest, too, and headers for the steps they are of.
    run = once(*DATA, run=[*WEIGHTS, "run.json", CHECKPOINT])
    run |= {f"run/{WEIGHTS[2]}": 3, f"run/{WEIGHTS[3]}": 2}
    assert inputs(count_opens("predict", "run")) == run
    assert inputs(count_opens("predict", "run")) == run  # resumed
    (tmp_path / "out").mkdir()
    elsewhere = count_opens("predict", "run", "--data", DATA[0], "--out", "out")
    assert inputs(elsewhere) == run


@pytest.mark.slow
def test_score(count_reads: Count, predicted: Path) -> None:
    (predicted / "other.json").write_text((predicted / DATA[1]).read_text())
    scored = once(*DATA, run=PREDICTIONS)
    assert count_reads("score", "run") == scored
    assert count_reads("score", "run", "--with-published") == scored
    with_data = count_reads("score", "run", "--data", DATA[0])
    assert with_data == scored | once(run=["run.json"])  # which may have trained on them
    two = once(*DATA, "other.json", run=PREDICTIONS, out=PREDICTIONS)
    assert count_reads("score", "run", "out", "--solutions", "other.json") == two
    beside_log = ("out/submission.json", "--solutions", "other.json")
    assert count_reads("score", *beside_log) == once(*DATA, "other.json", out=PREDICTIONS)
    (predicted / "out" / "submission.json").rename(predicted / "bare.json")
    bare = ("bare.json", "--solutions", "other.json")
    assert count_reads("score", *bare) == once("other.json", "bare.json")


@pytest.mark.slow
def test_data_that_was_trained_on(count_reads: Count, predicted: Path) -> None:
    """The warning about them needs no second look into the file."""
    run_file = predicted / "run" / "run.json"
    config = json.loads(run_file.read_text())
    config["data"]["train"] = [str(predicted / DATA[0])]
    run_file.write_text(json.dumps(config))
    scored = count_reads("score", "run", "--data", DATA[0])
    assert scored == once(*DATA, run=[*PREDICTIONS, "run.json"])
    repeated = count_reads("predict", "run", "--data", DATA[0], "--out", "out")
    assert inputs(repeated) == once(*DATA, run=[*WEIGHTS[:2], "run.json"])


@pytest.mark.slow
def test_report(count_reads: Count, predicted: Path) -> None:
    assert count_reads("report", "run") == once(*DATA, run=[*PREDICTIONS, "metrics.jsonl"])
    curve = once(*DATA, run=["metrics.jsonl"])
    assert count_reads("report", "out") == curve | once(out=PREDICTIONS)
    # It looks whether it may replace the page of before, and what the weights were trained on.
    submission = count_reads("report", "out/submission.json", "--data", DATA[0])
    assert submission == once(
        *DATA, run=["metrics.jsonl", "run.json"], out=[*PREDICTIONS, "report.html"]
    )


@pytest.mark.slow
def test_merge(count_reads: Count, predicted: Path) -> None:
    merge = ("merge", "run", "out", "--out", "merged.json")
    both = once(*DATA, run=PREDICTIONS, out=PREDICTIONS)
    assert count_reads(*merge) == both
    again = (*merge, "--overwrite", "--data", DATA[0])
    replaced = {"merged.json": 2}  # before files are read, and before it is written
    assert count_reads(*again) == both | replaced
    with_submission = count_reads("merge", "run", "out/submission.json", "--out", "more.json")
    assert with_submission == both


@pytest.mark.slow
def test_runs(count_reads: Count, tiny_run: Path, tmp_path: Path) -> None:
    for name in ("run", "other"):
        shutil.copytree(tiny_run, tmp_path / name)
    files = ["run.json", "metrics.jsonl", "provenance.json"]
    assert count_reads("runs", "show", "run") == once(run=files)
    assert count_reads("compare", "run", "other") == once(run=files, other=files)
