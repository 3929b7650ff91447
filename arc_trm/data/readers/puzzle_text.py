"""Puzzles on square grids in text files.

- tables with commas, semicolons or tabs between columns: with a header (`question,answer`,
  `puzzle,solution`, `quizzes,solutions`, ...) or without one;
- a puzzle a line, alone (.sdm) or among other words (`hash digits rating`);
- a grid of lines for each puzzle, with empty lines between the puzzles.

A question is the characters of its cells row by row. An answer may be empty or missing; other
columns are ignored. The id of a puzzle is its row number: the number of its line, not counting a
header, or that of its grid.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.errors import UserError, format_name, pluralise
from arc_trm.io import atomic_write
from arc_trm.puzzles import KINDS, GridPuzzle, grid_kinds
from arc_trm.tasks import PuzzleArray
from submission.content import HEAD, Content, looks_like, text_encoding

COLUMNS = ("source", "question", "answer", "rating")
"""The columns that `write_csv` writes."""
QUESTIONS = ("question", "questions", "puzzle", "puzzles", "quiz", "quizzes", "sudoku", "maze")
ANSWERS = ("answer", "answers", "solution", "solutions")
"""Names of columns; upper and lower case are equal."""
SUFFIXES = (".csv", ".tsv", ".sdm")
CHUNK_SIZE = 20_000  # rows that are checked at once
MAX_SOLVED = 10_000
"""Sudokus of 9×9 in a file whose solutions are counted when it is read; of another size by the
square of the cells, so 1001 of 16×16. Counting those of larger files takes too long; `arc-trm data
check` does it."""
MAX_GUESSES_IN_FILE = 1_000_000
"""Guesses in which these are counted, shared equally among the puzzles: 100 for each of 10 000 of
9×9. A puzzle that needs more is read with a note."""
MAX_LINE = 2**22
"""Characters of the longest line."""
MAX_LINES = 50_000_000
_NAME = re.compile(r'"?[A-Za-z][\w ()%-]*"?')
NO_VALUE = 255  # stands for an invalid character
SOLUTION_ERRORS = {
    0: "it has no solution",
    2: "it has more than one solution",
}

Texts = dict[int, tuple[str, str]]
"""Question and answer, "" if it is unknown, by row number."""
KindAndSide = tuple[GridPuzzle, int]


@dataclass(frozen=True)
class Columns:
    """Where a line has a question and an answer.

    Attributes:
        separator: between columns; None is white space, "" makes a line one column.
        question, answer: index of the column; None is no answer.
        number: of columns in each row; None is any.
        header: lines before row 1.
        comments: whether lines that begin with # are left out.
    """

    separator: str | None
    question: int
    answer: int | None
    number: int | None
    header: int
    comments: bool = False


@dataclass
class PuzzleRows:
    """The rows of a file that are invalid.

    Attributes:
        place: path of the file, for messages.
        invalid: gets what is wrong with rows once it is reported.
        header: lines before row 1.
        grids: whether a row is a grid of several lines.
        reasons: what is wrong with rows that are not reported yet, by row number.
    """

    place: str
    invalid: InvalidItems
    header: int = 0
    grids: bool = False
    reasons: dict[int, str] = field(default_factory=dict)

    def report(self) -> None:
        """Report the invalid rows in order. Raises UserError unless they are skipped."""
        for row in sorted(self.reasons):
            line = f" (line {row + self.header})" if self.header else ""
            name = f"grid {row}" if self.grids else f"row {row}"
            reason = self.reasons[row]
            self.invalid.add(name, reason, f"{self.place}, {name}{line}: {reason}")
        self.reasons.clear()


def matches(content: Content) -> bool:
    """Return whether the first lines of a file are those of puzzles, or its name says so."""
    if content.name.lower().endswith(SUFFIXES):
        return True
    head = content.head
    return looks_like(head) is None and find_layout(_first_lines(head)) is not None


def read(content: Content, invalid: InvalidItems) -> PuzzleArray:
    """Read the puzzles of a file, of one kind and size, and check them by their rule."""
    layout = find_layout(_first_lines(content.head))
    if layout is None:
        raise NoTasks(
            f"{content.place}: the first line must name the columns, {COLUMNS[1]} or "
            f"{QUESTIONS[2]} and if known {ANSWERS[0]} or {ANSWERS[2]}, each once, or every line "
            "must be a puzzle"
        )
    rows = PuzzleRows(content.place, invalid)
    with content.open_text() as file:
        if layout == "grids":
            rows.grids = True
            texts = _grid_rows(_lines(file, content.place))
        else:
            rows.header = layout.header
            texts = _line_rows(_lines(file, content.place), layout, rows)
        return read_rows(texts, rows)


def read_rows(texts: Iterable[tuple[int, str, str]], rows: PuzzleRows) -> PuzzleArray:
    """Check puzzles and return the valid ones.

    Args:
        texts: row number, question and answer, "" if it is unknown, of each puzzle.
        rows: gets what is invalid.
    """
    kind: KindAndSide | None = None
    parts: list[PuzzleArray] = []
    for chunk in _chunks(texts):
        rows.invalid.total += len(chunk)
        if kind is None and (kind := _kind(chunk, rows)) is not None:
            values = _cell_values(chunk, *kind)
        if kind is not None:
            parts.append(_parse_rows(chunk, *kind, values, rows))
        rows.report()
    rows.report()
    puzzles = PuzzleArray.concatenate(parts) if parts else None
    note: list[str] = []
    if puzzles and kind and (size := len(puzzles) * puzzles.side**4) <= MAX_SOLVED * 9**4:
        max_guesses = MAX_GUESSES_IN_FILE * 9**4 // size
        counts = kind[0].count_solutions(puzzles.questions, max_guesses).clip(max=2)
        # A puzzle that the solver gave up may well have one solution.
        for index in np.flatnonzero((counts == 0) | (counts == 2)).tolist():
            rows.reasons[int(puzzles.rows[index])] = SOLUTION_ERRORS[int(counts[index])]
        rows.report()
        if given_up := int((counts < 0).sum()):
            note.append(
                f"{pluralise(given_up, 'puzzle')} of {rows.place} may have no solution or several, "
                "which takes long to find out: `arc-trm data check` tries longer"
            )
        puzzles = puzzles.take((counts == 1) | (counts < 0))
    if not puzzles:
        notes = rows.invalid.notes("row", rows.place)
        reason = f", because {'; '.join(notes)}" if notes else ""
        raise NoTasks(f"{rows.place} has no valid puzzle{reason}: name another file")
    return puzzles.renamed(puzzles.name, note)


def find_layout(lines: Sequence[str]) -> Columns | Literal["grids"] | None:
    """Return how the first lines of a file hold puzzles, None if they do not."""
    first = next((line for line in lines if line.strip()), "")
    found = next(filter(None, (_find_columns(line) for line in lines[:100])), None)
    for separator in (",", ";", "\t", ""):
        names = [name.strip().casefold() for name in _fields(first, separator) or ()]
        if (question := _only(names, QUESTIONS)) is not None:
            answer = _only(names, ANSWERS)
            if answer is None and any(name in ANSWERS for name in names):
                return None
            if answer is None and found is not None and found.question == question:
                answer = found.answer  # under a name of its own
            return Columns(separator, question, answer, len(names), 1)
    if _first_grid(lines):
        return "grids"
    if found is not None and found.separator:
        names = _fields(first, found.separator) or []
        if len(names) == found.number and all(map(_NAME.fullmatch, names)):
            return replace(found, header=1)
    return found


def _only(names: Sequence[str], known: Sequence[str]) -> int | None:
    """Return the index of the only known name, None if no name or several names are known."""
    found = [index for index, name in enumerate(names) if name in known]
    return found[0] if len(found) == 1 else None


def _find_columns(line: str) -> Columns | None:
    """Return where a line without a header has its question and answer, None if it has none."""
    found = (_puzzle_columns(line, separator) for separator in ("", ",", ";", "\t", None))
    return next((each for each in found if each is not None), None)


def _puzzle_columns(line: str, separator: str | None) -> Columns | None:
    fields = _fields(line, separator) or []
    kinds = [recognise(each) for each in fields]
    puzzles = [index for index, kind in enumerate(kinds) if not isinstance(kind, str)]
    if not puzzles:
        return None
    question = max(puzzles, key=lambda index: len(fields[index]))  # a hash may look like one
    kind = kinds[question]
    assert not isinstance(kind, str), "it was recognised"
    rest = (index for index in puzzles if index > question)
    answers = [index for index in rest if len(fields[index]) == len(fields[question])]
    number = len(fields) if separator else None
    answer = answers[0] if answers else None
    return Columns(separator, question, answer, number, 0, "#" not in kind[0].symbols)


def _first_lines(head: bytes) -> list[str]:
    """Return the whole lines of the beginning of a file."""
    lines = head.decode(text_encoding(head), "replace").splitlines()
    return lines[:-1] if len(head) == HEAD and len(lines) > 1 else lines


def _lines(file: io.TextIOWrapper, place: str) -> Iterator[str]:
    """Yield the lines of a file without their ends."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if number > MAX_LINES:
            raise UserError(f"{place} has more than {MAX_LINES} lines: split it")
        if len(line) == MAX_LINE:
            raise UserError(f"{place}, line {number} has more than {MAX_LINE} characters: split it")
        yield line.rstrip("\n")


def _line_rows(
    lines: Iterator[str], columns: Columns, rows: PuzzleRows
) -> Iterator[tuple[int, str, str]]:
    """Yield row number, question and answer of the lines; incomplete ones are invalid."""
    question, answer = columns.question, columns.answer
    for row, line in enumerate(lines, 1 - columns.header):
        if row < 1 or not line or (columns.comments and line[0] == "#"):
            continue
        fields = _fields(line, columns.separator)
        if fields is None:
            rows.reasons[row] = "it has a quotation mark that is not closed"
        elif columns.number is not None and len(fields) != columns.number:
            number = pluralise(len(fields), "column")
            rows.reasons[row] = f"it has {number}, expected {columns.number}"
        elif question >= len(fields):
            rows.reasons[row] = f"it has {pluralise(len(fields), 'word')}, too few for a puzzle"
        else:
            known = answer is not None and answer < len(fields)
            yield row, fields[question], fields[answer] if known and answer is not None else ""
            continue
        rows.invalid.total += 1


def _fields(line: str, separator: str | None) -> list[str] | None:
    """Return the fields of one line, None if a quotation mark is not closed in it.

    No cell of a puzzle is a line break, so a row never spans several lines.
    """
    if separator is None:
        return line.split()
    if not separator:
        return [line]
    if '"' not in line:
        return line.split(separator)
    try:
        (fields,) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        return None
    return fields


def _grids(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield lines that belong together, with spaces at their ends where an editor removed them."""
    grid: list[str] = []
    for line in chain(lines, [""]):
        if line:
            grid.append(line)
        elif grid:
            width = max(map(len, grid))
            yield [row.ljust(width) for row in grid]
            grid = []


def _first_grid(lines: Sequence[str]) -> bool:
    """Return whether the first lines are a square grid of a puzzle."""
    grid = next(_grids(lines), [])
    if len(grid) < 2 or len(grid) != len(grid[0]):
        return False
    text = "".join(grid)
    kind = recognise(text)
    # Sixteen lines of sixteen digits 1 to 4 are sixteen puzzles.
    alone = recognise(grid[0])
    return not isinstance(kind, str) and (isinstance(alone, str) or max(text) > "4")


def _grid_rows(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Yield row number, question and answer of grids; an answer follows its question.

    A solved maze without its question before it is both.
    """
    row, held = 0, ""
    for grid in _grids(lines):
        text = "".join(grid)
        kinds = _kinds_of(text)
        if held and any(kind.is_answer(held, text) for kind in kinds):
            yield row, held, text
            held = ""
            continue
        if held:
            yield row, held, ""
        row, held = row + 1, ""
        question = next((kind.unsolved(text) for kind in kinds), text)
        if question == text:
            held = text
        else:
            yield row, question, text
    if held:
        yield row, held, ""


def _chunks(texts: Iterable[tuple[int, str, str]]) -> Iterator[Texts]:
    """Yield `CHUNK_SIZE` rows at a time."""
    chunk: Texts = {}
    for row, question, answer in texts:
        chunk[row] = question, answer
        if len(chunk) == CHUNK_SIZE:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk


def _kind(texts: Texts, rows: PuzzleRows) -> KindAndSide | None:
    """Return the most common kind and side; if no row has any, all rows become invalid."""
    found = {row: recognise(question) for row, (question, _) in texts.items()}
    kinds = Counter(each for each in found.values() if not isinstance(each, str))
    if kinds:
        return kinds.most_common(1)[0][0]
    rows.reasons |= {row: each for row, each in found.items() if isinstance(each, str)}
    return None


def _kinds_of(text: str) -> list[GridPuzzle]:
    return [kind for kind in grid_kinds() if kind.resembles(text)]


def recognise(question: str) -> KindAndSide | str:
    """Return the kind and side of a question by its characters and length, or what is wrong.

    Kinds may share characters: one that has all of them in puzzles of this size comes first.
    """
    kinds = _kinds_of(question) if question else []
    if not kinds:
        expected = " or ".join(
            f"the characters {kind.symbols!r} of a {kind.name}" for kind in grid_kinds()
        )
        return f"the question {format_name(question[:40])} does not consist of {expected}"
    side = math.isqrt(len(question))
    if side * side != len(question):
        return f"the question has {len(question)} characters, which is not a square number"
    sized = [kind for kind in kinds if not kind.side_error(side)]
    if not sized:
        return kinds[0].side_error(side) or ""
    used = set(question)
    return max(sized, key=lambda kind: kind.notation(side, used).keys() >= used), side


def _cell_values(texts: Texts, kind: GridPuzzle, side: int) -> npt.NDArray[np.uint8]:
    """Return the value of each character, `NO_VALUE` for others, by its code (65536,)."""
    characters = set[str]()
    for pair in texts.values():
        characters.update(*pair)
    values = np.full(0x10000, NO_VALUE, np.uint8)
    for character, value in kind.notation(side, characters).items():
        values[ord(character)] = value
    return values


def _parse_rows(
    texts: Texts, kind: GridPuzzle, side: int, values: npt.NDArray[np.uint8], rows: PuzzleRows
) -> PuzzleArray:
    """Return the puzzles of the valid rows."""
    cells = side * side
    for row in list(texts):
        for name, text in zip(("question", "answer"), texts[row], strict=True):
            if len(text) != cells and (text or name == "question"):
                number = pluralise(len(text), "character")
                rows.reasons[row] = f"the {name} has {number}, expected {cells}"
                del texts[row]
                break
    numbers = np.fromiter(texts, np.int64, len(texts))
    known = np.array([bool(answer) for _, answer in texts.values()], np.bool_)
    blank = kind.symbols[0] * cells
    questions = _cells((question for question, _ in texts.values()), values, side)
    answers = _cells((answer or blank for _, answer in texts.values()), values, side)
    valid = np.ones(len(texts), np.bool_)
    for column, (name, found) in enumerate((("question", questions), ("answer", answers))):
        for index in np.flatnonzero(valid & (found == NO_VALUE).any((1, 2))).tolist():
            cell = int((found[index] == NO_VALUE).argmax())
            row, expected = int(numbers[index]), kind.symbols[: kind.num_values(side)]
            rows.reasons[row] = (
                f"the {name} has {format_name(texts[row][column][cell])} in row "
                f"{cell // side + 1}, column {cell % side + 1}, expected one of {expected!r}"
            )
            valid[index] = False
    puzzles = PuzzleArray(rows.place, kind.name, questions, answers, known, numbers)
    puzzles = puzzles.take(valid)
    faults = kind.validate(puzzles.questions, puzzles.answers, puzzles.known)
    for index in np.flatnonzero(kind.solved(puzzles.questions)).tolist():
        faults[index] = faults[index] or "the question has no blank, as an answer"
    named = zip(puzzles.rows.tolist(), faults, strict=True)
    rows.reasons |= {row: fault for row, fault in named if fault}
    return puzzles.take(np.array([not fault for fault in faults], np.bool_))


def _cells(texts: Iterator[str], values: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Return values (N, side, side) of texts."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return values[np.minimum(codes, 0xFFFF)].reshape(-1, side, side)


def write_csv(
    path: Path, puzzles: PuzzleArray, source: str = "", ratings: Sequence[int] | None = None
) -> None:
    """Write puzzles with their known answers to a CSV file, whole or not at all.

    Args:
        path: of the file.
        puzzles: the puzzles.
        source: text of the first column, where the puzzles come from.
        ratings: difficulty of each puzzle (N,); None leaves out the first and the last column.

    Raises:
        WriteError: the file cannot be written.
    """
    characters = np.array(list(KINDS[puzzles.kind].symbols))
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS[1:3] if ratings is None else COLUMNS)
        for index, known in enumerate(puzzles.known.tolist()):
            grids = [puzzles.questions[index], *([puzzles.answers[index]] if known else [])]
            texts = ["".join(characters[grid.reshape(-1)].tolist()) for grid in grids]
            row = texts if known else [*texts, ""]
            writer.writerow(row if ratings is None else (source, *row, ratings[index]))
