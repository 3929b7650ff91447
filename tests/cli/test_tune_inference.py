"""`arc-trm tune-inference`: what it writes, what it refuses, and what `predict` makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from commands import run_cli
from puzzles import grid_config, write_puzzles
from tiny import contents, run_config, write_challenges, write_weights

import arc_trm
from arc_trm.checkpoint import WeightsDir
from arc_trm.config import InferenceConfig
from arc_trm.errors import UserError
from arc_trm.inference import tune
from arc_trm.training import train_run

FILE = "inference.json"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, trained on 5 of 12 Sudokus, with 7 for validation, and `other.csv`.

    The run is tuned on other.csv, puzzles that it does not know.
    """
    folder = tmp_path_factory.mktemp("tuned")
    config = grid_config(folder, train_puzzles=5, validation_puzzles=7)
    train_run(config, torch.device("cpu"), folder / "run")
    write_puzzles(folder, count=9, seed=5).rename(folder / "other.csv")
    arc_trm.tune_inference(folder / "run", folder / "other.csv", time_limit=None)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained`."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace(str(trained), str(tmp_path)))
    return tmp_path


@pytest.fixture
def untuned(folder: Path) -> Path:
    """A copy of `trained` in which the run is not tuned."""
    (folder / "run" / FILE).unlink()
    return folder


def error_of(result: Result) -> str:
    """Return the sentence of a command that ended with status 2."""
    assert result.exit_code == 2, result.output
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.endswith(f"{sentence}\n")
    return sentence


def tune_inference(run: Path | str, *options: object) -> Result:
    """Tune without the usual limit, which begins when this process started."""
    return run_cli("tune-inference", run, "--time-limit", "99h", *options)


def set_choice(run: Path, **inference: object) -> None:
    """Change what was chosen."""
    record = json.loads((run / FILE).read_text())
    record["inference"] |= inference
    (run / FILE).write_text(json.dumps(record))


def test_the_choice_is_the_default_of_predict(untuned: Path) -> None:
    folder, run, other = untuned, untuned / "run", untuned / "other.csv"
    before = contents(run)
    result = tune_inference(run, "--data", other)
    assert result.exit_code == 0, result.output
    *table, _, reason, path = result.stdout.splitlines()
    assert table[0].startswith("setting ") and path == str(run / FILE)
    assert len([line for line in table if line.endswith("<- chosen")]) == 1
    assert reason.startswith("chosen: ")
    assert "plain: " in result.stderr and f"next: `arc-trm predict {run}`" in result.stderr
    after = contents(run)
    assert {**before, FILE: after[FILE]} == after
    assert str(folder) not in (run / FILE).read_text()
    record = json.loads((run / FILE).read_text())
    assert (record["data"], record["puzzles"], len(record["digests"])) == ("other.csv", 9, 9)

    set_choice(run, samples=3, noise=0.2)
    predicted = run_cli("predict", run)
    assert predicted.exit_code == 0
    assert "asking as `arc-trm tune-inference` chose: samples 3, noise 0.2" in predicted.stderr
    named = run_cli("predict", run, "--samples", 3, "--noise", 0.2)
    assert named.stdout == predicted.stdout  # the same job
    assert "as the options say, not as `arc-trm tune-inference` chose" in named.stderr


def test_json_has_everything(folder: Path) -> None:
    result = tune_inference(folder / "run", "--data", folder / "other.csv", "--json")
    record = json.loads(result.stdout)
    assert record["settings"][0]["setting"] == "plain"
    assert {"solved", "total", "value", "steps", "seconds"} < record["settings"][0].keys()
    (chosen,) = [each for each in record["settings"] if each["chosen"]]
    assert (
        chosen["config"]
        == record["chosen"]
        == json.loads((folder / "run" / FILE).read_text())["inference"]
    )
    assert record["file"] == str(folder / "run" / FILE)
    assert record["interrupted"] is False and record["puzzles"] == 9


def test_without_data_the_puzzles_that_a_run_holds_out_are_used(folder: Path) -> None:
    assert tune_inference(folder / "run").exit_code == 0
    choice = WeightsDir(folder / "run").inference
    assert choice is not None and choice.puzzles == 7
    assert choice.data == "puzzles held out of sudoku-0.csv"


def test_puzzles_that_were_trained_on_or_are_predicted_are_refused(folder: Path) -> None:
    run = folder / "run"
    before = contents(run)
    mistake = error_of(tune_inference(run, "--data", folder / "sudoku-1.csv"))
    assert "shares 8 of its 8 puzzles with data.test of the run" in mistake
    mistake = error_of(tune_inference(run, "--data", folder / "sudoku-0.csv"))
    assert "shares 5 of its 12 puzzles with" in mistake and "was trained on" in mistake
    assert contents(run) == before


def test_what_cannot_be_tuned_is_refused(untuned: Path, tmp_path: Path) -> None:
    folder, run = untuned, untuned / "run"
    path = run / "run.json"
    path.write_text(path.read_text().replace('"validation_puzzles":7', '"validation_puzzles":0'))
    assert "has no puzzles for validation" in error_of(tune_inference(run))
    assert "into which the choice" in error_of(tune_inference("owner/name"))
    header, *rows = (folder / "other.csv").read_text().splitlines()
    answer = header.split(",").index("answer")
    cells = [["" if n == answer else cell for n, cell in enumerate(row.split(","))] for row in rows]
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("\n".join([header, *map(",".join, cells), ""]))
    mistake = error_of(tune_inference(run, "--data", unknown))
    assert "no puzzle with known outputs" in mistake
    weights = write_weights(tmp_path / "weights", names="")
    mistake = error_of(tune_inference(weights))
    assert "is not a run, so name held-out puzzles with --data" in mistake
    assert not (run / FILE).exists()


def test_training_data_that_is_gone_is_named(untuned: Path) -> None:
    run = untuned / "run"
    gone = untuned / "sudoku-0.csv"
    gone.unlink()
    copied = untuned / "weights"  # no run any more
    shutil.copytree(run, copied, ignore=shutil.ignore_patterns("run.json"))
    for weights, name in ((run, str(gone)), (copied, gone.name)):
        result = tune_inference(weights, "--data", untuned / "other.csv")
        assert result.exit_code == 0, result.output
        assert f"{name} was trained on and is not here" in result.stderr


def test_predicting_what_was_tuned_on_is_refused(folder: Path) -> None:
    run, other = folder / "run", folder / "other.csv"
    set_choice(run, samples=3, noise=0.2)
    mistake = error_of(run_cli("predict", run, "--data", other))
    assert "shares 9 of its 9 puzzles with other.csv" in mistake
    assert mistake.endswith("with --samples 3 --noise 0.2")
    assert run_cli("predict", run, "--data", other, "--samples", 1).exit_code == 0


def test_other_weights_are_asked_plainly(folder: Path) -> None:
    run = folder / "run"
    set_choice(run, samples=3, noise=0.2)
    copied = folder / "copy"
    shutil.copytree(run, copied)
    note = "asking as `arc-trm tune-inference` chose: samples 3, noise 0.2"
    assert note in run_cli("predict", copied, "--data", folder / "sudoku-1.csv").stderr

    path = run / "run.json"
    path.write_text(path.read_text().replace('"seed":0', '"seed":1'))
    assert run_cli("train", "--resume", run, "--restart").exit_code == 0
    predicted = run_cli("predict", run)
    assert predicted.exit_code == 0
    assert f"{run / FILE} was tuned for other weights than these" in predicted.stderr
    assert note not in predicted.stderr
    plain = run_cli("predict", run, "--samples", 1)
    assert plain.stdout == predicted.stdout  # the same job


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"format": "arc-trm inference 9"}',
        '{"format": "arc-trm inference 1"}',
        {"inference": {"samples": 10**9}},
        {"inference": {"samples": 3, "noise": 1e400}},
        {"inference": {"samples": "3"}},
        {"inference": {"samples": 3}},
        {"inference": {"select": "__import__"}},
        {"inference": {"unknown": 1}},
        {"data": "a\u001b[31m\nb"},
        {"data": "x" * 10_000},
        {"weights": "../.."},
        {"digests": []},
        {"digests": ["x"]},
        {"puzzles": -1},
        {"reason": ""},
    ],
    ids=str,
)
def test_a_damaged_choice_is_one_sentence(folder: Path, damage: Any) -> None:
    run = folder / "run"
    record = json.loads((run / FILE).read_text())
    text = damage if isinstance(damage, str) else json.dumps({**record, **damage})
    (run / FILE).write_text(text)
    mistake = error_of(run_cli("predict", run))
    assert FILE in mistake and mistake.isprintable()
    assert run_cli("predict", run, "--samples", 1).exit_code == 0


@pytest.fixture
def sends_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sends this process a signal when so many settings were tried."""
    handler = signal.getsignal(signal.SIGTERM)
    describe = tune.__globals__["describe_trial"]

    def send(number: int, count: int) -> None:
        tried = []

        def describe_and_send(trial: Any) -> str:
            tried.append(trial)
            if len(tried) == count:
                os.kill(os.getpid(), number)
            return str(describe(trial))

        monkeypatch.setitem(tune.__globals__, "describe_trial", describe_and_send)

    yield send
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_whole_choice_or_none(
    untuned: Path, sends_after: Any, number: signal.Signals
) -> None:
    run = untuned / "run"
    arguments = (run, "--data", untuned / "other.csv")
    before = contents(run)
    sends_after(number, 1)
    result = tune_inference(*arguments)
    assert result.exit_code == (130 if number == signal.SIGINT else 143)
    assert contents(run) == before

    sends_after(number, 4)
    result = tune_inference(*arguments)
    assert result.exit_code == 128 + number, result.output
    assert "interrupted: chosen among" in result.stderr
    assert WeightsDir(run).inference is not None and WeightsDir(run).inference_fits
    assert set(contents(run)) == {*before, FILE}


def test_a_full_disk_leaves_the_former_choice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder / "run"
    before = contents(run)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    mistake = error_of(tune_inference(run, "--data", folder / "other.csv"))
    assert FILE in mistake
    assert contents(run) == before


def test_in_python(untuned: Path) -> None:
    folder = untuned
    result = arc_trm.tune_inference(folder / "run", folder / "other.csv", time_limit=None)
    assert result.file == folder / "run" / FILE
    choice = WeightsDir(folder / "run").inference
    assert choice is not None and choice.inference == result.chosen.config
    assert isinstance(choice.inference, InferenceConfig)
    with pytest.raises(UserError, match="seed must not be negative"):
        arc_trm.tune_inference(folder / "run", folder / "other.csv", seed=-1)


def test_arc_tasks_are_tuned_on_those_of_data_validation(tmp_path: Path) -> None:
    """Their demonstrations are trained on, their outputs are not."""
    tasks = json.loads(write_challenges(tmp_path, 5).read_text())
    solutions = json.loads((tmp_path / "tiny_solutions.json").read_text())
    for name, ids in {"test": ["task0", "task1"], "own": ["task2", "task3", "task4"]}.items():
        for what, values in (("challenges", tasks), ("solutions", solutions)):
            part = {each: values[each] for each in ids}
            (tmp_path / f"{name}_{what}.json").write_text(json.dumps(part))
    test, own = (tmp_path / f"{name}_challenges.json" for name in ("test", "own"))
    data = {"test": [str(test)], "validation": [str(own)], "augmentations": 2}
    run = tmp_path / "run"
    train_run(run_config(test, data=data), torch.device("cpu"), run)
    result = tune_inference(run, "--augmentations", 1)
    assert result.exit_code == 0, result.output
    assert "pass@2 per task" in result.stdout
    for name in (test, tmp_path / "tiny_challenges.json"):
        mistake = error_of(tune_inference(run, "--data", name))
        assert "2 of its" in mistake and "with data.test of the run" in mistake
    assert run_cli("predict", run).exit_code == 0
    mistake = error_of(run_cli("predict", run, "--data", own))
    assert "shares 3 of its 3 tasks with" in mistake
