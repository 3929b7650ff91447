"""What is said of designs of the puzzle embedding comes from their log, and the tracks run."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

from arc_trm.config import load_config
from arc_trm.errors import UserError

RECORDS = ROOT / "records"
DESIGNS = tomllib.loads((RECORDS / "puzzle_embedding.toml").read_text("utf-8"))


def test_designs_are_settings_of_quickstart_that_differ() -> None:
    configs = [load_config("quickstart", None, each["settings"]) for each in DESIGNS.values()]
    assert all(first != other for first in configs for other in configs if first is not other)


def test_the_log_of_records_holds_the_tables_of_what_was_measured(
    puzzle_embedding: ModuleType,
) -> None:
    if puzzle_embedding.LOG.exists():
        measured = puzzle_embedding.table(DESIGNS)
        log = (RECORDS / "LOG.md").read_text("utf-8")
        assert all(table in log for table in measured.split("\n\n"))


def test_the_table_compares_each_number_of_votes_with_the_table(
    puzzle_embedding: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    designs = {"table": {"settings": []}, "new": {"settings": ["a=1"], "votes": [9, 1]}}
    solved = {
        "table": {"trained": [[9, 11], [8, 12], [9, 10]]},
        "new": {"9": [[12, 13], [12, 14], [11, 13]], "1": [[9, 12], [9, 13], [8, 11]]},
    }
    monkeypatch.setattr(puzzle_embedding, "LOG", tmp_path / "log.jsonl")
    lines = [
        {
            "seed": seed,
            "solved": {votes: each[seed] for votes, each in solved[name].items()},
            "right": {votes: (seed + 1) / 8 for votes in solved[name]},
            **{"exact": next(iter(solved[name].values()))[seed][1], "of": 31},
            **{"seconds": 1.0, "cpu_seconds": 1.0},
            "recipe_digest": puzzle_embedding.digest("quickstart", design),
        }
        for name, design in designs.items()
        for seed in range(3)
    ]
    puzzle_embedding.LOG.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert puzzle_embedding.table(designs).splitlines()[2:] == [
        "| table | trained | 3 | 9, 8, 9 | 11, 12, 10 | 11.0 |  | 12.5, 25.0, 37.5 |",
        "| new | 9 | 3 | 12, 12, 11 | 13, 14, 13 | 13.3 | better | 12.5, 25.0, 37.5 |",
        "| new | 1 | 3 | 9, 9, 8 | 12, 13, 11 | 12.0 | no difference | 12.5, 25.0, 37.5 |",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("track", ["quickstart", "arc-12x12", "adaptation", "embeddings-only"])
def test_a_track_trains_predicts_and_scores(
    puzzle_embedding: ModuleType, track: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = puzzle_embedding.arc_trm

    def short(*arguments: str, **more: object) -> str:
        if arguments[0] == "train":
            arguments = (*arguments, "--set", "train.max_steps=2")
        arguments = tuple("2" if each == "4000" else each for each in arguments)
        return str(whole(*arguments, **more))

    monkeypatch.setattr(puzzle_embedding, "arc_trm", short)
    design = {"settings": DESIGNS["composed"]["settings"], "votes": [2, 0]}
    run = puzzle_embedding.measure(track, "composed", design, 3)
    assert run["of"] == (54 if track == "arc-12x12" else 31)
    assert list(run["solved"]) == list(run["right"]) == ["2", "0"] and run["seed"] == 3


def test_unknown_designs_are_named(
    puzzle_embedding: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["puzzle_embedding.py", "quickstart", "tabel"])
    with pytest.raises(UserError, match="no design 'tabel'; did you mean"):
        puzzle_embedding.main()
    monkeypatch.setattr(sys, "argv", ["puzzle_embedding.py"])
    with pytest.raises(UserError, match="name a track"):
        puzzle_embedding.main()
