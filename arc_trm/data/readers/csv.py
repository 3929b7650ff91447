"""Puzzles in CSV files, as they are published: `source,question,answer,rating`.

A question is the characters of its cells row by row. `answer` may be empty or missing; other
columns are ignored. A puzzle's id is its row number, which is its line number minus one.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arc_trm.callbacks import Progress, ignore
from arc_trm.errors import UserError, format_name, pluralise
from arc_trm.io import atomic_write
from arc_trm.puzzles import KINDS, GridPuzzle, grid_kinds
from arc_trm.tasks import PuzzleArray

COLUMNS = ("source", "question", "answer", "rating")
CHUNK_SIZE = 20_000  # rows that are checked at once
MAX_SOLVED = 10_000
"""Puzzles in a file whose solutions are counted when it is read. Counting those of larger files
takes too long; `arc-trm data show` does it."""
MAX_LISTED = 20
NO_VALUE = 255  # stands for an invalid character
SOLUTION_ERRORS = {
    0: "it has no solution",
    2: "it has more than one solution",
    -1: "counting its solutions takes too long",
}

Texts = dict[int, tuple[str, str]]
"""Question and answer, "" if it is unknown, by row number."""


@dataclass
class RowErrors:
    """Invalid rows of a file."""

    source: Path
    skip: bool
    """Whether invalid rows are skipped; otherwise the first is an error."""
    rows: int = 0
    """Number of rows that were read."""
    reasons: dict[int, str] = field(default_factory=dict)
    """What is wrong, by row number."""

    def check(self) -> None:
        """Raise UserError about the first invalid row, unless such rows are skipped."""
        if self.reasons and not self.skip:
            row = min(self.reasons)
            raise UserError(
                f"{self.source}, row {row} (line {row + 1}): {self.reasons[row]}; correct it, or "
                "skip invalid rows with --skip-invalid"
            )

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on the rows that were skipped, if any."""
        if not self.reasons:
            return ()
        total = len(self.reasons)
        named = [f"row {row}: {self.reasons[row]}" for row in sorted(self.reasons)[:MAX_LISTED]]
        if total > MAX_LISTED:
            named.append(f"and {total - MAX_LISTED} more")
        rows = f"{total} of {self.rows} rows of {self.source}"
        return (f"{rows} are skipped: {'; '.join(named)}",)


def matches(path: Path) -> bool:
    """Return whether a path, which may not exist, is that of a CSV file."""
    return path.suffix.lower() == ".csv" and not os.path.isdir(path)


def read(
    path: Path,
    skip_invalid: bool = False,
    thorough: bool = False,
    progress: Progress = ignore,
) -> PuzzleArray:
    """Read the puzzles of a CSV file, of one kind and size, and check them by their rule.

    Args:
        path: of the file.
        skip_invalid: skip invalid rows, and say so in the notes.
        thorough: check that all puzzles have one solution, also those of large files.
        progress: called with the number of puzzles solved so far and their total.

    Raises:
        UserError: the file cannot be read, or a row is invalid.
    """
    errors = RowErrors(path, skip_invalid)
    kind: tuple[GridPuzzle, int] | None = None
    parts: list[PuzzleArray] = []
    for texts in _chunks(path, errors):
        kind = kind or _kind(texts, errors)
        if kind is not None:
            parts.append(_parse_rows(texts, *kind, errors))
        errors.check()
    puzzles = PuzzleArray.concatenate(parts) if parts else None
    if puzzles and kind and (thorough or len(puzzles) <= MAX_SOLVED):
        puzzles = _with_one_solution(kind[0], puzzles, errors, progress)
        errors.check()
    if not puzzles:
        reason = f", because {'; '.join(errors.notes())}" if errors.reasons else ""
        raise UserError(f"{path} has no valid puzzle{reason}: name another file")
    return puzzles.renamed(str(path), errors.notes())


def _with_one_solution(
    kind: GridPuzzle, puzzles: PuzzleArray, errors: RowErrors, progress: Progress
) -> PuzzleArray:
    """Return the puzzles with one solution; the others are added to `errors`."""
    counts = []
    for start in range(0, len(puzzles), CHUNK_SIZE):
        progress(start, len(puzzles))
        questions = puzzles.questions[start : start + CHUNK_SIZE]
        counts.append(kind.count_solutions(questions).clip(max=2))
    progress(len(puzzles), len(puzzles))
    count = np.concatenate(counts)
    for index in np.flatnonzero(count != 1).tolist():
        errors.reasons[int(puzzles.rows[index])] = SOLUTION_ERRORS[int(count[index])]
    return puzzles if (count == 1).all() else puzzles.take(count == 1)


def _chunks(path: Path, errors: RowErrors) -> Iterator[Texts]:
    """Yield `CHUNK_SIZE` rows at a time; incomplete rows are errors."""
    texts: Texts = {}
    if not os.path.isfile(path):
        what = "is not a file" if os.path.lexists(path) else "does not exist"
        raise UserError(f"{path} {what}: name a CSV file of puzzles")
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            header = [name.strip() for name in _fields(file.readline()) or ()]
            if header.count("question") != 1 or header.count("answer") > 1:
                raise UserError(
                    f"{path}: the first line must name the columns, {','.join(COLUMNS)}, each "
                    "once, of which question is needed"
                )
            question = header.index("question")
            answer = header.index("answer") if "answer" in header else None
            for row, line in enumerate(file, 1):
                if not line.strip("\n"):
                    continue
                errors.rows += 1
                fields = _fields(line)
                if fields is None:
                    errors.reasons[row] = "it has a quotation mark that is not closed"
                elif len(fields) != len(header):
                    number = pluralise(len(fields), "column")
                    errors.reasons[row] = f"it has {number}, expected {len(header)}"
                else:
                    texts[row] = fields[question], "" if answer is None else fields[answer]
                if len(texts) == CHUNK_SIZE:
                    yield texts
                    texts = {}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if texts or errors.reasons:
        yield texts


def _fields(line: str) -> list[str] | None:
    """Return the fields of one line, None if a quotation mark is not closed in it.

    No cell of a puzzle is a line break, so a row never spans several lines.
    """
    plain = line.rstrip("\n")
    if '"' not in plain:
        return plain.split(",")
    try:
        (fields,) = csv.reader([plain], strict=True)
    except (csv.Error, ValueError):
        return None
    return fields


def _kind(texts: Texts, errors: RowErrors) -> tuple[GridPuzzle, int] | None:
    """Return the most common kind and side; if no row has any, all rows become errors."""
    found = {row: recognise(question) for row, (question, _) in texts.items()}
    kinds = Counter(each for each in found.values() if not isinstance(each, str))
    if kinds:
        return kinds.most_common(1)[0][0]
    errors.reasons |= {row: each for row, each in found.items() if isinstance(each, str)}
    return None


def recognise(question: str) -> tuple[GridPuzzle, int] | str:
    """Return the kind and side of a question by its characters and length, or what is wrong.

    Kinds may share characters: one that has all of them in puzzles of this size comes first.
    """
    characters = {kind: {*kind.symbols, *kind.spellings} for kind in grid_kinds()}
    kinds = [kind for kind, known in characters.items() if known.issuperset(question)]
    if not kinds or not question:
        expected = " or ".join(
            f"the characters {''.join(sorted(known))!r} of a {kind.name}"
            for kind, known in characters.items()
        )
        return f"the question {format_name(question[:40])} does not consist of {expected}"
    side = math.isqrt(len(question))
    if side * side != len(question):
        return f"the question has {len(question)} characters, which is not a square number"
    sized = [kind for kind in kinds if not kind.side_error(side)]
    if not sized:
        return kinds[0].side_error(side) or ""
    return max(sized, key=lambda kind: _values(kind, side).keys() >= set(question)), side


def _parse_rows(texts: Texts, kind: GridPuzzle, side: int, errors: RowErrors) -> PuzzleArray:
    """Return the puzzles of the valid rows."""
    cells = side * side
    for row in list(texts):
        for name, text in zip(("question", "answer"), texts[row], strict=True):
            if len(text) != cells and (text or name == "question"):
                number = pluralise(len(text), "character")
                errors.reasons[row] = f"the {name} has {number}, expected {cells}"
                del texts[row]
                break
    rows = np.fromiter(texts, np.int64, len(texts))
    known = np.array([bool(answer) for _, answer in texts.values()], np.bool_)
    blank = kind.symbols[0] * cells
    questions = _cells((question for question, _ in texts.values()), kind, side)
    answers = _cells((answer or blank for _, answer in texts.values()), kind, side)
    valid = np.ones(len(texts), np.bool_)
    for column, (name, values) in enumerate((("question", questions), ("answer", answers))):
        for index in np.flatnonzero(valid & (values == NO_VALUE).any((1, 2))).tolist():
            cell = int((values[index] == NO_VALUE).argmax())
            row, expected = int(rows[index]), kind.symbols[: kind.num_values(side)]
            errors.reasons[row] = (
                f"the {name} has {format_name(texts[row][column][cell])} in row "
                f"{cell // side + 1}, column {cell % side + 1}, expected one of {expected!r}"
            )
            valid[index] = False
    puzzles = PuzzleArray(str(errors.source), kind.name, questions, answers, known, rows)
    puzzles = puzzles.take(valid)
    faults = kind.validate(puzzles.questions, puzzles.answers, puzzles.known)
    named = zip(puzzles.rows.tolist(), faults, strict=True)
    errors.reasons |= {row: fault for row, fault in named if fault}
    return puzzles.take(np.array([not fault for fault in faults], np.bool_))


def _values(kind: GridPuzzle, side: int) -> dict[str, int]:
    """Return the values of cells of puzzles with that side, by the characters for them."""
    values = {symbol: value for value, symbol in enumerate(kind.symbols[: kind.num_values(side)])}
    spellings = kind.spellings.items()
    return values | {each: values[symbol] for each, symbol in spellings if symbol in values}


def _cells(texts: Iterator[str], kind: GridPuzzle, side: int) -> npt.NDArray[np.uint8]:
    """Return values (N, side, side) of texts, `NO_VALUE` for unknown characters."""
    values = np.full(128, NO_VALUE, np.uint8)
    for character, value in _values(kind, side).items():
        values[ord(character)] = value
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return values[np.minimum(codes, 127)].reshape(-1, side, side)


def write_csv(path: Path, puzzles: PuzzleArray, source: str, ratings: list[int]) -> None:
    """Write puzzles with their answers and ratings to a CSV file, whole or not at all.

    Raises:
        WriteError: the file cannot be written.
    """
    characters = np.array(list(KINDS[puzzles.kind].symbols))
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, rating in enumerate(ratings):
            texts = (
                "".join(characters[grid.reshape(-1)].tolist())
                for grid in (puzzles.questions[index], puzzles.answers[index])
            )
            writer.writerow((source, *texts, rating))
