"""The commands, from training to a score, and what a user's mistakes look like."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from paths import ROOT
from tiny import write_challenges

from arc_trm.cli import main
from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import read_predictions
from arc_trm.training import METRICS
from submission import read_challenges, read_submission

SETTINGS = [
    *("dtype='float32'", "data.augmentations=3", "model.seq_len=16", "model.hidden_size=32"),
    *(
        "model.num_heads=2",
        "model.puzzle_emb_dim=32",
        "train.total_steps=6",
        "train.global_batch_size=4",
    ),
]


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert not isinstance(result.exception, Exception), result.exception
    return result


def train(challenges: Path, out: Path) -> Result:
    settings = [*SETTINGS, f"data.test=['{challenges}']"]
    options = [part for setting in settings for part in ("--set", setting)]
    return invoke("train", "--out", str(out), *options)


def test_train_predict_score_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    challenges = write_challenges(tmp_path)
    run = tmp_path / "runs" / "first"
    result = train(challenges, run)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run}\n"

    assert invoke("predict", "--attempts", "2").exit_code == 0  # the latest run and its tasks
    submission = read_submission(run / "submission.json", read_challenges(challenges))
    assert all(out["attempt_1"] != out["attempt_2"] for task in submission.values() for out in task)
    said = read_predictions(run / "predictions.jsonl", load_tasks(challenges))
    assert [(each.task, each.test) for each in said] == [(f"task{n}", 0) for n in range(3)]
    for each in said:
        voters = [name for c in each.candidates for name in c.puzzles]
        assert len(voters) == len(set(voters)) <= 4
        assert all(len(c.puzzles) == c.votes for c in each.candidates)
        shown = submission[each.task][0]
        assert [g.tolist() for g in each.attempts] == [shown["attempt_1"], shown["attempt_2"]]

    text = invoke("score").stdout
    for label in ("per output", "per task", "strict"):
        assert text.count(label) == 2
    solutions = str(tmp_path / "tiny_solutions.json")
    scored = invoke("score", str(run / "submission.json"), "--solutions", solutions, "--json")
    assert json.loads(scored.stdout)["pass@2"]["per_output"]["total"] == 3
    file = str(run / "submission.json")
    assert invoke("validate", file, "--challenges", str(challenges)).exit_code == 0
    assert invoke("train", "--resume").stdout == f"{run.relative_to(tmp_path)}\n"
    told = json.loads(invoke("train", "--resume", "--json").stdout)
    assert told == {"run": "runs/first", "step": 6, "total_steps": 6}
    told = json.loads(invoke("predict", "--json").stdout)
    assert (told["tasks"], told["test_inputs"]) == (3, 3)
    assert Path(told["submission"]).is_file() and Path(told["predictions"]).is_file()


def test_predict_on_other_tasks_guesses_and_says_so(tmp_path: Path) -> None:
    assert train(write_challenges(tmp_path), tmp_path / "run").exit_code == 0
    other = tmp_path / "other.json"
    pair = {"input": [[1] * 9], "output": [[2]]}
    tasks = {name: {"train": [pair], "test": [pair, pair]} for name in ("new", "task0")}
    other.write_text(json.dumps(tasks))
    out = tmp_path / "out"
    out.mkdir()
    result = invoke("predict", str(tmp_path / "run"), "--data", str(other), "--out", str(out))
    assert result.exit_code == 0
    assert "4 of 4 test inputs are guesses: first task new" in result.stderr
    read_submission(out / "submission.json", tasks)


def test_scoring_what_was_learnt_warns(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    settings = [*SETTINGS, f"data.train=['{challenges}']", "data.test=[]"]
    options = [part for setting in settings for part in ("--set", setting)]
    run = str(tmp_path / "run")
    assert invoke("train", "--out", run, *options).exit_code == 0
    predicted = invoke("predict", run, "--data", str(challenges))
    scored = invoke("score", run, "--data", str(challenges))
    for result in (predicted, scored):
        assert result.exit_code == 0
        assert "shares 3 of its 3 tasks" in result.stderr


def test_predict_leaves_both_files_or_none(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(write_challenges(tmp_path), run)
    (run / "submission.json").mkdir()
    result = invoke("predict", str(run))
    assert result.exit_code == 2
    assert "submission.json: cannot be written: it is a folder" in result.stderr
    assert not (run / "predictions.jsonl").exists()


def test_ctrl_c_and_full_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status, told in (
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "there is not enough memory"),
        (RuntimeError("you tried to allocate 1 TB: can't allocate memory"), 2, "enough memory"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("arc_trm.cli.resolve.load_tasks", fail)
        result = invoke("predict", ".", "--data", "x")
        assert (result.exit_code, told in result.stderr) == (status, True)


def test_two_sets_that_disagree_about_a_task_are_told(tmp_path: Path) -> None:
    for name, cell in (("one", 1), ("two", 2)):
        pair = {"input": [[cell]], "output": [[cell]]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"t": {"train": [pair], "test": [pair]}}))
    files = [str(tmp_path / f"{name}.json") for name in ("one", "two")]
    result = invoke("train", "--set", f"data.test={files}", "--out", str(tmp_path / "run"))
    assert result.exit_code == 2
    assert "hold different tasks under the id 't'" in result.stderr
    assert not (tmp_path / "run").exists()


def test_test_outputs_do_not_change_one_bit(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    train(challenges, tmp_path / "known")
    (tmp_path / "tiny_solutions.json").unlink()
    train(challenges, tmp_path / "hidden")
    for run in ("known", "hidden"):
        assert invoke("predict", str(tmp_path / run)).exit_code == 0
    for name in ("known", "hidden"):
        arguments = [
            "--weights",
            str(tmp_path / "known"),
            "--data",
            str(challenges),
            "--steps",
            "4",
        ]
        small = ["--set", "data.augmentations=2", "--set", "train.global_batch_size=4"]
        if name == "known":
            write_challenges(tmp_path)  # its solutions too
        result = invoke("adapt", *arguments, *small, "--out", str(tmp_path / f"adapted-{name}"))
        assert result.exit_code == 0, result.output
        (tmp_path / "tiny_solutions.json").unlink(missing_ok=True)
    files = ["model.safetensors", "puzzle_ids.json", "predictions.jsonl", "submission.json"]
    adapted = ["model.safetensors", "puzzle_embedding.safetensors"]
    for file in adapted:
        known, hidden = (
            (tmp_path / f"adapted-{n}" / file).read_bytes() for n in ("known", "hidden")
        )
        assert known == hidden, file
    for file in files:
        known, hidden = ((tmp_path / run / file).read_bytes() for run in ("known", "hidden"))
        if file == "predictions.jsonl":  # its first line also says of which run, and since when
            known, hidden = (re.sub(rb', "about": {[^}]*}', b"", each) for each in (known, hidden))
        assert known == hidden, file


MISTAKES = [
    (["train", "--preset", "quikstart"], "did you mean 'quickstart'"),
    (["train", "--set", "train.lrr=1"], "did you mean 'lr'"),
    (["train", "--config", "none.toml"], "cannot read config file none.toml"),
    (["train", "--set", "data.test=['arc-agi-3']"], "arc-agi"),
    (["train", "--set", "data.test=['missing.json']"], "missing.json"),
    (["train", "--set", "data.test=['ragged.json']"], "task bad, train pair 1, input, row 2"),
    (["train", "--set", "data.test=['notjson.json']"], "line 1"),
    (["train", "--set", "data.test=[]"], "no pair to learn from"),
    (["train", "--set", "model.seq_len=10"], "is not a square number"),
    (["train", "--device", "cuda:99"], "cannot be used here"),
    (["train", "--device", "toaster"], "device 'toaster' is none of auto, cpu"),
    (["train", "--resume"], "there is no run in"),
    (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
    (["train", "--resume", "nowhere", "--seed", "1"], "leave out --seed"),
    (["predict"], "train one with `arc-trm train`"),
    (["predict", "."], "so say what to predict with --data"),
    (["predict", ".", "--data", "arc-agi-1"], "is not a weight folder"),
    (["predict", "nowhere"], "there is no folder nowhere"),
    (["predict", "--attempts", "3"], "--attempts"),
    (["score"], "there is no run in"),
    (["score", "missing.json"], "missing.json does not exist: name a predictions.jsonl"),
    (["score", "missing.json", "--data", "arc-agi-1"], "missing.json"),
    (["validate", "notjson.json"], "line 1"),
    (["show", "zzzz"], "zzzz"),
    (["train", "--set", "model.vocab_size=5"], "ARC has 12 tokens"),
    (["data", "show", "arc-agi-11"], "did you mean"),
    (["trian"], "trian"),
]


@pytest.mark.parametrize(("arguments", "told"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_is_one_sentence_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    task = {"train": [{"input": [[1, 2], [3]], "output": [[1]]}], "test": [{"input": [[1]]}]}
    Path("ragged.json").write_text(json.dumps({"bad": task}))
    Path("notjson.json").write_text("{,")
    before = sorted(os.listdir())
    result = invoke(*arguments)
    assert result.exit_code == 2
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert told in sentence
    assert sorted(os.listdir()) == before


TINY = ["--weights", "run", "--data", "tiny_challenges.json"]
ADAPTING_MISTAKES = [
    (["--weights", "run"], "say which tasks to adapt to with --data"),
    (["--weights", "run", "--data", "none.json"], "'none.json' is neither a dataset nor"),
    (["--weights", "run", "--data", "empty.json"], "empty.json: has no tasks"),
    (["--weights", "run", "--data", "bare.json"], "task a, train: is an empty list"),
    ([*TINY, "--steps", "1", "--time-limit", "1s"], "leave one out"),
    ([*TINY, "--time-limit", "soon"], "a time reads 3h, 90m, 45s or 2h30m, got 'soon'"),
    ([*TINY, "--preset", "quickstart"], "preset 'quickstart' trains from scratch"),
    ([*TINY, "--weights", "none"], "there is no folder none"),
    ([*TINY, "--weights", "network"], "network holds a network without puzzle rows"),
    (
        [*TINY, "--set", "model.num_layers=3"],
        "model.num_layers is 2 in the weights and cannot become 3",
    ),
    ([*TINY, "--set", "adapt.weights=w"], "'weights' in the config would not count: say it with"),
    ([*TINY, "--set", "data.train=['w']"], "'train' in the config would not count: say it with"),
    (
        [*TINY, "--set", "data.vote_augmentations=1001"],
        "data.vote_augmentations (1001) is at most data.augmentations",
    ),
    ([*TINY, "--out", "run"], "run already holds a run: name another folder"),
    (["--resume", "run"], "run is a run of the other kind: `arc-trm train --resume run`"),
    ([*TINY, "--resume", "run"], "leave out --weights, --data"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its network alone, and task files."""
    folder = tmp_path_factory.mktemp("adapting")
    assert train(write_challenges(folder), folder / "run").exit_code == 0
    (folder / "network").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / "run" / name, folder / "network")
    (folder / "empty.json").write_text("{}")
    bare = {"a": {"train": [], "test": [{"input": [[1]]}]}}
    (folder / "bare.json").write_text(json.dumps(bare))
    return folder


@pytest.mark.parametrize(
    ("arguments", "told"), ADAPTING_MISTAKES, ids=lambda value: str(value)[:50]
)
def test_a_mistake_in_adapting_is_one_sentence_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    result = invoke("adapt", *arguments)
    assert result.exit_code == 2
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert told in sentence
    assert sorted(place.rglob("*")) == before


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    assert train(write_challenges(tmp_path), tmp_path / "run").exit_code == 0
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names: dict[str, object] = {}
    exec(block.replace("runs/arc2", str(tmp_path / "run")), names)
    assert set(METRICS) == set(names["metrics"])


def test_the_python_of_the_evaluation_page_runs(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    assert train(challenges, tmp_path / "run").exit_code == 0
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, tiny in {
        "runs/arc1": str(tmp_path / "run"),
        "arc-agi-1/evaluation": str(challenges),
        "00576224": "task0",
    }.items():
        assert name in block
        block = block.replace(name, tiny)
    names: dict[str, Any] = {}
    exec(block, names)
    assert len(names["predictions"]) == 3 and names["guessed"] == []


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = train(write_challenges(tmp_path), tmp_path / "file" / "run")
    assert result.exit_code == 2
    assert "cannot make the run folder" in result.stderr


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(main, ["--debug", "predict", ".", "--data", "arc-agi-1"])
    assert "is not a weight folder" in str(result.exception)


def test_every_command_has_help_with_an_example() -> None:
    for name, command in main.commands.items():
        help_text = command.get_help(command.make_context(name, [], resilient_parsing=True))
        assert f"{name} " in help_text.split("Example")[-1], name


def test_output_without_utf8_does_not_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "arc_trm", "show", "25ff71a9"]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True)
    assert result.returncode == 0, result.stderr
