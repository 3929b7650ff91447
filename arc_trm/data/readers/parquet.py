"""Parquet files, as datasets on the Hugging Face Hub are kept: a task or a puzzle a row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.data.readers.puzzle_text import ANSWERS, QUESTIONS, PuzzleRows, read_rows
from arc_trm.data.readers.records import build_tasks, is_record, tasks_of_records
from arc_trm.errors import UserError
from arc_trm.tasks import TaskSet
from submission.content import MAX_UNPACKED, Content

MAX_SHOWN = 200  # characters of the names of columns in a message
TEXT_TYPES = ("string", "large_string")
BATCH_SIZE = 64  # rows that are converted at once
MAX_BATCH = 2**28
"""Bytes of these rows."""
MAX_ROWS = 20_000_000


def matches(content: Content) -> bool:
    """Return whether a file begins as Parquet does."""
    return content.head.startswith(b"PAR1")


def read(content: Content, invalid: InvalidItems) -> TaskSet:
    """Read the tasks or puzzles of a file; pyarrow must be installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{content.place} is Parquet: run `pip install pyarrow` to read it"
        ) from None
    data, place = content.read(), content.place
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        fields = {str(each.name).casefold(): each for each in file.schema_arrow}
        names = {folded: str(each.name) for folded, each in fields.items()}
        texts_in = {folded for folded, each in fields.items() if str(each.type) in TEXT_TYPES}
    except Exception as error:  # pyarrow has many types for damaged files
        raise _damaged(place, error) from None
    if size > MAX_UNPACKED or file.metadata.num_rows > MAX_ROWS:
        limit = f"{MAX_UNPACKED >> 30} GiB or {MAX_ROWS} rows"
        raise UserError(f"{place} unpacks to more than {limit}: split it")
    question = next((names[name] for name in QUESTIONS if name in texts_in), None)
    if question is not None:
        answer = next((names[name] for name in ANSWERS if name in texts_in), None)
        rows = PuzzleRows(place, invalid)
        columns = [question] if answer is None else [question, answer]
        texts = (
            (number, str(row[question] or ""), str(row[answer] or "") if answer else "")
            for number, row in _rows(file, place, columns)
        )
        return read_rows(texts, rows)
    found = _rows(file, place)
    first = next(found, (0, None))
    if not is_record(first[1]):
        columns_found = ", ".join(names)[:MAX_SHOWN]
        raise NoTasks(
            f"{place}: has the columns {columns_found}, expected train and test, or question and "
            "answer"
        )
    raw = tasks_of_records(chain([first], found), content.stem)
    return TaskSet.unique(place, build_tasks(raw, invalid, place))


def _rows(
    file: Any, place: str, columns: list[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the values of each row; empty values are left out."""
    number = 0
    try:
        for batch in file.iter_batches(BATCH_SIZE, columns=columns):
            if batch.nbytes > MAX_BATCH:  # a value may be written once and counted often
                raise UserError(f"{place} has rows of more than {MAX_BATCH >> 26} MiB: split it")
            for row in batch.to_pylist():
                number += 1
                yield number, row if columns else _without_null(row)
    except UserError:
        raise
    except Exception as error:
        raise _damaged(place, error) from None


def _without_null(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _damaged(place: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{place} is damaged Parquet ({reason}): download it again")
