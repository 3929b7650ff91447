"""The pipeline in Python: ten lines of a notebook, without a path, do what the commands do."""

from __future__ import annotations

import json
import math
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tiny import write_challenges, write_predictions

import arc_trm
from arc_trm.checkpoint import WeightsDir, save_weights
from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import PredictionSet, build_submission
from arc_trm.evaluation.source import PredictionSource
from arc_trm.run_inputs import RunInputs
from submission import read_submission, submission_problems

TINY = ["model.hidden_size=32", "model.num_heads=2", "model.puzzle_emb_dim=32"]
TINY += ["data.max_grid_size=3", "data.augmentations=1", "train.warmup_steps=2"]
OVERRIDES = [argument for setting in TINY for argument in ("--set", setting)]


class Recorder(arc_trm.Callback):
    """Records what a job reports."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.records: list[Mapping[str, float]] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        self.steps.append((done, total))
        if record is not None:
            self.records.append(record)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without earlier runs."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_ten_lines_without_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    run = arc_trm.train("quickstart", max_steps=4, overrides=TINY)
    predictions = arc_trm.predict(run)
    scored = predictions.score()
    page = predictions[0]._repr_html_()
    predictions.write_submission("mine.json")

    (folder,) = Path("runs").iterdir()
    assert run.path == folder and (run.step, run.total_steps) == (4, 4)
    assert not run.interrupted and [record["step"] for record in run.metrics][-1] == 4
    assert predictions.job is not None and not predictions.job.guesses
    assert len(predictions) == predictions.tasks.test_outputs > 1
    assert predictions.tasks.ids == [each.id for each in predictions.tasks]
    assert scored == arc_trm.score() == arc_trm.score(run) == arc_trm.score(predictions)
    assert scored == arc_trm.open_predictions().score()
    for shown in (page, predictions._repr_html_(), run._repr_html_()):
        assert shown is not None and shown.startswith('<div role="img"')
        ElementTree.fromstring(f"<page>{shown}</page>")
    assert page is not None and predictions[0].task_id in page
    mine = read_submission("mine.json")
    assert mine == read_submission(predictions.job.files["submission"])
    assert submission_problems(mine, predictions.tasks.to_json(solutions=False)) == []
    output = capsys.readouterr()
    assert output.out == output.err == ""  # a notebook is told nothing that it did not ask for


@pytest.mark.slow
def test_the_functions_write_what_the_commands_write(cli: Callable[..., Result]) -> None:
    arc_trm.predict(arc_trm.train("quickstart", max_steps=3, overrides=TINY, out="python"))
    result = cli("train", "--preset", "quickstart", "--max-steps", 3, *OVERRIDES, "--out", "shell")
    assert result.exit_code == 0, result.output
    assert cli("predict", "shell").exit_code == 0
    files = [path.relative_to("python") for path in Path("python").rglob("*") if path.is_file()]
    other = [path.relative_to("shell") for path in Path("shell").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(other)
    names = {path.name: path for path in files}
    assert {"run.json", "metrics.jsonl", "submission.json", "predictions.jsonl"} < set(names)
    for name in ("run.json", "submission.json", "puzzle_ids.json", "model.safetensors"):
        one, same = ((Path(run) / names[name]).read_bytes() for run in ("python", "shell"))
        assert one == same
    # The metadata in the first line say when and by which model.
    logs = [(Path(run) / names["predictions.jsonl"]).read_text() for run in ("python", "shell")]
    predicted = [[x for x in log.splitlines()[1:] if '"status"' not in x] for log in logs]
    assert predicted[0] == predicted[1]
    record = json.loads(cli("score", "shell", "--json").output)
    del record["about"]
    assert record == json.loads(json.dumps(arc_trm.score("python").to_dict()))


@pytest.mark.slow
def test_a_callback_hears_notes_and_progress(tiny_run: Path) -> None:
    training, predicting, resuming = Recorder(), Recorder(), Recorder()
    run = arc_trm.train("quickstart", max_steps=4, overrides=TINY, callbacks=[training])
    assert training.steps[-1] == (4, 4)
    assert [done for done, _ in training.steps] == sorted(done for done, _ in training.steps)
    assert len(training.records) > 0 and all("train/lm_loss" in each for each in training.records)
    assert any(str(run.path) in note for note in training.notes)
    predictions = arc_trm.predict(tiny_run, callbacks=[predicting])
    assert predictions.job is not None
    total = predictions.job.queries
    assert predicting.steps[0] == (0, total) and predicting.steps[-1] == (total, total)
    assert predicting.notes == []
    arc_trm.predict(tiny_run, callbacks=[resuming])
    assert resuming.notes == [f"{total} of {total} predictions exist already"]
    assert resuming.steps == []


def test_show_progress_prints_and_callbacks_still_hear(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    arc_trm.predict(tiny_run, callbacks=[recorder], show_progress=True)
    output = capsys.readouterr()
    done, total = recorder.steps[-1]
    assert f"predicting {done}/{total}" in output.err and output.out == ""
    arc_trm.predict(tiny_run, callbacks=[recorder], show_progress=True)
    (note,) = recorder.notes
    assert capsys.readouterr().err == f"{note}\n"  # and no line about 0 of 0
    arc_trm.predict(tiny_run)
    output = capsys.readouterr()
    assert output.out == output.err == ""


def test_mistakes_raise_one_sentence(tiny_run: Path) -> None:
    for call, sentence in (
        (lambda: arc_trm.predict("gone"), "gone"),
        (lambda: arc_trm.predict(tiny_run, attempts=3), "at most 2 attempts, not 3"),
        (
            lambda: arc_trm.predict(tiny_run, out="tiny_challenges.json"),
            "cannot make the folder for the predictions tiny_challenges.json",
        ),
        (lambda: arc_trm.score("gone.json"), "gone.json does not exist"),
        (lambda: arc_trm.train("quickstrat"), "quickstart"),
        (lambda: arc_trm.adapt(tiny_run), "name the tasks to adapt to with --data"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["c" * 5000, "c/" * 3000, "c" * 5000 + ".csv"])
def test_a_name_that_is_too_long_for_a_path_is_a_mistake_like_others(
    tiny_run: Path, name: str
) -> None:
    for call in (
        lambda: arc_trm.load_model(name),
        lambda: arc_trm.load_tasks(name),
        lambda: arc_trm.open_predictions(name),
        lambda: arc_trm.score(tiny_run, data=name),
        lambda: arc_trm.train(name),
        lambda: arc_trm.train(config=name),
        lambda: arc_trm.train(data="tiny_challenges.json", out=name),
        lambda: arc_trm.train(resume=name),
        lambda: arc_trm.adapt(name, "tiny_challenges.json"),
        lambda: arc_trm.predict(name, "tiny_challenges.json"),
        lambda: arc_trm.predict(tiny_run, out=name),
        lambda: WeightsDir(name).config,
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentations": -1}, "augmentations must be 0 to 1000000, got -1"),
        ({"supervision_steps": 0}, "supervision_steps must be 1 to 1024, got 0"),
        ({"batch_size": -1}, "batch_size must be 1 to 1048576, got -1"),
        ({"canvas": "x"}, 'canvas must be one of full, bucketed, got "x"'),
        ({"time_limit": 0}, "a time limit must be above 0"),
        ({"time_limit": math.nan}, "a time limit must be above 0"),
    ],
)
def test_arguments_of_predict_are_checked_before_anything_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        arc_trm.predict("no-such-folder", **options)


def test_too_many_steps_are_refused_before_a_run_is_made(challenges: Path, tmp_path: Path) -> None:
    for limits in ({}, {"time_limit": 2.0}):
        with pytest.raises(UserError, match=r"_steps must be 0 to 2147483647, got "):
            arc_trm.train(data=challenges, max_steps=2**31, out=tmp_path / "run", **limits)
        assert not (tmp_path / "run").exists()


def test_predictions_say_how_weights_copied_from_a_run_were_trained(
    tiny_run: Path, challenges: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    (tmp_path / "copy").mkdir()
    for name in ("config.json", "model.safetensors", "puzzle_embedding.safetensors"):
        shutil.copy(tiny_run / name, tmp_path / "copy")
    shutil.copy(tiny_run / "puzzle_ids.json", tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    config["training"] |= {"preset": "quickstart", "changed": ["train.lr=0.5"]}
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    of_run, of_copy = (
        json.loads(cli("predict", each, "--data", challenges, "--json", *out).stdout)["about"]
        for each, out in ((tiny_run, ()), (tmp_path / "copy", ("--out", tmp_path / "out")))
    )
    about = WeightsDir(tiny_run).description
    for facts in (of_run, of_copy):
        assert (facts["step"], facts["total_steps"]) == (about.step, about.step)
        assert facts["train_data"] == ["tiny_challenges.json (demonstrations)"]
        assert (facts["seed"], facts["parameters"]) == (0, about.parameters)
    assert (of_run["preset"], of_run["changed"]) == (None, [])  # `tiny` is no preset
    assert (of_copy["preset"], of_copy["changed"]) == ("quickstart", ["train.lr=0.5"])
    lines = PredictionSource.open(tmp_path / "out").summary.lines()
    assert "preset quickstart with train.lr=0.5, step" in lines[1]


def test_predictions_of_weights_of_an_unknown_step_name_none(weights_dir: Path) -> None:
    weights = WeightsDir(weights_dir)
    parts = weights.parts
    save_weights(weights_dir, weights.config, parts.network, parts.embedding, 0)
    path = write_challenges(weights_dir.parent)
    arc_trm.predict(weights_dir, path, out="unknown")
    summary = arc_trm.open_predictions("unknown").summary
    assert summary.parameters is not None and summary.step is None


def test_predictions_in_memory_are_scored_against_their_own_tasks(challenges: Path) -> None:
    tasks = arc_trm.load_tasks(challenges)
    predictions = PredictionSet(tasks.without_solutions(), ())
    with pytest.raises(UserError, match="data and solutions go with the path of predictions"):
        arc_trm.score(predictions, solutions="solutions.json")
    with pytest.raises(UserError, match=r"no test output of .* is known"):
        arc_trm.score(predictions)


@pytest.mark.parametrize(
    ("trained_on", "warns"),
    [
        ("arc-agi-1/training", True),
        ("arc-agi-1/training (demonstrations)", False),
        ("small.json", False),  # of another folder and time, perhaps
    ],
)
def test_weights_without_their_run_say_which_tasks_leaked(
    weights_dir: Path, trained_on: str, warns: bool
) -> None:
    config = json.loads((weights_dir / "config.json").read_text())
    config["training"]["trained_on"] = [trained_on]
    (weights_dir / "config.json").write_text(json.dumps(config))
    small = arc_trm.load_tasks("arc-agi-1/training").filter_by_size(3)
    Path("small.json").write_text(json.dumps({task.id: task.to_json() for task in small}))
    recorder = Recorder()
    RunInputs.resolve(weights_dir, "small.json", callback=recorder)
    shared = f"small.json shares {len(small)} of its {len(small)} tasks with arc-agi-1/training, "
    assert any(note.startswith(shared) for note in recorder.notes) is warns
    facts = {"weights": "o/n@v1", "train_data": [trained_on]}
    made = write_predictions(Path("made"), small, build_submission((), small), **facts)
    leaks = PredictionSource.open(made, data="small.json").leakage()
    assert any(leak.startswith(shared) for leak in leaks) is warns
