"""Puzzles in CSV files, as they are published: `source,question,answer,rating`.

A question is its cells' characters row by row; `answer` may be empty or left out, what is in other
columns does not matter here. A puzzle's id is its row, counted from 1 without the header, which is
its line in the file less one.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError
from arc_trm.puzzles import BOARDS, Board
from arc_trm.tasks import Boards, TaskSet
from submission import atomic_write
from submission.errors import format_name, pluralise

COLUMNS = ("source", "question", "answer", "rating")
CHUNK = 20_000  # rows that are looked at together
SOLVED = 10_000
"""Puzzles of a file that are solved when it is read, to see that each has one solution. More would
take too long: `arc-trm data show` solves all."""
MOST_NAMED = 20
NO_VALUE = 255  # of a character that a puzzle of its size has not
GIVEN_UP = "how many solutions it has was not found out in a reasonable time"

Progress = Callable[[int, int], None]


@dataclass
class Bad:
    """Rows that cannot be used, and why, of `rows` that were read.

    With `skip` they are left out, else the first is an error.
    """

    source: Path
    skip: bool
    rows: int = 0
    why: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, reason: str) -> None:
        self.why[row] = reason

    def check(self) -> None:
        """Raises UserError about the first row, unless they are left out."""
        if self.why and not self.skip:
            row = min(self.why)
            raise UserError(
                f"{self.source}, row {row} (line {row + 1}): {self.why[row]}; mend it, or leave "
                "bad rows out with --skip-invalid where data is shown, learnt from or predicted"
            )

    def notes(self) -> tuple[str, ...]:
        """What was left out, for a person."""
        if not self.why:
            return ()
        named = sorted(self.why.items())[:MOST_NAMED]
        more = len(self.why) - len(named)
        return (
            f"{len(self.why)} of {self.rows} rows of {self.source} are left out: "
            + "; ".join(f"row {row}: {reason}" for row, reason in named)
            + (f"; and {more} more" if more else ""),
        )


def is_table(path: Path) -> bool:
    """Whether a path is meant to be a file of puzzles, there or not."""
    return path.suffix.lower() == ".csv" and not path.is_dir()


def read_table(
    path: Path,
    skip_invalid: bool = False,
    thorough: bool = False,
    progress: Progress = lambda done, total: None,
) -> TaskSet:
    """The puzzles of a CSV file, of one kind and size, each checked by the rule of its kind.

    Args:
        skip_invalid: leave out bad rows, and say so in the notes.
        thorough: solve all puzzles to see that they have one solution, not only of a small file.
        progress: of solving.

    Raises UserError naming the row and what is wrong with it.
    """
    bad = Bad(path, skip_invalid)
    kind: tuple[Board, int] | None = None
    parts: list[Boards] = []
    for texts in _chunks(path, bad):
        kind = kind or _kind(texts, bad)
        if kind is not None:
            parts.append(_values(texts, *kind, bad))
        bad.check()
    boards = Boards.joined(parts) if parts else None
    if boards and kind and (thorough or len(boards) <= SOLVED):
        boards = solved_once(kind[0], boards, bad, progress)
        bad.check()
    if not boards:
        besides = f", for {'; '.join(bad.notes())}" if bad.why else ""
        raise UserError(f"{path} holds no puzzle to use{besides}: name another file")
    return TaskSet(str(path), boards, bad.notes())


def solved_once(board: Board, boards: Boards, bad: Bad, progress: Progress) -> Boards:
    """Those with one solution, or of mazes any; the others are added to `bad`."""
    said = {0: "it has no solution", 2: "it has more than one solution", -1: GIVEN_UP}
    counts = []
    for start in range(0, len(boards), CHUNK):
        progress(start, len(boards))
        counts.append(board.solutions(boards.questions[start : start + CHUNK]).clip(max=2))
    progress(len(boards), len(boards))
    every = np.concatenate(counts)
    for place in np.flatnonzero(every != 1).tolist():
        bad.add(int(boards.rows[place]), said[int(every[place])])
    return boards if (every == 1).all() else boards.at(every == 1)


def _chunks(path: Path, bad: Bad) -> Iterator[dict[int, tuple[str, str]]]:
    """Questions and answers by row, some thousand at a time; incomplete rows are bad."""
    texts: dict[int, tuple[str, str]] = {}
    if not path.is_file():
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
                bad.rows += 1
                fields = _fields(line)
                if fields is None:
                    bad.add(row, "it has a quotation mark without its other")
                elif len(fields) != len(header):
                    number = pluralise(len(fields), "column")
                    bad.add(row, f"it has {number}, expected {len(header)}")
                else:
                    texts[row] = fields[question], "" if answer is None else fields[answer]
                if len(texts) == CHUNK:
                    yield texts
                    texts = {}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if texts or bad.why:
        yield texts


def _fields(line: str) -> list[str] | None:
    """The fields of one line, None if its quotes do not end in it.

    No cell of a puzzle is a line break, so a row never takes several lines, and a stray quote
    costs one row only.
    """
    plain = line.rstrip("\n")
    if '"' not in plain:
        return plain.split(",")
    try:
        (fields,) = csv.reader([plain], strict=True)
    except (csv.Error, ValueError):
        return None
    return fields


def _kind(texts: dict[int, tuple[str, str]], bad: Bad) -> tuple[Board, int] | None:
    """The kind and side of most of the puzzles; without any that can be one all are bad."""
    kinds: Counter[tuple[Board, int]] = Counter()
    wrong = {}
    for row, (question, _) in texts.items():
        found = recognised(question)
        if isinstance(found, str):
            wrong[row] = found
        else:
            kinds[found] += 1
    if kinds:
        return kinds.most_common(1)[0][0]
    for row, reason in wrong.items():
        bad.add(row, reason)
    texts.clear()
    return None


def recognised(question: str) -> tuple[Board, int] | str:
    """The kind and side of a puzzle by its characters and their number; else what is wrong."""
    boards = [each for each in BOARDS.values() if set(question) <= _characters(each)]
    if not boards or not question:
        signs = " or ".join(
            f"the characters {''.join(sorted(_characters(each)))!r} of a {each.name}"
            for each in BOARDS.values()
        )
        return f"the question {format_name(question[:40])} is not made of {signs}"
    board, side = boards[0], math.isqrt(len(question))
    if side * side != len(question):
        return f"the question has {len(question)} characters, which is not the number of a square"
    return board.wrong_size(side) or (board, side)


def _characters(board: Board) -> set[str]:
    return set(board.symbols) | set(board.spellings)


def _values(texts: dict[int, tuple[str, str]], board: Board, side: int, bad: Bad) -> Boards:
    """The sound ones of some rows."""
    cells = side * side
    for row in list(texts):
        for name, text in zip(("question", "answer"), texts[row], strict=True):
            if len(text) != cells and (text or name == "question"):
                number = pluralise(len(text), "character")
                bad.add(row, f"the {name} has {number}, expected {cells}")
                del texts[row]
                break
    rows = np.fromiter(texts, np.int64, len(texts))
    known = np.array([bool(answer) for _, answer in texts.values()], np.bool_)
    blank = board.symbols[0] * cells
    questions = _cells((question for question, _ in texts.values()), board, side)
    answers = _cells((answer or blank for _, answer in texts.values()), board, side)
    why = [""] * len(texts)
    for name, values in (("answer", answers), ("question", questions)):
        for place in np.flatnonzero((values == NO_VALUE).any((1, 2))).tolist():
            cell = int((values[place] == NO_VALUE).reshape(-1).argmax())
            sign = texts[int(rows[place])][0 if name == "question" else 1][cell]
            expected = board.symbols[: board.values(side)]
            why[place] = (
                f"the {name} has {format_name(sign)} in row {cell // side + 1}, column "
                f"{cell % side + 1}, expected one of {expected!r}"
            )
    clean = np.array([not text for text in why], np.bool_)
    for place, text in zip(
        np.flatnonzero(clean).tolist(),
        board.problems(questions[clean], answers[clean], known[clean]),
        strict=True,
    ):
        why[place] = text
    for row, text in zip(rows.tolist(), why, strict=True):
        if text:
            bad.add(row, text)
    sound = np.array([not text for text in why], np.bool_)
    return Boards(board.name, questions, answers, known, rows).at(sound)


def _cells(texts: Iterator[str], board: Board, side: int) -> npt.NDArray[np.uint8]:
    """(N, side, side) values of texts of as many characters, `NO_VALUE` for what is none."""
    values = np.full(128, NO_VALUE, np.uint8)
    for value, symbol in enumerate(board.symbols[: board.values(side)]):
        values[ord(symbol)] = value
    for spelling, symbol in board.spellings.items():
        values[ord(spelling)] = board.symbols.index(symbol)
    signs = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return values[np.minimum(signs, 127)].reshape(-1, side, side)


def write_table(path: Path, boards: Boards, source: str, ratings: list[int]) -> None:
    """A CSV file of N puzzles with their answers and N ratings, whole or not at all.

    Raises submission.WriteError if it cannot be written.
    """
    board = BOARDS[boards.domain]
    signs = np.array(list(board.symbols))
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for place, rating in enumerate(ratings):
            texts = (
                "".join(signs[grid.reshape(-1)].tolist())
                for grid in (boards.questions[place], boards.answers[place])
            )
            writer.writerow((source, *texts, rating))
