"""`arc-trm bench files` on few and small files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from arc_trm.benchmarks import files
from arc_trm.errors import UserError


def test_commands_are_measured_on_a_tenth_and_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {
        "tasks": ("validate challenges.json",),
        "log": ("show 007bbfb7 --predictions predictions.jsonl",),
        "puzzles": ("data show puzzles.csv",),
    }
    monkeypatch.setattr(files, "COMMANDS", commands)
    seen: list[tuple[int, int]] = []
    result = files.bench_files(20, 10, 100, lambda *each: seen.append(each))
    assert seen == [(done, 6) for done in range(7)]
    items = [[part["items"] for part in each["parts"]] for each in result["commands"]]
    # 416 test inputs of 400 tasks, each plain and with 1 or 10 augmentations.
    assert items == [[2, 20], [832, 4576], [10, 100]]
    for each in result["commands"]:
        for part in each["parts"]:
            # Smaller than this process, so the memory is that of the command alone.
            assert 0 < part["cpu_seconds"] < part["seconds"] * 8
            assert 10 < part["peak_memory_mb"] < 200
    lines = files.file_lines(result)
    assert lines[1].split()[:3] == ["validate", "2", "tasks"] and len(lines) == 4


def test_a_command_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "COMMANDS", {"puzzles": ("data show missing.csv",)})
    with pytest.raises(
        UserError, match=r"`arc-trm data show missing\.csv` failed while .*: Error: missing\.csv is"
    ):
        files.bench_files(1, 1, 10)


@pytest.mark.parametrize("option", [("--batch-size", 3), ("--set", "seed=1"), ("--device", "cpu")])
def test_options_of_models_are_refused(
    cli: Callable[..., Result], option: tuple[object, ...]
) -> None:
    result = cli("bench", "files", *option)
    assert result.exit_code == 2 and "`bench files` measures no model" in result.stderr
