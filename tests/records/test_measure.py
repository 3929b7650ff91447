"""The rules of the records, and that what the record pages say comes from their logs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from paths import ROOT

from arc_trm.config import load_config, read_preset

RECORDS = ROOT / "records"
RECIPES = sorted(path.parent for path in RECORDS.glob("*/*/config.toml"))


def runs(*exact: int, seconds: float = 10.0) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "exact": count, "of": 1000, "seconds": seconds + seed}
        for seed, count in enumerate(exact)
    ]


@pytest.mark.parametrize(
    ("exact", "expected"),
    [
        ((990, 990, 990, 990, 990), True),
        ((995, 996, 994, 995, 997), True),
        ((980, 999, 999, 999, 999), False),  # the mean is above, but not surely
        ((989, 989, 989, 989, 989), False),
        ((999,), False),  # one seed says nothing about the spread
    ],
)
def test_a_target_is_reached_by_the_mean_less_its_error(
    measure: ModuleType, exact: tuple[int, ...], expected: bool
) -> None:
    assert measure.reaches(runs(*exact), 0.99) is expected


def test_faster_means_every_run(measure: ModuleType) -> None:
    slow, fast = runs(1, 1, 1, seconds=20), runs(1, 1, 1, seconds=17)
    assert measure.is_faster(fast, slow)
    assert not measure.is_faster(runs(1, 1, 1, seconds=18), slow)  # 18 to 20 beside 20 to 22
    assert not measure.is_faster(slow, fast)


def test_the_table_compares_with_the_published_recipe(
    measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "RECORDS", tmp_path)
    for name, log in {
        "published": runs(991, 993, seconds=100),
        "fast": runs(992, 994, seconds=9.5),
        "odd": runs(500, 600, seconds=100),
    }.items():
        folder = tmp_path / "easy" / name
        folder.mkdir(parents=True)
        lines = "".join(json.dumps(run) + "\n" for run in (*runs(1, 1), *log))  # the last counts
        (folder / "log.jsonl").write_text(lines)
    rows = measure.table(measure.Track("easy", "a", "b", 0.99)).splitlines()[2:]
    assert rows == [
        "| `fast` | 2 | 993.0 of 1000 (992 to 994) | 10.0 (9.5 to 10.5) | 10.1 | no |",
        "| `odd` | 2 | 550.0 of 1000 (500 to 600) | 100.5 (100.0 to 101.0) "
        "| 1.0, ranges overlap | no |",
        "| `published` | 2 | 992.0 of 1000 (991 to 993) | 100.5 (100.0 to 101.0) | 1 | no |",
    ]


@pytest.mark.parametrize(
    "folder", RECIPES, ids=lambda folder: f"{folder.parent.name}/{folder.name}"
)
def test_recipes_load_and_their_tracks_exist(measure: ModuleType, folder: Path) -> None:
    track = measure.read_track(folder.parent.name)
    config = load_config(measure.PRESET, folder / "config.toml", track.overrides)
    assert config.data.train == (track.train,) and config.data.test == (track.test,)
    assert config.train.total_steps is not None and config.train.time_limit is None
    assert (folder / "README.md").exists()


@pytest.mark.parametrize(
    "folder", RECIPES, ids=lambda folder: f"{folder.parent.name}/{folder.name}"
)
def test_recipes_do_not_depend_on_the_preset(measure: ModuleType, folder: Path) -> None:
    """The preset improves; what a record was measured with must stay."""
    recipe = tomllib.loads((folder / "config.toml").read_text("utf-8"))
    preset = tomllib.loads(read_preset(measure.PRESET).text)
    missing = [
        f"{table}.{key}"
        for table in ("model", "data", "train")
        for key in preset[table].keys() - recipe.get(table, {}).keys()
    ]
    # The track names the puzzles.
    assert set(missing) == {"data.train", "data.test"}, f"{folder}/config.toml leaves them open"


@pytest.mark.parametrize(
    ("preset", "recipe"),
    [("sudoku-quick", "digit-equivariant"), ("sudoku-quick-published", "published")],
)
def test_presets_are_recipes(measure: ModuleType, preset: str, recipe: str) -> None:
    track = measure.read_track("sudoku-easy")
    path = RECORDS / track.name / recipe / "config.toml"
    # Settings of what a model without attention or a puzzle embedding does not have.
    same = ["model.num_heads=1", "train.puzzle_emb_lr=0", "train.puzzle_emb_weight_decay=0"]
    quick = load_config(preset, None, same)
    measured = load_config(measure.PRESET, path, [*track.overrides, *same])
    assert (quick.model, quick.train) == (measured.model, measured.train)


@pytest.mark.parametrize("track", ["sudoku-easy", "sudoku-6x6"])
def test_the_page_holds_the_table_of_the_logs(measure: ModuleType, track: str) -> None:
    page = (RECORDS / "README.md").read_text("utf-8")
    assert measure.table(measure.read_track(track)) in page
