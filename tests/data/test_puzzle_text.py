"""CSV files of puzzles: what is read, and which rows are invalid and why."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from puzzles import large_sudoku, write_large_sudoku

from arc_trm.data.loader import load_tasks
from arc_trm.data.readers import puzzle_text
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.puzzles.sudoku.kind import Sudoku
from arc_trm.tasks import Grid, PuzzleArray

QUESTION, ANSWER = "1.3..41.2..3.3.1", "1234341221434321"
MAZE, PATH = "S #" + " ##" + "  G", "S #" + "o##" + "ooG"
HEADER = "source,question,answer,rating"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "p.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def read(path: Path, skip_invalid: bool = False) -> PuzzleArray:
    tasks = load_tasks(path, skip_invalid)
    assert isinstance(tasks, PuzzleArray)
    return tasks


def row(question: str = QUESTION, answer: str = ANSWER) -> str:
    return f"here,{question},{answer},1"


def test_a_file_is_tasks_of_one_pair(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row(QUESTION, ""))
    tasks = load_tasks(str(path))
    assert (tasks.kind, tasks.name, len(tasks)) == ("sudoku", str(path), 2)
    assert list(tasks.ids) == ["1", "2"]
    assert tasks["1"].test[0].input.tolist()[0] == [1, 0, 3, 0]
    assert tasks["1"].test[0].output is not None and tasks["2"].test[0].output is None
    assert tasks["1"].train == ()
    assert not any(other in tasks for other in ("3", "0", "01", "-1", "²", "x", "9" * 30))
    assert repr(tasks) == f"<PuzzleArray {path}: 2 puzzles of kind sudoku>"
    assert repr(tasks["2"]) == "<Task 2: sudoku, 0 demonstrations, 1 test>"


@pytest.mark.parametrize(
    "header", ["question", "\ufeffquestion", "answer,question", "question,a,b"]
)
def test_only_questions_are_needed(tmp_path: Path, header: str) -> None:
    cells = [QUESTION if "question" in name else "" for name in header.split(",")]
    tasks = read(write(tmp_path, ",".join(cells), header=header))
    assert len(tasks) == 1 and not tasks.known.any()


def test_zeros_are_blanks_and_lines_may_end_in_crlf(tmp_path: Path) -> None:
    plain = read(write(tmp_path, row()))
    path = write(tmp_path, row(QUESTION.replace(".", "0")))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert np.array_equal(plain.questions, read(path).questions)


def test_digits_above_9_are_letters(tmp_path: Path) -> None:
    path = write_large_sudoku(tmp_path)
    text = path.read_text()
    assert "here,.23456789ABCDEFG5.789ABCDEFG1234" in text
    question, answer = large_sudoku()
    for spelt in (text, text.lower(), text.replace(",.", ",0")):
        path.write_text(spelt)
        puzzles = read(path)
        assert np.array_equal(puzzles.questions, question[None])
        assert np.array_equal(puzzles.answers, answer[None])
    path.write_text(text.replace("G", "H", 1))
    with pytest.raises(UserError, match=r"expected one of '.123456789ABCDEFG'"):
        read(path)


@pytest.mark.parametrize("digits", ["0123456789ABCDEF", "ABCDEFGHIJKLMNOP", "abcdefghijklmnop"])
def test_other_notations_of_sixteen_digits(tmp_path: Path, digits: str) -> None:
    path = write_large_sudoku(tmp_path)
    plain = read(path)
    (line,) = path.read_text().splitlines()[1:]
    _, question, answer, _ = line.split(",")
    written = str.maketrans("123456789ABCDEFG", digits)
    path.write_text(f"{question.translate(written)},{answer.translate(written)}\n")
    puzzles = read(path)
    assert np.array_equal(puzzles.questions, plain.questions)
    assert np.array_equal(puzzles.answers, plain.answers)


def test_a_puzzle_that_the_solver_gives_up_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puzzle_text.KINDS["sudoku"], "count_solutions", given_up)
    puzzles = read(write(tmp_path, row("." * 16), row("." * 16)))
    assert len(puzzles) == 2
    assert puzzles.notes[0].startswith("2 puzzles of ")


def given_up(questions: Grid, max_guesses: int) -> npt.NDArray[np.int64]:
    return np.full(len(questions), -1)


def test_the_puzzles_of_a_file_share_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, *[row("." * 16, "")] * 10)
    with pytest.raises(UserError, match=r"row 1 .*: it has more than one solution"):
        read(path)
    monkeypatch.setattr(puzzle_text, "MAX_GUESSES_IN_FILE", 1)
    puzzles = read(path)
    assert len(puzzles) == 10, "two guesses for each are too few to find two solutions"
    assert puzzles.notes[0].startswith("10 puzzles of ")


def test_letters_in_a_small_puzzle_are_those_of_another_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Letters(Sudoku):
        """Sudokus of letters, as another kind with symbols of its own might be."""

        name = "letters"
        symbols = ".abcdefghi"

    letters, sudoku = Letters(), KINDS["sudoku"]
    monkeypatch.setitem(KINDS, letters.name, letters)
    assert puzzle_text.recognise(".b.d" * 4) == (letters, 4)
    assert puzzle_text.recognise(".2.4" * 4) == puzzle_text.recognise(".2.E" * 4) == (sudoku, 4)
    assert puzzle_text.recognise(".b.d" * 64) == (sudoku, 16)


def test_a_maze_keeps_its_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, row(MAZE, PATH), row(" " + "  " + "S  " + " G ", ""))
    tasks = read(path)
    assert tasks.kind == "maze"
    assert tasks["1"].test[0].input.tolist() == [[2, 1, 0], [1, 0, 0], [1, 1, 3]]
    assert tasks["2"].test[0].input.tolist() == [[1, 1, 1], [2, 1, 1], [1, 3, 1]]


INVALID_SUDOKUS = [
    (row(QUESTION[1:]), "the question has 15 characters, expected 16"),
    (row(""), "the question has 0 characters"),
    (row(answer=ANSWER + "1"), "the answer has 17 characters, expected 16"),
    (row("x" + QUESTION[1:]), "the question has x in row 1, column 1, expected one of '.1234'"),
    (row("5" + QUESTION[1:]), "the question has 5 in row 1, column 1"),
    (row("A" + QUESTION[1:]), "the question has A in row 1, column 1, expected one of '.1234'"),
    (row("a" + QUESTION[1:]), "the question has a in row 1, column 1, expected one of '.1234'"),
    (row(answer=ANSWER[:-1] + "é"), "the answer has é in row 4, column 4"),
    (row("11" + QUESTION[2:]), "the question has the digit 1 more than once in row 1"),
    (row("1..." * 2 + "." * 8, ""), "the question has the digit 1 more than once in column 1"),
    (row("1....1" + "." * 10, ""), "the question has the digit 1 more than once in box 1"),
    (row(answer=ANSWER[:3] + "." + ANSWER[4:]), "the answer leaves row 1, column 4 blank"),
    (row(answer="2" + ANSWER[1:]), "the answer has the digit 2 more than once in row 1"),
    (row(answer="2143432112343412"), "the answer changes the given digit in row 1, column 1"),
    (row("." * 16), "it has more than one solution"),
    (row("123....4" + "." * 8, ""), "it has no solution"),
    ("here," + QUESTION, "it has 2 columns, expected 4"),
    (row() + ",more", "it has 5 columns, expected 4"),
]
INVALID_MAZES = [
    (row(MAZE[1:]), "the question has 8 characters, expected 9"),
    (row("x" + MAZE[1:], ""), "the question has x in row 1, column 1, expected one of '# SGo'"),
    (row("S##" + "###" + "  G", ""), "there is no path from S to G"),
    (row(MAZE.replace("S", " "), ""), "the question has no S"),
    (row(MAZE.replace("S", "G"), ""), "the question has no S"),
    (row(MAZE, MAZE), "the cells with o in the answer are no path from S to G"),
    (row(MAZE, PATH.replace("#", " ")), "the answer changes more than free cells into o"),
    (row("S  " + "   " + "  G", "Soo" + "o o" + "ooG"), "the answer's path is not a shortest one"),
]


@pytest.mark.parametrize(
    ("valid", "invalid", "reason"),
    [(row(), *each) for each in INVALID_SUDOKUS]
    + [(row(MAZE, PATH), *each) for each in INVALID_MAZES],
)
def test_an_invalid_row_is_named_with_the_reason(
    tmp_path: Path, valid: str, invalid: str, reason: str
) -> None:
    path = write(tmp_path, valid, invalid, valid)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, row 2 (line 3): ")
    assert reason in str(caught.value) and "--skip-invalid" in str(caught.value)
    tasks = read(path, skip_invalid=True)
    assert list(tasks.ids) == ["1", "3"]
    (note,) = tasks.notes
    assert note.startswith(f"1 of 3 rows of {path} is skipped: row 2: ") and reason in note


def test_the_first_row_may_be_invalid_too(tmp_path: Path) -> None:
    path = write(tmp_path, row(QUESTION[1:]), row("neither"), row(), "", row("1" * 25))
    with pytest.raises(UserError, match=r"row 1 \(line 2\): .* 15 characters, expected 16"):
        read(path)
    tasks = read(path, skip_invalid=True)
    assert list(tasks.ids) == ["3"]
    assert "3 of 4 rows" in tasks.notes[0]
    assert "row 2: the question has 7 characters, expected 16" in tasks.notes[0]
    assert "row 5: the question has 25 characters, expected 16" in tasks.notes[0]


def test_the_size_is_that_of_most_puzzles(tmp_path: Path) -> None:
    path = write(tmp_path, row("." * 36, ""), row(), row())
    with pytest.raises(UserError, match=r"row 1 .* 36 characters, expected 16"):
        read(path)
    assert list(read(path, skip_invalid=True).ids) == ["2", "3"]


def test_a_size_that_no_puzzle_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a Sudoku has 4, 6, 9 or 16 cells a side, not 5"):
        read(write(tmp_path, row("1" + "." * 24, "")))
    with pytest.raises(UserError, match="a maze has 2 to 30 cells a side, not 31"):
        read(write(tmp_path, row("SG" + " " * (31 * 31 - 2), "")))


def test_many_invalid_rows_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path, row(), *[row("." * 16)] * 50)
    (note,) = read(path, skip_invalid=True).notes
    assert "50 of 51 rows" in note and note.endswith("and 30 more")


def test_only_invalid_rows(tmp_path: Path) -> None:
    for rows in ([row("x"), row(QUESTION[1:])], ["1", "2,3"], [row("." * 16)] * 2):
        reason = r"has no valid puzzle, because 2 of 2 rows .* row 1: .* row 2"
        with pytest.raises(UserError, match=reason):
            read(write(tmp_path, *rows), skip_invalid=True)
    with pytest.raises(UserError, match=r"row 1 .*it has 1 column, expected 4"):
        read(write(tmp_path, "1", "2,3"))
    with pytest.raises(UserError, match="has no valid puzzle: name"):
        read(write(tmp_path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the first line must name the columns"),
        (b"a,b\n1,2\n", "the first line must name the columns"),
        (b"question\n\xff\xfe\n", "does not consist of"),
        (b"question\n" + b"1" * 200_000 + b"\n", "the question has 200000 characters"),
        (b'question\n"1\n', "a quotation mark that is not closed"),
        (b"question,question\n1,2\n", "each once"),
        (b"answer,question,answer\n1,2,3\n", "each once"),
        (b"question\n\x00\n", "row 1"),
    ],
)
def test_other_files_are_errors(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert reason in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("invalid", ["S  G,So", "1.3..41.2..3.3.1,12"])
def test_a_file_without_a_valid_row_of_its_kind(tmp_path: Path, invalid: str) -> None:
    path = write(tmp_path, invalid, header="question,answer")
    with pytest.raises(UserError, match=r"row 1 \(line 2\): the answer has 2 characters"):
        read(path)
    with pytest.raises(UserError, match="has no valid puzzle, because 1 of 1 rows"):
        read(path, skip_invalid=True)


def test_folders_pipes_and_impossible_names_are_errors(tmp_path: Path) -> None:
    (tmp_path / "p.csv").mkdir()
    os.mkfifo(tmp_path / "q.csv")  # reading it would wait for ever
    for name in ("p.csv", "q.csv", "x" * 5000 + ".csv"):
        with pytest.raises(UserError):
            load_tasks(str(tmp_path / name))


def test_a_stray_quote_costs_one_row(tmp_path: Path) -> None:
    path = write(tmp_path, row(), '"' + row(), *[row()] * 9, f'"a, ""b""","{QUESTION}",{ANSWER},1')
    tasks = read(path, skip_invalid=True)
    assert list(tasks.ids) == ["1", *map(str, range(3, 13))]
    assert "1 of 12 rows" in tasks.notes[0] and "row 2: it has a quotation mark" in tasks.notes[0]
    path.write_bytes(b"\xef\xbb\xbf" + b'"question"\n' + f'"{QUESTION}"\n'.encode())
    assert len(read(path)) == 1


def test_large_files_are_not_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzle_text, "MAX_SOLVED", 0)
    monkeypatch.setattr(puzzle_text, "CHUNK_SIZE", 2)
    path = write(tmp_path, *[row()] * 4, row("." * 16))
    assert len(read(path)) == 5


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["sudoku", "maze"]), st.integers(0, 2**32), st.integers(1, 5))
def test_every_file_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, count: int
) -> None:
    generated = generate_puzzles(GeneratorConfig(kind, count, seed, 4 if kind == "sudoku" else 8))
    path = tmp_path_factory.mktemp("files") / "t.csv"
    write_csv(path, generated.puzzles, "here, there", generated.ratings.tolist())
    puzzles = read(path)
    assert puzzles.kind == kind
    assert np.array_equal(puzzles.questions, generated.puzzles.questions)
    assert np.array_equal(puzzles.answers, generated.puzzles.answers)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(each["rating"]) for each in rows] == generated.ratings.tolist()
    assert {each["source"] for each in rows} == {"here, there"}


@pytest.mark.slow
def test_impossible_generator_settings_are_errors() -> None:
    with pytest.raises(UserError, match="none was new and of the wanted difficulty"):
        generate_puzzles(GeneratorConfig("sudoku", 5, side=4, min_rating=3))
    with pytest.raises(UserError, match="not 0"):
        GeneratorConfig("sudoku", 5, side=0)
    with pytest.raises(UserError, match="there are 16 cells"):
        GeneratorConfig("sudoku", 5, side=4, clues=17)
    with pytest.raises(UserError, match="is below the smallest"):
        GeneratorConfig("sudoku", 5, min_rating=3, max_rating=2)
    with pytest.raises(UserError, match="not 7"):
        GeneratorConfig("sudoku", 5, side=7)


def test_parts_of_a_set() -> None:
    grids = np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4) % 4
    puzzles = PuzzleArray("some", "sudoku", grids, grids, np.array([True, False, True, True]))
    part = puzzles.take(puzzles.known)
    assert part.ids == ["1", "3", "4"] and len(part) == 3
    assert PuzzleArray.concatenate([part, part]).rows.tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="read-only"):
        part.questions[0, 0, 0] = 1
