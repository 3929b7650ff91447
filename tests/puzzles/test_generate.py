"""`arc-trm data generate` and the datasets that are generated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from arc_trm.callbacks import Progress
from arc_trm.data.loader import load_tasks
from arc_trm.puzzles.generate import (
    GeneratedSet,
    GeneratorConfig,
    generate_puzzles,
)

Cli = Callable[..., Result]


def test_a_file_made_while_puzzles_are_generated_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    out = tmp_path / "s.csv"

    def generate_slowly(config: GeneratorConfig, progress: Progress) -> GeneratedSet:
        out.write_text("mine")
        return generate_puzzles(config, progress=progress)

    monkeypatch.setattr("arc_trm.data.generated_file.generate_puzzles", generate_slowly)
    result = cli("data", "generate", "sudoku", "--side", 4, "--count", 2, "--out", out)
    assert result.exit_code == 2 and "already exists" in result.stderr
    assert out.read_text() == "mine"


def test_the_file_holds_what_was_asked_for(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "s.csv"
    arguments = ("data", "generate", "sudoku", "--side", 6, "--count", 7, "--seed", 5)
    result = cli(*arguments, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["count"], facts["side"], facts["kind"]) == (7, 6, "sudoku")
    assert len(load_tasks(str(out))) == 7
    mazes = cli("data", "generate", "maze", "--side", 5, "--count", 2, "--out", tmp_path / "m.csv")
    assert "m.csv: 2 mazes, 5×5" in mazes.stdout
    (tmp_path / "m.csv").unlink()
    other = tmp_path / "again.csv"
    assert "7 Sudoku puzzles, 6×6" in cli(*arguments, "--out", other).stdout
    assert other.read_bytes() == out.read_bytes()
    for invalid, message in (
        ((*arguments, "--out", out), "already exists"),
        ((*arguments, "--out", tmp_path / "s.json"), "ends in .csv"),
        ((*arguments, "--out", tmp_path / "no" / "s.csv"), "does not exist"),
        (("data", "generate", "maze", "--clues", 3, "--out", tmp_path / "m.csv"), "for Sudokus"),
        (("data", "generate", "mase", "--out", tmp_path / "m.csv"), 'did you mean "maze"'),
        (("data", "generate", "arc", "--out", tmp_path / "a.csv"), "cannot be generated"),
    ):
        result = cli(*invalid)
        assert result.exit_code == 2 and message in result.stderr, invalid
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again.csv", "s.csv"]


@pytest.mark.slow
def test_puzzles_are_hard_unless_options_say_otherwise(tmp_path: Path, cli: Cli) -> None:
    def ratings(*options: object) -> dict[str, float]:
        out = tmp_path / "p.csv"
        out.unlink(missing_ok=True)
        result = cli("data", "generate", *options, "--count", 3, "--out", out, "--json")
        assert result.exit_code == 0, result.stderr
        found: dict[str, float] = json.loads(result.stdout)["rating"]
        return found

    assert ratings("sudoku")["min"] >= 10
    assert ratings("sudoku", "--max-rating", 0)["max"] == 0
    assert ratings("maze")["min"] >= 111
    assert ratings("maze", "--side", 10)["max"] < 111


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sudoku-6x6/train", "sudoku-6x6/test", "sudoku-easy/test", "sudoku-minimal/test"]
)
def test_generated_datasets_are_the_same_everywhere(name: str, cli: Cli) -> None:
    facts = json.loads(cli("data", "show", name, "--json").stdout)
    (split,) = facts["splits"]
    assert split["as_published"] and split["files"] == "generated when needed"
    assert f"{name}, as recorded: generated" in cli("data", "show", name).stdout


@pytest.mark.slow
def test_generated_datasets_are_listed(cli: Cli) -> None:
    assert re.search(r"sudoku-6x6/train .* generated", cli("data", "list").stdout)
    assert "Sudoku 6×6" in cli("data", "show", "sudoku-6x6").stdout
