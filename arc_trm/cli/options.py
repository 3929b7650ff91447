"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from arc_trm.config.inference import MAX_ANSWERS
from arc_trm.config.schema import MAX_INT, MAX_SUPERVISION_STEPS
from arc_trm.errors import format_value
from arc_trm.time_limit import PROCESS_STARTED, TimeLimit
from arc_trm.tracking import TRACKERS
from submission.cli import json_option as json_option
from submission.cli import output as output
from submission.cli import print_lines as print_lines
from submission.cli import print_note as print_note

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
GUESSES = 3
"""Exit status if the files were written, but too many test inputs are guesses."""


class _Path(click.Path):
    """A path that is not empty, as an unset variable of a shell is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty: name a file or folder.", param, ctx)
        return super().convert(value, param, ctx)


class _Name(click.types.StringParamType):
    """A name or a path that is not empty, as an unset variable of a shell is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty: write one.", param, ctx)
        return super().convert(value, param, ctx)


NAME = _Name()


class WholeNumber(click.IntRange):
    """A whole number with bounds, which a message says in words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            bounds = f"from {self.min} to {self.max}"
            if self.max is None:
                bounds = f"of at least {self.min}"
            self.fail(f"{format_value(value)} is not a whole number {bounds}.", param, ctx)


PATH = _Path(path_type=Path)


def path_option(name: str, help_text: str, metavar: str = "FILE", **settings: Any) -> Decorator:
    """Return an option whose value is a path."""
    return click.option(name, type=PATH, metavar=metavar, help=help_text, **settings)


def data_option(help_text: str) -> Decorator:
    """Return the option --data."""
    return click.option("--data", type=NAME, metavar="DATA", help=help_text)


def add_options(*options: Decorator) -> Decorator:
    """Return a decorator that adds options in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


weights_argument = click.argument("weights", required=False, type=NAME, metavar="[WEIGHTS]")
predictions_argument = click.argument(
    "predictions", required=False, type=PATH, metavar="[PREDICTIONS]"
)
checkpoint_option = click.option(
    "--checkpoint",
    type=NAME,
    metavar="NAME",
    help="Which weights of a run: best, last, a step, or several as 1000,2000, whose weights are "
    "averaged; default: best if the run was evaluated while it was trained, otherwise last.",
)
skip_invalid_option = click.option(
    "--skip-invalid", is_flag=True, help="Leave out invalid tasks and puzzles, and list them."
)
solutions_option = path_option(
    "--solutions", "Official solutions to score against; default: what DATA has."
)


def time_limit_option_with(default: str | None) -> Decorator:
    """Return the option --time-limit, whose limit begins when the program started."""
    without = "" if default else "; default: no limit"  # the help shows any other default itself
    return click.option(
        "--time-limit",
        metavar="TIME",
        default=default,
        callback=lambda context, parameter, text: TimeLimit(
            TimeLimit.parse(text).limit, PROCESS_STARTED
        ),
        help=f"Stop in this time: 3h, 90m, 45s, 2h30m{without}.",
    )


time_limit_option = time_limit_option_with(None)
device_options = add_options(
    click.option(
        "--device", default="auto", metavar="DEVICE", help="auto, cuda, cuda:NUMBER, mps or cpu."
    ),
    click.option(
        "--compile",
        "compiled",
        is_flag=True,
        help="Use torch.compile, which delays the first steps; for blocks of your own.",
    ),
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as train.lr=1e-4; may be given several times; default: the "
    "preset's, which `arc-trm presets NAME` shows.",
)
config_option = path_option("--config", "TOML file that changes the preset; default: none.")
run_options = add_options(
    set_option,
    click.option(
        "--max-steps",
        type=WholeNumber(0, MAX_INT),
        metavar="N",
        help="Train for at most N steps; default: the preset's number. The learning-rate schedule "
        "then ends with the last one. A short run of adapt, or one with a time limit, also has a "
        "shorter warm-up and weight average.",
    ),
    time_limit_option,
    path_option("--out", "Run folder; default: runs/DATE-TIME-NAME.", "FOLDER"),
    click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="[RUN]",
        help="Resume this run; default: the latest one.",
        is_flag=False,
        flag_value="",
    ),
    click.option(
        "--restart",
        is_flag=True,
        help="With --resume: train the run again from step 0; its weights and metrics are "
        "replaced.",
    ),
    click.option(
        "--seed",
        type=WholeNumber(0, MAX_INT),
        metavar="N",
        help="Seed of everything random; default: the preset's, 0.",
    ),
    click.option(
        "--track",
        multiple=True,
        type=click.Choice([*TRACKERS]),
        help="Also send the metrics to TensorBoard or W&B; may be given twice; default: to none.",
    ),
    device_options,
    config_option,
)


inference_options = add_options(
    click.option(
        "--samples",
        type=WholeNumber(1, MAX_ANSWERS),
        metavar="K",
        help="Answers from each view or augmentation, the first without noise; default: 1.",
    ),
    click.option(
        "--noise",
        type=float,
        metavar="SIGMA",
        help="Deviation of the noise on the latents before each supervision step, of all samples "
        "but the first; 0.3, for example; default: 0.",
    ),
    click.option(
        "--starts",
        type=click.Choice(["fixed", "random"]),
        help="Where the latents of all samples but the first start; default: as in training.",
    ),
    click.option(
        "--views",
        type=WholeNumber(1, MAX_ANSWERS),
        metavar="M",
        help="Views of a Sudoku or maze: permuted digits and symmetries, undone before selection; "
        "default: 1, the puzzle itself.",
    ),
    click.option(
        "--supervision-steps",
        type=WholeNumber(1, MAX_SUPERVISION_STEPS),
        metavar="D",
        help="Per answer (N_sup); default: the model's.",
    ),
    click.option(
        "--early-exit",
        is_flag=True,
        default=None,
        help="Take an answer as soon as its halting logit is above 0.",
    ),
    click.option(
        "--select",
        metavar="RULE",
        help="How one of several answers is chosen: votes, best_halt, first_halt, rule, "
        "confidence or particles; default: rule for Sudokus and mazes, votes for ARC.",
    ),
    click.option(
        "--seed",
        type=WholeNumber(0, MAX_INT),
        metavar="N",
        help="Seed of noise and random starts; default: 0.",
    ),
)


def is_given(parameter: str) -> bool:
    """Return whether a parameter was given on the command line."""
    context = click.get_current_context()
    return context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
