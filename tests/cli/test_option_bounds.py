"""Every option that takes a whole number has an upper bound."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from commands import run_cli

from arc_trm.cli import main


def number_options(
    command: click.Command, name: str = ""
) -> Iterator[tuple[str, click.Option, click.IntRange]]:
    """Yield the options of all commands that take a whole number."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from number_options(found, f"{name} {each}".strip())
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.type, click.IntRange):
            yield name, option, option.type


OPTIONS = list(number_options(main))
UNBOUNDED = {"data generate": ["--seed", "--min-rating", "--max-rating", "--clues"]}
"""The seed is a name of any length; the others are compared with what puzzles have."""


@pytest.mark.parametrize(
    ("name", "option", "kind"), OPTIONS, ids=[f"{name} {each.opts[0]}" for name, each, _ in OPTIONS]
)
def test_every_number_has_an_upper_bound(
    name: str, option: click.Option, kind: click.IntRange
) -> None:
    if option.opts[0] not in UNBOUNDED.get(name, ()):
        assert kind.max is not None


@pytest.mark.parametrize(
    ("name", "option", "kind"), OPTIONS, ids=[f"{name} {each.opts[0]}" for name, each, _ in OPTIONS]
)
def test_what_is_no_whole_number_is_told_the_range_in_words(
    name: str, option: click.Option, kind: click.IntRange
) -> None:
    assert kind.min is not None
    for value in ("abc", "1.5", str(kind.min - 1)):
        last = run_cli(*name.split(), option.opts[0], value).stderr.splitlines()[-1]
        assert last.startswith(f"Error: Invalid value for '{option.opts[0]}'")
        assert f'"{value}" is not a whole number' in last
        bounds = f"from {kind.min} to {kind.max}." if kind.max is not None else "of at least"
        assert bounds in last


def test_the_options_are_found() -> None:
    assert {("predict", "--batch-size"), ("data generate", "--count"), ("train", "--seed")} <= {
        (name, option.opts[0]) for name, option, _ in OPTIONS
    }
