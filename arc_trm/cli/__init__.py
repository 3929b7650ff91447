"""The command `arc-trm`. Importing it does not import torch; commands do when they need it."""

from __future__ import annotations

import errno
import importlib
import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import click

from arc_trm._version import __version__
from arc_trm.cli.launch import check_processes, launch, prints_mistakes, record_mistake
from arc_trm.cli.option_advice import advise, advise_on_command
from arc_trm.runs.provenance import ARGUMENTS
from submission.cli import CONTEXT_SETTINGS, CommandError, CommandGroup, usage_error

COMMANDS = (
    "train",
    "adapt",
    "tune-inference",
    "predict",
    "score",
    "merge",
    "validate",
    "convert-submission",
    "show",
    "compare",
    "report",
    "runs",
    "data",
    "presets",
    "convert",
    "export",
    "pull",
    "push",
    "bench",
)
"""Commands in the order of the help; each is defined in the module of the same name, with `_`."""

PARALLEL_COMMANDS = ("train", "adapt", "predict", "bench")
"""Commands that several processes can share."""


class _Group(CommandGroup):
    """Loads a command when it is used, and turns system errors into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"arc_trm.cli.{name}"), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        with _mistakes(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        line = tuple(args)
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise advise_on_command(args[0], ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and ctx.params["nproc_per_node"] is not None:
            if name not in PARALLEL_COMMANDS:
                raise CommandError(
                    f"`arc-trm {name}` runs in one process: leave out --nproc-per-node, which is "
                    f"for {', '.join(PARALLEL_COMMANDS)}"
                )
            command = copy(command)  # its options are checked before any process starts
            command.callback = lambda **_: ctx.exit(launch(**ctx.params, arguments=line))
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        with _mistakes(ctx):
            if ctx.params["debug"]:
                return click.Group.invoke(self, ctx)
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn errors of the system into a CommandError."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            if prints_mistakes():
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


@contextmanager
def _mistakes(ctx: click.Context) -> Iterator[None]:
    """Advise on unknown options; of several processes, let one print a mistake."""
    try:
        yield
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = advise(error, ctx.meta[ARGUMENTS])
        if isinstance(error, click.UsageError):
            error = usage_error(error)
        record_mistake(error.format_message())
        if prints_mistakes():
            raise error from None
        ctx.exit(error.exit_code)


@click.group(
    "arc-trm",
    cls=_Group,
    context_settings=CONTEXT_SETTINGS,
)
@click.option(
    "--nproc-per-node",
    metavar="N",
    callback=check_processes,
    help="Run the command in N processes, gpu (one per GPU) or auto; default: in this one.",
)
@click.option(
    "--debug", is_flag=True, help="Show the traceback of an error: `arc-trm --debug COMMAND`."
)
@click.version_option(__version__, prog_name="arc-trm")
def main(nproc_per_node: str | None, debug: bool) -> None:
    """Train Tiny Recursive Models on ARC-AGI, predict with two attempts, submit.

    \b
    A first run, some minutes on a laptop:
      arc-trm train
      arc-trm predict --attempts 2
      arc-trm score
      arc-trm show
      arc-trm report

    \b
    On all GPUs of this machine:
      arc-trm --nproc-per-node gpu train --preset arc-agi-1
    """
    if threading.current_thread() is threading.main_thread():
        # As an exception, so that everything unfinished is cleaned up.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every terminal has an arrow or a tick
            stream.reconfigure(errors="replace")
