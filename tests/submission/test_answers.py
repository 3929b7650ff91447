"""Answers in other forms than a submission: read, refused, converted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub
from arc_trm.cli import main as arc_trm_main
from submission.commands import main
from submission.forms import (
    CSV,
    GRID_LISTS,
    GRIDS,
    INDEXED,
    LINES,
    NESTED,
    OBJECTS,
    OTHER_ATTEMPTS,
    RECORDS,
)

PAIR: Any = {"input": [[0]], "output": [[1]]}
A, B, C = [[1]], [[2, 3]], [[4], [5]]
TWO: Any = {"attempt_1": A, "attempt_2": B}
SOLUTIONS_FORM = "a solutions file (tasks map to lists of grids, one right output per test input)"
PROGRAMS = {"python -m submission": main, "arc-trm": arc_trm_main}


class Form(NamedTuple):
    """A form of answers: what it is called, and how a submission is written in it.

    `single` forms hold one test output per task; `firsts` hold no second attempts.
    """

    title: str
    write: Callable[[sub.Submission], Any]
    single: bool = False
    firsts: bool = False


def records(submission: sub.Submission) -> list[dict[str, Any]]:
    return [
        {"task_id": name, "output_index": index, **answer}
        for name, answers in submission.items()
        for index, answer in enumerate(answers)
    ]


def to_text(grid: sub.Grid) -> str:
    return "|" + "|".join("".join(map(str, row)) for row in grid) + "|"


def to_csv(submission: sub.Submission, quote: str = "") -> bytes:
    lines = [f"{quote}output_id{quote},{quote}output{quote}"]
    for name, answers in submission.items():
        for index, answer in enumerate(answers):
            texts = " ".join(map(to_text, answer.values()))
            lines.append(f"{quote}{name}_{index}{quote},{quote}{texts} {quote}")
    return "\n".join(lines).encode() + b"\n"


def per_output(change: Callable[[dict[str, sub.Grid]], Any]) -> Callable[[sub.Submission], Any]:
    """Write every answer to a test output in another way."""
    return lambda submission: {
        name: [change(answer) for answer in answers] for name, answers in submission.items()
    }


FORMS = {
    "objects": Form(
        OBJECTS, lambda s: {name: each[0] if len(each) == 1 else each for name, each in s.items()}
    ),
    "indexed": Form(
        INDEXED,
        lambda s: {
            name: {str(index): each[index] for index in reversed(range(len(each)))}
            for name, each in s.items()
        },
    ),
    "nested": Form(NESTED, lambda s: {name: [each] for name, each in s.items()}),
    "nested one by one": Form(NESTED, per_output(lambda each: [each])),
    "lists": Form(GRID_LISTS, per_output(lambda each: list(each.values()))),
    "lists by index": Form(
        INDEXED,
        lambda s: {
            name: {str(index): list(each.values()) for index, each in enumerate(answers)}
            for name, answers in s.items()
        },
    ),
    "a grid": Form(
        GRIDS, lambda s: {name: each[0]["attempt_1"] for name, each in s.items()}, True, True
    ),
    "grids": Form(SOLUTIONS_FORM, per_output(lambda each: each["attempt_1"]), firsts=True),
    "two grids": Form(
        SOLUTIONS_FORM,
        lambda s: {name: list(each[0].values()) for name, each in s.items()},
        single=True,
    ),
    "one attempt": Form(
        OTHER_ATTEMPTS, per_output(lambda each: {"attempt_1": each["attempt_1"]}), firsts=True
    ),
    "null": Form(OTHER_ATTEMPTS, per_output(lambda each: {**each, "attempt_2": None}), firsts=True),
    "empty": Form(OTHER_ATTEMPTS, per_output(lambda each: {**each, "attempt_2": []}), firsts=True),
    "three": Form(OTHER_ATTEMPTS, per_output(lambda each: {**each, "attempt_3": [[99]]})),
    "spelling": Form(
        OTHER_ATTEMPTS,
        per_output(lambda each: {"Attempt 2": each["attempt_2"], "attempt1": each["attempt_1"]}),
    ),
    "records": Form(RECORDS, records),
    "lines": Form(LINES, lambda s: "\n".join(map(json.dumps, records(s))).encode()),
    "csv": Form(CSV, to_csv),
    "quoted csv": Form(CSV, lambda s: to_csv(s, '"')),
}
IS_TEXT = ("lines", "csv", "quoted csv")

grids = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=3
    )
)
answers_to_one = st.tuples(grids, grids).map(
    lambda both: {"attempt_1": both[0], "attempt_2": both[1]}
)
names = st.text("ab0_\N{GREEK SMALL LETTER ALPHA}", min_size=1, max_size=4).map("t{}".format)


def submissions(most: int) -> st.SearchStrategy[sub.Submission]:
    """Draw submissions, those for `lines` of at least two test outputs."""
    answers = st.lists(answers_to_one, min_size=1, max_size=most)
    return st.dictionaries(names, answers, min_size=2, max_size=4)


def challenges_of(submission: sub.Submission) -> sub.Challenges:
    return {
        name: {"train": [PAIR], "test": [{"input": [[0]]}] * len(answers)}
        for name, answers in submission.items()
    }


def save(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def run(program: str, *arguments: object) -> Result:
    return CliRunner().invoke(PROGRAMS[program], list(map(str, arguments)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sub.write_json("challenges.json", challenges_of({"a": [TWO], "b": [TWO, TWO]}))
    sub.write_json("solutions.json", {"a": [B], "b": [A, C]})
    return tmp_path


# What is read


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_form_is_read_converted_and_scored_as_the_submission(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    form, folder = FORMS[name], tmp_path_factory.getbasetemp()
    official = data.draw(submissions(1 if form.single else 3))
    path, out = save(folder / "theirs", form.write(official)), folder / "out.json"
    if form.firsts:
        official = {
            name: [dict.fromkeys(each, each["attempt_1"]) for each in answers]
            for name, answers in official.items()
        }
    challenges = challenges_of(official)
    sub.convert_submission(path, out, challenges, overwrite=True)
    assert sub.check_path(out, "submission", challenges).problems == []
    assert sub.read_submission(out, challenges) == official

    solutions = {
        name: [data.draw(st.sampled_from([*each.values(), C])) for each in answers]
        for name, answers in official.items()
    }
    counts = sub.count_outputs(solutions)
    score = sub.score_ranked(sub.read_ranked(path, counts), solutions)
    assert score.to_dict() == sub.score(official, solutions).to_dict()


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_named(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    official: sub.Submission = {"a": [TWO]} if form.single else {"a": [TWO], "b": [TWO, TWO]}
    path = save(tmp_path / "theirs", form.write(official))
    assert sub.read_answers(path).form == form.title
    result = sub.check_path(path)
    assert result.form == form.title
    if form.title == SOLUTIONS_FORM:
        assert result.kind == "solutions" and not result.problems
        return
    assert (result.kind, result.convertible) == ("submission", True)
    assert result.lines()[0] == (
        f"{path}: is {form.title}: `python -m submission convert-submission {path} --out "
        "submission.json` makes a submission"
    )
    assert len(result.lines()) == 1 + len(result.problems) > 1


def test_missing_attempts_keep_the_rank_of_the_others(tmp_path: Path) -> None:
    answers = [
        {"attempt_1": None, "attempt_2": B},
        {"attempt_1": A, "attempt_2": [[]]},
        {"attempt_1": [], "attempt_2": None, "attempt_3": A},
    ]
    path = save(tmp_path / "theirs.json", {"a": answers})
    assert sub.read_ranked(path) == {"a": [[[], B], [A], []]}
    result = sub.convert_submission(path, tmp_path / "out.json")
    assert sub.read_json(tmp_path / "out.json")["a"] == [
        {"attempt_1": [[0]], "attempt_2": B},
        {"attempt_1": A, "attempt_2": A},
        {"attempt_1": [[0]], "attempt_2": [[0]]},
    ]
    assert result.lines() == [
        f"{path}: is {OTHER_ATTEMPTS}",
        "1 test output: the missing attempt 1 became the grid [[0]]",
        "1 test output: attempt 1 was repeated as the missing attempt 2",
        "1 test output: the attempts after the second were left out",
        "1 test output: the two missing attempts became the grid [[0]]",
        f"Wrote {tmp_path / 'out.json'}: 1 task with 3 test outputs",
    ]


def test_grids_are_read_by_the_number_of_test_outputs(tmp_path: Path) -> None:
    path = save(tmp_path / "grids.json", {"a": [A], "b": [B, C], "more": [A, B, C]})
    # Whose number is not known needs no answers, and is named as any task without a solution.
    expected = {"a": [[A]], "b": [[B], [C]], "more": [[A], [B], [C]]}
    assert sub.read_ranked(path, {"a": 1, "b": 2}) == expected
    assert sub.read_ranked(path, {"a": 1, "b": 1})["b"] == [[B, C]]
    with pytest.raises(sub.FormatError, match="task more: is unknown, expected only tasks of the"):
        sub.read_ranked(path, challenges=challenges_of({"a": [TWO], "b": [TWO, TWO]}))
    with pytest.raises(sub.FormatError, match="has none of the tasks: name those that it answers"):
        sub.read_ranked(path, {"other": 1})
    for counts in (None, {}):
        with pytest.raises(sub.FormatError, match="its grids may be attempts or test outputs: con"):
            sub.read_ranked(path, counts)
    # Where other tasks have two attempts at one test output, two grids for two outputs are unclear.
    unclear = {"a": 1, "b": 2, "more": 1}
    save(path, {"a": [A, B], "b": [B, C]})
    with pytest.raises(sub.FormatError, match="not clear: task b: has 2 grids for 2 test outputs"):
        sub.read_ranked(path, unclear)
    save(path, {"more": [A, B, C]})
    with pytest.raises(sub.FormatError, match="task more: has 3 grids for 1 test output, expected"):
        sub.read_ranked(path, unclear)


def test_a_packed_submission_is_one(tmp_path: Path) -> None:
    path = save(tmp_path / "s.json.gz", gzip.compress(json.dumps({"a": [TWO]}).encode()))
    answers = sub.read_answers(path)
    assert answers.ranked == {"a": [[A, B]]} and answers.note("x") is None
    result = sub.convert_submission(path, tmp_path / "out.json")
    assert "1 file: it became plain text in UTF-8" in result.lines()
    assert not sub.check_path(tmp_path / "out.json").problems


# What is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": {"0": TWO, "2": TWO}}, f"is {INDEXED}, but not clear: task a: has the test outputs"),
        ({"a": {"1": TWO}}, "task a: has the test outputs 1 by index, expected 0"),
        ({"a": {"attempt_1": A, "Attempt1": B}}, "has the keys attempt_1 and Attempt1, expected"),
        (
            {"a": {"attempt_1": A, "attempt_3": B}},
            "has the attempts attempt_1, attempt_3, expected",
        ),
        (
            {"a": {"attempt_0": A, "attempt_1": B}},
            "has the attempts attempt_0, attempt_1, expected",
        ),
        ({"a": {"attempt_1": A, "score": 1}}, 'has the key "score", expected only names of'),
        ({"a": {"attempt_1": "x"}}, 'task a, attempt_1: is "x", expected a grid (a list of rows)'),
        (
            {"a": {"attempt_1": [[10]]}},
            "task a, attempt_1, row 1: cell 1 is 10, expected an integer",
        ),
        ({"a": [[TWO, TWO], [TWO]]}, "task a: has lists with several test outputs, expected"),
        ({"a": [[A, B], [C, [[10]]]]}, "task a, test output 2, grid 2, row 1: cell 1 is 10"),
        ({"a": TWO, "b": 7}, f"is {OBJECTS}, but not clear: task b: is 7, expected a list with"),
        ({"a": TWO, "": TWO}, 'task "": has the id "", expected a string that is not empty'),
        (TWO, "task attempt_1, test output 1: is a list of 1 item, expected an object with"),
        ([{"task_id": "a", **TWO}] * 2, "item 2: is test output 1 of task a again, expected it"),
        ([{"task_id": 5, **TWO}], 'item 1: has the "task_id" 5, expected a task id'),
        ([{"task_id": "a", **TWO}, TWO], 'item 2: has the "task_id" null, expected a task id'),
        (
            [{"task_id": "a", "pair_index": True, **TWO}],
            "item 1: has the pair_index true, expected",
        ),
        ([{"task_id": "a", "pair_index": 1, **TWO}], "task a: has the test outputs 1 by index"),
        (
            [{"task_id": "a", "pair_index": 0, "test_index": 0, **TWO}],
            "item 1: has the test_index 0 and pair_index 0, expected one index of a test output",
        ),
        ([{"task_id": "a"}], "item 1: has no attempt, expected attempt_1, attempt_2 and so on"),
        (b'{"a": {"attempt_1": [[1]]}, "a": {}}', 'has the key "a" more than once, expected once'),
        (b'{"task_id": "a"}\n{"task_id": ', "line 2: is not JSON at line 1, column 13: Expecting"),
        (b'{"a": 1}\n{"b": 2}\n', "is one JSON value per line, expected JSON"),
        (b"output_id,output\n", f"is {CSV}, but not clear: has no tasks, expected at least one"),
        (b"output_id,output\na_0,|1|\na_0,|2|\n", "row 3: is test output 1 of task a again"),
        (b"output_id,output\na_1,|1|\n", "task a: has the test outputs 1 by index, expected 0"),
        (b"output_id,output\na,|1|\n", 'row 2: is "a,|1|", expected TASK_0,|12|34| |56|78|'),
        (b"output_id,output\na_0,|1|,\n", 'row 2: is "a_0,|1|,", expected TASK_0,|12|34|'),
        (
            b"output_id,output\na_0,|1x|\n",
            'row 2, prediction 1: is "|1x|", expected rows of digits',
        ),
        (b"output_id,output\na_0,|1|23|\n", "row 2, prediction 1, row 2: has 2 cells, expected 1"),
        (b'output_id,output\n"a_0"b,|1|\n', "line 2: is not CSV: "),
        (b"id,output\na_0,|1|\n", "is a table with commas, expected JSON"),
    ],
)
def test_what_leaves_a_doubt_is_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    path = save(tmp_path / "theirs", content)
    for read in (sub.read_answers, sub.read_ranked):
        with pytest.raises(sub.FormatError) as caught:
            read(path)
        assert sentence in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(sub.FormatError):
        sub.convert_submission(path, tmp_path / "out.json")
    assert [each.name for each in tmp_path.iterdir()] == ["theirs"]


def test_a_missing_task_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "theirs", {"a": TWO})
    with pytest.raises(sub.FormatError, match="task b: is missing, expected every task of the"):
        sub.convert_submission(path, tmp_path / "out.json", challenges_of({"a": [TWO], "b": [TWO]}))
    assert not (tmp_path / "out.json").exists()


ODD: list[Any] = [None, True, -1, 10, 1.5, "", "x", [], {}, [[]], [[1]], [[[1]]], {"attempt_1": 1}]


def mutate(data: st.DataObject, value: Any) -> Any:
    """Replace, remove, repeat or rename something at a drawn place of parsed JSON."""
    value = deepcopy(value)
    inner, steps = value, data.draw(st.integers(0, 5))
    for _ in range(steps):
        keys = list(inner if isinstance(inner, dict) else range(len(inner)))
        below = [key for key in keys if isinstance(inner[key], list | dict) and inner[key]]
        if not below:
            break
        inner = inner[data.draw(st.sampled_from(below))]
    keys = list(inner if isinstance(inner, dict) else range(len(inner)))
    key = data.draw(st.sampled_from(keys))
    match data.draw(st.sampled_from(["replace", "remove", "more"])):
        case "replace":
            inner[key] = data.draw(st.sampled_from(ODD))
        case "remove":
            del inner[key]
        case "more" if isinstance(inner, dict):
            more = data.draw(st.sampled_from(["attempt_2", "attempt_3", "0", "1", "task_id", ""]))
            inner[more] = inner[key]
        case "more":
            inner.append(inner[key])
    return value


def check_hostile(folder: Path, content: Any, challenges: sub.Challenges) -> None:
    """Whatever is in a file is refused in one line, or becomes a valid submission."""
    path, out = save(folder / "hostile", content), folder / "mended.json"
    counts = {name: len(task["test"]) for name, task in challenges.items()}
    for use in (
        lambda: sub.check_path(path).lines(),
        lambda: sub.read_answers(path).settle(counts).note("arc-trm"),
        lambda: sub.convert_submission(path, out, challenges, overwrite=True),
        lambda: sub.convert_submission(path, out, overwrite=True),
    ):
        out.unlink(missing_ok=True)
        try:
            use()
        except sub.SubmissionError as error:
            assert "\n" not in str(error)
        if out.exists():
            assert sub.check_path(out, "submission").problems == []
    try:
        convertible = sub.check_path(path).convertible
    except sub.SubmissionError:
        convertible = False
    assert not convertible or out.exists()  # what says so is


@pytest.mark.parametrize("name", [name for name in FORMS if name not in IS_TEXT])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_mutated_forms_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    official = data.draw(submissions(1 if FORMS[name].single else 3))
    mutated = FORMS[name].write(official)
    for _ in range(data.draw(st.integers(1, 3))):
        mutated = mutate(data, mutated) if mutated else mutated
    check_hostile(tmp_path_factory.getbasetemp(), mutated, challenges_of(official))


@pytest.mark.parametrize("name", IS_TEXT)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_mutated_text_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    official = data.draw(submissions(3))
    content = FORMS[name].write(official)
    place = data.draw(st.integers(0, len(content)))
    piece = data.draw(st.sampled_from([b"", b'"', b"\n", b"\0", b"\xff", b"|", b",", b" ", b"{"]))
    mutated = content[:place] + piece + content[place + data.draw(st.integers(0, 3)) :]
    check_hostile(tmp_path_factory.getbasetemp(), mutated, challenges_of(official))


def test_huge_and_deep_values_are_refused(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for content in (
        {"a": deep},
        {"a": {"0": deep}},
        {"a": [deep, deep]},
        {"a": [[[[1] * 100_000]] * 3]},
        {"a": {str(index): TWO for index in range(1000)}},
        b"output_id,output\na_0," + b"|1" * 1_000_000 + b"|\n",
        b"output_id,output\na_0,|" + b"9" * 100_000 + b"|\n",
        b"output_id,output\na_9999999999999999999999,|1|\n",
        b'{"task_id": "a"}\n' + b"[" * 100_000,
    ):
        path = save(tmp_path / "hostile", content)
        with pytest.raises(sub.FormatError) as caught:
            sub.read_ranked(path, {"a": 1})
        assert len(str(caught.value)) < 600


# Commands


@pytest.mark.parametrize("program", PROGRAMS)
def test_scores_of_another_form_come_with_a_note(folder: Path, program: str) -> None:
    official: sub.Submission = {"a": [TWO], "b": [TWO, TWO]}
    save(Path("official.json"), official)
    expected = run(program, "score", "official.json", "--solutions", "solutions.json", "--json")
    assert expected.stderr == ""
    save(Path("theirs.csv"), to_csv(official))
    result = run(program, "score", "theirs.csv", "--solutions", "solutions.json", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["pass@2"] == json.loads(expected.stdout)["pass@2"]
    assert result.stderr == (
        f"theirs.csv is {CSV}, read as a submission (3 answers: each became a test output of its "
        f"task): `{program} convert-submission theirs.csv --out submission.json` makes a "
        "submission\n"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_grids_are_scored_against_solutions(folder: Path, program: str) -> None:
    save(Path("grids.json"), {"a": [B], "b": [A, B]})
    result = run(program, "score", "grids.json", "--solutions", "solutions.json", "--json")
    assert json.loads(result.stdout)["pass@1"]["per_output"]["solved"] == 2
    assert result.stderr.startswith(f"grids.json is {SOLUTIONS_FORM}, read as a submission (2 tas")
    assert result.stderr.count("\n") == 1 and "--challenges CHALLENGES" in result.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_merging_reads_every_form(folder: Path, program: str) -> None:
    official: sub.Submission = {"a": [TWO], "b": [TWO, TWO]}
    save(Path("lines.jsonl"), FORMS["lines"].write(official))
    save(Path("lists.json"), FORMS["lists"].write(official))
    result = run(program, "merge", "lines.jsonl", "lists.json", "--out", "merged.json")
    assert result.exit_code == 0, result.output
    assert [line.split(" is ")[0] for line in result.stderr.splitlines()] == [
        "lines.jsonl",
        "lists.json",
    ]
    assert sub.read_submission("merged.json") == official


@pytest.mark.parametrize("program", PROGRAMS)
def test_convert_submission(folder: Path, program: str) -> None:
    save(Path("theirs.json"), {"b": [[A, B], [B]], "a": TWO})
    arguments = ("convert-submission", "theirs.json", "--challenges", "challenges.json")
    result = run(program, *arguments, "--out", "out.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"theirs.json: is {GRID_LISTS}",
        "2 test outputs: a grid or a list of grids became attempts",
        "1 test output: attempt 1 was repeated as the missing attempt 2",
        "1 task: the attempts became a list of one test output",
        "Wrote out.json: 2 tasks with 3 test outputs",
    ]
    assert list(sub.read_submission("out.json")) == ["a", "b"]
    again = run(program, *arguments, "--out", "out.json")
    assert again.exit_code == 2 and "out.json already exists: name another file" in again.stderr
    told = json.loads(run(program, *arguments, "--out", "out.json", "--overwrite", "--json").stdout)
    assert (told["file"], told["source"], told["form"]) == ("out.json", "theirs.json", GRID_LISTS)
    assert told["changes"][2] == {
        "what": "task: the attempts became a list of one test output",
        "number": 1,
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_converting_a_submission_says_so_and_writes_it(folder: Path, program: str) -> None:
    save(Path("right.json"), {"a": [TWO], "b": [TWO, TWO]})
    result = run(program, "convert-submission", "right.json", "--out", "out.json")
    assert result.stdout.splitlines() == [
        "right.json: is a submission (two attempts per test output) already, so nothing was "
        "changed",
        "Wrote out.json: 2 tasks with 3 test outputs",
    ]
    assert sub.read_json("out.json") == sub.read_json("right.json")
    itself = run(program, "convert-submission", "right.json", "--out", "right.json", "--overwrite")
    assert itself.exit_code == 2
    assert "right.json: cannot be written: it is the file to convert" in itself.stderr
    solutions = ("convert-submission", "right.json", "--out", "solutions.json", "--overwrite")
    assert "solutions.json is not a submission, so it is not" in run(program, *solutions).stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_solutions_file_is_not_just_valid(folder: Path, program: str) -> None:
    result = run(program, "validate", "solutions.json")
    assert result.exit_code == 0
    assert result.stdout == (
        f"solutions.json: is {SOLUTIONS_FORM}, which is no submission: valid, 2 tasks with 3 test "
        f"outputs; if these grids are answers, `{program} convert-submission solutions.json "
        "--challenges CHALLENGES --out submission.json` makes a submission\n"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_validate_names_another_form_before_its_problems(folder: Path, program: str) -> None:
    save(Path("theirs.json"), {"a": TWO, "b": {"attempt_1": [[10]]}})
    result = run(program, "validate", "theirs.json", "--challenges", "challenges.json")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"theirs.json: is {OBJECTS}",
        "task a: is an object of 2 keys, expected a list with two attempts per test output",
        "task b: is an object of 1 key, expected a list with two attempts per test output",
        "task b, attempt_1, row 1: cell 1 is 10, expected an integer 0 to 9",
    ]
    told = json.loads(run(program, "validate", "theirs.json", "--json").stdout)
    assert (told["kind"], told["form"], told["convertible"]) == ("submission", OBJECTS, False)
    save(Path("theirs.csv"), to_csv({"a": [TWO]}))
    result = run(program, "validate", "theirs.csv")
    assert result.stdout.splitlines() == [
        f"theirs.csv: is {CSV}: `{program} convert-submission theirs.csv --out submission.json` "
        "makes a submission",
        "theirs.csv: is not JSON, expected an object with task ids as keys",
    ]


def test_other_commands_read_every_form(folder: Path) -> None:
    """`arc-trm report`, `export` and `show` do, too, and a log is no answers file."""
    official: sub.Submission = {"a": [TWO], "b": [TWO, TWO]}
    save(Path("theirs.jsonl"), FORMS["lines"].write(official))
    data = ("--data", "challenges.json")
    for command in (
        ("report", "theirs.jsonl", *data, "--out", "report.html"),
        ("export", "theirs.jsonl", *data, "--format", "submission", "--out", "out.json"),
        ("show", "a", *data, "--predictions", "theirs.jsonl"),
    ):
        result = run("arc-trm", *command)
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith(f"theirs.jsonl is {LINES}, read as a submission (3 answer")
    assert sub.read_submission("out.json") == official
    Path("predictions.jsonl").write_text('{"format": "arc-trm predictions 4"}\n')
    result = run("arc-trm", "convert-submission", "predictions.jsonl", "--out", "new.json")
    assert result.exit_code == 2 and "make a submission of it with `arc-trm export" in result.stderr


def test_grids_without_tasks_are_refused(folder: Path) -> None:
    save(Path("grids.json"), {"a": [A], "b": [A, B]})
    for command in (
        ("score", "grids.json"),
        ("report", "grids.json"),
        ("merge", "grids.json", "--out", "out.json"),
        ("export", "grids.json", "--format", "submission", "--out", "out.json"),
        ("show", "a", "--predictions", "grids.json"),
    ):
        result = run("arc-trm", *command)
        assert result.exit_code == 2
        assert "if these grids are answers, make a submission of them with" in result.stderr
    result = run("arc-trm", "convert-submission", "grids.json", "--out", "out.json")
    assert result.exit_code == 2 and "convert-submission and --challenges" in result.stderr
    assert not Path("out.json").exists()


def test_a_broken_csv_of_answers_is_no_file_of_puzzles(folder: Path) -> None:
    save(Path("theirs.csv"), b"output_id,output\na_0,|x|\n")
    result = run("arc-trm", "score", "theirs.csv", "--solutions", "solutions.json")
    assert result.exit_code == 2 and f"theirs.csv: is {CSV}, but not clear" in result.stderr
    result = run("arc-trm", "train", "--data", "theirs.csv", "--out", "run")
    assert result.exit_code == 2 and not Path("run").exists()
