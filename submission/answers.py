"""Answers in any file or folder: read, and converted to a submission."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from submission.arcprize import read_arcprize
from submission.content import decode_text, read_content
from submission.errors import FormatError, Problem, WriteError, format_path, pluralise, quote_path
from submission.files import (
    StrPath,
    check_replaceable,
    packing_problems,
    parse_json,
    parse_unchecked,
    write_json,
    write_submission,
)
from submission.formats import (
    FORMS,
    Challenges,
    Ranked,
    count_problems,
    kind_problems,
    summarise,
)
from submission.forms import (
    ATTEMPT_GRIDS,
    LINES,
    OUTPUT_GRIDS,
    TASK_ID,
    Change,
    Reading,
    read_csv,
    read_forms,
)
from submission.ranked import to_ranked, to_submission

PLAIN_TEXT = Change("file", "it became plain text in UTF-8")


@dataclass(frozen=True)
class ParsedFile:
    """A file of any kind, valid or not.

    Attributes:
        data: what JSON holds; None for other text.
        repeated: a problem for every repeated key.
        packing: a problem if the file is packed or begins with a mark.
        other: answers in text that is not JSON.
    """

    data: Any
    repeated: list[Problem]
    packing: list[Problem]
    other: Reading | None = None

    @property
    def is_json(self) -> bool:
        """Whether the file is JSON, and not other text with answers."""
        return self.other is None

    @cached_property
    def reading(self) -> Reading | None:
        """The answers in the file; None if it resembles none."""
        return self.other or read_forms(self.data)


@dataclass(frozen=True)
class Answers:
    """The answers in a file or folder.

    Attributes:
        path: of the file or folder.
        reading: what it says.
        is_folder: whether it is an ARC Prize benchmarking folder.
        is_packed: whether the file is packed or begins with a mark.
    """

    path: StrPath
    reading: Reading
    is_folder: bool = False
    is_packed: bool = False

    @property
    def form(self) -> str:
        """What the answers are, with the article."""
        return self.reading.form

    @property
    def changes(self) -> Mapping[Change, int]:
        """What has to change to make a submission, by number."""
        return {**({PLAIN_TEXT: 1} if self.is_packed else {}), **self.reading.changes}

    @property
    def ranked(self) -> Ranked:
        """Candidates per task and test output; without those that `settle` has to add."""
        return self.reading.outputs

    def settle(
        self, counts: Mapping[str, int] | None = None, challenges: Challenges | None = None
    ) -> Answers:
        """Return the answers with what the number of test outputs decides.

        Args:
            counts: the number of outputs per task. A folder may lack the last outputs of a task,
                which then get no candidates.
            challenges: the tasks that a file must answer, in place of `counts`.

        Raises:
            FormatError: the numbers leave a doubt, or the file does not answer the challenges.
        """
        if challenges is not None:
            counts = {task_id: len(task["test"]) for task_id, task in challenges.items()}
        counts = counts or {}
        grids = self.reading.grids
        if grids and not counts.keys() & grids.keys():
            message = (
                f"is {self.form}, and its grids may be attempts or test outputs: convert it with "
                "convert-submission and --challenges, which say how many test outputs there are"
            )
            if counts:
                message = f"is {self.form}, and has none of the tasks: name those that it answers"
            raise FormatError([Problem("", message)], self.path)
        reading = self.reading.settle(counts)
        if reading.problems:
            raise _refusal(reading.form, reading.problems, self.path)
        if self.is_folder:
            outputs = {name: list(each) for name, each in reading.outputs.items()}
            for task_id, each in outputs.items():
                each += [[] for _ in range(counts.get(task_id, 0) - len(each))]
            reading = replace(reading, outputs=outputs)
        elif challenges is not None and (
            found := count_problems(reading.outputs, counts, "the challenges")
        ):
            raise FormatError(found, self.path, _validate_command(self.path, challenges))
        return replace(self, reading=reading)

    def note(self, program: str) -> str | None:
        """Return a sentence on answers in another form, None for a submission or a folder.

        `program` has the command that converts them.
        """
        if self.form in (FORMS["submission"], FORMS["benchmarking"]):
            return None
        read = f", read as a submission ({'; '.join(change_lines(self.changes))})"
        by_number = bool(self.changes.keys() & {OUTPUT_GRIDS, ATTEMPT_GRIDS})
        hint = convert_hint(program, self.path, by_number)
        return f"{format_path(self.path)} is {self.form}{read}: {hint}"


@dataclass(frozen=True)
class Conversion:
    """The result of converting answers to a submission.

    Attributes:
        answers: what was read.
        out: the written submission.
        summary: what it holds: `400 tasks with 419 test outputs`.
    """

    answers: Answers
    out: StrPath
    summary: str

    def lines(self) -> list[str]:
        """Format what was read, a line for every kind of change, and what was written."""
        answers = self.answers
        first = f"{format_path(answers.path)}: is {answers.form}"
        if not answers.changes and answers.form == FORMS["submission"]:
            first += " already, so nothing was changed"
        written = f"Wrote {format_path(self.out)}: {self.summary}"
        return [first, *change_lines(answers.changes), written]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        changes = [
            {"what": f"{change.noun}: {change.text}", "number": number}
            for change, number in self.answers.changes.items()
        ]
        return {
            "file": format_path(self.out),
            "source": format_path(self.answers.path),
            "form": self.answers.form,
            "changes": changes,
        }


def parse_file(path: StrPath) -> ParsedFile:
    """Parse a file of any kind.

    Raises:
        FormatError: it cannot be read, or is neither JSON nor answers in other text.
    """
    file = read_content(path)
    content, packing = file.content, packing_problems(file)
    try:
        data, repeated = parse_unchecked(content, path)
    except FormatError:
        if (other := _read_text(decode_text(content, path), path)) is None:
            raise
        return ParsedFile(None, [], packing, other)
    return ParsedFile(data, repeated, packing)


def read_answers(path: StrPath) -> Answers:
    """Read the answers in a file or in an ARC Prize benchmarking folder.

    Raises:
        FormatError: it cannot be read, or holds no answers that leave no doubt.
    """
    if os.path.isdir(path):
        outputs = {name: [*map(list, each)] for name, each in read_arcprize(path).items()}
        return Answers(path, Reading(outputs, forms=Counter([FORMS["benchmarking"]])), True)
    file = parse_file(path)
    found = file.repeated + kind_problems("submission", file.data, None)
    if not found:
        ranked = {name: [*map(list, each)] for name, each in to_ranked(file.data).items()}
        reading = Reading(ranked, forms=Counter([FORMS["submission"]]))
    elif file.reading is None or file.reading.form == FORMS["submission"]:
        raise FormatError(found, path, _validate_command(path))
    elif problems := file.repeated + file.reading.problems:
        raise _refusal(file.reading.form, problems, path)
    else:
        reading = file.reading
    return Answers(path, reading, is_packed=bool(file.packing))


def read_ranked(
    path: StrPath, counts: Mapping[str, int] | None = None, challenges: Challenges | None = None
) -> Ranked:
    """Read answers as `read_answers` does, and settle them with these numbers or challenges.

    Raises:
        FormatError: as of `read_answers` and `Answers.settle`.
    """
    return read_answers(path).settle(counts, challenges).ranked


def convert_submission(
    path: StrPath, out: StrPath, challenges: Challenges | None = None, overwrite: bool = False
) -> Conversion:
    """Write answers in any form as a submission, as a whole file or not at all.

    Missing attempts become the other one, or the grid [[0]].

    Args:
        path: a file or an ARC Prize benchmarking folder.
        out: the submission to write.
        challenges: the tasks that it must answer; they also say how many outputs a task has.
        overwrite: replace a submission at `out`.

    Raises:
        FormatError: the answers leave a doubt, or do not answer the challenges.
        SubmissionError: `out` exists and may not be overwritten.
        WriteError: `out` cannot be written, or is `path`.
    """
    if os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out):
        raise WriteError(out, "it is the file to convert: name another")
    check_replaceable(out, overwrite)
    answers = read_answers(path).settle(None, challenges)
    try:
        submission = to_submission(answers.ranked)
        if challenges is None:
            write_json(out, submission)
        else:
            write_submission(out, submission, challenges)
    except FormatError as error:
        raise FormatError(error.problems, path) from None
    return Conversion(answers, out, summarise("submission", submission))


def convert_hint(program: str, path: StrPath, challenges: bool = False) -> str:
    """Return how to make a submission of answers in another form, as the end of a sentence.

    `challenges` says that these are needed.
    """
    file = quote_path(path)
    option = " --challenges CHALLENGES" if challenges else ""
    return f"`{program} convert-submission {file}{option} --out submission.json` makes a submission"


def change_lines(changes: Mapping[Change, int]) -> list[str]:
    """Format changes: `12 tasks: the grid became the attempt at one test output`."""
    return [f"{pluralise(number, each.noun)}: {each.text}" for each, number in changes.items()]


def _read_text(text: str, path: StrPath) -> Reading | None:
    """Read answers in text that is not JSON; None if it has none."""
    if (reading := read_csv(text)) is not None:
        return reading
    # `splitlines` would also split inside of a string.
    every = enumerate(io.StringIO(text, newline="\n"), 1)
    lines = [(number, line) for number, line in every if line.strip()]
    records: list[Any] = []
    for number, line in lines:
        try:
            records.append(parse_json(line.encode(), path))
        except FormatError as error:
            if not records:
                return None
            place = f"line {number}"
            problems = [Problem(place, str(problem)) for problem in error.problems]
            raise FormatError(problems, path) from None
        if not isinstance(records[0], dict) or TASK_ID not in records[0]:
            return None
    return read_forms(records, LINES)


def _refusal(form: str, problems: list[Problem], path: StrPath) -> FormatError:
    """Return the error for answers that leave a doubt, which says what they are."""
    first = Problem("", f"is {form}, but not clear: {problems[0]}")
    return FormatError([first, *problems[1:]], path, _validate_command(path))


def _validate_command(path: StrPath, challenges: Challenges | None = None) -> str:
    option = "" if challenges is None else " --challenges CHALLENGES"
    return f"validate --kind submission{option} {quote_path(path)}"
