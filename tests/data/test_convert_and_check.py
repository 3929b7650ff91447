"""`arc-trm data convert` writes the official forms, `arc-trm data check` lists what is odd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

import submission
from arc_trm.data.check import check_data
from arc_trm.data.convert import convert_tasks
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError
from arc_trm.puzzles import kind_of
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

Cli = Callable[..., Result]


def pair(first: int, second: int) -> Pair:
    return Pair(as_grid([[first, 0]]), as_grid([[second]]))


def same(colour: int) -> Pair:
    return Pair(as_grid([[colour]]), as_grid([[colour]]))


def unknown(first: int) -> Pair:
    return Pair(as_grid([[first, 0]]))


def task(task_id: str, test: tuple[Pair, ...] = (pair(7, 8),), *train: Pair) -> Task:
    return Task(task_id, train or (pair(1, 2), pair(3, 4)), test)


GRIDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=4
    ).map(as_grid)
)
PAIRS = st.lists(st.builds(Pair, GRIDS, GRIDS), min_size=1, max_size=3).map(tuple)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Task, NAMES, PAIRS, PAIRS), min_size=1, max_size=4), st.booleans())
def test_whatever_is_written_is_official_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory, made: list[Task], folder: bool
) -> None:
    tasks = TaskSet.from_tasks("made", made)
    out = tmp_path_factory.mktemp("out") / ("tasks" if folder else "x_challenges.json")
    try:
        files = convert_tasks(tasks, out).files
    except UserError as error:
        assert folder
        assert "cannot be the name of a file" in str(error) or "lower case" in str(error)
        assert not out.exists()
        return
    assert load_tasks(out).fingerprint() == tasks.fingerprint()
    if not folder:
        challenges = submission.read_challenges(out)
        assert list(challenges) == list(tasks.ids)
        assert not any("output" in each for value in challenges.values() for each in value["test"])
        assert submission.read_solutions(files[1], challenges) == tasks.known_solutions()


def test_convert_from_the_command_line(tmp_path: Path, cli: Cli) -> None:
    source = tmp_path / "t.jsonl"
    source.write_text("".join(json.dumps({"id": n, **task(n).to_json()}) + "\n" for n in "ab"))
    out = tmp_path / "my_challenges.json"
    done = cli("data", "convert", source, "--out", out)
    beside = tmp_path / "my_solutions.json"
    number = "2 tasks, 2 test outputs"
    assert done.stdout == f"{out}: {number}\n{beside}: {number}\n"
    again = cli("data", "convert", source, "--out", out)
    assert again.exit_code == 2 and "already exists" in again.stderr
    record = json.loads(cli("data", "convert", source, "--out", tmp_path / "f", "--json").stdout)
    assert record["files"] == [str(tmp_path / "f")] and record["tasks"] == 2
    assert sorted(file.name for file in (tmp_path / "f").iterdir()) == ["a.json", "b.json"]


def test_puzzles_become_csv(tmp_path: Path, cli: Cli) -> None:
    source = tmp_path / "p.sdm"
    source.write_text("1.3..41.2..3.3.1\n4....1....2.1..3\n")
    out = tmp_path / "p.csv"
    assert cli("data", "convert", source, "--out", out).exit_code == 0
    assert out.read_text() == "question,answer\n1.3..41.2..3.3.1,\n4....1....2.1..3,\n"
    assert load_tasks(out).fingerprint() == load_tasks(source).fingerprint()


@pytest.mark.parametrize(
    ("tasks", "out", "message"),
    [
        ([task("a")], "x.json", "needs 'challenges' in its name"),
        ([task("a")], "x.csv", "holds ARC, which has no CSV form"),
        ([task("a"), task("b", (unknown(1),))], "challenges.json", "1 of the 2 tasks of made"),
        ([task("b", (pair(1, 1), unknown(1)))], "challenges.json", "0 of the 1 tasks of made"),
        ([task("a", ())], "folder", "1 task of made (a) has no test pair"),
        ([task("../a")], "folder", "task ../a of made cannot be the name of a file"),
        ([task("A"), task("a")], "folder", "tasks A and a of made are one file where"),
    ],
)
def test_what_no_form_can_hold_is_refused(
    tmp_path: Path, tasks: list[Task], out: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        convert_tasks(TaskSet.from_tasks("made", tasks), tmp_path / out)
    assert message in str(caught.value) and not list(tmp_path.iterdir())


def test_a_solutions_file_of_others_is_not_taken_for_theirs(tmp_path: Path) -> None:
    (tmp_path / "x_solutions.json").write_text("{}")
    tasks = TaskSet.from_tasks("made", [task("a", (unknown(1),))])
    with pytest.raises(UserError, match=r"x_solutions.json already exists"):
        convert_tasks(tasks, tmp_path / "x_challenges.json")
    for name in ("x.jsonl", "x.zip"):
        with pytest.raises(UserError, match="has the ending of a form that is not written"):
            convert_tasks(tasks, tmp_path / name)


def test_unknown_outputs_need_no_solutions_file(tmp_path: Path) -> None:
    tasks = TaskSet.from_tasks("made", [task("a", (unknown(1),))])
    assert convert_tasks(tasks, tmp_path / "x.json").files == (tmp_path / "x.json",)


# Checks


def checked(folder: Path, *tasks: Task) -> dict[str, list[str]]:
    """Return what is odd about tasks in a file, with the ids."""
    path = folder / "x.json"
    data = {each.id: each.to_json() for each in tasks}
    path.write_text(json.dumps(data))
    found = load_tasks(path)
    return {each.what: list(each.ids) for each in kind_of(found).find_oddities(found)}


def test_nothing_odd(tmp_path: Path) -> None:
    assert checked(tmp_path, task("a")) == {}


ODD: list[tuple[str, Task]] = [
    ("with a single demonstration", task("a", (pair(7, 8),), pair(1, 2))),
    ("with two demonstrations of the same input", task("a", (pair(7, 8),), *[pair(1, 2)] * 2)),
    (
        "with demonstrations of one input and different outputs",
        task("a", (pair(7, 8),), pair(1, 2), pair(1, 3)),
    ),
    ("with a test pair that is a demonstration, too", task("a", (pair(1, 2),))),
    (
        "with a test input that is a demonstration's, whose output is another one or unknown",
        task("a", (unknown(1),)),
    ),
    ("with the same test input twice", task("a", (pair(7, 8), pair(7, 8)))),
    ("with test outputs of which only some are known", task("a", (pair(7, 8), unknown(9)))),
    (
        "with outputs that all equal their inputs",
        Task("a", (same(1), same(2)), (same(3),)),
    ),
]


@pytest.mark.parametrize(("what", "odd"), ODD)
def test_each_oddity_is_found(tmp_path: Path, what: str, odd: Task) -> None:
    other = task("b", (pair(5, 6),), pair(4, 4), pair(6, 5))
    assert checked(tmp_path, odd, other)[what] == ["a"]


def test_tasks_under_two_ids(tmp_path: Path) -> None:
    found = checked(tmp_path, task("a"), task("b"), task("c", (pair(9, 9),)))
    assert found == {
        "with the pairs of an earlier task": ["b"],
        "with the demonstrations of an earlier task": ["c"],
    }


def test_invalid_tasks_and_shared_ones_are_listed(tmp_path: Path, cli: Cli) -> None:
    known = load_tasks("arc-agi-1/training").first(2)
    data: dict[str, Any] = {each.id: each.to_json() for each in known}
    data["bad"] = {"train": [], "test": []}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    shown = cli("data", "check", path).stdout
    assert "1 item invalid:\n  task bad: train: is an empty list" in shown
    assert f"2 tasks shared with arc-agi-1/training: {known[0].id}, {known[1].id}" in shown
    record = json.loads(cli("data", "check", path, "--json").stdout)
    assert record["overlaps"]["arc-agi-1/training"] == [each.id for each in known]
    assert list(record["invalid"]) == ["task bad"] and record["tasks"] == 2


def test_puzzles_are_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    from arc_trm.data.readers import puzzle_text

    path = tmp_path / "p.csv"
    rows = ["1.3..41.2..3.3.1", "." * 16, "1.3..41.2..3.3.1", "123....4........"]
    path.write_text("\n".join(["question", *rows]))
    shown = cli("data", "check", path).stdout
    assert "row 2: it has more than one solution" in shown
    assert "row 4: it has no solution" in shown
    monkeypatch.setattr(puzzle_text, "MAX_SOLVED", 0)
    found = {each.what: each.ids for each in check_data(str(path)).oddities}
    assert found == {
        "without a solution": ["4"],
        "with more than one solution": ["2"],
        "with the question of an earlier one": ["3"],
        "without a known answer": ["1", "2", "3", "4"],
    }
