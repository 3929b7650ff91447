"""Validate a file or a folder: everything that is wrong with it, or what it holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submission.arcprize import folder_problems, read_folder, to_candidates
from submission.errors import FormatError, Problem, SubmissionError, format_path, pluralise
from submission.files import StrPath, read_unchecked
from submission.formats import KINDS, Challenges, Kind, kind_problems, recognise, summarise, title

MAX_LISTED = 1000


@dataclass(frozen=True)
class Validation:
    """The result of validating a file or a folder.

    Attributes:
        kind: one of `KINDS`, or "benchmarking" for an ARC Prize benchmarking folder.
        summary: one sentence without full stop: what the file holds, or that it is invalid.
    """

    path: StrPath
    kind: str
    problems: Sequence[Problem]
    summary: str

    def lines(self) -> list[str]:
        """Format at most `MAX_LISTED` problems for a person, or the summary of a valid file."""
        if not self.problems:
            return [self.summary]
        lines = [str(problem) for problem in self.problems[:MAX_LISTED]]
        more = len(self.problems) - len(lines)
        return [*lines, f"... and {more} more"] if more else lines

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON, with all problems."""
        problems = [problem._asdict() for problem in self.problems]
        return {"file": format_path(self.path), "kind": self.kind, "problems": problems}


def check_path(
    path: StrPath, kind: Kind | None = None, challenges: Challenges | None = None
) -> Validation:
    """Validate a file or a folder.

    Args:
        path: a file of any kind, a folder that holds a submission.json, or an ARC Prize
            benchmarking folder.
        kind: the expected kind of file; default: the kind that the file resembles most.
        challenges: the tasks that solutions or answers must match.

    Raises:
        FormatError: the file or folder cannot be read, or resembles no kind.
        SubmissionError: `kind` or `challenges` cannot apply.
    """
    submission = Path(path, "submission.json")
    if os.path.isfile(submission):  # Path.is_file raises for names that are too long
        return _check_file(submission, kind, challenges)
    if not os.path.isdir(path):
        return _check_file(path, kind, challenges)
    if kind is not None:
        raise SubmissionError(f"{format_path(path)}: is a folder, expected a {kind} file")
    data = read_folder(path)
    found = folder_problems(data, challenges)
    ranked = {} if found else {name: to_candidates(each, path) for name, each in data.items()}
    return _result(path, "benchmarking", found, ranked)


def _check_file(
    path: StrPath, kind: Kind | None = None, challenges: Challenges | None = None
) -> Validation:
    """Validate a file; arguments and errors as in `check_path`."""
    data, repeated = read_unchecked(path)
    found_kind = kind or recognise(data)
    if found_kind is None:
        message = f"looks like none of {', '.join(KINDS)}; say with --kind which it should be"
        raise FormatError([Problem("", message)], path)
    if challenges is not None and found_kind in ("task", "challenges"):
        raise SubmissionError(
            f"{format_path(path)}: is a {found_kind} file, but only solutions and submissions can "
            "be checked against challenges"
        )
    return _result(path, found_kind, repeated + kind_problems(found_kind, data, challenges), data)


def _result(path: StrPath, kind: str, problems: Sequence[Problem], data: Any) -> Validation:
    if problems:
        number = pluralise(len(problems), "problem")
        summary = f"is not a valid {title(kind)} ({number})"
    else:
        summary = summarise(kind, data)
    return Validation(path, kind, problems, f"{format_path(path)}: {summary}")
