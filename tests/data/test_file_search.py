"""The tasks of a dataset are recognised in files of any layout and name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run_cli
from tiny import run_config

from arc_trm.config import DataConfig
from arc_trm.data import file_search, leakage, registry
from arc_trm.data.invalid import InvalidItems
from arc_trm.data.leakage import run_leakage
from arc_trm.data.loader import find_tasks, load_tasks, missing_files, recorded_name
from arc_trm.data.registry import known_overlap, manifests, recognise_split
from arc_trm.data.training_set import build_training_set
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

MANIFEST = """
title = "Mine"
licence = "MIT"
homepage = "https://example.org/mine"
citation = "Me, 2026"
format = "arc"

[[sources]]
title = "challenges"

[sources.paths]
all = ["mine-1/mine-challenges.json"]

[sources.sha256]
"mine-challenges.json" = "not compared"
"mine-solutions.json" = "not compared"

[[sources]]
title = "a clone"

[sources.paths]
all = ["mine-1/tasks/*.json"]

[splits.all]
tasks = 3
test_outputs = 3
sha256 = "{sha256}"
"""


def pair(colour: int) -> Pair:
    return Pair(as_grid([[colour, 0]]), as_grid([[colour]]))


TASKS = TaskSet.from_tasks(
    "mine", [Task(f"t{n}", (pair(n), pair(n + 1)), (pair(n + 2),)) for n in range(3)]
)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only dataset, `mine-1`, and an empty current folder."""
    folder = tmp_path / "package" / "datasets" / "mine-1"
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(MANIFEST.format(sha256=TASKS.fingerprint()))
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "package" / "data" / "registry.py"))
    monkeypatch.delenv("ARC_TRM_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    manifests.cache_clear()
    yield tmp_path / "here"
    manifests.cache_clear()


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_tasks(folder: Path, tasks: TaskSet = TASKS) -> None:
    """Write a file for each task, in folders of their own."""
    for task in tasks:
        write(folder / f"of-{task.id}" / f"{task.id}.json", task.to_json())


def changed() -> TaskSet:
    """The same tasks but for one cell of a test output."""
    task = TASKS["t1"]
    return TaskSet.from_tasks("", [TASKS["t0"], task.with_solutions([[[9]]]), TASKS["t2"]])


# Files are found


def test_task_files_at_any_depth(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tasks(dataset / "files" / "clone" / "some" / "tasks")
    write(dataset / "files" / "clone" / "some" / "tasks" / "of-t1" / "._t1.json", "of macOS")
    write(dataset / "files" / "clone" / ".git" / "x.json", "hidden")
    write(dataset / "files" / "clone" / "package.json", {})
    write(dataset / "files" / "README.md", "not JSON")
    monkeypatch.setenv("ARC_TRM_DATA", "files")
    assert load_tasks("mine-1").fingerprint() == TASKS.fingerprint()
    assert load_tasks("mine-1/all").name == "mine-1/all"
    (row,) = [each for each in run_cli("data", "list").stdout.splitlines() if "mine-1" in each]
    assert row.split()[-2:] == ["in", "ARC_TRM_DATA"]
    shown = run_cli("data", "show", "mine-1").stdout
    assert "mine-1/all, as published: files/clone/some/tasks/**/*.json" in shown


@pytest.mark.parametrize(
    "name", ["MINE_1.json", "all of mine-1.json", "deep/er/mine-challenges.json"]
)
def test_a_file_that_is_named_like_the_dataset_or_its_files(dataset: Path, name: str) -> None:
    file = write(dataset / "data" / name, TASKS.to_json(solutions=False))
    assert find_tasks("mine-1") is None, "the test outputs are missing"
    write(file, TASKS.to_json())
    assert load_tasks("mine-1").fingerprint() == TASKS.fingerprint()
    shown = run_cli("data", "show", "mine-1").stdout
    assert f"mine-1/all, as published: {Path('data', name)}" in shown


def test_the_variable_replaces_the_folder_in_the_current_one(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tasks(dataset / "data")
    (row,) = [each for each in run_cli("data", "list").stdout.splitlines() if "mine-1" in each]
    assert row.split()[-2:] == ["in", "data"]
    monkeypatch.setenv("ARC_TRM_DATA", str(dataset / "nothing"))
    assert find_tasks("mine-1") is None


def test_the_layout_of_the_manifest_goes_first(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files need not be those that are known, and a message says so."""
    monkeypatch.setenv("ARC_TRM_DATA", str(dataset))
    write_tasks(dataset / "other")
    file = write(dataset / "mine-1" / "mine-challenges.json", changed().to_json())
    assert f"mine-1/all, NOT as published: {file}" in run_cli("data", "show", "mine-1").stdout


def test_other_files_are_not_taken_for_the_dataset(dataset: Path) -> None:
    write_tasks(dataset / "data" / "changed", changed())
    for number in range(3):
        write(dataset / "data" / "other" / f"{number}.json", "[" * 10_000)
    write(dataset / "data" / "mine-1.json", "no JSON")
    write(dataset / "data" / "mine-1.csv", "source,question,answer,rating\n")
    assert find_tasks("mine-1") is None
    write_tasks(dataset / "data" / "right")
    assert find_tasks("mine-1") is not None


def test_only_what_may_be_the_dataset_is_read(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def read_path(path: Path, invalid: InvalidItems) -> TaskSet:
        return read_files([path], "", invalid)

    def read_files(files: list[Path], name: str, invalid: InvalidItems) -> TaskSet:
        read.extend(files)
        return changed()

    monkeypatch.setattr(file_search, "read_path", read_path)
    monkeypatch.setattr(file_search, "read_files", read_files)
    for name in ("a.json", "b.json", "four/1.json", "four/2.json", "four/mine1.txt"):
        write(dataset / "data" / name, TASKS.to_json())
    assert find_tasks("mine-1") is None
    assert read == [Path("data/four/mine1.txt")]
    write(dataset / "data" / "four" / "3.json", "{}")
    assert find_tasks("mine-1") is None
    assert read[1:4] == [Path(f"data/four/{number}.json") for number in (1, 2, 3)]


def test_few_files_are_looked_at(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tasks(dataset / "data" / "z")
    for number in range(4):
        write(dataset / "data" / "a" / f"{number}.txt", "")
    assert find_tasks("mine-1") is not None
    monkeypatch.setattr(file_search, "MAX_FILES", 6)
    assert find_tasks("mine-1") is None


def test_what_to_do_if_there_are_no_files(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (
        "the files of mine-1 were not found: put mine-challenges.json and mine-solutions.json, or "
        "mine-1/tasks/*.json (from https://example.org/mine) into "
    )
    layout = "in any layout, or name their path in place of mine-1"
    here = f"{files}the folder data here, or one that ARC_TRM_DATA names, {layout}"
    assert str(missing_files("mine-1")) == here
    monkeypatch.setenv("ARC_TRM_DATA", "/nothing")
    assert str(missing_files("mine-1")) == (
        f"{files}/nothing, the folder in ARC_TRM_DATA, {layout}"
    )


# Tasks are recognised


def test_tasks_are_recognised_by_their_content(dataset: Path) -> None:
    file = write(dataset / "any.json", TASKS.to_json())
    assert recognise_split(load_tasks(file)) == recorded_name(load_tasks(file)) == "mine-1/all"
    backwards = TaskSet.from_tasks("", reversed([*TASKS]))
    assert recognise_split(backwards) == "mine-1/all"
    for other in (changed(), TASKS.select(["t0", "t1"]), TASKS.without_solutions()):
        assert recognise_split(other) is None
    assert recorded_name(changed().renamed("folder/mine.json")) == "mine.json"
    assert recorded_name(changed().renamed("mine-1")) == "mine-1", "the name is the user's"


def test_the_path_of_a_folder_or_an_archive_is_recognised(dataset: Path) -> None:
    write_tasks(dataset / "some" / "folder")
    with zipfile.ZipFile(dataset / "some.zip", "w") as archive:
        for task in TASKS:
            archive.writestr(f"clone/{task.id}/{task.id}.json", json.dumps(task.to_json()))
    for path in ("some/folder", "some.zip"):
        assert recognise_split(load_tasks(path)) == "mine-1/all"
    (dataset / "data").mkdir()
    (dataset / "some.zip").rename(dataset / "data" / "Mine-1-main.zip")
    assert load_tasks("mine-1").fingerprint() == TASKS.fingerprint()


def test_show_gives_the_card_of_a_path(dataset: Path) -> None:
    file = write(dataset / "any.json", TASKS.to_json())
    text = run_cli("data", "show", str(file)).stdout
    assert text.startswith("Mine (mine-1/all)\n")
    assert f"mine-1/all, as published: {file}" in text
    facts = json.loads(run_cli("data", "show", str(file), "--json").stdout)
    (split,) = facts["splits"]
    assert (facts["name"], split["files"], split["as_published"]) == ("mine-1/all", str(file), True)
    plain = write(dataset / "other.json", changed().to_json())
    assert "licence" not in json.loads(run_cli("data", "show", str(plain), "--json").stdout)


@pytest.mark.parametrize("use", ["train", "test"])
def test_weights_are_trained_on_the_dataset_whatever_its_files(dataset: Path, use: str) -> None:
    file = write(dataset / "any.json", TASKS.to_json())
    other = write(dataset / "other.json", changed().to_json())
    data: dict[str, Any] = {"train": [str(other)], "test": [str(other)], "augmentations": 0}
    data[use] = [str(file)]
    if use == "train":
        data["test"] = []
    trained_on = build_training_set(run_config(file, data=data)).trained_on
    expected = {"train": ("mine-1/all",), "test": ("other.json", "mine-1/all (demonstrations)")}
    assert trained_on == expected[use]


def test_leakage_of_a_path_whose_training_data_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = load_tasks("arc-agi-2/evaluation").renamed("files/any.json")
    monkeypatch.setattr(leakage, "find_tasks", lambda name, skip_invalid: None)
    (warning,) = run_leakage(DataConfig(train=("arc-agi-1/evaluation",)), scored)
    assert len(known_overlap("arc-agi-2/evaluation", "arc-agi-1/evaluation")) == 7
    assert warning.startswith("files/any.json shares 7 of its 120 tasks with arc-agi-1/evaluation")
    part = scored.select(scored.ids[:-1])
    assert run_leakage(DataConfig(train=("arc-agi-1/evaluation",)), part) == []
