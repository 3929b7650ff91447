"""The command `arc-trm`. Importing it does not import torch; commands do when they need it."""

from __future__ import annotations

import errno
import importlib
import io
import signal
import sys
import threading
from typing import Any

import click

from arc_trm._version import __version__
from submission.cli import CommandError, CommandGroup

COMMANDS = (
    "train",
    "adapt",
    "predict",
    "score",
    "merge",
    "validate",
    "show",
    "report",
    "data",
    "presets",
    "convert",
    "export",
    "pull",
    "push",
    "bench",
)
"""Commands in the order of the help; each is defined in the module of the same name."""


class _Group(CommandGroup):
    """Loads a command when it is used, and turns system errors into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"arc_trm.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["debug"]:
            return click.Group.invoke(self, ctx)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(130)
        except (MemoryError, RuntimeError) as error:
            # torch has no class of its own for memory that has run out on the CPU.
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                raise
            raise CommandError(
                "there is not enough memory: lower the batch size, data.augmentations or the size "
                "of the model"
            ) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            if not place and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                place = "standard output: "  # every other file is named by what writes it
            raise CommandError(f"{place}{error.strerror or error}") from error


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.option(
    "--debug", is_flag=True, help="Show the traceback of an error: `arc-trm --debug COMMAND`."
)
@click.version_option(__version__, prog_name="arc-trm")
def main(debug: bool) -> None:
    """Train Tiny Recursive Models on ARC-AGI, predict with two attempts, submit.

    \b
    A first run, some minutes on a laptop:
      arc-trm train
      arc-trm predict --attempts 2
      arc-trm score
      arc-trm show
    """
    if threading.current_thread() is threading.main_thread():
        # As an exception, so that everything unfinished is cleaned up.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every terminal has an arrow or a tick
            stream.reconfigure(errors="replace")
