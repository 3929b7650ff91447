"""What command lines share: errors with exit status 2, groups that print them, option types."""

from __future__ import annotations

from typing import Any

import click

from submission.errors import UserError


class CommandError(click.ClickException):
    """A user's mistake: one sentence on the standard error stream, exit status 2."""

    exit_code = 2


class CommandGroup(click.Group):
    """Commands that print a UserError as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn a UserError into a CommandError."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise CommandError(str(error)) from error


def number_list(text: str) -> list[float]:
    """Convert the text of an option, `2,1,1`, to numbers; raise click.BadParameter."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list of numbers such as 2,1,1."
        raise click.BadParameter(message) from None
