"""The commands, from training to a score, and what a user's mistakes look like."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from commands import run_cli
from paths import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import write_challenges

from arc_trm import __version__
from arc_trm.cli import COMMANDS, main
from arc_trm.config import preset_names, read_preset
from arc_trm.data.loader import load_tasks
from arc_trm.data.registry import manifests
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.runs import Run, predictions_of
from arc_trm.training import METRICS
from submission import DENOMINATORS, read_challenges, read_submission

SETTINGS = (
    "dtype='float32'",
    "data.augmentations=3",
    "model.seq_len=16",
    "model.hidden_size=32",
    "model.num_heads=2",
    "model.puzzle_emb_dim=32",
    "train.total_steps=6",
    "train.global_batch_size=4",
)


def set_options(*settings: str) -> list[str]:
    """Settings as options: `--set KEY=VALUE` each."""
    return [part for setting in settings for part in ("--set", setting)]


def train(challenges: Path, out: Path) -> Result:
    return run_cli("train", "--out", out, *set_options(*SETTINGS, f"data.test=['{challenges}']"))


def check_mistake(result: Result, message: str) -> None:
    """Check that a command ended with one sentence and status 2."""
    assert result.exit_code == 2
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert message in sentence


@pytest.mark.slow
def test_train_predict_score_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    challenges = write_challenges(tmp_path)
    run = tmp_path / "runs" / "first"
    result = train(challenges, run)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run}\n"

    assert run_cli("predict", "--attempts", "2").exit_code == 0  # the latest run and its tasks
    (folder,) = predictions_of(run)
    submission = read_submission(folder / "submission.json", read_challenges(challenges))
    assert all(out["attempt_1"] != out["attempt_2"] for task in submission.values() for out in task)
    predictions = read_predictions(
        PredictionLog(folder / "predictions.jsonl"), load_tasks(challenges)
    )
    found = [(each.task_id, each.test) for each in predictions]
    assert found == [(f"task{n}", 0) for n in range(3)]
    for each in predictions:
        voters = [name for c in each.candidates for name in c.puzzles]
        assert len(voters) == len(set(voters)) <= 4
        assert all(len(c.puzzles) == c.votes for c in each.candidates)
        written = submission[each.task_id][0]
        assert [g.tolist() for g in each.attempts] == [written["attempt_1"], written["attempt_2"]]

    text = run_cli("score").stdout
    for label in DENOMINATORS:
        assert text.count(label) == 3  # twice with a rate, once with what it means
    solutions = str(tmp_path / "tiny_solutions.json")
    scored = run_cli("score", str(folder / "submission.json"), "--solutions", solutions, "--json")
    assert json.loads(scored.stdout)["pass@2"]["per_output"]["total"] == 3
    file = str(folder / "submission.json")
    assert run_cli("validate", file, "--challenges", str(challenges)).exit_code == 0
    assert run_cli("train", "--resume").stdout == f"{run.relative_to(tmp_path)}\n"
    record = json.loads(run_cli("train", "--resume", "--json").stdout)
    assert record == {"run": "runs/first", "step": 6, "total_steps": 6, "best": None}
    record = json.loads(run_cli("predict", "--json").stdout)
    assert (record["tasks"], record["test_inputs"]) == (3, 3)
    assert Path(record["submission"]).is_file() and Path(record["predictions"]).is_file()


def test_predict_on_other_tasks_guesses_and_says_so(tmp_path: Path) -> None:
    assert train(write_challenges(tmp_path), tmp_path / "run").exit_code == 0
    other = tmp_path / "other.json"
    pair = {"input": [[1] * 9], "output": [[2]]}
    tasks = {name: {"train": [pair], "test": [pair, pair]} for name in ("new", "task0")}
    tasks["new"]["test"][0] = {"input": [[1]], "output": [[2]]}  # the only one that fits 4×4
    other.write_text(json.dumps(tasks))
    out = tmp_path / "new" / "out"
    arguments = ("predict", tmp_path / "run", "--data", other, "--out", out)
    result = run_cli(*arguments)
    assert result.exit_code == 3
    assert "4 of 4 test inputs have no predicted grid: first task new" in result.stderr
    assert f"`arc-trm adapt {tmp_path / 'run'} --data {other}`" in result.stderr
    read_submission(out / "submission.json", tasks)
    assert json.loads(run_cli("score", out, "--json").stdout)["about"]["guesses"] == 4
    assert "\nguesses   4 of 4 test inputs" in run_cli("validate", out).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", ""],
        ["report", ""],
        ["merge", "", "--out", "x.json"],
        ["predict", "--out", ""],
        ["export", "--format", "submission", "--out", ""],
        ["train", "--out", ""],
    ],
)
def test_an_empty_path_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_mistake(run_cli(*arguments), "the path is empty: name a file or folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", ""],
        ["predict", "run", "--data", ""],
        ["predict", "run", "--checkpoint", ""],
        ["adapt", "", "--data", "x.json"],
        ["train", "--preset", ""],
        ["adapt", "run", "--preset", ""],
        ["data", "check", ""],
        ["data", "show", ""],
        ["data", "convert", "", "--out", "x.json"],
        ["show", ""],
        ["pull", ""],
        ["presets", ""],
        ["validate", ""],
    ],
)
def test_an_empty_name_is_a_mistake(arguments: list[str]) -> None:
    check_mistake(run_cli(*arguments), "the name is empty: write one")


def test_a_share_of_guesses_may_be_too_many(tmp_path: Path) -> None:
    assert train(write_challenges(tmp_path), tmp_path / "run").exit_code == 0
    write_challenges(tmp_path, 4)  # one more task than was trained on
    arguments = ("predict", tmp_path / "run", "--data", tmp_path / "tiny_challenges.json")
    for option, status in ((), 0), (("--max-guesses", 0.5), 0), (("--max-guesses", 0), 3):
        result = run_cli(*arguments, *option, "--json")
        assert (result.exit_code, json.loads(result.stdout)["guesses"]) == (status, 1)
    for share in (2, "nan"):
        check_mistake(run_cli(*arguments, "--max-guesses", share), "--max-guesses")


def test_scoring_training_tasks_warns(tmp_path: Path, challenges: Path) -> None:
    options = set_options(*SETTINGS, f"data.train=['{challenges}']", "data.test=[]")
    run = tmp_path / "run"
    assert run_cli("train", "--out", run, *options).exit_code == 0
    predicted = run_cli("predict", run, "--data", challenges)
    scored = run_cli("score", run, "--data", challenges)
    for result in (predicted, scored, run_cli("score", run), run_cli("report", run)):
        assert result.exit_code == 0
        assert "shares 3 of its 3 tasks" in result.stderr


def test_demonstrations_alone_are_no_leak(tmp_path: Path, challenges: Path) -> None:
    """Tasks in both data.train and data.test are trained on without their test outputs."""
    options = set_options(*SETTINGS, *(f"data.{key}=['{challenges}']" for key in ("train", "test")))
    run = tmp_path / "run"
    trained = run_cli("train", "--out", run, *options)
    assert "data.train also has 3 tasks to predict (first task0): of these only demonstrations" in (
        trained.stderr
    )
    predicted = run_cli("predict", run, "--data", challenges)
    scored = run_cli("score", run, "--data", challenges)
    for result in (trained, predicted, scored):
        assert result.exit_code == 0, result.stderr
        assert "shares" not in result.stderr
    # Another task of the same file is trained on with its output.
    tasks = json.loads(challenges.read_text())
    more = tmp_path / "more.json"
    more.write_text(
        json.dumps(tasks | {"new": {**tasks["task0"], "test": tasks["task0"]["train"]}})
    )
    options = set_options(*SETTINGS, f"data.train=['{more}']", f"data.test=['{challenges}']")
    assert run_cli("train", "--out", tmp_path / "two", *options).exit_code == 0
    result = run_cli("predict", tmp_path / "two", "--data", more, "--out", tmp_path / "out")
    assert "shares 1 of its 4 tasks" in result.stderr and "(new)" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:99"], "cannot be used here"),
        (["--data", "none.json"], "none.json is neither a dataset nor"),
        ([], "has no model.safetensors"),
    ],
)
def test_a_mistake_in_predicting_makes_no_folder(
    tiny_run: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    if not options:
        (tiny_run / "model.safetensors").unlink()
    out = tmp_path / "new" / "deep" / "out"
    check_mistake(run_cli("predict", tiny_run, *options, "--out", out), message)
    assert not (tmp_path / "new").exists()


def test_a_run_without_weights_stays_as_it_is(tiny_run: Path) -> None:
    (tiny_run / "model.safetensors").unlink()
    before = sorted(tiny_run.rglob("*"))
    check_mistake(run_cli("predict", tiny_run), "has no model.safetensors")
    assert sorted(tiny_run.rglob("*")) == before


def test_predict_leaves_both_files_or_none(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "submission.json").mkdir(parents=True)
    message = "submission.json was not written by this job: name another folder with --out"
    check_mistake(run_cli("predict", tiny_run, "--out", out), message)
    assert not (out / "predictions.jsonl").exists()


def test_no_job_replaces_what_another_one_wrote(tiny_run: Path, tmp_path: Path) -> None:
    """Neither other data, nor other settings, nor weights that were trained on; score tells them
    apart."""
    more = tmp_path / "more"
    more.mkdir()
    jobs = [
        (),
        ("--data", write_challenges(more, 2)),
        ("--supervision-steps", 1),
        ("--augmentations", 0),
        ("--attempts", 1),
    ]
    kept: dict[Path, bytes] = {}
    seen = set()
    for options in jobs:
        assert run_cli("predict", tiny_run, *options).exit_code == 0
        folder = predictions_of(tiny_run)[0]
        assert folder not in seen
        seen.add(folder)
        assert all(path.read_bytes() == content for path, content in kept.items())
        about = json.loads(run_cli("score", "--json").stdout)["about"]
        assert about["file"] == str(folder / "submission.json")
        kept |= {path: path.read_bytes() for path in folder.iterdir()}
    headers = {run_cli("score", folder).stdout.partition("\n\n")[0] for folder in seen}
    texts = {header.partition("\n")[2].partition("started")[0] for header in headers}
    assert len(texts) == len(jobs)
    assert len(predictions_of(tiny_run)) == len(jobs)
    weights = tiny_run / "model.safetensors"
    tensors = load_file(weights)
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, weights, metadata)
    assert run_cli("predict", tiny_run).exit_code == 0
    assert len(predictions_of(tiny_run)) == len(jobs) + 1
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_ctrl_c_and_full_memory_are_reported(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status, message in (
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "there is not enough memory"),
        (RuntimeError("you tried to allocate 1 TB: can't allocate memory"), 2, "enough memory"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("arc_trm.run_inputs.load_tasks", fail)
        result = run_cli("predict", weights_dir, "--data", "x")
        assert result.exit_code == status
        assert message in result.stderr


def test_two_sets_that_disagree_about_a_task_are_an_error(tmp_path: Path) -> None:
    for name, cell in (("one", 1), ("two", 2)):
        pair = {"input": [[cell]], "output": [[cell]]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"t": {"train": [pair], "test": [pair]}}))
    files = [str(tmp_path / f"{name}.json") for name in ("one", "two")]
    result = run_cli("train", "--set", f"data.test={files}", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert 'have different tasks under the id "t": name only one of them' in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_test_outputs_do_not_change_one_bit(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    solutions = tmp_path / "tiny_solutions.json"
    train(challenges, tmp_path / "known")
    solutions.unlink()
    train(challenges, tmp_path / "hidden")
    for run in ("known", "hidden"):
        assert run_cli("predict", tmp_path / run).exit_code == 0
    small = set_options("data.augmentations=2", "train.global_batch_size=4")
    for name in ("known", "hidden"):
        if name == "known":
            write_challenges(tmp_path)  # its solutions too
        arguments = [tmp_path / "known", "--data", challenges, "--max-steps", 4]
        result = run_cli("adapt", *arguments, *small, "--out", tmp_path / f"adapted-{name}")
        assert result.exit_code == 0, result.output
        solutions.unlink(missing_ok=True)

    def contents(name: str, file: str) -> bytes:
        folder = tmp_path / name
        if file in ("predictions.jsonl", "submission.json"):
            (folder,) = predictions_of(folder)
        content = (folder / file).read_bytes()
        if file == "predictions.jsonl":  # its first line also says of which run, and since when
            content, count = re.subn(rb', "metadata": {[^}]*}', b"", content)
            assert count == 1
            content = re.sub(rb'(?m)^{"status".*\n', b"", content)
        return content

    adapted = ["model.safetensors", "puzzle_embedding.safetensors"]
    for file in adapted:
        assert contents("adapted-known", file) == contents("adapted-hidden", file), file
    files = ["model.safetensors", "puzzle_ids.json", "predictions.jsonl", "submission.json"]
    for file in files:
        assert contents("known", file) == contents("hidden", file), file


MISTAKES = [
    (["train", "--preset", "quikstart"], 'did you mean "quickstart"'),
    (["train", "--set", "train.lrr=1"], 'did you mean "train.lr"'),
    (["train", "--config", "none.toml"], "none.toml: does not exist, expected a file"),
    (["train", "--set", "data.test=['arc-agi-3']"], "arc-agi"),
    (["train", "--set", "data.test=['missing.json']"], "missing.json"),
    (["train", "--set", "data.test=['ragged.json']"], "task bad, train pair 1, input, row 2"),
    (["train", "--set", "data.test=['notjson.json']"], "line 1"),
    (["train", "--set", "data.test=[]"], "there is no pair to train on: data.train is []"),
    (["train", "--set", "model.seq_len=10"], "is not a square number"),
    (["train", "--device", "cuda:99"], "cannot be used here"),
    (["train", "--device", "toaster"], 'invalid device "toaster": use auto, cpu'),
    (["train", "--resume"], "there is no run in"),
    (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
    (
        ["train", "--resume", "nowhere", "--seed", "1"],
        "takes all from nowhere/run.json, which can be edited: leave out --seed",
    ),
    (["predict"], "train one with `arc-trm train`"),
    (["predict", "."], ". is not a weights folder: it has no config.json"),
    (["predict", ".", "--data", "arc-agi-1"], "is not a weights folder"),
    (["predict", "nowhere"], "there is no folder nowhere"),
    (["predict", "--attempts", "3"], "--attempts"),
    (["score"], "there are no predictions yet: make some with `arc-trm train` and"),
    (["score", "missing.json"], "missing.json does not exist: name a predictions.jsonl"),
    (["score", "missing.json", "--data", "arc-agi-1"], "missing.json"),
    (["validate", "notjson.json"], "line 1"),
    (["show", "zzzz"], "zzzz"),
    (["train", "--set", "model.vocab_size=5"], "ARC has 12 tokens"),
    (
        ["train", "--set", "model.architecture=tmr"],
        'model.architecture: unknown architecture "tmr"; did you mean "trm"?',
    ),
    (
        ["train", "--set", "model.architecture=resnet"],
        'model.architecture: unknown architecture "resnet"; known: hrm, transformer, trm',
    ),
    (["train", "--set", "model.block=x"], 'model.block: unknown block "x"; known: '),
    (["train", "--set", "train.loss=x"], 'train.loss: unknown loss "x"; known: softmax, stablemax'),
    (
        ["train", "--set", "train.optimiser=adam"],
        'train.optimiser: unknown optimiser "adam"; did you mean "adamw"?',
    ),
    (
        ["train", "--set", "data.augmentation=x"],
        'data.augmentation: unknown augmentation "x"; known: standard',
    ),
    (
        ["data", "generate", "kakuro", "--out", "x.csv"],
        'puzzles of the kind "kakuro" cannot be generated; known: maze, sudoku',
    ),
    (["train", "--seed", "5", "--set", "seed=3"], "--seed and `--set seed` decide the same"),
    (
        ["train", "--max-steps", "5", "--set", "train.total_steps=6"],
        "--max-steps and `--set train.total_steps` decide the same: leave one of them out",
    ),
    (
        ["train", "--max-steps", "5", "--set", "epochs=6"],
        "--max-steps and `--set epochs` decide the same",
    ),
    (
        ["train", "--time-limit", "5s", "--set", "train={time_limit=6}"],
        "--time-limit and `--set train.time_limit` decide the same: leave one of them out",
    ),
    (
        ["train", "--skip-invalid", "--set", "data.skip_invalid=false"],
        "--skip-invalid and `--set data.skip_invalid` decide the same: leave one of them out",
    ),
    (
        ["train", "--data", "arc-agi-1", "--set", "data.test=['arc-agi-2']"],
        "--data and `--set data.test` decide the same: leave one of them out",
    ),
    (["train", "--set", "lr=1"], 'unknown config key "lr"; did you mean "train.lr"?'),
    (["train", "--set", "total_steps=1"], 'did you mean "train.total_steps"?'),
    (["train", "--set", "train.seed=1"], '"train.seed"; did you mean "seed"?'),
    (["train", "--set", "train.=1"], 'unknown config key "train."; known: train.best_metric'),
    (["train", "--set", "seed" + ".a" * 3000 + "=1"], '--set takes key=value, got "seed.a'),
    (["train", "--set", "data.train=x"], 'is a list, got "x": write `--set "data.train=[\'x\']"`'),
    (["data", "show", "x.jsonl"], "x.jsonl: is empty, expected tasks as JSON"),
    (["score", "x.csv"], "x.csv is a file of puzzles, expected a predictions.jsonl"),
    (["score", "run.json"], "run.json is the config of a run, expected a predictions"),
    (
        ["merge", "none", "none", "--out", "out.json", "--vote-weights", "2"],
        "the number of vote weights is 1, expected 2",
    ),
    (["presets", "quikstart"], 'unknown preset "quikstart"; did you mean "quickstart"?'),
    (["data", "show", "arc-agi-11"], "did you mean"),
    (["trian"], "trian"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_is_one_sentence_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    task = {"train": [{"input": [[1, 2], [3]], "output": [[1]]}], "test": [{"input": [[1]]}]}
    Path("ragged.json").write_text(json.dumps({"bad": task}))
    Path("notjson.json").write_text("{,")
    for name in ("x.csv", "x.jsonl", "run.json"):
        Path(name).touch()
    before = sorted(os.listdir())
    check_mistake(run_cli(*arguments), message)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "run", "--data", "run"),
        ("train", "--data", "run"),
        ("train", "--set", "data.test=['run']"),
        ("adapt", "run", "--data", "run"),
        ("data", "show", "run"),
    ],
)
def test_a_run_is_not_data_but_names_its_data(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_run.rename("run")
    message = "run is a run, which is not data: name its data instead"
    check_mistake(run_cli(*arguments), f"{message}, {tmp_path / 'tiny_challenges.json'}")
    Path("run", "run.json").write_text("{}x")
    check_mistake(run_cli("data", "show", "run"), message)


def test_a_kind_that_is_not_registered_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "datasets" / "sudoku-easy"
    shutil.copytree(ROOT / "datasets" / "sudoku-easy", folder)
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    assert text.count('kind = "sudoku"') == 1
    manifest.write_text(text.replace('kind = "sudoku"', 'kind = "sudokku"'))
    monkeypatch.setattr("arc_trm.data.registry.manifests_folder", lambda: tmp_path / "datasets")
    manifests.cache_clear()
    try:
        result = run_cli("train", "--preset", "sudoku-quick", "--out", tmp_path / "run")
    finally:
        manifests.cache_clear()
    check_mistake(
        result,
        'datasets/sudoku-easy/manifest.toml names the kind of puzzle "sudokku", which is not '
        'registered; did you mean "sudoku"?',
    )
    assert not (tmp_path / "run").exists()


def test_compile_without_a_compiler_is_an_error(
    challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    run = tmp_path / "run"
    result = run_cli("train", "--data", challenges, "--device", "cpu", "--compile", "--out", run)
    check_mistake(result, "torch.compile needs a C compiler, but ")
    assert "is not on the PATH: install one, name yours in CXX, or leave out --compile" in (
        result.stderr
    )
    assert not run.exists()


TINY = ["run", "--data", "tiny_challenges.json"]
ADAPT_MISTAKES = [
    (["run"], "name the tasks to adapt to with --data"),
    (["run", "--data", "none.json"], "none.json is neither a dataset nor"),
    (["run", "--data", "empty.json"], "empty.json: is an empty object, expected tasks"),
    (["run", "--data", "bare.json"], "task a, train: is an empty list"),
    ([*TINY, "--set", "train.time_limit=1"], "train.time_limit both decide how long the run is"),
    ([*TINY, "--time-limit", "soon"], 'a time is written 3h, 90m, 45s or 2h30m, got "soon"'),
    (
        [*TINY, "--preset", "quickstart"],
        "from scratch: name one that adapts, adapt-arc-agi-2 or adapt-long",
    ),
    ([*TINY, "--seed", "1", "--set", "seed=1"], "--seed and `--set seed` decide the same"),
    (["none", *TINY[1:]], "there is no folder none"),
    (["network", *TINY[1:]], "network has no puzzle embedding, whose mean new puzzles start from"),
    (
        [*TINY, "--set", "model.num_layers=3"],
        "model.num_layers is 2 in the weights and cannot become 3",
    ),
    (
        [*TINY, "--set", "adapt.weights=w"],
        "adapt.weights in the config would have no effect: use WEIGHTS",
    ),
    (
        [*TINY, "--set", "data.train=['w']"],
        "data.train in the config would have no effect: use --data",
    ),
    (
        [*TINY, "--set", "data.vote_augmentations=1001"],
        "data.vote_augmentations (1001) must be at most data.augmentations (1000)",
    ),
    ([*TINY, "--out", "run"], "run already holds a run: name another folder"),
    (["--resume", "run"], "run was made by `arc-trm train`: use `arc-trm train --resume run`"),
    (
        [*TINY, "--resume", "run"],
        "takes all from run/run.json, which can be edited: leave out WEIGHTS, --data",
    ),
]


@pytest.fixture(scope="module")
def adapt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its network alone, and task files."""
    folder = tmp_path_factory.mktemp("adapt")
    assert train(write_challenges(folder), folder / "run").exit_code == 0
    (folder / "network").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / "run" / name, folder / "network")
    (folder / "empty.json").write_text("{}")
    bare = {"a": {"train": [], "test": [{"input": [[1]]}]}}
    (folder / "bare.json").write_text(json.dumps(bare))
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"), ADAPT_MISTAKES, ids=lambda value: str(value)[:50]
)
@pytest.mark.slow
def test_a_mistake_in_adapting_is_one_sentence_and_leaves_nothing(
    adapt_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(adapt_folder)
    before = sorted(adapt_folder.rglob("*"))
    check_mistake(run_cli("adapt", *arguments), message)
    assert sorted(adapt_folder.rglob("*")) == before


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(write_challenges(tmp_path), tmp_path / "run").exit_code == 0
    readme = (ROOT / "README.md").read_text()
    pipeline, trainer = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names: dict[str, Any] = {}
    assert "max_steps=500" in pipeline
    exec(pipeline.replace("max_steps=500", "max_steps=2"), names)
    assert (names["run"].step, len(names["predictions"])) == (2, 31)
    read_submission(tmp_path / "submission.json")
    assert "runs/arc2" in trainer
    exec(trainer.replace("runs/arc2", str(tmp_path / "run")), names)
    assert set(METRICS) == set(names["metrics"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_standard_output_is_named() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "arc_trm", "presets"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: standard output: No space left on device\n"


def test_the_python_of_the_evaluation_page_runs(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    assert train(challenges, tmp_path / "run").exit_code == 0
    PredictionSet(load_tasks(challenges), ()).write_submission(tmp_path / "theirs.json")
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, tiny in {
        "runs/arc1": str(tmp_path / "run"),
        "theirs.json": str(tmp_path / "theirs.json"),
        "arc-agi-1/evaluation": str(challenges),
        "00576224": "task0",
    }.items():
        assert name in block
        block = block.replace(name, tiny)
    names: dict[str, Any] = {}
    exec(block, names)
    assert len(names["predictions"]) == 3
    assert names["predictions"].job.guesses == ()


def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = train(write_challenges(tmp_path), tmp_path / "file" / "run")
    assert result.exit_code == 2
    assert "cannot make the run folder" in result.stderr


@pytest.mark.slow
def test_debug_shows_the_traceback() -> None:
    with pytest.raises(UserError, match="is not a weights folder"):
        run_cli("--debug", "predict", ".", "--data", "arc-agi-1")
    assert "arc-trm --debug COMMAND" in run_cli("--help").stdout


def test_every_command_has_help_with_an_example() -> None:
    for name, command in main.commands.items():
        help_text = command.get_help(command.make_context(name, [], resilient_parsing=True))
        assert f"{name} " in help_text.split("Example")[-1], name


@pytest.mark.slow
def test_output_without_utf8_does_not_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "arc_trm", "show", "25ff71a9"]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_train_on_data_with_both_limits_needs_no_config_key(
    challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli("train", "--data", challenges, "--max-steps", 3, "--time-limit", "20m")
    assert result.exit_code == 0, result.output
    run = Run(result.stdout.strip())
    assert (run.step, run.total_steps) == (3, 3)
    assert (run.config.train.max_steps, run.config.train.time_limit) == (3, 1200)
    assert run.config.data.test == (str(challenges),)
    assert "time limit" not in result.stderr


def test_a_single_attempt_is_written_twice(tiny_run: Path) -> None:
    assert run_cli("predict", tiny_run, "--attempts", 1).exit_code == 0
    submission = read_submission(predictions_of(tiny_run)[0] / "submission.json")
    outputs = [output for task in submission.values() for output in task]
    assert len(outputs) == 3
    assert all(output["attempt_1"] == output["attempt_2"] for output in outputs)


def test_more_augmentations_than_were_trained_are_no_secret(tiny_run: Path, tmp_path: Path) -> None:
    trained = Run(tiny_run).config.data.augmentations
    for number, told in ((trained, False), (trained + 1, True)):
        out = tmp_path / str(number)
        result = run_cli("predict", tiny_run, "--augmentations", number, "--out", out)
        assert result.exit_code == 0
        note = f"the weights know at most {trained} augmentations of a task, so {trained} vote, "
        assert (f"{note}not {number}" in result.stderr) == told


@pytest.mark.parametrize("attempts", [0, 3])
def test_attempts_are_one_or_two(tiny_run: Path, attempts: int) -> None:
    check_mistake(run_cli("predict", tiny_run, "--attempts", attempts), "--attempts")
    assert not predictions_of(tiny_run)


def leaf_commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not a group, with its name: `data show`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaf_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


LEAF_COMMANDS = dict(leaf_commands(main))


def option(command: str, name: str) -> click.Option | None:
    """The option of a command with this name, None if it has none."""
    found = [each for each in LEAF_COMMANDS[command].params if name in each.opts]
    assert len(found) <= 1
    return found[0] if found and isinstance(found[0], click.Option) else None


@pytest.mark.parametrize("name", ["predict", "adapt", "push"])
def test_weights_are_the_first_argument(name: str) -> None:
    first, *others = LEAF_COMMANDS[name].params
    assert isinstance(first, click.Argument) and first.name == "weights"
    assert not any("--weights" in each.opts for each in others)


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("--data", "train adapt predict score report show export merge"),
        ("--solutions", "score report"),
        ("--device", "train adapt predict bench"),
        ("--compile", "train adapt predict bench"),
        ("--seed", "train adapt"),
        ("--time-limit", "train adapt predict"),
        ("--max-steps", "train adapt"),
        ("--config", "train adapt bench"),
        ("--set", "train adapt bench"),
        ("--resume", "train adapt"),
        ("--skip-invalid", "train predict"),
        ("--json", "train adapt predict score bench presets convert pull push validate"),
    ],
)
def test_an_option_is_the_same_in_every_command(name: str, commands: str) -> None:
    options = [option(command, name) for command in commands.split()]
    assert all(options), "a command lacks it"
    forms = [
        (each.name, str(each.type), each.metavar, each.default, each.multiple, each.is_flag)
        for each in options
        if each is not None
    ]
    assert len(set(forms)) == 1
    if name != "--data":  # what its default is differs
        assert len({each.help for each in options if each is not None}) == 1


@pytest.mark.parametrize(
    ("command", "name", "sentence"),
    [
        (
            "train",
            "--max-steps",
            "A short run of adapt, or one with a time limit, also has a shorter warm-up",
        ),
        ("data show", "--skip-invalid", "invalid tasks and puzzles, and list them"),
        ("score", "--with-published", "for Sudokus and mazes, scores of trivial answers"),
    ],
)
def test_the_help_of_an_option_says_what_it_changes(command: str, name: str, sentence: str) -> None:
    found = option(command, name)
    assert found is not None and found.help is not None
    assert sentence in found.help


def test_out_is_where_a_command_writes() -> None:
    for name in LEAF_COMMANDS:
        out = option(name, "--out")
        if out is not None:
            assert out.name == "out" and isinstance(out.type, click.Path), name
            assert out.metavar in ("FILE", "FOLDER", "PATH"), name


def test_presets_say_what_they_need_and_give() -> None:
    lines = run_cli("presets").stdout.splitlines()
    for name in preset_names():
        preset = read_preset(name)
        start = lines.index(f"{name}: {preset.summary}")
        assert lines[start + 1 : start + 6] == [
            f"  command:  {preset.command}",
            f"  hardware: {preset.hardware}",
            f"  time:     {preset.time}",
            f"  memory:   {preset.memory}",
            f"  gives:    {preset.gives}",
        ]
        command, *arguments = preset.command.removeprefix("arc-trm ").split()
        assert option(command, "--preset") is not None
        assert name in arguments or name in ("quickstart", "adapt-arc-agi-2")  # the defaults
    record = json.loads(run_cli("presets", "--json").stdout)
    assert list(record) == preset_names()
    assert {"hardware", "time", "memory", "gives"} <= record["quickstart"].keys()
    single = run_cli("presets", "sudoku-quick").stdout
    assert (
        single.startswith("sudoku-quick: ")
        and '[model]\nblock = "digit_equivariant"\nvocab_size = 11' in single
    )


def test_the_version_is_printed() -> None:
    result = run_cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"arc-trm, version {__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_functions_of_a_command_are_short(name: str) -> None:
    folder = ROOT / "arc_trm" / "cli"
    module = name.replace("-", "_")
    for path in (folder / f"{module}.py", *folder.glob(f"{module}_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno + 1 < 60, f"{path.name}: {node.name}"
