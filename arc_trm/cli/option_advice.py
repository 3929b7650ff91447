"""What to write in place of an option or a command that there is not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain

import click

from arc_trm.config import close_keys, find_keys, show_setting
from arc_trm.errors import UserError, close_match, format_name, format_value
from arc_trm.pipeline import DATA_KEYS

MAX_VALUE = 100
"""Characters of a value that advice repeats."""
CLOSE = 0.65
"""Least similarity of an option that is suggested."""

OPTION_WORDS = {
    "amp": "dtype",
    "augs": "augmentations",
    "bf16": "dtype",
    "ckpt": "checkpoint",
    "cpu": "device",
    "cuda": "device",
    "dataset": "data",
    "experiment": "out",
    "fp16": "dtype",
    "gpu": "device",
    "gpus": "nproc_per_node",
    "input": "data",
    "iterations": "max_steps",
    "iters": "max_steps",
    "list_presets": "presets",
    "load": "weights",
    "max_iters": "max_steps",
    "model": "weights",
    "name": "out",
    "num_gpus": "nproc_per_node",
    "num_steps": "max_steps",
    "output": "out",
    "output_dir": "out",
    "pretrained": "weights",
    "processes": "nproc_per_node",
    "run_name": "out",
    "save_dir": "out",
    "steps": "max_steps",
    "tasks": "data",
    "timeout": "time_limit",
}
"""What people call an option elsewhere; `arc_trm.config.loader.KEY_WORDS` has settings."""
MEANT_VALUES = {
    "amp": "bfloat16",
    "bf16": "bfloat16",
    "cpu": "cpu",
    "cuda": "cuda",
    "fp16": "bfloat16",
    "gpu": "cuda",
}
"""The value that such an option means, by itself, for the one in `OPTION_WORDS`."""
COMMAND_WORDS = {
    "download": "pull",
    "eval": "score",
    "evaluate": "score",
    "fine-tune": "adapt",
    "finetune": "adapt",
    "generate": "predict",
    "infer": "predict",
    "plot": "show",
    "run": "predict",
    "submit": "predict",
    "test": "score",
    "upload": "push",
    "view": "show",
    "visualize": "show",
}
"""What people call a command elsewhere."""


def advise_on_command(name: str, context: click.Context) -> click.UsageError:
    """Return an error that says which command an unknown name may mean, else all commands."""
    group = context.command
    assert isinstance(group, click.Group)
    known = group.list_commands(context)
    meant = COMMAND_WORDS.get(name) or close_match(name, known, CLOSE)
    advice = f"did you mean `arc-trm {meant}`?" if meant else f"known: {', '.join(known)}"
    return click.UsageError(f"No such command {format_value(name)}: {advice}", context)


def advise(error: click.NoSuchOption, arguments: Sequence[str]) -> click.UsageError:
    """Return an error that says what does what an unknown option was to do.

    Args:
        error: of an option that the command of its context does not have.
        arguments: of the whole command line, which hold the option's value.
    """
    context, option = error.ctx, error.option_name
    assert context is not None
    word = option.lstrip("-").replace("-", "_")
    words = [word, *filter(None, [OPTION_WORDS.get(word)])]
    value = _meant_value(word, _find_value(option, arguments))
    candidates = chain(
        _own(context, words, value),
        _settings(context, words, value),
        _of_others(context, words),
        _similar(context, word, value),
    )
    shown = format_name(option)
    return click.UsageError(
        f"`{context.command_path}` has no option {shown}: {next(candidates)}", context
    )


def _find_value(option: str, arguments: Sequence[str]) -> str | None:
    """Return the value that the user gave to an option, as `--option=VALUE` or after it."""
    for argument, following in zip(arguments, (*arguments[1:], "--"), strict=True):
        name, equals, value = argument.partition("=")
        if name == option:
            found = value if equals else following
            return None if found.startswith("--") or len(found) > MAX_VALUE else found
    return None


def _meant_value(word: str, value: str | None) -> str | None:
    """Return the value for the option that a word means: for `--gpu 0`, `cuda:0`."""
    meant = MEANT_VALUES.get(word)
    if meant == "cuda" and value and value.isascii() and value.isdigit():
        return f"cuda:{value}"
    return meant or value


def _own(context: click.Context, words: Sequence[str], value: str | None) -> Iterator[str]:
    """Yield options and arguments of this command, and options before it."""
    path, command, root = context.command_path, context.command, context.find_root()
    shown = f" {shlex.quote(value)}" if value else ""
    for word in words:
        option, general = _find_option(command, word), _find_option(root.command, word)
        if option:
            yield f"write `{option.opts[0]}{'' if option.is_flag else shown}`"
        if word in _arguments(command):
            yield f"write {word.upper()} without an option, `{path}{shown or ' ' + word.upper()}`"
        if general:
            given = general.opts[0] + ("" if general.is_flag else shown or " N")
            rest = path.removeprefix(root.command_path)
            yield f"it stands before the command, `{root.command_path} {given}{rest}`"
    parts = set(words[0].split("_"))
    names = _names_taking(context, value)
    having = [name for name in names if parts <= set(name[2:].split("-"))]
    if len(having) == 1:
        yield f"did you mean `{having[0]}`?"


def _settings(context: click.Context, words: Sequence[str], value: str | None) -> Iterator[str]:
    """Yield how --set changes what the words mean."""
    keys = list(dict.fromkeys(key for word in words for key in find_keys(word)))
    keys = [key for key in keys if not key.startswith("adapt.")]  # WEIGHTS decides these
    if not keys or not _find_option(context.command, "set"):
        return
    if context.command.name == "adapt" and set(keys) <= set(DATA_KEYS):
        yield f"write `--data {shlex.quote(value or 'DATA')}`"
    else:
        settings = [f"`{show_setting(key, value or 'VALUE')}`" for key in keys]
        yield f"write {' or '.join(settings)}"


def _of_others(context: click.Context, words: Sequence[str]) -> Iterator[str]:
    """Yield which command has this name, and which have such an option or argument."""
    commands = dict(_leaf_commands(context.find_root()))
    for word in words:
        if word in commands:
            yield f"it is a command, `arc-trm {word}`"
        if having := [name for name, each in commands.items() if _find_option(each, word)]:
            yield f"it is an option of {', '.join(having)}"
        if having := [name for name, each in commands.items() if word in _arguments(each)]:
            yield f"{word.upper()} is an argument of {', '.join(having)}"
    if keys := [key for word in words for key in find_keys(word)]:
        yield f"{' or '.join(keys)} is set in training, with `arc-trm train --set`"


def _similar(context: click.Context, word: str, value: str | None) -> Iterator[str]:
    """Yield the option or setting whose name resembles a misspelt one, else all options."""
    long = _long_names(context.command)
    names = [name[2:] for name in _names_taking(context, value)]
    if close := close_match(word.replace("_", "-"), names, CLOSE):
        yield f"did you mean `--{close}`?"
    if "--set" in long and (keys := close_keys(word)):
        yield f"did you mean `{show_setting(keys[0], 'VALUE')}`?"
    yield f"it has {', '.join(long)}" if long else "it has none"


def _find_option(command: click.Command, word: str) -> click.Option | None:
    """Return the option that a word with underscores names."""
    name = "--" + word.replace("_", "-")
    options = [each for each in command.params if isinstance(each, click.Option)]
    return next((each for each in options if name in (*each.opts, *each.secondary_opts)), None)


def _long_names(command: click.Command) -> list[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    names = [name for each in options for name in (*each.opts, *each.secondary_opts)]
    return [name for name in names if name.startswith("--")]


def _names_taking(context: click.Context, value: str | None) -> list[str]:
    """Return the long names of options that take a value: `--limit 3` is no `--time-limit`."""
    return [name for name in _long_names(context.command) if _takes(context, name, value)]


def _takes(context: click.Context, name: str, value: str | None) -> bool:
    option = _find_option(context.command, name[2:])
    if option is None or option.is_flag or option.multiple or value is None:
        return True
    try:
        option.process_value(context, value)
    except (UserError, click.UsageError):
        return False
    return True


def _arguments(command: click.Command) -> list[str | None]:
    return [each.name for each in command.params if isinstance(each, click.Argument)]


def _leaf_commands(context: click.Context, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group and of the groups in it, with names such as `data show`."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _leaf_commands(click.Context(command, parent=context), f"{prefix}{name} ")
        elif command is not None:
            yield prefix + name, command
