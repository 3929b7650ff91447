"""Sudokus and mazes from the data to scores and drawings, and what only ARC has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from paths import GOLDEN
from puzzles import GRID_TRAIN, grid_config, large_sudoku, write_large_sudoku, write_puzzles
from tiny import MODEL, write_challenges

from arc_trm.callbacks import Callback
from arc_trm.checkpoint import WeightsDir
from arc_trm.config import RunConfig, from_dict, load_config
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.data.sampler import IGNORE_LABEL, BatchSampler
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.evaluation.leaderboard import describe_results, published_results
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import Prediction
from arc_trm.evaluation.source import PredictionSource
from arc_trm.hub.model_card import model_card
from arc_trm.inference import load_for_inference, predict_tasks
from arc_trm.puzzles import KINDS, GridPuzzle, PuzzleScore, grid_kinds, kind_of
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.puzzles.grid_puzzle import subsample
from arc_trm.runs import Run, predictions_of
from arc_trm.tasks import Grid, Pair, PuzzleArray, TaskSet
from arc_trm.training import train_run
from arc_trm.training.budget import total_steps

Cli = Callable[..., Result]
CPU = torch.device("cpu")
NAMES = [kind.name for kind in grid_kinds()]


def load_puzzles(path: Path) -> PuzzleArray:
    puzzles = load_tasks(str(path))
    assert isinstance(puzzles, PuzzleArray)
    return puzzles


def answers_of(puzzles: PuzzleArray) -> dict[str, Grid]:
    """Return the known answers by the id of their puzzle."""
    return {task.id: task.test[0].output for task in puzzles if task.test[0].output is not None}


def write_log(folder: Path, tasks: TaskSet, answers: Mapping[str, Grid], name: str = "p") -> Path:
    """Write a prediction log with these answers."""
    log = PredictionLog(folder / f"{name}.jsonl")
    log.begin(
        {"tasks": tasks.fingerprint(False)},
        {"kind": tasks.kind, "data": [tasks.name], "max_grid_size": 30},
    )
    log.append(Prediction(task, 0, task, 0, grid, 0.5) for task, grid in answers.items())
    return log.path


# Training data


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_augmented_puzzles_with_the_blank_id(tmp_path: Path, name: str) -> None:
    kind, puzzles = KINDS[name], load_puzzles(write_puzzles(tmp_path, name))
    dataset = TaskDataset(puzzles, 20, seed=3, side=4)
    number = 21 if name == "sudoku" else 8
    assert (len(dataset), len(dataset[0])) == (len(puzzles), number)
    assert dataset[0].puzzle_id(4) == 0
    for index, group in enumerate(dataset[2:5], 2):
        seen = set()
        for puzzle in range(len(group)):
            inputs, labels = group.example(puzzle, 0, 17)
            again, _ = group.example(puzzle, 0, None)
            question, answer = kind.decode(inputs), kind.decode(labels)
            assert question is not None and answer is not None and kind.is_valid(question, answer)
            assert np.array_equal(inputs, again)
            seen.add(inputs.tobytes())
            if puzzle == 0:
                assert np.array_equal(question, puzzles.questions[index])
        assert len(seen) > number // 2
    other = TaskDataset(puzzles, 20, seed=4, side=4)[2].example(1, 0, 0)[0]
    same = np.array_equal(other, dataset[2].example(1, 0, 0)[0])
    assert same == (name == "maze"), "mazes have the same seven augmentations for every seed"


def test_every_cell_has_a_label_and_an_epoch_visits_every_puzzle_once(tmp_path: Path) -> None:
    training_set = build_training_set(grid_config(tmp_path, augmentations=0))
    sampler = BatchSampler(training_set.dataset, 4, 0)
    seen = []
    for step in range(3):
        batch = sampler(step)
        assert (batch["labels"] != IGNORE_LABEL).all() and (batch["puzzle_ids"] == 0).all()
        seen += [each.tobytes() for each in batch["inputs"]]
    assert len(set(seen)) == 12
    assert list(training_set.puzzle_names) == ["<blank>"]


def test_a_subsample_is_always_the_same(tmp_path: Path) -> None:
    puzzles = load_puzzles(write_puzzles(tmp_path))
    few = subsample(puzzles, 5)
    assert len(few) == 5 and few.rows.tolist() == sorted(few.rows.tolist())
    assert few.rows.tolist() == subsample(puzzles, 5).rows.tolist() != [1, 2, 3, 4, 5]
    assert subsample(puzzles, 100) is puzzles
    config = grid_config(tmp_path, train_puzzles=5, test_puzzles=3)
    assert len(build_training_set(config).dataset) == 5
    assert len(predicted_tasks(config.data)) == 3


def test_the_fingerprint_depends_on_data_augmentations_and_seed(tmp_path: Path) -> None:
    def fingerprint(seed: int = 0, **data: object) -> str:
        return build_training_set(replace(grid_config(tmp_path, **data), seed=seed)).fingerprint

    first = fingerprint()
    assert first == fingerprint()
    others = {fingerprint(1), fingerprint(augmentations=4), fingerprint(train_puzzles=3)}
    assert len(others - {first}) == 3


def test_shared_puzzles_are_a_leak(tmp_path: Path) -> None:
    path = write_puzzles(tmp_path)
    notes = build_training_set(grid_config(tmp_path, test=[str(path)])).notes
    assert any("shares 12 of its 12 puzzles" in note for note in notes)
    puzzles = load_puzzles(path)
    part = puzzles.take(np.array([0, 3]))
    assert kind_of(puzzles).shared_tasks(puzzles, part) == {"1": "1", "4": "4"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"vocab_size": 12}}, "but Sudoku has 11 tokens"),
        ({"model": {"seq_len": 81}}, "model.seq_len is 81: add `--set model.seq_len=16`"),
        (
            {"data": {"train": ["LARGE"]}},
            "model.vocab_size is 11, but Sudoku has 18 tokens: add `--set model.vocab_size=18`",
        ),
        (
            {"data": {"train": ["LARGE"]}, "model": {"vocab_size": 18}},
            "model.seq_len is 16: add `--set model.seq_len=256`",
        ),
        ({"model": {"canvas": "bucketed", "mixer": "attention"}}, "whose grids have many sizes"),
        ({"data": {"test": ["arc-agi-1/training"]}}, "data.test holds ARC, but data.train ["),
        ({"data": {"train": ["arc-agi-1/training"]}}, "but data.train ['arc-agi-1/training'] ARC"),
        (
            {"data": {"train": [], "optional_train": ["arc-agi-1/training"]}},
            "data.test holds Sudoku, but data.optional_train ['arc-agi-1/training'] ARC",
        ),
        ({"data": {"train": ["arc-agi-1/training", "SUDOKU"]}}, "name data of one kind of puzzle"),
        ({"data": {"train": ["SUDOKU", "sudoku-6x6/test"]}}, "train on one size"),
        ({"data": {"test": ["SUDOKU", "SUDOKU"]}}, "only one of them can be predicted at once"),
        ({"data": {"train": []}}, "data.train names no Sudoku to train on"),
        ({"data": {"test": ["sudoku-6x6/test"]}}, "one model answers one size"),
        ({"data": {"train_puzzles": 0}}, "data.train_puzzles must be at least 1"),
        ({"data": {"train": ["sudoku-6x6"]}}, "name sudoku-6x6/train or sudoku-6x6/test"),
        ({"data": {"train": ["sudoku-extreme/train"]}}, "run `arc-trm data fetch sudoku-extreme"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_data_that_cannot_be_trained_on_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, dict[str, object]],
    message: str,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names = {"SUDOKU": str(write_puzzles(tmp_path))}
    names["LARGE"] = str(write_large_sudoku(tmp_path))
    config = grid_config(tmp_path)
    values = {
        part: {**vars(getattr(config, part)), **changes.get(part, {})} for part in ("model", "data")
    }
    for field in ("train", "test"):
        values["data"][field] = [names.get(str(n), n) for n in values["data"][field]]
    with pytest.raises(UserError) as caught:
        build_training_set(from_dict(RunConfig, {**values, "train": GRID_TRAIN}))
    assert message in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["sudoku-quick", "sudoku-quick-published", "sudoku-gpu", "maze-quick", "maze-quick-published"],
)
def test_presets_that_need_no_file(name: str) -> None:
    config = load_config(name)
    training_set = build_training_set(config)
    assert training_set.notes == ()
    assert len(training_set.dataset) + len(training_set.validation) >= 1000
    sampler = BatchSampler(training_set.dataset, 8, 0)
    assert total_steps(config, sampler) == config.train.total_steps


@pytest.mark.parametrize("name", ["sudoku-extreme", "sudoku-extreme-attention", "maze-hard"])
def test_presets_are_the_published_recipes(name: str) -> None:
    config = load_config(name)
    train, model = config.train, config.model
    is_maze = name == "maze-hard"
    assert (train.global_batch_size, config.epochs) == (768, 50000)
    assert (train.lr, train.puzzle_emb_lr) == (1e-4, 1e-4)
    assert (train.weight_decay, train.puzzle_emb_weight_decay, train.ema_decay) == (1.0, 1.0, 0.999)
    assert (model.outer_cycles, model.num_layers) == (3, 2)
    assert (model.hidden_size, model.num_heads) == (512, 8)
    assert model.inner_cycles == (4 if is_maze else 6)
    assert model.mixer == ("mlp" if name == "sudoku-extreme" else "attention")
    assert (model.seq_len, model.vocab_size) == ((900, 6) if is_maze else (81, 11))
    grids = np.zeros((1000, model.side, model.side), np.uint8)
    puzzles = PuzzleArray("some", "maze" if is_maze else "sudoku", grids, grids.copy())
    dataset = TaskDataset(puzzles, config.data.augmentations, seed=0, side=model.side)
    assert total_steps(config, BatchSampler(dataset, 768, 0)) == 65104
    assert len(dataset[0]) == (8 if is_maze else 1001)


# From training to a score


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_train_predict_score_show_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    run, title = tmp_path / "runs" / "first", KINDS[name].title
    train_run(grid_config(tmp_path, name), CPU, run)
    assert Run(run).metrics[-1]["step"] == GRID_TRAIN["total_steps"]
    result = cli("predict", "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["tasks"], facts["queries"]) == (8, 8) and "submission" not in facts
    (folder,) = predictions_of(run)
    assert not (folder / "submission.json").exists()
    tasks = load_tasks(str(write_puzzles(tmp_path, name, 8, 1)))
    found = read_predictions(PredictionLog(folder / "predictions.jsonl"), tasks)
    again = predict_tasks(load_for_inference(WeightsDir(run), tasks.ids), tasks)
    for task in tasks:
        logged = found.by_input.get((task.id, 0))
        attempts = () if logged is None else logged.attempts
        assert len(attempts) == 1
        assert [grid.tolist() for grid in attempts] == [
            grid.tolist() for grid in again[task.id, 0].attempts
        ]
    assert {len(each.trace) for each in found} == {MODEL["supervision_steps"]}

    score = json.loads(cli("score", "--json", "--with-published").stdout)
    assert (score["kind"], score["puzzles"], score["exact"]["total"]) == (name, 8, 8)
    assert list(score["baselines"]) == ["copying the question", "guessing by the rule"]
    lines = cli("score", "--with-published").stdout.splitlines()
    first = lines.index("") + 1  # above it stands what the predictions are
    assert lines[first].startswith("exact") and lines[first + 1].startswith("valid")
    assert "No results are published for exactly these tasks." in lines
    shown = cli("show").stdout
    assert f"{title} " in shown and "exact" in shown and " of 8 predicted" in shown
    one = cli("show", "3").stdout
    assert one.startswith(f"{title} 3 of {tasks.name}\n") and "Known answer" in one
    assert "Step" in cli("show", "3", "--trace").stdout
    assert cli("show", "3", "--out", "three.svg").exit_code == 0
    assert "Known answer" in (tmp_path / "three.svg").read_text()
    report = folder.relative_to(tmp_path) / "report.html"
    assert cli("report").stdout.startswith(f"Wrote {report} about {folder.relative_to(tmp_path)}")
    page = report.read_text()
    assert '<th scope="row">valid<' in page and f'"title":"{title} 1"' in page
    both = cli("score", "runs/first", "runs/first")
    assert "gained 0 puzzles by exact" in both.stdout, both.stderr
    assert cli("train", "--resume").exit_code == 0


@pytest.mark.slow
def test_large_sudokus_from_training_to_a_report(tmp_path: Path, cli: Cli) -> None:
    """Digits above 9 pass through training, views, the log, pictures and the report."""
    path, run = write_large_sudoku(tmp_path), tmp_path / "run"
    settings = ("dtype='float32'", "model.hidden_size=16", "model.supervision_steps=2")
    settings += ("train.supervision_steps=2", "train.global_batch_size=1")
    options = [part for setting in settings for part in ("--set", setting)]
    done = cli("train", "--data", path, "--max-steps", 2, "--out", run, *options)
    assert done.exit_code == 0, done.stderr
    config = Run(run).config.model
    assert (config.block, config.vocab_size, config.side) == ("digit_equivariant", 18, 16)
    done = cli("predict", run, "--data", path, "--views", 3, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    (found,) = read_predictions(PredictionLog(tmp_path / "predictions.jsonl"), load_tasks(path))
    grids = [candidate.grid for candidate in found.candidates]
    assert found.votes == 3 and {1, 16} <= {int(v) for grid in grids for v in grid.flat}
    assert cli("report", tmp_path, "--out", tmp_path / "r.html").exit_code == 0
    shown = cli("show", "1", "--predictions", tmp_path)
    assert " . 2 3 4 │ 5 6 7 8 │ 9 A B C │ D E F G " in shown.stdout
    for name in ("one.svg", "one.gif"):
        trace = ["--trace"] if name.endswith("gif") else []
        drawn = cli("show", "1", "--predictions", tmp_path, *trace, "--out", tmp_path / name)
        assert drawn.exit_code == 0, drawn.stderr
    assert ">G</text>" in (tmp_path / "one.svg").read_text()


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_numbers(tmp_path: Path) -> None:
    config = grid_config(tmp_path)
    config = replace(config, train=replace(config.train, save_interval_s=1e-6))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_run(config, CPU, whole)

    class Kill(Callback):
        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            if done == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(config, CPU, killed, callbacks=[Kill()])
    assert 0 < Run(killed).step < GRID_TRAIN["total_steps"]
    train_run(Run(killed).config, CPU, killed, resume=True)
    weights = "model.safetensors"
    assert (killed / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.slow
def test_invalid_rows_are_skipped_from_training_to_the_score(tmp_path: Path, cli: Cli) -> None:
    path = write_puzzles(tmp_path)
    path.write_text(path.read_text() + "here,1.,2,3\n")
    settings = (
        "dtype='float32'",
        f"data.train=['{path}']",
        f"data.test=['{path}']",
        "model.seq_len=16",
        "model.hidden_size=32",
        "train.total_steps=2",
        "train.global_batch_size=4",
    )
    options = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "run"
    arguments = ("train", "--preset", "sudoku-quick", "--out", run, *options)
    result = cli(*arguments)
    assert result.exit_code == 2
    assert f"{path}, row 13 (line 14): the question has 2 characters, expected 16" in result.stderr
    assert not run.exists()
    result = cli(*arguments, "--skip-invalid")
    assert result.exit_code == 0 and "1 of 13 rows" in result.stderr
    assert "12 Sudoku puzzles, 12012 with augmentations, 2 steps of 4" in result.stderr
    assert cli("predict", run).exit_code == 0
    assert json.loads(cli("score", run, "--json").stdout)["puzzles"] == 12
    out = tmp_path / "out"
    out.mkdir()
    assert cli("predict", run, "--data", path, "--out", out).exit_code == 2
    assert not list(out.iterdir())
    result = cli("predict", run, "--data", path, "--skip-invalid", "--out", out)
    assert result.exit_code == 0 and "1 of 13 rows" in result.stderr
    assert f"shares 12 of its 12 puzzles with {path}, which was trained on" in result.stderr
    assert json.loads(cli("score", out, "--json").stdout)["puzzles"] == 12
    shown = cli("data", "show", path, "--skip-invalid")
    assert "row 13: the question has 2 characters" in shown.stdout
    assert json.loads(cli("data", "show", path, "--skip-invalid", "--json").stdout)["notes"]
    assert cli("data", "show", path).exit_code == 2


# Scores


def test_exact_and_valid_answers_are_counted_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    rows = ["S  G,So G", "S  G,", "S  G,So G", "S  G,So G", "S# G,S#oG"]
    path.write_text("\n".join(["question,answer", *rows]) + "\n")
    puzzles = load_puzzles(path)
    other = np.array([[2, 1], [4, 3]], np.uint8)
    answers = {"1": other, "2": other, "3": answers_of(puzzles)["3"], "5": other}
    score = PredictionSource.open(write_log(tmp_path, puzzles, answers), tasks=puzzles).score()
    assert isinstance(score, PuzzleScore)
    assert score.known.tolist() == [True, False, True, True, True]
    assert score.exact[score.known].tolist() == [False, True, False, False]
    assert score.valid.tolist() == [True, True, True, False, False]
    assert score.answered.sum() == score.to_dict()["answered"] == 4
    lines = score.lines()
    assert "1/4" in lines[0] and "3/5" in lines[1]
    assert "4 of 5 puzzles have an answer" in lines[-1]
    assert "of the answered ones exact 1/3 33.3 %, valid 3/4 75.0 %" in lines[-1]
    by_id = score.to_dict()["tasks"]
    assert by_id["2"] == {"exact": None, "valid": True}
    assert by_id["3"] == {"exact": True, "valid": True}


def test_two_sets_of_answers_are_compared(tmp_path: Path, cli: Cli) -> None:
    puzzles = load_puzzles(write_puzzles(tmp_path))
    correct = answers_of(puzzles)
    questions = {task.id: task.test[0].input for task in puzzles}
    first = write_log(tmp_path, puzzles, {**correct, "1": questions["1"]}, "first")
    second = write_log(tmp_path, puzzles, {**questions, "1": correct["1"]}, "second")
    record = json.loads(cli("score", first, second, "--json").stdout)
    assert record["difference"]["gained"] == ["1"] and len(record["difference"]["lost"]) == 11
    assert record["difference"]["exact"]["value"] == pytest.approx(-10 / 12)
    lines = cli("score", first, second).stdout.splitlines()
    assert any(line.startswith("gained 1 puzzle by exact: 1") for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_baselines_do_not_use_the_answers(tmp_path: Path, name: str) -> None:
    puzzles = load_puzzles(write_puzzles(tmp_path, name))
    kind = kind_of(puzzles)
    found = kind.baselines(puzzles, np.random.default_rng(0))
    assert found["copying the question"].rates["exact",].solved == 0
    hidden = kind.baselines(puzzles.without_solutions(), np.random.default_rng(0))
    guesses, blind = found["guessing by the rule"], hidden["guessing by the rule"]
    assert isinstance(guesses, PuzzleScore) and isinstance(blind, PuzzleScore)
    assert np.array_equal(blind.valid, guesses.valid)
    assert list(blind.rates) == [("valid",)]


def test_published_results_are_those_of_the_whole_set() -> None:
    grids = np.zeros((1000, 2, 2), np.uint8)
    puzzles = PuzzleArray("maze-hard/test", "maze", grids, grids.copy())
    found = published_results(puzzles)
    assert [each.percent for each in found] == [(85.3,), (74.5,), (0.0,)]
    assert describe_results(found)[0] == "Published for maze-hard/test (1000 puzzles):"
    part = puzzles.take(np.arange(9))
    assert published_results(part) == []
    assert published_results(part.renamed("mine.csv")) == []


@pytest.mark.slow
def test_predictions_for_other_puzzles_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    run, out = tmp_path / "runs" / "first", tmp_path / "out"
    out.mkdir()
    train_run(grid_config(tmp_path), CPU, run)
    other, trained = write_puzzles(tmp_path, seed=7), write_puzzles(tmp_path)
    assert cli("show").exit_code == 0  # nothing is predicted yet
    assert f"Sudoku 3 of {write_puzzles(tmp_path, seed=1)}" in cli("show", "3").stdout
    assert 'there is no puzzle "11"' in cli("show", "11").stderr  # the training set has one
    assert cli("predict", run, "--data", other, "--out", out).exit_code == 0
    assert cli("predict", run).exit_code == 0
    for arguments in (
        ("score", run, "--data", other),
        ("report", out, "--data", trained),
        ("show", "3", "--predictions", out / "predictions.jsonl", "--data", trained),
    ):
        result = cli(*arguments)
        assert result.exit_code == 2 and "is for other puzzles than" in result.stderr, arguments
    result = cli("score", run, out)
    assert result.exit_code == 2 and "compare" in result.stderr
    mazes = write_puzzles(tmp_path, "maze")
    arc = tmp_path / "3.json"  # an ARC task whose id is the number of a puzzle
    arc.write_text(json.dumps(json.loads(write_challenges(tmp_path).read_text())["task0"]))
    submitted = tmp_path / "submission.json"
    submitted.write_text(json.dumps({"3": [{"attempt_1": [[1]], "attempt_2": [[1]]}]}))
    exported = ("export", out, "--format", "arcprize", "--out", tmp_path / "e", "--data", arc)
    for arguments, message in (
        (("score", out, "--data", mazes), f"has predictions for Sudoku, but {mazes} holds Maze"),
        (("score", out, "--data", arc), f"has predictions for Sudoku, but {arc} holds ARC"),
        (("report", out, "--data", arc), f"has predictions for Sudoku, but {arc} holds ARC"),
        (exported, "needs an ARC submission"),
        (
            ("report", submitted, "--data", other),
            f"has predictions for ARC, but {other} holds Sudoku",
        ),
        (("score", submitted, out), "for Sudoku: compare one kind"),
    ):
        result = cli(*arguments)
        assert result.exit_code == 2 and message in result.stderr, (arguments, result.stderr)
    shown = cli("show", "11", "--predictions", out / "predictions.jsonl").stdout
    assert f"Sudoku 11 of {other}" in shown
    assert 'there is no puzzle "11"' in cli("show", "11").stderr  # the run predicted 8
    assert "Answer" not in cli("show", "3", "--data", other).stdout.replace("Known answer", "")
    for arguments in (("show", "007bbfb7"), ("show", "007bbfb7", "--data", "arc-agi-1")):
        assert cli(*arguments).stdout.startswith("Task 007bbfb7")
    # The last predictions in the run are not for the run's own data.
    assert cli("predict", run, "--data", other).exit_code == 0
    assert "the last of 2 in the run" in cli("show", run).stdout
    # A submission that is left over in the folder is for something else.
    (out / "submission.json").write_text(json.dumps({"1": []}))
    assert json.loads(cli("score", out, "--json").stdout)["puzzles"] == 12


@pytest.mark.slow
def test_a_model_card_scores_the_run_s_own_puzzles(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train_run(grid_config(tmp_path), CPU, run)

    def card() -> str:
        return model_card(WeightsDir(run), "owner/name", None)

    assert "Not scored: the run has no predictions yet" in card()
    assert cli("predict", run).exit_code == 0
    assert "exact" in card() and "/8 " in card() and "Not scored" not in card()
    assert cli("predict", run, "--data", write_puzzles(tmp_path, seed=7)).exit_code == 0
    assert "exact" in card() and "/8 " in card() and "Not scored" not in card()


def test_another_shortest_path_is_shown_as_valid(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "m.csv"
    path.write_text("question,answer\nS  G,So G\n")
    log = write_log(tmp_path, load_tasks(str(path)), {"1": np.array([[2, 1], [4, 3]], np.uint8)})
    shown = ("show", "1", "--predictions", log)
    assert "Answer ✓ valid" in cli(*shown).stdout
    assert cli(*shown, "--out", tmp_path / "m.svg").exit_code == 0
    drawing = (tmp_path / "m.svg").read_text()
    assert ">valid<" in drawing and ">wrong<" not in drawing


def test_a_log_without_predictions(tmp_path: Path, cli: Cli) -> None:
    empty = write_log(tmp_path, load_tasks(str(write_puzzles(tmp_path))), {})
    assert cli("score", empty).stdout.splitlines()[-1] == "0 of 12 puzzles have an answer"
    with empty.open("a") as file:
        file.write("[1]\n")
    assert "it is not a JSON object" in cli("score", empty).stderr


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        (
            "sudoku",
            '"halt_prob":0.5,"order":0,"grid":[[1,2],[3,4]]',
            "a grid is 2×2, the puzzle 4×4",
        ),
        ("sudoku", '"trace":[[0.5,[[1,2,3,4]]]]', "a grid is 1×4, the puzzle 4×4"),
        (
            "maze",
            f'"trace":[[0.5,{[[9] * 4] * 4}]]',
            "a grid has the value 9, puzzles of Maze have 0 to 4",
        ),
        ("sudoku", '"trace":null', "one of its fields is not what `arc-trm predict` writes"),
        (
            "sudoku",
            '"halt_prob":NaN,"order":0,"grid":[[1]]',
            "its halting probability is nan, not 0 to 1",
        ),
    ],
)
def test_an_impossible_prediction_in_a_log_is_an_error(
    tmp_path: Path, name: str, fields: str, reason: str, cli: Cli
) -> None:
    log = write_log(tmp_path, load_tasks(str(write_puzzles(tmp_path, name))), {})
    with log.open("a") as file:
        file.write(f'{{"task":"1","test":0,"puzzle":"1",{fields}}}\n')
    for arguments in (("score", log), ("report", log), ("show", "1", "--predictions", log)):
        result = cli(*arguments)
        assert result.exit_code == 2
        assert f"line 3 is not a prediction: {reason}" in result.stderr


def test_a_log_has_the_values_of_its_puzzles(tmp_path: Path, cli: Cli) -> None:
    tasks = load_tasks(write_large_sudoku(tmp_path))
    _, answer = large_sudoku()
    log = write_log(tmp_path, tasks, {"1": answer})
    assert cli("score", log).stdout.startswith("file")
    assert json.loads(cli("score", log, "--json").stdout)["exact"]["solved"] == 1
    for grid, error in ((answer + 1, "value 17, puzzles of Sudoku have 0 to 16"), (answer - 1, "")):
        changed = write_log(tmp_path, tasks, {"1": grid}, "changed")
        result = cli("score", changed)
        assert (result.exit_code, error in result.stderr) == (2 if error else 0, True)
        changed.unlink()
    with pytest.raises(UserError, match="a grid has the value 16, puzzles of ARC have 0 to 9"):
        list(PredictionLog(log).read())


def test_without_known_answers_there_is_no_comparison(tmp_path: Path, cli: Cli) -> None:
    puzzles = load_puzzles(write_puzzles(tmp_path))
    path = tmp_path / "questions.csv"
    characters = np.array(list(".123456789"))[puzzles.questions.reshape(len(puzzles), -1)]
    path.write_text("\n".join(["question", *map("".join, characters.tolist())]) + "\n")
    log = write_log(tmp_path, load_tasks(str(path)), {"1": puzzles.answers[0]})
    assert "exact" not in cli("score", log).stdout.splitlines()[0]
    assert "cannot be compared" in cli("score", log, log).stderr
    assert cli("report", log).exit_code == 0


# What only ARC has


@pytest.mark.slow
def test_what_only_arc_has_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "first"
    train_run(grid_config(tmp_path), CPU, run)
    path = write_puzzles(tmp_path)
    assert cli("predict").exit_code == 0
    before = sorted(run.iterdir())
    for arguments, message in (
        (("predict", "--attempts", "2"), "Sudoku, which gets at most 1 attempt, not 2"),
        (("predict", "--augmentations", "3"), "has views in place of augmentations: use --views"),
        (("predict", "--canvas", "bucketed"), "--canvas is for grids of many sizes"),
        (("validate", run), "validating needs an ARC submission"),
        (
            ("validate", predictions_of(run)[0] / "predictions.jsonl"),
            "validating needs an ARC submission",
        ),
        (
            ("predict", "--data", "arc-agi-1/evaluation"),
            "the weights have a vocabulary of 11 tokens, but ARC needs 12",
        ),
        (
            ("predict", "--data", "sudoku-6x6/test"),
            "has puzzles with 6 cells a side, but the model is for 4",
        ),
        (("predict", "--skip-invalid"), "--skip-invalid goes with --data"),
        (("score", "--solutions", "x.json"), "official solutions are for ARC"),
        (("report", "--solutions", "x.json"), "official solutions are for ARC"),
        (("adapt", run, "--data", path), "holds Sudoku: train on it instead"),
        (("adapt", run, "--data", "arc-agi-1/evaluation"), "but ARC needs 12"),
        (("merge", run, run, "--out", "m.json"), "merging needs an ARC submission"),
        (
            ("export", run, "--format", "arcprize", "--out", "x"),
            "--format arcprize needs an ARC submission",
        ),
        (
            ("data", "identifiers", "--subset", f"a={path}", "--out", "i.json"),
            "without puzzle ids of its own: name ARC tasks",
        ),
    ):
        result = cli(*arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr, result.stderr
        assert result.stderr.count("Error: ") == 1 and "Traceback" not in result.stderr
    assert sorted(run.iterdir()) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "runs",
        "sudoku-0.csv",
        "sudoku-1.csv",
    ]


def test_weights_of_arc_predict_no_other_puzzles(tmp_path: Path, tiny_run: Path, cli: Cli) -> None:
    before = sorted(tiny_run.iterdir())
    for data in (write_puzzles(tmp_path), "sudoku-6x6/test"):
        result = cli("predict", tiny_run, "--data", data)
        assert result.exit_code == 2
        assert "the weights have a vocabulary of 12 tokens, but Sudoku needs 11" in result.stderr
    assert sorted(tiny_run.iterdir()) == before


def test_a_submission_is_not_scored_against_other_puzzles(tmp_path: Path, cli: Cli) -> None:
    submission = tmp_path / "submission.json"
    submission.write_text(json.dumps({"1": [{"attempt_1": [[1]], "attempt_2": [[2]]}]}))
    path = write_puzzles(tmp_path)
    result = cli("score", submission, "--data", path)
    assert result.exit_code == 2
    assert f"has predictions for ARC, but {path} holds Sudoku" in result.stderr


@pytest.mark.slow
def test_published_weights_predict_a_file(tmp_path: Path, cli: Cli) -> None:
    published = GOLDEN / "trm_mixer" / "step_0"
    weights, out, path = tmp_path / "weights", tmp_path / "out", tmp_path / "s.csv"
    out.mkdir()
    assert cli("convert", published, weights).exit_code == 0
    generated = generate_puzzles(GeneratorConfig("sudoku", 3, 0, 9))
    write_csv(path, generated.puzzles, "here", generated.ratings.tolist())
    result = cli("predict", weights, "--data", path, "--out", out)
    # The weights are random and amplify rounding: all answers or fewer are guesses.
    assert result.exit_code in (0, 3), result.stderr
    assert json.loads(cli("score", out, "--json").stdout)["puzzles"] == 3


def test_a_puzzle_is_a_task_of_one_pair(tmp_path: Path) -> None:
    puzzles = load_puzzles(write_puzzles(tmp_path))
    only = puzzles.select(["3"])
    assert only.ids == ["3"] and isinstance(only["3"].test[0], Pair)
    assert isinstance(kind_of(only), GridPuzzle)
    assert "Question" in only["3"]._repr_html_() and "12 puzzles" in puzzles._repr_html_()
