"""What the command lines share: errors with exit status 2, groups that print them, options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from submission.answers import convert_submission
from submission.errors import FormatError, UserError, format_value, one_line
from submission.files import StrPath, read_challenges
from submission.formats import KINDS, Kind
from submission.validation import check_path

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}
"""Settings of both programs."""
MAX_SUMMARY = 200
"""Characters of a command's summary."""


class CommandError(click.ClickException):
    """A user's mistake: one sentence on the standard error stream, exit status 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def usage_error(error: click.UsageError) -> click.ClickException:
    """Return click's error about arguments as one sentence, without its lines on the usage."""
    if isinstance(error, NoArgsIsHelpError):
        return error  # it prints the help
    return CommandError(" ".join(error.format_message().split()))


class OrderedGroup(click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class CommandGroup(OrderedGroup):
    """Commands that print a UserError as one sentence, without a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries of all commands whole, on two lines if need be."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, each.get_short_help_str(MAX_SUMMARY)) for name, each in commands if each]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments of the group; those of a command come later."""
        if any("\0" in each for each in args):
            raise click.UsageError("An argument has a null character: leave it out", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn a UserError into a CommandError."""
        try:
            return super().invoke(ctx)
        except FormatError as error:
            raise CommandError(error.describe(program_name())) from error
        except UserError as error:
            raise CommandError(str(error)) from error


def program_name() -> str:
    """Return the program that runs, `arc-trm` or `python -m submission`."""
    return click.get_current_context().find_root().command_path


def _number_list(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        message = f"{format_value(text)} is not a list of numbers such as 2,1,1."
        raise click.BadParameter(message) from None


kind_option = click.option(
    "--kind", type=click.Choice(KINDS), help="The expected kind; default: a guess."
)
challenges_option = click.option(
    "--challenges", metavar="FILE", help="The tasks that FILE must match; default: any."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
vote_weights_option = click.option(
    "--vote-weights",
    type=_number_list,
    metavar="NUMBERS",
    help="One weight per file, such as 2,1,1; default: 1 each.",
)


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what exists at --out.")


def print_validation(
    file: StrPath,
    kind: Kind | None,
    challenges: str | None,
    as_json: bool,
    about: Mapping[str, Any] | None = None,
    header: Sequence[str] = (),
) -> None:
    """Print what a valid file holds, or everything that is wrong and raise CommandError.

    `about` and `header` say more about the file, as JSON and as lines that come first.
    """
    result = check_path(file, kind, None if challenges is None else read_challenges(challenges))
    record = result.to_dict() if about is None else {"about": about, **result.to_dict()}
    lines = [*header, *result.lines(program_name())]
    click.echo(json.dumps(record) if as_json else "\n".join(lines))
    if result.problems:
        raise CommandError(result.summary)


def print_conversion(
    file: StrPath, out: StrPath, challenges: str | None, overwrite: bool, as_json: bool
) -> None:
    """Convert answers to a submission, and print what was changed."""
    tasks = None if challenges is None else read_challenges(challenges)
    result = convert_submission(file, out, tasks, overwrite)
    click.echo(json.dumps(result.to_dict()) if as_json else "\n".join(result.lines()))
