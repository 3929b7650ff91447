"""`arc-trm compare`: its table, its JSON, its picture and its messages for mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from charts import DOTS
from click.testing import Result
from commands import run_cli
from made_up_runs import make_run
from PIL import Image

Compare = Callable[..., Result]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds each of two optimisers, in a pipe 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, values in (("adamw", (0.5, 0.75)), ("muon", (0.875, 0.8125))):
        for seed, value in enumerate(values):
            settings = [f"train.optimiser='{name}'"]
            make_run(Path(f"{name}{seed}"), [value / 2, value], seed, settings=settings)


FOUR = ("adamw0", "adamw1", "muon0", "muon1")


@pytest.fixture
def compare() -> Compare:
    def run(*arguments: str) -> Result:
        result = run_cli("compare", *arguments)
        assert result.exit_code == 0, result.stderr
        return result

    return run


def test_a_table_of_all_runs(compare: Compare) -> None:
    lines = compare(*FOUR).output.splitlines()
    assert lines[0] == "eval/exact: of validation puzzles, averaged weights; best of 2 evaluations"
    cells = [re.sub(f"[{chr(0x2800)}-{chr(0x28FF)}]+", "", line).split() for line in lines]
    assert cells[2] == ["run", "seed", "step", "best", "at", "step", "time", "examples/s"]
    assert lines[3] == "train.optimiser=adamw: mean 62.5 %, 50 % to 75 %, 2 seeds"
    assert cells[4] == ["adamw0", "0", "100", "50", "%", "100", "50.0", "s", "128"]
    assert [cells[n][0] for n in (4, 5, 7, 8)] == list(FOUR)
    curves = [line for line in lines if any(ord(c) in DOTS for c in line)]
    assert len(curves) == 4 and len({line[-24:] for line in curves}) > 1
    assert lines[-1] == (
        "train.optimiser=muon against train.optimiser=adamw: +21.9 points, the ranges do not "
        "overlap (chance alone does that in 33 % of cases)."
    )
    assert max(map(len, lines[:-1])) <= 80


def test_a_narrow_terminal_has_the_values_without_curves(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    output = compare(*FOUR).output
    assert not any(ord(c) in DOTS for c in output) and "81.25 %" in output


def test_json(compare: Compare) -> None:
    record = json.loads(compare(*FOUR, "--json").output)
    assert (record["metric"], record["value"]) == ("eval/exact", "highest")
    first, second = record["groups"]
    assert first["settings"] == {"train.optimiser": "adamw"}
    assert (second["mean"], second["low"], second["high"]) == (0.84375, 0.8125, 0.875)
    assert first["runs"][0] == {
        "run": "adamw0",
        "seed": 0,
        "step": 100,
        "total_steps": first["runs"][0]["total_steps"],
        "value": 0.5,
        "at_step": 100,
        "at_seconds": 50.0,
        "seconds": 50.0,
        "examples_per_second": 128.0,
    }
    (difference,) = record["differences"]
    assert difference["ranges_overlap"] is False
    assert difference["chance"] == pytest.approx(1 / 3)


def test_pictures(compare: Compare) -> None:
    assert compare(*FOUR, "--out", "curves.svg").output.endswith("Wrote curves.svg\n")
    text = Path("curves.svg").read_text()
    assert "train.optimiser=muon: mean and each of 2 seeds" in text and ">Step<" in text
    compare(*FOUR, "--metric", "train/lm_loss", "--x", "seconds", "--out", "loss.png", "--json")
    with Image.open("loss.png") as image:
        assert image.size > (400, 300)
        image.load()


def test_names_of_runs_do_not_reach_the_terminal(compare: Compare) -> None:
    names = ["\x1b]0;owned\x07", "[red]x"]
    for seed, name in enumerate(names):
        make_run(Path(name), [0.5], seed)
    output = compare(*names).output
    assert "\x1b" not in output and "\x07" not in output and "[red]x" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"name two runs or more to compare; `arc-trm show RUN` shows one"),
        (["muon0"], r"name two runs or more to compare; `arc-trm show muon0` shows one"),
        (["muon0", "gone"], r"gone is not a run folder"),
        (["muon0", "muon0/"], r"muon0 is named more than once"),
        (["muon0", "muon1", "--metric", "eval/exat"], r'no metric "eval/exat"; did you mean'),
        (["muon0", "muon1", "--metric", "eval/pass_at_1"], r'no metric "eval/pass_at_1"'),
        (["muon0", "muon1", "--out", "x.gif"], r"x\.gif: .*\.svg or \.png"),
        (["muon0", "muon1", "--out", "no/x.png"], r"no/x\.png: cannot be written"),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], message: str) -> None:
    before = sorted(Path().iterdir())
    result = run_cli("compare", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert re.search(message, line)
    assert sorted(Path().iterdir()) == before
