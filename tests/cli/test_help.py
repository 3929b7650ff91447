"""Help texts: whole, in the order of work, with an example and with every default."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from commands import run_cli

from arc_trm.cli import main
from submission.commands import main as submission_main

WIDTH = 80


def commands(context: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of a command and of all below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from commands(click.Context(command, context, info_name=name))


ALL = {
    each.command_path: each
    for root in (main, submission_main)
    for each in commands(
        click.Context(root, info_name=root.name, terminal_width=WIDTH, **root.context_settings)
    )
}
GROUPS = [path for path, context in ALL.items() if isinstance(context.command, click.Group)]


def visible_options(path: str) -> list[click.Option]:
    return [
        each for each in ALL[path].command.get_params(ALL[path]) if isinstance(each, click.Option)
    ]


@pytest.mark.parametrize("path", GROUPS)
def test_no_summary_is_cut_at_80_columns(path: str) -> None:
    text = ALL[path].get_help()
    assert "..." not in text.partition("Commands:")[2]
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize("path", ALL)
def test_every_help_has_an_example_of_the_command(path: str) -> None:
    help_text = ALL[path].command.help or ""
    examples = [line.strip() for line in help_text.splitlines() if line.startswith("  ")]
    assert any(f"{path} " in f"{line} " or "gpu" in line for line in examples), examples
    if path != "arc-trm":
        assert "Example:" in help_text or "Examples:" in help_text
    for line in examples:
        program = "python -m submission" if path.startswith("python") else "arc-trm"
        if " -m " in line or line.startswith(("arc-trm", "python")):
            assert line.startswith(program), line


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_does_and_its_default(path: str) -> None:
    for option in visible_options(path):
        record = option.get_help_record(ALL[path])
        assert record is not None
        names, text = record
        assert text, names
        if not option.is_flag:
            assert "default" in text.lower() or "required" in text, (names, text)
            assert "TEXT" not in names and "INTEGER" not in names and "FLOAT" not in names, names


@pytest.mark.parametrize("path", ALL)
def test_help_has_a_short_form(path: str) -> None:
    assert any({"-h", "--help"} == set(option.opts) for option in visible_options(path))


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("arc-trm train", "--preset --data --set --max-steps", "--skip-invalid --json --help"),
        ("arc-trm adapt", "--data --preset --set --max-steps", "--json --help"),
        ("arc-trm predict", "--data --attempts --augmentations", "--json --help"),
        ("arc-trm data generate", "--count", "--json --help"),
    ],
)
def test_options_that_people_use_come_first(path: str, first: str, last: str) -> None:
    names = [option.opts[-1] for option in visible_options(path)]
    assert names[: len(first.split())] == first.split()
    assert names[-len(last.split()) :] == last.split()


def test_commands_are_in_the_order_of_work() -> None:
    data = ALL["arc-trm data"].command
    assert isinstance(data, click.Group)
    names = "list show check convert fetch generate identifiers"
    assert data.list_commands(ALL["arc-trm data"]) == names.split()


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_a_missing_command_is_no_success(arguments: list[str]) -> None:
    """The help is printed, but a script whose command is empty does not go on."""
    result = run_cli(*arguments)
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


@pytest.mark.parametrize("command", ["validate", "score", "merge"])
def test_submission_has_the_words_of_arc_trm(command: str) -> None:
    own = {each.opts[-1]: each for each in visible_options(f"python -m submission {command}")}
    other = {each.opts[-1]: each for each in visible_options(f"arc-trm {command}")}
    for name, option in own.items():
        if name == "--challenges" and name not in other:
            continue  # `arc-trm score` names tasks with --data
        theirs = other[name]
        assert (option.name, option.metavar) == (theirs.name, theirs.metavar)
        assert (option.is_flag, option.multiple) == (theirs.is_flag, theirs.multiple)
        assert option.help and theirs.help
        assert option.help.rstrip(".").split(";")[0] == theirs.help.rstrip(".").split(";")[0]


def test_a_missing_option_with_choices_is_one_sentence() -> None:
    last = run_cli("export", "run", "--out", "x").stderr.splitlines()[-1]
    assert last == "Error: Missing option '--format'. Choose from: arcprize, submission"
