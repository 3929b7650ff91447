"""Runs made by an earlier arc-trm, without settings that are new, are resumed to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TRAIN, contents, run_config

from arc_trm import runs
from arc_trm.checkpoint import EMBEDDING_FILE, NETWORK_FILE, WeightsDir, read_tensors, write_tensors
from arc_trm.checkpoint.weights_dir import METADATA_KEY
from arc_trm.config import RunConfig, to_dict
from arc_trm.config.compare import flatten
from arc_trm.errors import UserError
from arc_trm.runs import Run
from arc_trm.training import Callback, train_run

CPU = torch.device("cpu")
STOP = 5
FILES = (runs.TRAINING_STATE, NETWORK_FILE, EMBEDDING_FILE)
PLACES = ("run.json", "config.json", "state", "weights")


class Kill(Callback):
    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == STOP:
            raise InterruptedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a run that was trained to its end, and one that was killed and can be resumed."""
    from tiny import write_challenges

    folder = tmp_path_factory.mktemp("upgrade")
    train = {**TRAIN, "save_interval_s": 1e-6}
    config = run_config(write_challenges(folder), train=train)
    train_run(config, CPU, folder / "straight")
    with pytest.raises(InterruptedError):
        train_run(config, CPU, folder / "killed", callbacks=[Kill()])
    return folder


@pytest.fixture
def killed(folder: Path, tmp_path: Path) -> Path:
    """A copy of the killed run."""
    return Path(shutil.copytree(folder / "killed", tmp_path / "killed"))


def keys_at_default(run: Path) -> list[str]:
    defaults = flatten(to_dict(RunConfig()))
    settings = flatten(to_dict(Run(run).config))
    return [key for key, value in settings.items() if value == defaults[key]]


def drop(settings: dict[str, Any], keys: Iterable[str]) -> int:
    """Delete keys such as `model.mixer` from nested settings; return how many there were."""
    dropped = 0
    for key in keys:
        *tables, name = key.split(".")
        table: Any = settings
        for each in tables:
            table = table.get(each, {})
        dropped += table.pop(name, table) is not table
    return dropped


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_metadata(path: Path, key: str, edit: Callable[[dict[str, Any]], object]) -> None:
    tensors, metadata = read_tensors(path)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    content = json.loads(metadata[key])
    edit(content)
    write_tensors(path, tensors, {**metadata, key: json.dumps(content)})


def edit(run: Path, place: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings that a file of a run holds."""
    match place:
        case "state":
            edit_metadata(run / runs.TRAINING_STATE, "config", change)
        case "weights":
            for file in (NETWORK_FILE, EMBEDDING_FILE):
                edit_metadata(run / file, METADATA_KEY, change)
        case _:
            edit_json(run / place, change)


@pytest.mark.parametrize("places", [PLACES, *[(place,) for place in PLACES]], ids="+".join)
def test_a_run_without_new_settings_is_resumed_to_the_last_bit(
    folder: Path, killed: Path, places: tuple[str, ...]
) -> None:
    keys = keys_at_default(killed)
    assert {"model.mixer", "train.optimiser", "data.test_puzzles", "adapt"} <= {*keys}
    for place in places:
        counts: list[int] = []
        edit(killed, place, lambda settings: counts.append(drop(settings, keys)))  # noqa: B023
        assert all(count >= 8 for count in counts)
    config = WeightsDir(killed).config
    assert WeightsDir(killed).parts.step == STOP - 1  # the weights load, too
    train_run(Run(killed).config, CPU, killed, resume=True)
    assert WeightsDir(killed).config == config
    for file in FILES:
        resumed, _ = read_tensors(killed / file)
        straight, _ = read_tensors(folder / "straight" / file)
        assert resumed.keys() == straight.keys()
        assert all(torch.equal(tensor, straight[name]) for name, tensor in resumed.items())


def test_each_new_setting_alone_is_filled_in(folder: Path, killed: Path) -> None:
    config, weights = Run(killed).config, WeightsDir(killed).config
    for key in keys_at_default(killed):
        for place in ("run.json", "config.json"):
            shutil.copy(folder / "killed" / place, killed / place)
            edit(killed, place, lambda settings: drop(settings, [key]))  # noqa: B023
        assert Run(killed).config == config and WeightsDir(killed).config == weights


def refusal(run: Path) -> str:
    """Return why a run is not resumed, which changes nothing."""
    before = contents(run)
    with pytest.raises(UserError) as caught:
        train_run(Run(run).config, CPU, run, resume=True)
    assert contents(run) == before
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 1000
    return sentence


def test_a_changed_setting_is_named_with_both_values(killed: Path) -> None:
    edit(killed, "run.json", lambda settings: settings["model"].update(mixer="mlp"))
    assert refusal(killed) == (
        f'model.mixer was "attention" when {killed / runs.TRAINING_STATE} was written, run.json '
        'now says "mlp": change it back or start a new run'
    )


def test_several_changed_settings_are_named_and_the_same_ones_are_not(killed: Path) -> None:
    edit(killed, "run.json", lambda settings: settings["model"].update(mixer="mlp", num_layers=1))
    edit(killed, "run.json", lambda settings: settings["train"].update(global_batch_size=8))
    sentence = refusal(killed)
    assert 'model.num_layers was 2, model.mixer was "attention" and train.global' in sentence
    assert "train.global_batch_size was 4 when" in sentence and 'says 1, "mlp" and 8:' in sentence
    assert "hidden_size" not in sentence


def test_a_new_setting_that_is_not_at_its_default_is_a_difference(killed: Path) -> None:
    edit(killed, "state", lambda settings: drop(settings, ["model.mixer"]))
    edit(killed, "run.json", lambda settings: settings["model"].update(mixer="mlp"))
    assert refusal(killed).startswith('model.mixer was "attention" when ')


def test_a_setting_that_this_version_lacks_is_named(killed: Path) -> None:
    edit(killed, "state", lambda settings: settings["model"].update(feed_forward="swiglu"))
    assert refusal(killed) == (
        f'model.feed_forward was "swiglu" when {killed / runs.TRAINING_STATE} was written, but '
        "this version of arc-trm has no such setting: resume with the version that wrote it, or "
        "start a new run"
    )
    edit(killed, "run.json", lambda settings: settings["model"].update(feed_forward="swiglu"))
    expected = r'"model\.feed_forward".*use the version of arc-trm that'
    with pytest.raises(UserError, match=expected):
        _ = Run(killed).config


@pytest.mark.parametrize("place", ["weights", "config.json"])
def test_weights_with_a_setting_that_this_version_lacks_are_refused(
    killed: Path, place: str
) -> None:
    edit(killed, place, lambda settings: settings["model"].update(feed_forward="swiglu"))
    with pytest.raises(UserError) as caught:
        _ = WeightsDir(killed).parts
    assert '"model.feed_forward"' in str(caught.value)
    assert "use the version of arc-trm that wrote it" in str(caught.value)


@pytest.mark.parametrize("text", ["", "5", "[]", "{", '{"a": ' * 5000, "[" * 100_000])
def test_settings_of_a_strange_training_state_are_refused(killed: Path, text: str) -> None:
    tensors, metadata = read_tensors(killed / runs.TRAINING_STATE)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    write_tensors(killed / runs.TRAINING_STATE, tensors, {**metadata, "config": text})
    assert "is not the training state of this run" in refusal(killed)


def test_many_strange_settings_make_one_short_sentence(killed: Path) -> None:
    strange = {f"{'x' * 500}\n{n}": "y" * 10_000 for n in range(500)}
    edit(killed, "state", lambda settings: settings.update(strange))
    assert " and so on when " in refusal(killed)
