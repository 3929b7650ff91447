"""`python -m submission`: validate, score and merge from a shell."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import click

from submission.arcprize import arcprize_problems, read_arcprize
from submission.comparison import compare, comparison_table
from submission.ensemble import merge_ranked, unlike
from submission.errors import (
    FormatError,
    Problem,
    UserError,
    WriteError,
    counted,
    shown_path,
)
from submission.files import (
    StrPath,
    parse,
    read_challenges,
    read_solutions,
    write_json,
)
from submission.formats import KINDS, Kind, Ranked, Solutions, problems, recognise
from submission.ranked import counts_of, read_answers
from submission.scoring import Score, left_out, score_ranked, score_table

MAX_LISTED = 1000


class Mistake(click.ClickException):
    """A user's mistake: one sentence on the standard error stream, exit status 2."""

    exit_code = 2


class Group(click.Group):
    """Commands whose user errors become one sentence each, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise Mistake(str(error)) from error


@click.group(cls=Group)
def main() -> None:
    """Check, score and merge files in the official ARC-AGI formats.

    Exit status: 0 if all is well, 2 if a file or an argument is not what it should be.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a task id may be in letters that it has not
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command("validate")
@click.argument("file")
@click.option(
    "--kind", type=click.Choice(KINDS), help="Expect this kind, not the one it looks like."
)
@click.option("--challenges", metavar="FILE", help="Expect its tasks and numbers of outputs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all problems.")
def validate_command(file: str, kind: Kind | None, challenges: str | None, as_json: bool) -> None:
    """List everything that is wrong with FILE, one line each.

    FILE is a single task, challenges, solutions, a submission, a folder that holds a
    submission.json, or one of ARC Prize's benchmarking. Pairs, rows, cells and test outputs are
    counted from 1.

    \b
    Example:
      python -m submission validate submission.json --challenges challenges.json
    """
    if os.path.isfile(submission := os.path.join(file, "submission.json")):
        file = submission
    if os.path.isdir(file) and kind is not None:
        raise click.UsageError(f"--kind is for files, but {shown_path(file)} is a folder.")
    name, found, told = (
        _checked_folder(file, challenges)
        if os.path.isdir(file)
        else _checked_file(file, kind, challenges)
    )
    if as_json:
        listed = [problem._asdict() for problem in found]
        click.echo(json.dumps({"file": shown_path(file), "kind": name, "problems": listed}))
    else:
        for problem in islice(found, MAX_LISTED):
            click.echo(problem)
        if len(found) > MAX_LISTED:
            click.echo(f"... and {len(found) - MAX_LISTED} more")
    if found:
        what = "folder" if os.path.isdir(file) else "file"
        number = counted(len(found), "problem")
        raise Mistake(f"{shown_path(file)}: is not a valid {name} {what} ({number})")
    if not as_json:
        click.echo(f"{shown_path(file)}: {told()}")


Checked: TypeAlias = tuple[str, list[Problem], Callable[[], str]]
"""What kind of file or folder it is, what is wrong with it, and what to say if nothing is."""


def _checked_file(file: str, kind: Kind | None, challenges: str | None) -> Checked:
    data, found = parse(file)
    found_kind = kind or recognise(data)
    if found_kind is None:
        message = f"looks like none of {', '.join(KINDS)}; say with --kind which it should be"
        raise FormatError([Problem("", message)], file)
    if challenges is not None and found_kind in ("task", "challenges"):
        raise click.UsageError("--challenges is for solutions and submissions only.")
    tasks = None if challenges is None else read_challenges(challenges)
    return (
        found_kind,
        found + problems(found_kind, data, tasks),
        lambda: summary(found_kind, data),
    )


def _checked_folder(folder: str, challenges: str | None) -> Checked:
    tasks = None if challenges is None else read_challenges(challenges)
    found = arcprize_problems(folder, tasks)
    return "benchmarking", found, lambda: _counts("benchmarking folder", read_arcprize(folder))


@main.command("score")
@click.argument("file")
@click.argument("other", required=False)
@click.option("--solutions", required=True, metavar="FILE", help="The solutions to compare with.")
@click.option("--challenges", metavar="FILE", help="Refuse files that do not fit these.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every task's outcome.")
def score_command(
    file: str, other: str | None, solutions: str, challenges: str | None, as_json: bool
) -> None:
    """Score FILE under three denominators; with OTHER, also how far that differs from it.

    Either is a submission or a folder of ARC Prize's benchmarking. Tasks that it lacks count as
    unsolved; tasks without a solution do not count. Both are named.

    \b
    Example:
      python -m submission score submission.json --solutions solutions.json
    """
    tasks = None if challenges is None else read_challenges(challenges)
    right = read_solutions(solutions, tasks)
    scores = [
        scored(read_answers(each, counts_of(right), tasks), right, each)
        for each in (file, other)
        if each is not None
    ]
    told, lines = told_scores([each for each in (file, other) if each is not None], scores)
    click.echo(json.dumps(told) if as_json else "\n".join(lines))


def scored(answers: Ranked, solutions: Solutions, file: StrPath) -> Score:
    """Their score. Raises FormatError naming the file if they do not fit together."""
    if not answers.keys() & solutions.keys():
        number = counted(len(solutions), "task")
        message = f"answers none of the {number} that there are solutions of"
        raise FormatError([Problem("", message)], file)
    try:
        return score_ranked(answers, solutions)
    except FormatError as error:
        raise FormatError(error.problems, file) from error


def told_scores(
    files: Sequence[StrPath], scores: Sequence[Score]
) -> tuple[dict[str, Any], list[str]]:
    """What to print of one score, or of two and what the second has that the first has not.

    As JSON, and as lines for a person.
    """
    if len(scores) == 1:
        return scores[0].to_dict(), [score_table(scores[0])]
    import numpy as np

    first, second = scores
    before, after = map(shown_path, files)
    comparison = compare(first, second, np.random.default_rng(0))
    told = {
        "first": {"file": before, **first.to_dict()},
        "second": {"file": after, **second.to_dict()},
        "difference": comparison.to_dict(),
    }
    notes = [
        f"{name}: {note}"
        for name, each in ((before, first), (after, second))
        for note in left_out(each)
    ]
    return told, [*notes, comparison_table((before, after), scores, comparison)]


@main.command("merge")
@click.argument("files", nargs=-1, required=True)
@click.option("--out", required=True, metavar="FILE", help="The submission to write.")
@click.option("--weights", metavar="NUMBERS", help="One weight per file, such as 2,1,1.")
def merge_command(files: tuple[str, ...], out: str, weights: str | None) -> None:
    """Merge answers to the same tasks into one submission by weighted votes.

    A file is a submission or a folder of ARC Prize's benchmarking. It gives its weight (1 unless
    told) to its attempt 1 and half of it to its attempt 2; the two grids with the most votes become
    the attempts. Of equals, the one named first wins. Tasks are those of the first file.

    \b
    Example:
      python -m submission merge a.json b.json --out merged.json --weights 2,1
    """
    answers: list[Ranked] = []
    for file in files:
        answers.append(read_answers(file, counts_of(answers[0]) if answers else None))
    merge_into(out, files, answers, weights)


def merge_into(
    out: str,
    files: Sequence[StrPath],
    answers: Sequence[Ranked],
    weights: str | None,
    spare: Sequence[Ranked] = (),
) -> None:
    """Write the `merge_ranked` of the answers in `files`, and say what is in it."""
    for file, each in zip(files, answers, strict=True):
        if os.path.exists(out) and os.path.samefile(file, out):
            raise WriteError(out, "it is one of the files to merge")
        if found := unlike(each, answers[0]):
            raise FormatError(found, file)
        if lacking := len(answers[0]) - len(each):
            click.echo(
                f"{shown_path(file)}: lacks {counted(lacking, 'task')} of the first", err=True
            )
    merged = merge_ranked(answers, None if weights is None else _numbers(weights), spare)
    write_json(out, merged)
    click.echo(f"{shown_path(out)}: {summary('submission', merged)}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--weights is {text!r}, expected numbers such as 2,1,1.") from None


def summary(kind: Kind, data: Any) -> str:
    """`a valid submission file of 400 tasks with 419 test outputs`"""
    if kind == "task":
        pairs = f"{counted(len(data['train']), 'train pair')} and"
        return f"a valid task file of {pairs} {counted(len(data['test']), 'test pair')}"
    if kind == "challenges":
        data = {task_id: task["test"] for task_id, task in data.items()}
    return _counts(f"{kind} file", data)


def _counts(what: str, tasks: Mapping[str, Sequence[object]]) -> str:
    outputs = counted(sum(map(len, tasks.values())), "test output")
    return f"a valid {what} of {counted(len(tasks), 'task')} with {outputs}"


if __name__ == "__main__":
    main(prog_name="python -m submission")
