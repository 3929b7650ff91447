"""The command `arc-trm`. Importing it does not import torch; commands do when they need it."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import click

from arc_trm._version import __version__
from arc_trm.cli.launch import (
    check_processes,
    end_with_launcher,
    launch,
    prints_mistakes,
    record_mistake,
)
from arc_trm.cli.option_advice import advise, advise_on_command
from arc_trm.runs.provenance import ARGUMENTS
from submission.cli import CONTEXT_SETTINGS, CommandError, CommandGroup

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
    "fit-embedding",
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

    @contextmanager
    def mistakes(self, ctx: click.Context) -> Iterator[None]:
        """Advise on unknown options; of several processes, let one print a mistake."""
        try:
            with super().mistakes(ctx):
                try:
                    yield
                except click.NoSuchOption as error:
                    raise advise(error, ctx.meta[ARGUMENTS]) from None
        except click.ClickException as error:
            record_mistake(error.format_message())
            if prints_mistakes():
                raise
            ctx.exit(error.exit_code)

    def tell(self, sentence: str) -> None:
        if prints_mistakes():
            super().tell(sentence)

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["debug"]:
            with self.mistakes(ctx):
                return click.Group.invoke(self, ctx)
        return super().invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn memory that has run out into a CommandError, too."""
        try:
            return super()._invoke(ctx)
        except (MemoryError, RuntimeError, ImportError) as error:
            # torch has no class of its own for memory that has run out on the CPU. A library that
            # finds none for its code cannot be loaded.
            words = ("memory", "failed to map")
            if not isinstance(error, MemoryError) and not any(each in str(error) for each in words):
                raise
            raise CommandError(
                "there is not enough memory: lower the batch size, data.augmentations or the size "
                "of the model"
            ) from error


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
    end_with_launcher()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every terminal has an arrow or a tick
            stream.reconfigure(errors="replace")
