"""Validate a file or a folder: everything that is wrong with it, or what it holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submission.answers import ParsedFile, convert_hint, parse_file
from submission.arcprize import folder_problems, read_folder, to_candidates
from submission.errors import FormatError, Problem, SubmissionError, format_path, pluralise
from submission.files import StrPath
from submission.formats import (
    FORMS,
    KINDS,
    Challenges,
    Kind,
    kind_problems,
    recognise,
    summarise,
    title,
)

MAX_LISTED = 1000


@dataclass(frozen=True)
class Validation:
    """The result of validating a file or a folder.

    Attributes:
        kind: one of `KINDS`, or "benchmarking" for an ARC Prize benchmarking folder.
        form: what it is, with the article; of answers in another form than a submission, that form.
        convertible: whether such answers can be converted without challenges.
        summary: one sentence without full stop: what it is and holds, or that it is invalid.
    """

    path: StrPath
    kind: str
    form: str
    convertible: bool
    problems: Sequence[Problem]
    summary: str

    def lines(self, program: str = "python -m submission") -> list[str]:
        """Format at most `MAX_LISTED` problems for a person, or the summary of a valid file.

        `program` has the command that converts answers in another form, which are named first.
        """
        hint = convert_hint(program, self.path, challenges=self.kind == "solutions")
        if not self.problems:
            if self.kind != "solutions":
                return [self.summary]
            return [f"{self.summary}; if these grids are answers, {hint}"]
        whole = format_path(self.path)  # the place of what is wrong with the data as a whole
        lines = [f"{place or whole}: {message}" for place, message in self.problems[:MAX_LISTED]]
        if more := len(self.problems) - len(lines):
            lines.append(f"... and {more} more")
        if self.form not in FORMS.values():
            first = f"{whole}: is {self.form}"
            lines.insert(0, f"{first}: {hint}" if self.convertible else first)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON, with all problems."""
        problems = [problem._asdict() for problem in self.problems]
        return {
            "file": format_path(self.path),
            "kind": self.kind,
            "form": self.form,
            "convertible": self.convertible,
            "problems": problems,
        }


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
    return _result(path, "benchmarking", FORMS["benchmarking"], found, ranked)


def _check_file(
    path: StrPath, kind: Kind | None = None, challenges: Challenges | None = None
) -> Validation:
    """Validate a file; arguments and errors as in `check_path`."""
    file = parse_file(path)
    found_kind = kind or _kind_of(file)
    if found_kind is None:
        message = f"looks like none of {', '.join(KINDS)}; say with --kind which it should be"
        raise FormatError([Problem("", message)], path)
    if challenges is not None and found_kind in ("task", "challenges"):
        raise SubmissionError(
            f"{format_path(path)}: is a {found_kind} file, but only solutions and submissions can "
            "be checked against challenges"
        )
    found = file.packing + file.repeated
    if file.is_json:
        found += kind_problems(found_kind, file.data, challenges)
    else:
        found.append(Problem("", "is not JSON, expected an object with task ids as keys"))
    reading = file.reading if found else None
    if reading is None or reading.form in FORMS.values():
        form = FORMS[recognise(file.data) or found_kind]
        return _result(path, found_kind, form, found, file.data)
    found = list(dict.fromkeys(found + reading.problems))
    convertible = not (file.repeated or reading.problems or reading.grids)
    return _result(path, found_kind, reading.form, found, file.data, convertible)


def _kind_of(file: ParsedFile) -> Kind | None:
    """Return the kind that a file resembles most; answers in another form resemble a submission."""
    kind = recognise(file.data)
    if kind in ("task", "challenges") or (kind and not kind_problems(kind, file.data, None)):
        return kind
    reading = file.reading
    return kind if reading is None or reading.form in FORMS.values() else "submission"


def _result(
    path: StrPath,
    kind: str,
    form: str,
    problems: Sequence[Problem],
    data: Any,
    convertible: bool = False,
) -> Validation:
    if problems:
        number = pluralise(len(problems), "problem")
        summary = f"is not a valid {title(kind)} ({number})"
    else:
        no_submission = ", which is no submission" if kind == "solutions" else ""
        summary = f"is {form}{no_submission}: valid, {summarise(kind, data)}"
    return Validation(path, kind, form, convertible, problems, f"{format_path(path)}: {summary}")
