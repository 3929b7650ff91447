"""What is a valid file, by the checks and by the published schemas."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub

SIDES = st.sampled_from([1, 1, 2, 3, 30])
GRIDS = st.builds(
    lambda height, width, start: [
        [(start + 3 * r + c) % 10 for c in range(width)] for r in range(height)
    ],
    SIDES,
    SIDES,
    st.integers(0, 9),
)
IDS = st.text(min_size=1, max_size=4)
TRAIN = st.fixed_dictionaries({"input": GRIDS, "output": GRIDS})
TEST = st.fixed_dictionaries({"input": GRIDS}, optional={"output": GRIDS})


def some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=1, max_size=2)


def by_id(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(IDS, values, min_size=1, max_size=2)


TASKS = st.fixed_dictionaries({"train": some(TRAIN), "test": some(TEST)})
VALID: dict[str, st.SearchStrategy[Any]] = {
    "task": TASKS,
    "challenges": by_id(TASKS),
    "solutions": by_id(some(GRIDS)),
    "submission": by_id(some(st.fixed_dictionaries({"attempt_1": GRIDS, "attempt_2": GRIDS}))),
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([0.0, 1.0, 0.5, 1e300, 10**30, "", "input", "attempt_1"]),
    st.sampled_from([[], {}, [[]], [[1]], [[1], [1, 2]], [{}], {"input": [[1]]}]),
)
CHECKS = {
    "task": sub.task_problems,
    "challenges": sub.challenges_problems,
    "solutions": sub.solutions_problems,
    "submission": sub.submission_problems,
}
VALIDATORS = {kind: jsonschema.Draft202012Validator(sub.schema(kind)) for kind in sub.KINDS}


def containers(data: Any) -> list[Any]:
    found = [data] if isinstance(data, (dict, list)) else []
    for value in (data.values() if isinstance(data, dict) else data) if found else ():
        found += containers(value)
    return found


@st.composite
def documents(draw: st.DrawFn, kind: str) -> Any:
    """A valid file with up to two random changes somewhere in it."""
    data = copy.deepcopy(draw(VALID[kind]))
    for _ in range(draw(st.integers(0, 2))):
        spot = draw(st.sampled_from(containers(data) or [[]]))
        change = draw(st.sampled_from(["replace", "replace", "delete", "add", "stretch"]))
        junk = copy.deepcopy(draw(JUNK))
        if isinstance(spot, dict):
            key = draw(st.sampled_from([*spot, "", "extra"]))
            if change == "delete":
                spot.pop(key, None)
            else:
                spot[key] = junk
        elif change == "add" or not spot:
            spot.append(junk)
        elif change == "stretch":
            spot += copy.deepcopy(spot[-1:]) * 30
        else:
            index = draw(st.integers(0, len(spot) - 1))
            spot[index : index + 1] = [] if change == "delete" else [junk]
    return data if draw(st.integers(0, 19)) else draw(JUNK)


def grids_of(kind: str, data: Any) -> list[Any]:
    """All grids of data that its schema finds valid."""
    if kind == "task":
        pairs = data["train"] + data["test"]
        return [pair[side] for pair in pairs for side in ("input", "output") if side in pair]
    entries = list(data.values())
    if kind == "challenges":
        return [grid for task in entries for grid in grids_of("task", task)]
    if kind == "solutions":
        return [grid for outputs in entries for grid in outputs]
    return [grid for answers in entries for answer in answers for grid in answer.values()]


def strict(kind: str, data: Any) -> bool:
    """What the schemas cannot say."""
    return all(
        len(row) == len(grid[0]) and not any(isinstance(cell, float) for cell in row)
        for grid in grids_of(kind, data)
        for row in grid
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", sub.KINDS)
def test_the_checks_agree_with_the_schemas(kind: Any) -> None:
    @settings(max_examples=150, deadline=None)
    @given(documents(kind))
    def agree(data: Any) -> None:
        valid = VALIDATORS[kind].is_valid(data) and strict(kind, data)
        assert valid == (CHECKS[kind](data) == [])

    agree()


@pytest.mark.parametrize("kind", sub.KINDS)
def test_valid_files_are_valid_and_recognised(kind: Any) -> None:
    @settings(max_examples=30, deadline=None)
    @given(VALID[kind])
    def valid(data: Any) -> None:
        assert CHECKS[kind](data) == []
        assert sub.recognise(data) == kind

    valid()


def test_the_schemas_are_schemas_and_share_one_grid() -> None:
    schemas = [sub.schema(kind) for kind in sub.KINDS]
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$defs"]["grid"] == schemas[0]["$defs"]["grid"]
    one, many = sub.schema("task"), sub.schema("challenges")["$defs"]["task"]
    assert one["properties"] == many["properties"] and one["required"] == many["required"]


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        (None, "is null, expected a grid (a list of rows)"),
        ("12", 'is "12", expected a grid (a list of rows)'),
        ((1, 2), "is of the Python type tuple, expected a grid (a list of rows)"),
        ([], "has 0 rows, expected 1 to 30"),
        ([[1]] * 31, "has 31 rows, expected 1 to 30"),
        ([1, [1]], "row 1: is 1, expected a list of cells"),
        ([[]], "row 1: has 0 cells, expected 1 to 30"),
        ([[1] * 31], "row 1: has 31 cells, expected 1 to 30"),
        ([[1, 2], [1]], "row 2: has 1 cell, expected 2 as in row 1"),
        ([[], [1, 2], [1]], "row 1: has 0 cells, expected 1 to 30"),
        ([[1, 10]], "row 1: cell 2 is 10, expected an integer 0 to 9"),
        ([[-1]], "row 1: cell 1 is -1, expected an integer 0 to 9"),
        ([[1.0]], "row 1: cell 1 is 1.0, expected an integer 0 to 9"),
        ([[True]], "row 1: cell 1 is true, expected an integer 0 to 9"),
        ([["1"]], 'row 1: cell 1 is "1", expected an integer 0 to 9'),
        ([[[1]]], "row 1: cell 1 is a list of 1 item, expected an integer 0 to 9"),
        ([[{}]], "row 1: cell 1 is an empty object, expected an integer 0 to 9"),
        ([[10**5000]], "row 1: cell 1 is a huge integer, expected an integer 0 to 9"),
        (
            [[0, 11, None, 12]],
            "row 1: cell 2 is 11, expected an integer 0 to 9 (2 more such cells in this row)",
        ),
    ],
)
def test_bad_grids(grid: Any, problem: str) -> None:
    assert str(sub.grid_problems(grid)[0]) == problem


def test_a_bad_grid_has_at_most_one_problem_per_row() -> None:
    assert len(sub.grid_problems([[10] * 30] * 30)) == 30
    assert len(sub.grid_problems([["x"] * 1_000_000])) == 1
    assert len(sub.grid_problems([["x"]] * 1_000_000)) == 31


def pair() -> dict[str, Any]:
    return {"input": [[1, 2]], "output": [[3]]}


def challenges() -> dict[str, Any]:
    return {
        "007bbfb7": {"train": [pair(), pair()], "test": [{"input": [[1]]}, {"input": [[2]]}]},
        "00d62c1b": {"train": [pair()], "test": [{"input": [[1]]}]},
    }


def attempts() -> dict[str, Any]:
    return {"attempt_1": [[1]], "attempt_2": [[2]]}


def submission() -> dict[str, Any]:
    return {"007bbfb7": [attempts(), attempts()], "00d62c1b": [attempts()]}


def listed(problems: list[sub.Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def test_every_problem_of_challenges_has_its_place() -> None:
    data = challenges()
    data["007bbfb7"]["train"][1]["input"] = [[1], [2], [10], [1, 2]]
    data["007bbfb7"]["train"][0].pop("output")
    data["007bbfb7"]["test"][1] = 5
    data["00d62c1b"] = {"train": [], "extra": 1.5}
    data[""] = None
    assert listed(sub.challenges_problems(data)) == [
        'task 007bbfb7, train pair 1: has no "output", expected a grid',
        "task 007bbfb7, train pair 2, input, row 3: cell 1 is 10, expected an integer 0 to 9",
        "task 007bbfb7, train pair 2, input, row 4: has 2 cells, expected 1 as in row 1",
        'task 007bbfb7, test pair 2: is 5, expected an object with the key "input"',
        "task 00d62c1b, train: is an empty list, expected a list of at least one pair",
        'task 00d62c1b: has no "test", expected a list of pairs',
        'task "": has the id "", expected a string that is not empty',
        'task "": is null, expected an object with the keys "train" and "test"',
    ]


def test_every_problem_of_a_single_task_has_its_place() -> None:
    assert sub.task_problems(challenges()["007bbfb7"]) == []
    assert listed(sub.task_problems({"train": [pair()], "test": [{"output": [[1]]}]})) == [
        'test pair 1: has no "input", expected a grid'
    ]
    assert listed(sub.task_problems([])) == [
        'is an empty list, expected an object with the keys "train" and "test"'
    ]


def test_solutions_against_challenges() -> None:
    good = {"007bbfb7": [[[1]], [[2]]], "00d62c1b": [[[1]]]}
    assert sub.solutions_problems(good, challenges()) == []
    bad = {"007bbfb7": [[[1]]], "other": [[[1]]], "00d62c1b": 3}
    assert listed(sub.solutions_problems(bad)) == [
        "task 00d62c1b: is 3, expected a list of at least one grid"
    ]
    assert listed(sub.solutions_problems(bad, challenges())) == [
        "task 00d62c1b: is 3, expected a list of at least one grid",
        "task 007bbfb7: has 1 test output, expected 2 as in the challenges",
        "task other: is unknown, expected only tasks of the challenges",
    ]
    assert listed(sub.solutions_problems({}, challenges())) == [
        "has no tasks, expected at least one",
        "task 007bbfb7: is missing, expected every task of the challenges",
        "task 00d62c1b: is missing, expected every task of the challenges",
    ]


def test_submission_problems() -> None:
    assert sub.submission_problems(submission(), challenges()) == []
    bad = submission()
    bad["007bbfb7"][1] = {"attempt_1": [[1]], "attempt_3": [[1]], "attempt_2\n": 1}
    bad["00d62c1b"] = [[[1]]]
    bad["lone \ud800"] = []
    assert listed(sub.submission_problems(bad)) == [
        'task 007bbfb7, test output 2: has no "attempt_2", expected a grid',
        'task 007bbfb7, test output 2: has the key "attempt_3",'
        ' expected only "attempt_1" and "attempt_2"',
        'task 007bbfb7, test output 2: has the key "attempt_2\\n",'
        ' expected only "attempt_1" and "attempt_2"',
        "task 00d62c1b, test output 1: is a list of 1 item,"
        ' expected an object with "attempt_1" and "attempt_2"',
        'task "lone \\ud800": is an empty list, expected a list with two attempts per test output',
    ]
    del bad["007bbfb7"], bad["lone \ud800"]
    assert listed(sub.submission_problems(bad, challenges()))[-1] == (
        "task 007bbfb7: is missing, expected every task of the challenges"
    )
    assert listed(sub.submission_problems([1])) == [
        "is a list of 1 item, expected an object with task ids as keys"
    ]


def test_recognising_broken_files() -> None:
    assert sub.recognise({"train": [], "test": []}) == "task"
    assert sub.recognise({"name": "x", "train": [{"output": 1}]}) == "task"
    assert sub.recognise({"train": [[], {"input": [[0]]}], "test": [{"input": [[0]]}]}) == "task"
    assert sub.recognise({"a": {"train": []}, "b": 1}) == "challenges"
    assert sub.recognise({"train": [{"attempt_1": []}], "test": [{}]}) == "submission"
    shapeless: list[Any] = [None, 3, [], {}, {"a": 1}, {"a": []}]
    for data in shapeless:
        assert sub.recognise(data) is None
