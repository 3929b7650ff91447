"""The command `arc-trm`. Importing it does not import torch; commands do when they need it."""

from __future__ import annotations

import io
import signal
import sys
import threading
from typing import Any

import click

from arc_trm._version import __version__
from arc_trm.cli.adapt import adapt
from arc_trm.cli.bench import bench
from arc_trm.cli.convert import convert
from arc_trm.cli.data import data
from arc_trm.cli.export import export
from arc_trm.cli.merge import merge
from arc_trm.cli.predict import predict
from arc_trm.cli.pull import pull
from arc_trm.cli.push import push
from arc_trm.cli.report import report
from arc_trm.cli.score import score
from arc_trm.cli.show import show
from arc_trm.cli.train import train
from arc_trm.cli.validate import validate
from submission.cli import CommandError, CommandGroup


class _Group(CommandGroup):
    """Also turns what the operating system refuses into a sentence; `--debug` lets all through."""

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
            # torch has no class of its own for a processor's memory that has run out
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                raise
            raise CommandError(
                "there is not enough memory: lower the batch size, or data.augmentations and the "
                "sizes of the model"
            ) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{place}{error.strerror or error}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
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
        # As an exception, so that what is half done is cleaned up.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every terminal has an arrow or a tick
            stream.reconfigure(errors="replace")


for _command in (
    *(train, adapt, predict, score, merge, validate, show, report, data),
    *(convert, export, pull, push, bench),
):
    main.add_command(_command)
