"""The rules of the records, and that what the record pages say comes from their logs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from paths import ROOT

from arc_trm.config import load_config, read_preset
from arc_trm.errors import UserError

RECORDS = ROOT / "records"
RECIPES = sorted(path.parent for path in RECORDS.glob("*/*/config.toml"))


def runs(*exact: int, seconds: float = 10.0) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "exact": count, "of": 1000, "seconds": seconds + seed, "cpu_seconds": 9.0}
        for seed, count in enumerate(exact)
    ]


@pytest.mark.parametrize(
    ("exact", "reached"),
    [
        ((990, 990, 990, 990, 990), True),
        ((995, 996, 994, 995, 997), True),
        ((980, 999, 999, 999, 999), False),  # the mean is above, but not surely
        ((989, 989, 989, 989, 989), False),
        ((999,), False),  # one seed says nothing about the spread
    ],
)
def test_a_target_is_reached_by_the_mean_less_its_error(
    measure: ModuleType, exact: tuple[int, ...], reached: bool
) -> None:
    assert (measure.least_mean(runs(*exact)) >= 0.99) is reached


def test_the_error_is_that_of_a_t_test(measure: ModuleType) -> None:
    # Mean 0.994, deviation 0.002, five seeds.
    shares = (994, 992, 996, 992, 996)
    assert measure.least_mean(runs(*shares)) == pytest.approx(0.994 - 2.132 * 0.002 / 5**0.5)


def test_faster_means_every_run(measure: ModuleType) -> None:
    slow, fast = runs(1, 1, 1, seconds=20), runs(1, 1, 1, seconds=17)
    assert measure.is_faster(fast, slow)
    assert not measure.is_faster(runs(1, 1, 1, seconds=18), slow)  # 18 to 20 beside 20 to 22
    assert not measure.is_faster(slow, fast)


@pytest.fixture
def track(measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A track with recipes of which some reach its target of 99 %."""
    monkeypatch.setattr(measure, "RECORDS", tmp_path)
    track = measure.Track("easy", "a", "b", 0.99)
    for name, log in {
        "published": runs(990, 992, 991, seconds=100),
        "fast": runs(992, 994, 993, seconds=9),
        "slow": runs(992, 994, 993, seconds=101),
        "odd": runs(500, 600, 550, seconds=2),
    }.items():
        write_recipe(measure, track, name, [*runs(1, 1), *log])  # of a seed the last counts
    return track


def write_recipe(
    measure: ModuleType, track: Any, name: str, log: list[dict[str, Any]], width: int = 8
) -> Path:
    folder = Path(measure.RECORDS / track.name / name)
    folder.mkdir(parents=True, exist_ok=True)
    config = f"[model]\nhidden_size = {width}\nsupervision_steps = 4\n"
    (folder / "config.toml").write_text(config)
    digest = measure.recipe_digest(track, folder)
    for run in log:
        measure.append(folder / "log.jsonl", {**run, "recipe_digest": digest})
    return folder


def test_the_table_compares_with_the_published_recipe(measure: ModuleType, track: Any) -> None:
    assert measure.table(track).splitlines()[2:] == [
        "| `fast` | 3 | 993.0 of 1000 (992 to 994) | yes: at least 99.1 % | 4 "
        "| 10.0 (9.0 to 11.0) | 10.1 |",
        "| `slow` | 3 | 993.0 of 1000 (992 to 994) | yes: at least 99.1 % | 4 "
        "| 102.0 (101.0 to 103.0) | 1.0, ranges overlap |",
        # What misses the target is not fast.
        "| `odd` | 3 | 550.0 of 1000 (500 to 600) | no: at least 46.6 % | 4 "
        "| 3.0 (2.0 to 4.0) |  |",
        "| `published` | 3 | 991.0 of 1000 (990 to 992) | no: at least 98.9 % | 4 "
        "| 101.0 (100.0 to 102.0) | 1 |",
    ]


def test_runs_of_a_config_that_was_changed_do_not_count(measure: ModuleType, track: Any) -> None:
    before = measure.table(track)
    fast = measure.RECORDS / track.name / "fast"
    copy = write_recipe(measure, track, "copy", [], width=16)
    (copy / "log.jsonl").write_text((fast / "log.jsonl").read_text())
    assert measure.table(track) == before
    write_recipe(measure, track, "copy", runs(1, 2, 3, seconds=4), width=16)
    assert "| `copy` | 3 | 2.0 of 1000 (1 to 3) |" in measure.table(track)


def test_a_config_that_is_changed_while_it_is_measured_does_not_count(
    measure: ModuleType, track: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_recipe(measure, track, "mine", [])
    digest = measure.recipe_digest(track, folder)

    def arc_trm(name: str, *_: str, log: Path | None = None) -> str:
        if name == "train":
            write_recipe(measure, track, "mine", [], width=16)
        return '{"exact": {"solved": 9, "total": 10}}'

    made_by = SimpleNamespace(entries=[dict.fromkeys(measure.MADE_BY)])
    monkeypatch.setattr(measure, "arc_trm", arc_trm)
    monkeypatch.setattr(measure, "read_provenance", lambda _: made_by)
    run = measure.train_and_score(track, folder, 0)
    assert run["recipe_digest"] == digest != measure.recipe_digest(track, folder)


def test_two_recipes_in_a_sentence(measure: ModuleType, track: Any) -> None:
    fast, slow, published = (
        measure.RECORDS / track.name / name for name in ("fast", "slow", "published")
    )
    expected = "fast is faster than slow: every run"
    assert measure.comparison(track, fast, slow) == measure.comparison(track, slow, fast)
    assert measure.comparison(track, fast, slow) == expected
    assert "published misses the target" in measure.comparison(track, slow, published)
    alike = write_recipe(measure, track, "alike", runs(992, 994, 993, seconds=10))
    assert "no difference" in measure.comparison(track, fast, alike)


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
    [
        ("sudoku-quick", "sudoku-easy/digit-equivariant"),
        ("sudoku-quick-published", "sudoku-easy/published"),
        ("maze-quick-published", "maze-10x10/published"),
    ],
)
def test_presets_are_recipes(measure: ModuleType, preset: str, recipe: str) -> None:
    track = measure.read_track(recipe.partition("/")[0])
    path = RECORDS / recipe / "config.toml"
    # Settings of what a model without attention or a puzzle embedding does not have.
    same = ["model.num_heads=1", "train.puzzle_emb_lr=0", "train.puzzle_emb_weight_decay=0"]
    quick = load_config(preset, None, same)
    measured = load_config(measure.PRESET, path, [*track.overrides, *same])
    assert (quick.model, quick.train) == (measured.model, measured.train)


@pytest.mark.parametrize("track", ["sudoku-easy", "sudoku-6x6"])
def test_the_page_holds_the_table_of_the_logs(measure: ModuleType, track: str) -> None:
    page = (RECORDS / "README.md").read_text("utf-8")
    assert measure.table(measure.read_track(track)) in page


# Kills and mistakes


def test_a_line_that_a_kill_cut_off_is_replaced(measure: ModuleType, track: Any) -> None:
    log, before = measure.RECORDS / track.name / "fast" / "log.jsonl", measure.table(track)
    text = log.read_bytes()
    log.write_bytes(text + b'{"seed": 3, "exa')
    assert measure.table(track) == before
    measure.append(log, {"seed": 3})
    assert log.read_bytes() == text + b'{"seed": 3}\n'


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "5",
        "null",
        '"x"',
        '{"recipe_digest": "DIGEST"}',
        '{"recipe_digest": "DIGEST", "seed": 0, "exact": 9, "of": 10, "seconds": 3}',
        '{"recipe_digest": "DIGEST", "seed": 0, "exact": 9, "of": "many", "seconds": 3}',
    ],
)
def test_a_damaged_log_is_one_sentence(measure: ModuleType, track: Any, line: str) -> None:
    folder = measure.RECORDS / track.name / "fast"
    line = line.replace("DIGEST", measure.recipe_digest(track, folder))
    (folder / "log.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"log\.jsonl, line 1 is not a run: remove it"):
        measure.table(track)


def test_a_recipe_is_of_its_track(measure: ModuleType, track: Any) -> None:
    write_recipe(measure, measure.Track("hard", "a", "b"), "other", [])
    for name in ("../hard/other", "none", str(measure.RECORDS / "hard" / "other")):
        with pytest.raises(UserError, match=r"has no config\.toml"):
            measure.find_recipe(track, name)
    (measure.RECORDS / "tracks.toml").write_text("[hard]\ntrain = 'a'\n[odd")
    with pytest.raises(UserError, match=r"tracks\.toml is not TOML"):
        measure.read_track("hard")
    (measure.RECORDS / "tracks.toml").write_text("[hard]\ntrain = 'a'\n")
    with pytest.raises(UserError, match="hard has train, expected train, test and maybe target"):
        measure.read_track("hard")


FAILING = """
import sys, time
sys.path.insert(0, sys.argv[1])
import measure
measure.arc_trm = lambda *_, **__: time.sleep(60)
measure.RECORDS = measure.Path(sys.argv[2])
measure.tempfile.tempdir = sys.argv[3]
sys.argv = ["measure.py", "easy", "mine", "--seeds", "1"]
print("ready", flush=True)
measure.run_script(measure.main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(
    measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    records, scratch = tmp_path / "records", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(measure, "RECORDS", records)
    folder = write_recipe(measure, measure.Track("easy", "a", "b"), "mine", [])
    (records / "tracks.toml").write_text("[easy]\ntrain = 'a'\ntest = 'b'\ntarget = 0.9\n")
    command = [sys.executable, "-c", FAILING, str(ROOT / "records"), str(records), str(scratch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        while not any(scratch.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().splitlines() == ["stopped: the log has all runs that were finished"]
    assert not any(scratch.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml"]


def test_a_failed_training_leaves_the_report_of_the_one_before(
    measure: ModuleType, tmp_path: Path
) -> None:
    log = tmp_path / "seed-0.txt"
    log.write_text("good")
    with pytest.raises(UserError, match=r"`arc-trm presets nosuch` failed: .*unknown preset"):
        measure.arc_trm("presets", "nosuch", log=log)
    assert log.read_text() == "good"
