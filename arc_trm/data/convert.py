"""Write tasks and puzzles of any source in the official forms.

- `X.json`: challenges without test outputs, and beside them a solutions file with the known ones;
- `X.csv`: Sudokus and mazes, `question,answer`;
- another name: a new folder with a file for each task.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.errors import UserError, format_name, format_names, pluralise, verb
from arc_trm.io import check_new, check_new_file, new_folder, read_json, write_json
from arc_trm.puzzles import kind_of
from arc_trm.tasks import PuzzleArray, Task, TaskSet
from submission import SubmissionError

CHALLENGES, SOLUTIONS = "challenges", "solutions"
OTHER_SUFFIXES = frozenset(
    [
        ".jsonl",
        ".ndjson",
        ".parquet",
        ".txt",
        ".sdm",
        ".tsv",
        ".zip",
        ".tar",
        ".gz",
        ".tgz",
        ".zst",
        ".xz",
        ".bz2",
    ]
)
"""Endings of files, which a folder is hardly meant to have."""
FILE_NAME = re.compile(r"[\w. -]{1,200}")
"""A task id that can be the name of a file on every system."""


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        files: paths that were written; of a folder its path alone.
        summary: how many tasks and test outputs, or puzzles, there are, in words.
        notes: sentences on what was left out.
    """

    files: tuple[Path, ...]
    summary: str
    notes: tuple[str, ...]


def convert_tasks(tasks: TaskSet, out: Path) -> Conversion:
    """Write tasks in the form that the name of `out` says, whole or not at all.

    Raises:
        UserError: something exists at `out`, the tasks do not fit the form, or it cannot be
            written.
    """
    suffix = out.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        raise UserError(
            f"{out} has the ending of a form that is not written: name a .json file, a .csv file "
            "or a folder"
        )
    if kind_of(tasks).numbered or suffix == ".csv":
        files = _write_puzzles(tasks, out)
    else:
        if without := [task.id for task in tasks if not task.test]:
            have = verb(len(without), "has", "have")
            raise UserError(
                f"{pluralise(len(without), 'task')} of {tasks.name} ({format_names(without)}) "
                f"{have} no test pair, which the official forms need: `arc-trm train --data` "
                "takes them as they are"
            )
        files = _write_challenges(tasks, out) if suffix == ".json" else _write_folder(tasks, out)
    notes = list(tasks.notes)
    if generated := sum(len(task.generated) for task in tasks):
        notes.append(
            f"{generated} generated pairs (arc-gen) are left out: no official form has any"
        )
    return Conversion(files, tasks.summary, tuple(notes))


def _write_puzzles(tasks: TaskSet, out: Path) -> tuple[Path, ...]:
    if not isinstance(tasks, PuzzleArray):
        raise UserError(
            f"{tasks.name} holds {kind_of(tasks).title}, which has no CSV form: name a folder or "
            "a file such as my_challenges.json"
        )
    if out.suffix.lower() != ".csv":
        raise UserError(
            f"{tasks.name} holds {kind_of(tasks).title}, whose only form is CSV: name a file such "
            "as puzzles.csv"
        )
    check_new_file(out)
    write_csv(out, tasks)
    return (out,)


def _write_challenges(tasks: TaskSet, out: Path) -> tuple[Path, ...]:
    solutions = tasks.known_solutions()
    check_new_file(out)
    beside = out.with_name(out.name.replace(CHALLENGES, SOLUTIONS))
    # Then a kill came before the challenges were written.
    is_there = bool(solutions) and _holds(beside, solutions)
    if CHALLENGES in out.name and not is_there:
        check_new_file(beside)
    if not any(pair.output is not None for task in tasks for pair in task.test):
        write_json(out, tasks.to_json(solutions=False))
        return (out,)
    if CHALLENGES not in out.name:
        raise UserError(
            f"{out} needs {CHALLENGES!r} in its name, such as my_challenges.json, so that the "
            "known outputs go into my_solutions.json beside it"
        )
    _check_all_known(tasks, len(solutions))
    if not is_there:
        write_json(beside, solutions)
    try:
        write_json(out, tasks.to_json(solutions=False))
    except BaseException:
        if not is_there:
            os.unlink(beside)
        raise
    return out, beside


def _holds(path: Path, data: object) -> bool:
    """Return whether a file is as `write_json` writes some data."""
    try:
        return path.is_file() and read_json(path) == data
    except SubmissionError:
        return False


def _check_all_known(tasks: TaskSet, known: int) -> None:
    """Raise UserError if a solutions file would lack tasks: it must have all of the challenges."""
    if known < len(tasks):
        raise UserError(
            f"{known} of the {len(tasks)} tasks of {tasks.name} {verb(known, 'has', 'have')} known "
            "outputs, but a solutions file has all tasks or none: name a folder, whose task files "
            "hold what is known"
        )


def _write_folder(tasks: TaskSet, out: Path) -> tuple[Path, ...]:
    check_new(out)
    _check_names(tasks)
    with new_folder(out) as folder:
        for task in tasks:
            write_json(folder / f"{task.id}.json", task.to_json())
    return (out,)


def _check_names(tasks: TaskSet) -> None:
    folded: dict[str, Task] = {}
    for task in tasks:
        if not FILE_NAME.fullmatch(task.id) or task.id.startswith("."):
            raise UserError(
                f"task {format_name(task.id)} of {tasks.name} cannot be the name of a file: write "
                "a challenges file instead, such as my_challenges.json"
            )
        other = folded.setdefault(task.id.casefold(), task)
        if other is not task:
            raise UserError(
                f"tasks {other.id} and {task.id} of {tasks.name} are one file where upper and "
                "lower case are equal: write a challenges file instead"
            )


def describe_conversion(conversion: Conversion) -> Sequence[str]:
    """Return a line for each file that was written."""
    return [f"{path}: {conversion.summary}" for path in conversion.files]
