"""`python -m submission`: validate, convert, score and merge from a shell."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from submission._version import __version__
from submission.answers import read_answers
from submission.cli import (
    CONTEXT_SETTINGS,
    CommandError,
    CommandGroup,
    challenges_option,
    json_option,
    kind_option,
    overwrite_option,
    print_conversion,
    print_validation,
    program_name,
    usage_error,
    vote_weights_option,
)
from submission.comparison import describe_scores
from submission.ensemble import check_vote_weights, merge_files
from submission.files import read_challenges, read_solutions
from submission.formats import Challenges, Kind, Ranked
from submission.ranked import count_outputs
from submission.scoring import score_file


class Program(CommandGroup):
    """The commands, for which memory may run out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise usage_error(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn click's errors and a MemoryError into a CommandError."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise usage_error(error) from None
        except MemoryError:
            raise CommandError("there is not enough memory for this file: split it") from None


@click.group("python -m submission", cls=Program, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="submission")
def main() -> None:
    """Validate, convert, score and merge files in the official ARC-AGI formats.

    `arc-trm` has the same commands, which also take runs and name tasks with --data.

    \b
    Example:
      python -m submission validate submission.json

    The exit status is 0 if all is well, and 2 if a file or an argument is invalid.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack letters of a task id
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command()
@click.argument("file")
@kind_option
@challenges_option
@json_option
def validate(file: str, kind: Kind | None, challenges: str | None, as_json: bool) -> None:
    """List everything that is wrong with FILE, one problem a line.

    FILE is a single task, challenges, solutions, a submission, a folder that holds a
    submission.json, or an ARC Prize benchmarking folder. Pairs, rows, cells and test outputs are
    counted from 1.

    \b
    Example:
      python -m submission validate submission.json --challenges challenges.json
    """
    print_validation(file, kind, challenges, as_json)


@main.command()
@click.argument("file")
@click.option("--out", required=True, metavar="FILE", help="The submission to write.")
@challenges_option
@overwrite_option
@json_option
def convert_submission(
    file: str, out: str, challenges: str | None, overwrite: bool, as_json: bool
) -> None:
    """Write answers in another form as a submission, and say what was changed.

    FILE has objects or lists in other places than a submission, bare grids, missing or further
    attempts, or one JSON object per line, or it is the CSV file of Kaggle's ARC competition of
    2020. Where it leaves a doubt, nothing is written. With --challenges the submission answers all
    of their tasks, and lists of grids are read by the number of test outputs.

    \b
    Example:
      python -m submission convert-submission answers.csv --out submission.json
    """
    print_conversion(file, out, challenges, overwrite, as_json)


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--solutions", required=True, metavar="FILE", help="Official solutions to score against."
)
@click.option(
    "--challenges", metavar="FILE", help="The tasks that all files must match; default: any."
)
@json_option
def score(files: tuple[str, ...], solutions: str, challenges: str | None, as_json: bool) -> None:
    """Score FILES under three denominators, and compare two or more.

    Each is a submission or an ARC Prize benchmarking folder. Unanswered tasks count as unsolved.
    Answered tasks without a solution do not count. The output names both.

    Two files are compared: the difference, its interval, and the tasks gained and lost. Of three or
    more, such as the seeds of one experiment, also the mean and the standard deviation. A
    difference within the spread of seeds is no difference.

    \b
    Examples:
      python -m submission score submission.json --solutions solutions.json
      python -m submission score seed0.json seed1.json seed2.json --solutions solutions.json
    """
    tasks = None if challenges is None else read_challenges(challenges)
    known = read_solutions(solutions, tasks)
    scores = [score_file(_read(each, count_outputs(known), tasks), known, each) for each in files]
    described, lines = describe_scores(files, scores)
    click.echo(json.dumps(described) if as_json else "\n".join(lines))


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--out", required=True, metavar="FILE", help="The submission to write.")
@vote_weights_option
@overwrite_option
def merge(
    files: tuple[str, ...], out: str, vote_weights: list[float] | None, overwrite: bool
) -> None:
    """Merge answers into one submission by weighted votes.

    All answers are to the same tasks. A file is a submission or an ARC Prize benchmarking folder.
    It gives its weight to its attempt 1 and half of its weight to its attempt 2. The two grids with
    the most votes become the attempts. Of grids with equal votes, the one named first wins. The
    first file sets the tasks.

    \b
    Example:
      python -m submission merge a.json b.json --out merged.json --vote-weights 2,1
    """
    check_vote_weights(vote_weights, len(files))
    ranked: list[Ranked] = []
    for file in files:
        ranked.append(_read(file, count_outputs(ranked[0]) if ranked else None))
    summary, notes = merge_files(out, files, ranked, vote_weights, overwrite=overwrite)
    for note in notes:
        click.echo(note, err=True)
    click.echo(summary)


def _read(
    path: str, counts: Mapping[str, int] | None, challenges: Challenges | None = None
) -> Ranked:
    """Read answers; print a note on those in another form than a submission."""
    answers = read_answers(path).settle(counts, challenges)
    if note := answers.note(program_name()):
        click.echo(note, err=True)
    return answers.ranked


if __name__ == "__main__":
    main(prog_name="python -m submission")
