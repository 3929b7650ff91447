"""What ablations say comes from their logs, and their settings are real ones."""

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
from arc_trm.runs import FolderLock

RECORDS = ROOT / "records"
RECIPES = tomllib.loads((RECORDS / "ablations.toml").read_text("utf-8"))
FOLDERS = [RECORDS / track / name for name, recipe in RECIPES.items() for track in recipe["tracks"]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda each: f"{each.parent.name}/{each.name}")
def test_every_idea_changes_the_config(
    ablate: ModuleType, measure: ModuleType, folder: Path
) -> None:
    track = ablate.read_track(folder.parent.name)
    ablation = ablate.read_ablation(track, folder)
    configs = [
        load_config(measure.PRESET, folder / "config.toml", [*track.overrides, *settings])
        for settings in ablation.ideas.values()
    ]
    assert len(configs) > 3
    assert all(first != other for first in configs for other in configs if first is not other)


def test_the_table_says_whether_ranges_lie_apart(
    ablate: ModuleType, measure: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[model]\nhidden_size = 8\n")
    ideas = {"as it is": [], "good": ["a.b=1"], "same": ["a.b=2"], "bad": ["c=3"], "open": ["d=4"]}
    track = ablate.Track("easy", "a", "b")
    ablation = ablate.Ablation(track, tmp_path, ideas, 100)
    exact = {
        "as it is": (5, 7, 6),
        "good": (8, 9, 8),
        "same": (7, 8, 9),
        "bad": (3, 4, 3),
        "open": (1, 2),
    }
    lines = [
        json.dumps(
            {
                "idea": idea,
                "seed": seed,
                "exact": count,
                "of": 10,
                "seconds": 11.0,
                "recipe_digest": measure.recipe_digest(track, tmp_path, ablation.settings(idea)),
                "cpu_seconds": 10 + seed,
            }
        )
        for idea, counts in exact.items()
        for seed, count in enumerate(counts)
    ]
    ablation.log.write_text("".join(f"{line}\n" for line in lines))
    assert ablation.table().splitlines() == [
        "| easy, 100 steps | settings | seeds | exact | mean | compared | CPU seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| as it is |  | 3 | 5, 7, 6 | 6 |  | 11 |",
        "| good | `a.b=1` | 3 | 8, 9, 8 | 8 | better | 11 |",
        "| same | `a.b=2` | 3 | 7, 8, 9 | 8 | no difference | 11 |",
        "| bad | `c=3` | 3 | 3, 4, 3 | 3 | worse | 11 |",
        "| open | `d=4` | 2 | 1, 2 | 2 |  | 10 |",
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda each: f"{each.parent.name}/{each.name}")
def test_the_log_holds_the_table_of_what_was_measured(ablate: ModuleType, folder: Path) -> None:
    ablation = ablate.read_ablation(ablate.read_track(folder.parent.name), folder)
    if ablation.log.exists():
        assert ablation.table() in (RECORDS / "LOG.md").read_text("utf-8")


def test_nothing_is_tried_while_records_are_measured(
    ablate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablate, "RECORDS", tmp_path)
    monkeypatch.setattr(ablate, "read_track", lambda _: None)
    monkeypatch.setattr(ablate, "find_recipe", lambda *_: None)
    found = ablate.Ablation(ablate.Track("easy", "a", "b"), tmp_path, {"as it is": []}, 100)
    monkeypatch.setattr(ablate, "read_ablation", lambda *_: found)
    monkeypatch.setattr(sys, "argv", ["ablate.py", "easy", "mine"])
    with FolderLock() as lock:
        lock.acquire(tmp_path)
        with pytest.raises(UserError, match=r"measure\.py is running"):
            ablate.main()
    assert not found.log.exists()
