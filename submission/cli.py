"""What the command lines share: how commands print and end, errors with exit status 2, options."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from submission.answers import convert_submission
from submission.errors import FormatError, UserError, escape_controls, format_value, one_line
from submission.files import StrPath, read_challenges
from submission.formats import KINDS, Kind
from submission.process import STANDARD_OUTPUT, STOPPED, Stopped, stoppable
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

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the program to its end; what ends it before is said in one sentence.

        Raises:
            SystemExit: always, with the exit status.
        """
        try:
            with stoppable():
                return super().main(*arguments, **settings)
        except Stopped:
            self.tell(STOPPED)
            raise
        except OSError as error:  # of the help, because commands turn their own into sentences
            failure = CommandError(_describe_os_error(error))
            self.tell(f"Error: {failure.format_message()}")
            raise SystemExit(failure.exit_code) from None

    def tell(self, sentence: str) -> None:
        """Print why the program ends."""
        print_note(sentence)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn the errors that users can cause into a CommandError."""
        with self.mistakes(ctx):
            return self._invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments before the command."""
        with self.mistakes(ctx):
            if any("\0" in each for each in args):
                raise click.UsageError("An argument has a null character: leave it out", ctx)
            return super().parse_args(ctx, args)

    @contextmanager
    def mistakes(self, ctx: click.Context) -> Iterator[None]:
        """Make what click says of wrong arguments one sentence, without its lines on the usage."""
        try:
            yield
        except NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            words = error.format_message().split()  # click gives a line to each choice
            raise CommandError(" ".join(words)) from None

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FormatError as error:
            raise CommandError(error.describe(program_name())) from error
        except UserError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:  # of a program that handles no signals itself
            raise Stopped(signal.SIGINT) from None
        except BrokenPipeError:
            raise  # click ends the program without a word
        except OSError as error:
            raise CommandError(_describe_os_error(error)) from error


def _describe_os_error(error: OSError) -> str:
    """Return a sentence on an error of the system."""
    place = error.filename
    if place is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        place = STANDARD_OUTPUT  # every other file is named by what writes it
    reason = error.strerror or str(error)
    return reason if place is None else f"{place}: {reason}"


def output(record: Mapping[str, Any] | Sequence[Any], lines: Sequence[str], as_json: bool) -> None:
    """Print the result of a command: one JSON object, with all names as they are, or lines."""
    if as_json:
        click.echo(json.dumps(record))
    else:
        print_lines(*lines)


def print_lines(*lines: str) -> None:
    """Print lines on the standard output, on which no terminal acts."""
    click.echo("\n".join(map(escape_controls, lines)))


def print_note(sentence: str) -> None:
    """Print a sentence on the standard error stream, on which no terminal acts."""
    click.echo(escape_controls(sentence), err=True)


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
    output(record, lines, as_json)
    if result.problems:
        raise CommandError(result.summary)


def print_conversion(
    file: StrPath, out: StrPath, challenges: str | None, overwrite: bool, as_json: bool
) -> None:
    """Convert answers to a submission, and print what was changed."""
    tasks = None if challenges is None else read_challenges(challenges)
    result = convert_submission(file, out, tasks, overwrite)
    output(result.to_dict(), result.lines(), as_json)
