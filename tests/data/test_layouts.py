"""Every layout in which ARC-like sets and puzzles are distributed is read."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import (
    LAYOUTS,
    Builder,
    Json,
    barc,
    challenges,
    kaggle,
    lines,
    pairs,
    parquet_file,
    re_arc,
    re_arc_in_one_file,
    write,
    write_tasks,
)
from pyarrow import parquet

from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, GridPuzzle
from arc_trm.tasks import PuzzleArray, TaskSet


def pair(colour: int, size: int = 2) -> Json:
    return {"input": [[colour] * size] * size, "output": [[9 - colour] * size]}


def task(number: int, known: bool = True) -> Json:
    test = pair(number % 10)
    return {
        "train": [pair((number + each) % 10, 1 + number % 4) for each in range(1, 4)],
        "test": [test if known else {"input": test["input"]}],
    }


TASKS = {f"task{number}": task(number) for number in range(6)}
FIRST = TASKS["task0"]


def official(tasks: TaskSet) -> Json:
    return {each.id: each.to_json() for each in sorted(tasks, key=lambda each: each.id)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_tasks(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "data", TASKS)
    tasks = load_tasks(path)
    assert official(tasks) == TASKS
    assert tasks.name == str(path)
    assert tasks.fingerprint() == load_tasks(challenges(tmp_path / "plain", TASKS)).fingerprint()


def test_files_without_tasks_are_skipped_and_named_once(tmp_path: Path) -> None:
    folder = re_arc(tmp_path, TASKS)
    (note,) = load_tasks(folder).notes
    assert note == f"skipped 2 files of {folder} without tasks: README.md, metadata.json"
    (note,) = load_tasks(kaggle(tmp_path / "kaggle", TASKS)).notes
    assert "skipped 1 file of" in note and note.endswith("without tasks: sample_submission.json")


# Tasks to be trained on only


@pytest.mark.parametrize("layout", [re_arc, re_arc_in_one_file, barc])
def test_a_list_of_pairs_is_a_task_of_demonstrations(tmp_path: Path, layout: Builder) -> None:
    tasks = load_tasks(layout(tmp_path, TASKS))
    assert len(tasks) == 6 and tasks.test_outputs == 0 and not tasks.has_known_outputs
    for found, each in zip(tasks, TASKS.values(), strict=True):
        assert [pair.to_json() for pair in found.train] == pairs(each)
    ids = list(TASKS) if layout is not barc else [f"barc-{n}" for n in range(1, 7)]
    assert list(tasks.ids) == ids


def test_unknown_outputs(tmp_path: Path) -> None:
    unknown = ({}, {"output": None}, {"output": []}, {"output": [[]]})
    for number, output in enumerate(unknown):
        each = {**FIRST, "test": [{"input": [[1]], **output}, pair(3)]}
        (found,) = load_tasks(write(tmp_path / f"{number}.json", each))
        assert [pair.output is None for pair in found.test] == [True, False]
    each = {**FIRST, "train": [{"input": [[1]], "output": None}]}
    with pytest.raises(UserError, match="train pair 1, output: is null, expected a grid"):
        load_tasks(write(tmp_path / "train.json", each))


def test_generated_pairs_count_for_nothing_else(tmp_path: Path) -> None:
    golf = write(tmp_path / "task001.json", {**FIRST, "arc-gen": [pair(5), pair(6)]})
    plain = write(tmp_path / "plain" / "task001.json", FIRST)
    tasks, others = load_tasks(golf), load_tasks(plain)
    assert [each.to_json() for each in tasks["task001"].generated] == [pair(5), pair(6)]
    assert tasks.fingerprint() == others.fingerprint()
    bad = write(tmp_path / "bad.json", {**FIRST, "arc-gen": [{"input": [[1]]}]})
    with pytest.raises(UserError, match='arc-gen pair 1: has no "output"'):
        load_tasks(bad)


# Invalid tasks


def test_large_grids_are_refused_by_name_or_left_out(tmp_path: Path) -> None:
    large = {**FIRST, "train": [pair(1, 31)]}
    path = write(tmp_path / "x.json", {**TASKS, "large": large})
    sentence = "task large, train pair 1, input: has 31 rows, expected 1 to 30"
    with pytest.raises(UserError, match=f"x.json: {sentence} .*leave out .* --skip-invalid"):
        load_tasks(path)
    tasks = load_tasks(path, skip_invalid=True)
    assert official(tasks) == TASKS
    (note,) = tasks.notes
    assert note.startswith(f"1 of 7 tasks of {path} is skipped: task large: train pair 1, input")


def test_solutions_of_tasks_that_are_left_out(tmp_path: Path) -> None:
    folder = kaggle(tmp_path, TASKS)
    file = folder / "arc-agi_training-challenges.json"
    data = json.loads(file.read_text())
    data["task3"]["train"] = []
    write(file, data)
    tasks = load_tasks(folder, skip_invalid=True)
    assert len(tasks) == 5 and len(tasks.known_solutions()) == 5


def test_a_task_in_two_files_is_refused_with_both(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "same.json", FIRST)
    second = write(tmp_path / "b" / "same.json", FIRST)
    with pytest.raises(UserError, match=f"task same is in {first} and in {second}: name only one"):
        load_tasks(tmp_path)


def test_damaged_files_in_a_folder_are_errors_or_left_out(tmp_path: Path) -> None:
    write_tasks(tmp_path, TASKS)
    bad = write(tmp_path / "bad.json", '{"train": [')
    with pytest.raises(UserError, match=f"{bad}: is not JSON"):
        load_tasks(tmp_path)
    tasks = load_tasks(tmp_path, skip_invalid=True)
    assert official(tasks) == TASKS and "bad.json" in tasks.notes[0]


REFUSED: dict[str, tuple[str, Any, str]] = {
    "answers": ("s.json", {"a": [[[1]]]}, "is a solutions file, expected a challenges file"),
    "attempts": (
        "s.json",
        {"a": [{"attempt_1": [[1]], "attempt_2": [[1]]}]},
        "is a submission file, expected a challenges file",
    ),
    "log": ("p.jsonl", lines({"format": "arc-trm predictions 4"}, {}), "is a log of predictions"),
    "bzip2": ("t.bin", b"BZh91AY", "square mazes as CSV or text: unpack it, or pack it as .zip"),
    "marked": ("t.json", '{"a": 1}'.encode("utf-16-le"), "is UTF-16 without a mark"),
    "lines": ("t.json", '{"a": 1}\n{"b": 2}\n', "line 1 is an object of 1 key, expected a task"),
    "page": ("t.txt", "<!DOCTYPE html><html>", "is an HTML page, expected tasks as JSON"),
    "page called JSON": ("t.json", "<!DOCTYPE html>", "is an HTML page, expected JSON"),
    "pointer": ("t.json", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "numbers": ("t.json", [1, 2], "is a list of 2 items, expected tasks"),
    "parquet": ("t.parquet", b"PAR1xxxxPAR1", "is damaged Parquet"),
    "archive": ("t.zip", b"PK\x03\x04xxxx", "is packed and damaged"),
    "empty": ("t.jsonl", "", "is empty, expected tasks as JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_a_file_is(tmp_path: Path, name: str) -> None:
    file, data, message = REFUSED[name]
    with pytest.raises(UserError) as caught:
        load_tasks(write(tmp_path / file, data))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_parquet_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(tmp_path, TASKS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="is Parquet: run `pip install pyarrow` to read it"):
        load_tasks(path)


def test_a_fifo_in_a_folder_does_not_wait(tmp_path: Path) -> None:
    write_tasks(tmp_path, TASKS)
    subprocess.run(["mkfifo", tmp_path / "fifo.json"], check=True)
    assert official(load_tasks(tmp_path)) == TASKS


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(LAYOUTS)), st.data())
def test_damage_gives_tasks_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp() / "layouts" / layout.replace("/", "-").replace(" ", "-")
    path = root / "made"
    if not path.exists():
        write(path, str(LAYOUTS[layout](root / "data", TASKS)))
    source = Path(path.read_text())
    target = source
    if source.is_dir():
        target = data.draw(st.sampled_from(sorted(p for p in source.rglob("*") if p.is_file())))
    whole = target.read_bytes()
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        target.write_bytes(changed[: data.draw(st.integers(len(whole) // 2, len(whole)))])
        for skip_invalid in (False, True):
            try:
                load_tasks(source, skip_invalid)
            except UserError as error:
                assert str(error)
    finally:
        target.write_bytes(whole)


def test_a_bad_record_costs_itself_alone(tmp_path: Path) -> None:
    good = [{"id": name, **each} for name, each in TASKS.items()]
    for bad in (5, None, [], {"id": "x"}, {"train": 1}, {"train": [5], "test": [5]}):
        for file, data in (("t.jsonl", lines(*good, bad)), ("t.json", [*good, bad])):
            write(tmp_path / "folder" / file, data)
            for path in (tmp_path / "folder", tmp_path / "folder" / file):
                with pytest.raises(UserError, match=f"{file}: task "):
                    load_tasks(path)
                tasks = load_tasks(path, skip_invalid=True)
                assert official(tasks) == TASKS and "1 of 7 tasks" in tasks.notes[0]
            (tmp_path / "folder" / file).unlink()


def test_a_damaged_task_in_a_folder_is_no_file_without_tasks(tmp_path: Path) -> None:
    write_tasks(tmp_path, TASKS)
    write(tmp_path / "x.json", {"train": [5], "test": [5]})
    with pytest.raises(UserError, match=r"x.json: train pair 1: is 5, expected an object"):
        load_tasks(tmp_path)


def test_an_id_twice_in_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", lines({"id": "a", **FIRST}, {"id": "a", **FIRST}))
    with pytest.raises(UserError, match="task a, has the id of an earlier task"):
        load_tasks(path)
    assert list(load_tasks(path, skip_invalid=True).ids) == ["a"]


@pytest.mark.parametrize("part", ["arc-gen", "test"])
def test_parts_that_are_null_are_missing(tmp_path: Path, part: str) -> None:
    tasks = load_tasks(
        write(
            tmp_path / "t.jsonl",
            lines({"examples": [pair(1)], part: None}, {"examples": [pair(2)]}),
        )
    )
    assert len(tasks) == 2
    for value in (0, False, "", {}):
        path = write(tmp_path / "t.json", {**FIRST, part: value})
        with pytest.raises(UserError, match=f"t.json: {part}: is .*, expected a list"):
            load_tasks(path)


@pytest.mark.parametrize("part", ["Test", " test", "eval", "evaluation", "validation", "query"])
def test_the_output_of_a_pair_that_is_no_demonstration_is_a_test_output(
    tmp_path: Path, part: str
) -> None:
    rows = [{"uuid": "a", "split": name, **pair(1)} for name in ("train", part)]
    for file, data in (("p.jsonl", lines(*rows)), ("p.json", rows)):
        (found,) = load_tasks(write(tmp_path / file, data))
        assert (len(found.train), len(found.test), found.id) == (1, 1, "a")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_order_and_ids_do_not_depend_on_the_packing(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "f"
    write_tasks(folder, TASKS, "b", "a")
    for name, sudoku in (("b", SUDOKU[0]), ("a", SECOND)):
        write(tmp_path / "p" / f"{name}.csv", sudoku + "\n")
    for source in (folder, tmp_path / "p"):
        path = tmp_path / f"{source.name}.{kind}"
        files = sorted((each for each in source.rglob("*") if each.is_file()), reverse=True)
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file in files:
                    archive.write(file, file.relative_to(source))
        else:
            with tarfile.open(path, "w") as tar:
                for file in files:
                    tar.add(file, file.relative_to(source))
        packed, plain = load_tasks(path), load_tasks(source)
        assert list(packed.ids) == list(plain.ids)
        assert packed.fingerprint() == plain.fingerprint()


def test_a_part_of_an_archive(tmp_path: Path) -> None:
    path = LAYOUTS[".zip of a clone"](tmp_path, TASKS)
    parts = [load_tasks(path / "ARC-AGI/data" / name) for name in ("training", "evaluation")]
    assert sorted(each for part in parts for each in part.ids) == list(TASKS)
    assert list(load_tasks(path / "ARC-AGI/data/training/task0.json").ids) == ["task0"]
    with pytest.raises(UserError, match="has nothing at ARC-AGI/x: name a file or folder in it"):
        load_tasks(path / "ARC-AGI" / "x")
    competition = LAYOUTS[".zip of Kaggle's files"](tmp_path / "k", TASKS)
    tasks = load_tasks(competition / "arc-agi_training-challenges.json")
    assert official(tasks) == TASKS
    with pytest.raises(UserError, match="does not exist, expected a folder or a file"):
        load_tasks(write(tmp_path / "plain.json", TASKS) / "x")


def test_folders_may_be_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ["/".join("d" * depth) for depth in range(1, 1101)]
    for folder in folders:
        os.mkdir(folder)
    file = write(Path(folders[-1], "a.json"), FIRST)
    try:
        assert list(load_tasks("d").ids) == ["a"]
    finally:  # pytest removes only folders that Python can recurse into
        file.unlink()
        for folder in reversed(folders):
            os.rmdir(folder)


def test_a_solutions_file_must_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "q_challenges.json", {"a": FIRST})
    write(tmp_path / "q_solutions.json", {"b": FIRST})
    with pytest.raises(UserError, match=r"q_solutions.json: is an object of 1 key, expected"):
        load_tasks(path)
    table = write(tmp_path / "r_challenges.csv", TABLES["quoted"])
    write(tmp_path / "r_solutions.csv", TABLES["quoted"])
    assert len(load_tasks(table)) == 1


def test_a_packed_challenges_file_finds_its_solutions(tmp_path: Path) -> None:
    folder = kaggle(tmp_path, TASKS)
    file = folder / "arc-agi_training-challenges.json"
    packed = write(folder / f"{file.name}.gz", gzip.compress(file.read_bytes()))
    file.unlink()
    assert len(load_tasks(packed).known_solutions()) == len(TASKS)


# Puzzles

SUDOKU = "1.3..41.2..3.3.1", "1234341221434321"
SECOND = "4....1....2.1..3"
MAZE = ["S #", " ##", "  G"]
SOLVED = ["S #", "o##", "ooG"]


def table(header: str, *rows: str, separator: str = ",") -> str:
    return "\n".join([header, *rows, ""]).replace(",", separator)


TABLES = {
    "question,answer": table("question,answer", ",".join(SUDOKU)),
    "puzzle,solution": table("puzzle,solution", ",".join(SUDOKU)),
    "quizzes,solutions": table("quizzes,solutions", ",".join(SUDOKU)),
    "difficulty": table("puzzle,solution,clues,difficulty", f"{SUDOKU[0]},{SUDOKU[1]},8,1.2"),
    "id first": table("id,Puzzle,Solution", f"7,{SUDOKU[0]},{SUDOKU[1]}"),
    "no header": table(",".join(SUDOKU)),
    "semicolons": table("question,answer", ",".join(SUDOKU), separator=";"),
    "tabs": table("question,answer", ",".join(SUDOKU), separator="\t"),
    "no header, tabs": table(",".join(SUDOKU), separator="\t"),
    "quoted": table('"question","answer"', f'"{SUDOKU[0]}","{SUDOKU[1]}"'),
    "CRLF": table("question,answer", ",".join(SUDOKU)).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("file", ["p.csv", "p.txt", "p"])
def test_tables_of_sudokus(tmp_path: Path, name: str, file: str) -> None:
    puzzles = load_tasks(write(tmp_path / file, TABLES[name]))
    assert isinstance(puzzles, PuzzleArray) and puzzles.kind == "sudoku"
    assert puzzles.questions[0].tolist()[0] == [1, 0, 3, 0]
    assert puzzles.known.all() and puzzles.answers[0].tolist()[3] == [4, 3, 2, 1]


@pytest.mark.parametrize("blank", "0._*")
@pytest.mark.parametrize("form", ["{}", "0000183b305c {}  1.2", "# made by hand\n{}", "{}\n\n{}"])
def test_lines_of_sudokus(tmp_path: Path, blank: str, form: str) -> None:
    text = form.format(*[SUDOKU[0].replace(".", blank)] * 2) + "\n"
    for name in ("p.sdm", "p.txt"):
        puzzles = load_tasks(write(tmp_path / name, text))
        assert isinstance(puzzles, PuzzleArray) and not puzzles.known.any()
        assert puzzles.questions[0].tolist()[0] == [1, 0, 3, 0]


MAZES = {
    "spaces": MAZE,
    "full stops": [row.replace(" ", ".") for row in MAZE],
    "numbers": [row.replace(" ", "0").replace("#", "1") for row in MAZE],
    "blocks": [row.replace("#", "█") for row in MAZE],
    "an exit": [row.replace("#", "X").replace("G", "E") for row in MAZE],
    "trimmed": ["S #", " ##", "  G"],
}


@pytest.mark.parametrize("name", MAZES)
def test_mazes_as_text(tmp_path: Path, name: str) -> None:
    grid = "\n".join(MAZES[name])
    puzzles = load_tasks(write(tmp_path / "m.txt", f"{grid}\n\n{grid}\n"))
    assert isinstance(puzzles, PuzzleArray) and puzzles.kind == "maze"
    assert puzzles.questions.tolist() == [[[2, 1, 0], [1, 0, 0], [1, 1, 3]]] * 2
    assert not puzzles.known.any()


def test_solved_mazes_as_text(tmp_path: Path) -> None:
    text = "\n".join([*MAZE, "", *SOLVED, "", *MAZE, "", *SOLVED, "", *SOLVED, "", *MAZE])
    puzzles = load_tasks(write(tmp_path / "m.txt", text))
    assert isinstance(puzzles, PuzzleArray)
    assert puzzles.known.tolist() == [True, True, True, False]
    assert puzzles.answers[0].tolist() == [[2, 1, 0], [4, 0, 0], [4, 4, 3]]
    assert (puzzles.questions == puzzles.questions[0]).all()


TEXTS = [*TABLES.values(), SUDOKU[0], f"a1 {SECOND} 9", *map("\n".join, MAZES.values())]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_damaged_text_gives_valid_puzzles_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    changed = list(f"{text}\n")
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 2))] = data.draw(st.text(max_size=3))
    path = folder / data.draw(st.sampled_from(["damaged.csv", "damaged.txt"]))
    path.write_bytes("".join(changed).encode("utf-8", "surrogatepass"))
    for skip_invalid in (False, True):
        try:
            tasks = load_tasks(path, skip_invalid)
        except UserError as error:
            assert len(str(error).splitlines()) == 1
            continue
        assert isinstance(tasks, PuzzleArray)
        kind = KINDS[tasks.kind]
        assert isinstance(kind, GridPuzzle)
        assert not any(kind.validate(tasks.questions, tasks.answers, tasks.known))


def test_a_sudoku_as_a_grid(tmp_path: Path) -> None:
    solved = [
        "".join(str((3 * (row % 3) + row // 3 + column) % 9 + 1) for column in range(9))
        for row in range(9)
    ]
    grid = "\n".join(row.replace("9", ".") for row in solved)
    puzzles = load_tasks(write(tmp_path / "g.txt", f"{grid}\n\n{grid}\n"))
    assert isinstance(puzzles, PuzzleArray) and puzzles.kind == "sudoku"
    assert puzzles.questions.shape == (2, 9, 9)
    text = ["".join(map(str, row)).replace("0", ".") for row in puzzles.questions[0].tolist()]
    assert "\n".join(text) == grid


@pytest.mark.parametrize("blank", ["-", "x", " ", "?"])
@pytest.mark.parametrize("form", ["{},{}", "{}\t{}", "7,{},{}"])
def test_an_answer_is_never_read_as_a_question(tmp_path: Path, blank: str, form: str) -> None:
    odd = form.format(SUDOKU[0].replace(".", blank), SUDOKU[1])
    for text in (odd, f"{odd}\n{form.format(*SUDOKU)}"):
        path = write(tmp_path / "p.csv", text + "\n")
        with pytest.raises(UserError, match="the question has no blank, as an answer"):
            load_tasks(path)


def test_answers_in_columns_of_any_name(tmp_path: Path) -> None:
    for header in ("puzzle,answer_key", "board,solved", "Board (9x9),Its solution"):
        path = write(tmp_path / "p.csv", f"{header}\n{','.join(SUDOKU)}\n{','.join(SUDOKU)}\n")
        puzzles = load_tasks(path)
        assert isinstance(puzzles, PuzzleArray) and puzzles.ids == ["1", "2"]
        assert puzzles.known.all()


def test_grids_of_sudokus_with_their_answers(tmp_path: Path) -> None:
    def grid(text: str) -> str:
        return "\n".join(text[start : start + 9] for start in range(0, 81, 9))

    solved = "".join(
        str((3 * (row % 3) + row // 3 + column) % 9 + 1) for row in range(9) for column in range(9)
    )
    other = solved.translate(str.maketrans("123456789", "234567891"))
    question, second = (text.replace("9", ".") for text in (solved, other))
    grids = map(grid, (question, solved, second, question, solved))
    puzzles = load_tasks(write(tmp_path / "g.txt", "\n\n".join(grids)))
    assert isinstance(puzzles, PuzzleArray)
    assert puzzles.known.tolist() == [True, False, True]


def test_a_maze_before_the_answer_of_another_is_kept(tmp_path: Path) -> None:
    text = "S  \n # \n# G\n\nS##\noo#\n#oG\n"
    puzzles = load_tasks(write(tmp_path / "m.txt", text))
    assert isinstance(puzzles, PuzzleArray) and puzzles.known.tolist() == [False, True]


def test_files_of_puzzles_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", TABLES["question,answer"])
    write(tmp_path / "b.txt", SECOND + "\n")
    puzzles = load_tasks(tmp_path)
    assert list(puzzles.ids) == ["1", "2"]
    write(tmp_path / "c.json", FIRST)
    with pytest.raises(UserError, match=r"holds ARC, other files of .* Sudoku: name files of one"):
        load_tasks(tmp_path)


def test_puzzles_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    rows = [{"puzzle": SUDOKU[0], "solution": SUDOKU[1]}, {"puzzle": SECOND, "solution": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    puzzles = load_tasks(path)
    assert isinstance(puzzles, PuzzleArray) and puzzles.known.tolist() == [True, False]
    assert np.array_equal(
        puzzles.questions[0],
        load_tasks(write(tmp_path / "s.csv", TABLES["quoted"]))["1"].test[0].input,
    )
