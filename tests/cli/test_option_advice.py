"""An option that a command does not have is answered with what does the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from commands import run_cli

from arc_trm.cli import COMMANDS, main
from arc_trm.cli.option_advice import COMMAND_WORDS, MEANT_VALUES, OPTION_WORDS
from arc_trm.config import find_keys, key_types, load_config, show_setting
from arc_trm.config.loader import KEY_WORDS

CONTEXT = click.Context(main, info_name="arc-trm")
SINGLE = {
    name: command
    for name in COMMANDS
    if (command := main.get_command(CONTEXT, name)) and not isinstance(command, click.Group)
}


def options(command: click.Command) -> list[str]:
    found = [each for each in command.params if isinstance(each, click.Option)]
    return [name for each in found for name in (*each.opts, *each.secondary_opts)]


def advice(*arguments: object) -> str:
    """What a command says of an unknown option."""
    result = run_cli(*arguments)
    assert result.exit_code == 2, arguments
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    _, separator, said = sentence.partition(" has no option ")
    assert separator, sentence
    return said.partition(": ")[2]


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_the_last_part_of_every_key_as_an_option_is_answered_with_the_key(command: str) -> None:
    for key in key_types():
        option = "--" + key.rpartition(".")[2].replace("_", "-")
        if option in options(SINGLE[command]):
            continue
        said = advice(command, f"{option}=3")
        if key.startswith("adapt."):
            assert "WEIGHTS" in said or "it is an option of adapt" in said
        elif key == "name":
            assert said == "write `--out 3`"
        elif command == "adapt" and key in ("data.train", "data.test", "data.optional_train"):
            assert said == "write `--data 3`"
        else:
            assert f"`{show_setting(key, '3')}`" in said


def test_the_last_part_of_every_key_in_set_is_answered_with_the_key() -> None:
    for key in key_types():
        last = key.rpartition(".")[2]
        if last == key:
            continue
        result = run_cli("train", "--set", f"{last}=3")
        assert result.exit_code == 2
        if last in ("train", "test"):  # also the name of a table
            continue
        assert f'"{key}"' in result.stderr, key


def test_every_option_of_a_command_is_answered_in_the_others() -> None:
    for name, command in SINGLE.items():
        for option in options(command):
            for other, having in SINGLE.items():
                if option in options(having) or option in options(main):
                    continue
                said = advice(other, f"{option}=3")
                word = option.removeprefix("--").replace("-", "_")
                what = (option, word, *find_keys(word), f" {name}", word.upper(), "WEIGHTS")
                assert any(each in said for each in what), (option, other, said)
                assert not said.startswith("it has "), (option, other, said)


def test_words_for_options_and_keys_lead_somewhere() -> None:
    known = {name for command in SINGLE.values() for name in options(command)} | {*options(main)}
    for word, meant in OPTION_WORDS.items():
        is_option = "--" + meant.replace("_", "-") in known
        assert is_option or find_keys(meant) or meant == "weights" or meant in COMMANDS, word
        assert "--" + word.replace("_", "-") not in known or word == "model"
    assert MEANT_VALUES.keys() <= OPTION_WORDS.keys()
    for word, key in KEY_WORDS.items():
        assert find_keys(word) == [key] and key in key_types()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --lr 1e-3", "write `--set train.lr=1e-3`"),
        ("train --learning-rate=1e-3", "write `--set train.lr=1e-3`"),
        ("train --train.lr 1e-3", "write `--set train.lr=1e-3`"),
        ("train --steps 10", "write `--max-steps 10`"),
        ("train --epochs 5", "write `--set epochs=5`"),
        ("train --batch-size 8", "write `--set train.global_batch_size=8`"),
        ("train --augmentations 8", "write `--set data.augmentations=8`"),
        ("train --augmentations --seed 1", "write `--set data.augmentations=VALUE`"),
        ("train --betas 0.9,0.95", 'write `--set "train.betas=[0.9, 0.95]"`'),
        ("train --test a,b", "write `--set \"data.test=['a', 'b']\"`"),
        ("train --output-dir 'my run'", "write `--out 'my run'`"),
        ("train --maxsteps 3", "did you mean `--max-steps`?"),
        ("train --lrr 3", "did you mean `--set train.lr=VALUE`?"),
        ("train --list-presets", "it is a command, `arc-trm presets`"),
        ("train --gpus 4", "it stands before the command, `arc-trm --nproc-per-node 4 train`"),
        ("predict --debug", "it stands before the command, `arc-trm --debug predict`"),
        ("predict --version", "it stands before the command, `arc-trm --version predict`"),
        ("adapt --weights w", "write WEIGHTS without an option, `arc-trm adapt w`"),
        ("merge --weights 2,1", "did you mean `--vote-weights`?"),
        ("train --gpu 0", "write `--device cuda:0`"),
        ("train --gpu", "write `--device cuda`"),
        ("predict --cuda=1", "write `--device cuda:1`"),
        ("predict --cpu", "write `--device cpu`"),
        ("train --cpu --seed 1", "write `--device cpu`"),
        ("train --bf16", "write `--set dtype=bfloat16`"),
        ("adapt w --fp16 --seed 1", "write `--set dtype=bfloat16`"),
        ("train --amp true", "write `--set dtype=bfloat16`"),
        ("train --name x", "write `--out x`"),
        ("predict --run-name x", "write `--out x`"),
        ("train --limit 3h", "did you mean `--time-limit`?"),
        ("predict --steps 4", "did you mean `--supervision-steps`?"),
        ("predict --lr 1", "train.lr is set in training, with `arc-trm train --set`"),
        ("data fetch --solutions x", "it is an option of score, report"),
        ("data show --clues 3", "it is an option of data generate"),
    ],
)
def test_what_the_usual_guesses_are_answered_with(arguments: str, said: str) -> None:
    assert advice(*shlex.split(arguments)) == said


def test_an_option_is_not_suggested_for_a_value_that_it_does_not_take() -> None:
    said = advice("predict", "--limit", "3")  # of tasks, perhaps, but not a time
    assert said.startswith("it has --") and "--max-guesses" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((word, f"did you mean `arc-trm {command}`?") for word, command in COMMAND_WORDS.items()),
        ("trian", "did you mean `arc-trm train`?"),
        ("zzz", f"known: {', '.join(COMMANDS)}"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_is_meant(name: str, said: str) -> None:
    result = run_cli(name)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f'Error: No such command "{name}": {said}'
    assert set(COMMAND_WORDS.values()) <= set(COMMANDS)


def test_an_option_that_nothing_resembles_lists_those_that_there_are() -> None:
    said = advice("push", "--zzzzzz")
    assert said.startswith("it has ") and "--licence" in said


@pytest.mark.parametrize("key", [key for key, kind in key_types().items() if "tuple" in str(kind)])
@pytest.mark.parametrize("text", ["0.9,0.5", "[mine]", "it's", 'a "b" $c', "a'b\"c", "\x1b\\"])
def test_a_list_is_shown_as_it_is_written(key: str, text: str, tmp_path: Path) -> None:
    """What a message shows is what a shell and then --set take."""
    if key == "train.betas":
        text = "[0.5,0.25"
    result = run_cli("train", "--set", f"{key}={text}", "--out", tmp_path / "run")
    assert result.exit_code == 2
    shown = result.stderr.partition(": write `")[2].rpartition("`")[0]
    option, setting = shlex.split(shown)
    assert option == "--set"
    config = load_config(overrides=[setting])
    table, name = key.split(".")
    items = [part.strip(" \"'") for part in text.strip("[]").split(",")]
    assert [str(each) for each in getattr(getattr(config, table), name)] == items
