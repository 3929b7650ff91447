"""Sudokus and mazes all the way: learnt, predicted, scored, shown, and what is for ARC only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from arc_trm.inference.loading import load_for_inference
from click.testing import CliRunner, Result
from paths import GOLDEN
from tiny import MODEL, TRAIN, write_challenges
from tiny import run_config as run_config_of_arc

from arc_trm.checkpoint.weights_dir import read_parts
from arc_trm.cli import main
from arc_trm.config import RunConfig, from_dict, load_config
from arc_trm.data.dataset import BoardGroups, drawn, shared_questions
from arc_trm.data.loader import content_digest, load_tasks
from arc_trm.data.readers.csv import write_table
from arc_trm.data.sampler import IGNORE, BatchSampler
from arc_trm.data.splits import overlap_notes, predicted_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.evaluation.leaderboard import published_for, references_table
from arc_trm.evaluation.prediction_log import Answer, PredictionLog, digest_of, read_predictions
from arc_trm.evaluation.scoring import baselines, judged
from arc_trm.evaluation.source import read_results
from arc_trm.evaluation.voting import Prediction
from arc_trm.hub.model_card import model_card
from arc_trm.inference import predict
from arc_trm.puzzles import BOARDS
from arc_trm.puzzles.generate import Made, Progress, Recipe, generated
from arc_trm.runs import read_metrics, run_config
from arc_trm.tasks import Boards, Grid, Pair, TaskSet
from arc_trm.training import loop as job
from arc_trm.training.budget import total_steps

CPU = torch.device("cpu")
TOKENS = {"sudoku": 11, "maze": 6}


def table(folder: Path, kind: str = "sudoku", count: int = 12, seed: int = 0) -> Path:
    """A file of puzzles of 4×4 cells."""
    path = folder / f"{kind}-{seed}.csv"
    if not path.exists():
        made = generated(Recipe(kind, count, seed, 4, 2 if kind == "maze" else 0))
        write_table(path, made.boards, "here", made.ratings.tolist())
    return path


def config_of(folder: Path, kind: str = "sudoku", **data: object) -> RunConfig:
    sets = {"train": [str(table(folder, kind))], "test": [str(table(folder, kind, 8, 1))]}
    values = {
        "name": "tiny",
        "dtype": "float32",
        "model": {**MODEL, "vocab_size": TOKENS[kind], "mixer": "mlp"},
        "data": {**sets, "augmentations": 5, **data},
        "train": TRAIN,
    }
    return from_dict(RunConfig, values)


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert not isinstance(result.exception, Exception), result.exception
    return result


def answers_of(folder: Path, tasks: TaskSet, answers: dict[str, Grid], name: str = "p") -> Path:
    """A predictions.jsonl with these answers."""
    log = PredictionLog(folder / f"{name}.jsonl")
    log.begin(
        {"tasks": digest_of(tasks)},
        {"kind": tasks.domain, "data": [tasks.name], "max_grid_size": 30},
    )
    log.add(Answer(task, 0, task, Prediction(task, grid, 0.5)) for task, grid in answers.items())
    return log.path


# Learning


@pytest.mark.parametrize("kind", BOARDS)
def test_examples_are_augmented_puzzles_on_the_blank_row(tmp_path: Path, kind: str) -> None:
    board, boards = BOARDS[kind], load_tasks(str(table(tmp_path, kind))).boards
    groups = BoardGroups(board, boards, 20, seed=3)
    number = 21 if kind == "sudoku" else 8
    assert (len(groups), len(groups[0]), groups[0].row(4)) == (len(boards), number, 0)
    for place, group in enumerate(groups[2:5], 2):
        seen = set()
        for puzzle in range(len(group)):
            inputs, labels = group.example(puzzle, 0, 17)
            again, _ = group.example(puzzle, 0, None)
            question, answer = board.decode(inputs), board.decode(labels)
            assert question is not None and answer is not None and board.valid(question, answer)
            assert np.array_equal(inputs, again)
            seen.add(inputs.tobytes())
            if puzzle == 0:
                assert np.array_equal(question, boards.questions[place])
        assert len(seen) > number // 2
    other = BoardGroups(board, boards, 20, seed=4)[2].example(1, 0, 0)[0]
    assert kind == "maze" or not np.array_equal(other, groups[2].example(1, 0, 0)[0])


def test_every_cell_is_labelled_and_every_puzzle_seen_once_an_epoch(tmp_path: Path) -> None:
    learnt = build_training_set(config_of(tmp_path, augmentations=0))
    batches = BatchSampler(learnt.groups, 4, 0)
    seen = []
    for step in range(3):
        batch = batches(step)
        assert (batch["labels"] != IGNORE).all() and (batch["puzzle_ids"] == 0).all()
        seen += [each.tobytes() for each in batch["inputs"]]
    assert len(set(seen)) == 12
    assert learnt.names == ["<blank>"]


def test_puzzles_are_drawn_once_and_for_all(tmp_path: Path) -> None:
    boards = load_tasks(str(table(tmp_path))).boards
    few = drawn(boards, 5)
    assert len(few) == 5 and few.rows.tolist() == sorted(few.rows.tolist())
    assert few.rows.tolist() == drawn(boards, 5).rows.tolist() != [1, 2, 3, 4, 5]
    assert drawn(boards, 100) is boards
    config = config_of(tmp_path, train_puzzles=5, test_puzzles=3)
    assert len(build_training_set(config).groups) == 5
    assert len(predicted_tasks(config.data)) == 3


def test_the_mark_knows_data_augmentations_and_seed(tmp_path: Path) -> None:
    first = build_training_set(config_of(tmp_path)).mark
    assert first == build_training_set(config_of(tmp_path)).mark
    assert first != build_training_set(config_of(tmp_path, augmentations=4)).mark
    assert first != build_training_set(config_of(tmp_path, train_puzzles=3)).mark


def test_shared_puzzles_are_told(tmp_path: Path) -> None:
    path = str(table(tmp_path))
    notes = build_training_set(config_of(tmp_path, test=[path])).notes
    assert any("shares 12 of its 12 puzzles" in note for note in notes)
    boards = load_tasks(path).boards
    assert shared_questions(boards, boards.at(np.array([0, 3]))) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"vocab_size": 12}}, "but Sudoku has 11 tokens"),
        ({"model": {"seq_len": 81}}, "model.seq_len is 81: add `--set model.seq_len=16`"),
        ({"model": {"canvas": "bucketed", "mixer": "attention"}}, "is for ARC"),
        ({"data": {"test": ["arc-agi-1/training"]}}, "data.test holds ARC, but data.train ["),
        ({"data": {"train": ["arc-agi-1/training"]}}, "but data.train ['arc-agi-1/training'] ARC"),
        ({"data": {"train": ["arc-agi-1/training", "SUDOKU"]}}, "learn from one kind"),
        ({"data": {"train": ["SUDOKU", "sudoku-6x6/test"]}}, "learn from one size"),
        ({"data": {"test": ["SUDOKU", "SUDOKU"]}}, "only one set can be predicted"),
        ({"data": {"train": ["UNKNOWN"]}}, "nothing to learn"),
        ({"data": {"train": []}}, "data.test holds Sudoku, but data.train [] nothing"),
        ({"data": {"test": ["sudoku-6x6/test"]}}, "one model answers one size"),
        ({"data": {"train_puzzles": 0}}, "data.train_puzzles must be at least 1"),
        ({"data": {"train": ["sudoku-6x6"]}}, "say sudoku-6x6/train or sudoku-6x6/test"),
        ({"data": {"train": ["sudoku-extreme/train"]}}, "run `arc-trm data fetch sudoku-extreme"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, dict[str, object]],
    told: str,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("question\n1.3..41.2..3.3.1\n")
    names = {"SUDOKU": str(table(tmp_path)), "UNKNOWN": str(unknown)}
    config = config_of(tmp_path)
    values = {
        part: {**vars(getattr(config, part)), **changes.get(part, {})} for part in ("model", "data")
    }
    for field in ("train", "test"):
        values["data"][field] = [names.get(str(n), n) for n in values["data"][field]]
    with pytest.raises(UserError) as caught:
        build_training_set(from_dict(RunConfig, {**values, "train": TRAIN}))
    assert told in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sudoku-quick", "sudoku-gpu"])
def test_presets_that_need_no_file(name: str) -> None:
    config = load_config(name)
    learnt = build_training_set(config)
    assert learnt.notes == () and len(learnt.groups) >= 1000
    assert total_steps(config, BatchSampler(learnt.groups, 8, 0)) == config.train.total_steps


@pytest.mark.parametrize("name", ["sudoku-extreme", "sudoku-extreme-attention", "maze-hard"])
def test_presets_are_the_published_recipes(name: str) -> None:
    config = load_config(name)
    train, model = config.train, config.model
    assert (train.global_batch_size, config.epochs, train.lr, train.puzzle_emb_lr) == (
        768,
        50000,
        1e-4,
        1e-4,
    )
    assert (train.weight_decay, train.puzzle_emb_weight_decay, train.ema_decay) == (1.0, 1.0, 0.999)
    assert (model.outer_cycles, model.num_layers, model.hidden_size, model.num_heads) == (
        3,
        2,
        512,
        8,
    )
    assert model.inner_cycles == (4 if name == "maze-hard" else 6)
    assert model.mixer == ("mlp" if name == "sudoku-extreme" else "attention")
    assert (model.seq_len, model.vocab_size) == ((900, 6) if name == "maze-hard" else (81, 11))
    grids = np.zeros((1000, *(model.side,) * 2), np.uint8)
    board = BOARDS["maze" if name == "maze-hard" else "sudoku"]
    boards = Boards(board.name, grids, grids.copy())
    groups = BoardGroups(board, boards, config.data.augmentations, 0)
    assert total_steps(config, BatchSampler(groups, 768, 0)) == 65104
    assert len(groups[0]) == (8 if name == "maze-hard" else 1001)


# From training to a score


@pytest.mark.parametrize("kind", BOARDS)
def test_train_predict_score_show_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    job.train(config_of(tmp_path, kind), CPU, tmp_path / "runs" / "first")
    assert read_metrics(tmp_path / "runs" / "first")[-1]["step"] == TRAIN["total_steps"]
    result = invoke("predict", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["tasks"], told["wanted"]) == (8, 8) and "submission" not in told
    run = tmp_path / "runs" / "first"
    assert not (run / "submission.json").exists()
    tasks = load_tasks(str(table(tmp_path, kind, 8, 1)))
    found = read_predictions(run / "predictions.jsonl", tasks)
    again, _ = predict(load_for_inference(run, tasks.tasks), tasks)
    for task in tasks:
        attempts = [
            each[task.id, 0].attempts for each in (found, again) if (task.id, 0) in each.by_test
        ]
        assert all(len(each) <= 1 for each in attempts)
        assert [[grid.tolist() for grid in each] for each in attempts[:1]] == [
            [grid.tolist() for grid in each] for each in attempts[1:]
        ]
    assert {len(each.steps) for each in found} == {MODEL["supervision_steps"]}

    scored = json.loads(invoke("score", "--json", "--references").stdout)
    assert (scored["kind"], scored["puzzles"], scored["exact"]["total"]) == (kind, 8, 8)
    assert list(scored["baselines"]) == ["copying the question", "guessing by the rule"]
    lines = invoke("score", "--references").stdout.splitlines()
    assert lines[0].startswith("exact") and lines[1].startswith("valid")
    assert "No results are published for exactly these tasks." in lines
    shown = invoke("show").stdout
    assert f"{BOARDS[kind].title} 1" in shown and "exact" in shown and "3 of " in shown
    one = invoke("show", "3").stdout
    assert one.startswith(f"{BOARDS[kind].title} 3 of {tasks.name}\n") and "Known answer" in one
    assert "Step" in invoke("show", "3", "--steps").stdout
    assert invoke("show", "3", "--out", "three.svg").exit_code == 0
    assert "Known answer" in (tmp_path / "three.svg").read_text()
    assert invoke("report").stdout.startswith("Wrote runs/first/report.html: Predictions for ")
    page = (run / "report.html").read_text()
    assert "<th scope='row'>valid</th>" in page and f'"{BOARDS[kind].title}"' in page
    both = invoke("score", "runs/first", "runs/first")
    assert "gained 0 puzzles by exact" in both.stdout, both.stderr
    assert invoke("train", "--resume").exit_code == 0


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    job.train(config, CPU, whole)

    class Stopping(job.Reporter):
        def progress(self, progress: job.Progress) -> None:
            if progress.step == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.train(config, CPU, cut, reporter=Stopping())
    job.train(run_config(cut), CPU, cut, resume=True)
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_bad_rows_are_skipped_from_training_to_the_score(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text() + "here,1.,2,3\n")
    settings = [
        *("dtype='float32'", f"data.train=['{path}']", f"data.test=['{path}']", "model.seq_len=16"),
        *("model.hidden_size=32", "model.num_heads=2", "model.puzzle_emb_dim=32"),
        *("train.total_steps=2", "train.global_batch_size=4"),
    ]
    options = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "run"
    arguments = ("train", "--preset", "sudoku-quick", "--out", run, *options)
    refused = invoke(*arguments)
    assert refused.exit_code == 2
    assert f"{path}, row 13 (line 14): the question has 2 characters, expected 16" in refused.stderr
    assert not run.exists()
    told = invoke(*arguments, "--skip-invalid")
    assert told.exit_code == 0 and "1 of 13 rows" in told.stderr
    assert "12 Sudoku puzzles, 12012 with augmentations, 2 steps of 4" in told.stderr
    assert invoke("predict", run).exit_code == 0
    assert json.loads(invoke("score", run, "--json").stdout)["puzzles"] == 12
    out = tmp_path / "out"
    out.mkdir()
    assert invoke("predict", run, "--data", path, "--out", out).exit_code == 2
    assert not list(out.iterdir())
    result = invoke("predict", run, "--data", path, "--skip-invalid", "--out", out)
    assert result.exit_code == 0 and "1 of 13 rows" in result.stderr
    assert "shares 12 of its 12 puzzles with what is learnt from" in result.stderr
    assert json.loads(invoke("score", out, "--json").stdout)["puzzles"] == 12
    listed = invoke("data", "show", path, "--skip-invalid")
    assert "row 13: the question has 2 characters" in listed.stdout
    assert json.loads(invoke("data", "show", path, "--skip-invalid", "--json").stdout)["notes"]
    assert invoke("data", "show", path).exit_code == 2


# Scores


def test_exact_and_valid_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("question,answer\n" + "\n".join(
        ["S  G,So G", "S  G,", "S  G,So G", "S  G,So G", "S# G,S#oG"]
    ) + "\n")  # fmt: skip
    tasks = load_tasks(str(path))
    other = np.array([[2, 1], [4, 3]], np.uint8)
    answers = {"1": other, "2": other, "3": tasks["3"].test[0].output, "5": other}
    log = answers_of(tmp_path, tasks, answers)  # type: ignore[arg-type]
    found = judged(read_results(log, tasks))
    assert dict(found.exact) == {"1": False, "3": True, "4": False, "5": False}
    assert dict(found.valid) == {"1": True, "2": True, "3": True, "4": False, "5": False}
    assert found.answered == 4
    lines = found.lines()
    assert "1/4" in lines[0] and "3/5" in lines[1]
    assert "4 of 5 puzzles are answered" in lines[2]
    assert "of the answered ones exact" in lines[2]


def test_two_sets_of_answers_are_compared(tmp_path: Path) -> None:
    tasks = load_tasks(str(table(tmp_path)))
    right = {task.id: task.test[0].output for task in tasks}
    questions = {task.id: task.test[0].input for task in tasks}
    first = answers_of(tmp_path, tasks, {**right, "1": questions["1"]}, "first")  # type: ignore[arg-type]
    second = answers_of(tmp_path, tasks, {**questions, "1": right["1"]}, "second")  # type: ignore[arg-type]
    told = json.loads(invoke("score", first, second, "--json").stdout)
    assert told["difference"]["gained"] == ["1"] and len(told["difference"]["lost"]) == 11
    assert told["difference"]["exact"]["value"] == pytest.approx(-10 / 12)
    lines = invoke("score", first, second).stdout.splitlines()
    assert any(line.startswith("gained 1 puzzle by exact: 1") for line in lines)


@pytest.mark.parametrize("kind", BOARDS)
def test_baselines_know_no_answer(tmp_path: Path, kind: str) -> None:
    tasks = load_tasks(str(table(tmp_path, kind)))
    found = baselines(tasks, np.random.default_rng(0))
    assert found["copying the question"].rates["exact",].solved == 0
    hidden = Boards(
        kind, tasks.boards.questions, tasks.boards.questions, np.zeros(len(tasks), np.bool_)
    )
    blind = baselines(TaskSet("hidden", hidden), np.random.default_rng(0))
    assert blind["guessing by the rule"].valid == found["guessing by the rule"].valid
    assert list(blind["guessing by the rule"].rates) == [("valid",)]


def test_published_results_are_those_of_the_whole_set() -> None:
    grids = np.zeros((1000, 2, 2), np.uint8)
    found = published_for(TaskSet("maze-hard/test", Boards("maze", grids, grids.copy())))
    assert [each.percent for each in found] == [(85.3,), (74.5,), (0.0,)]
    assert references_table(found)[0] == "Published for maze-hard/test (1000 puzzles):"
    part = Boards("maze", grids[:9], grids[:9].copy())
    assert published_for(TaskSet("maze-hard/test", part)) == []
    assert published_for(TaskSet("mine.csv", part)) == []


@pytest.mark.slow
def test_answers_to_other_puzzles_are_not_taken_for_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, out = tmp_path / "runs" / "first", tmp_path / "out"
    out.mkdir()
    job.train(config_of(tmp_path), CPU, run)
    other = table(tmp_path, seed=7)
    assert invoke("show").exit_code == 0  # nothing is answered yet
    assert f"Sudoku 3 of {table(tmp_path, seed=1)}" in invoke("show", "3").stdout
    assert "there is no puzzle '11'" in invoke("show", "11").stderr  # though there is one to learn
    assert invoke("predict", run).exit_code == 0
    assert invoke("predict", run, "--data", other, "--out", out).exit_code == 0
    for arguments in (
        ("score", run, out),
        ("score", run, "--data", other),
        ("report", out, "--data", table(tmp_path)),
        ("show", "3", "--predictions", out / "predictions.jsonl", "--data", table(tmp_path)),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2 and "answers other puzzles" in result.stderr, arguments
    mazes = table(tmp_path, "maze")
    arc = tmp_path / "3.json"  # a task of ARC's with the number of a puzzle
    arc.write_text(json.dumps(json.loads(write_challenges(tmp_path).read_text())["task0"]))
    submitted = tmp_path / "submission.json"
    submitted.write_text(json.dumps({"3": [{"attempt_1": [[1]], "attempt_2": [[1]]}]}))
    exported = ("export", out, "--format", "arcprize", "--out", tmp_path / "e", "--data", arc)
    for arguments, told in (
        (("score", out, "--data", mazes), f"answers Sudoku, but {mazes} holds Maze"),
        (("score", out, "--data", arc), f"answers Sudoku, but {arc} holds ARC"),
        (("report", out, "--data", arc), f"answers Sudoku, but {arc} holds ARC"),
        (exported, f"answers Sudoku, but {arc} holds ARC"),
        (("report", submitted, "--data", other), f"answers ARC, but {other} holds Sudoku"),
        (("score", submitted, out), f"answers ARC, but {out} Sudoku: compare one kind"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2 and told in result.stderr, (arguments, result.stderr)
    shown = invoke("show", "11", "--predictions", out / "predictions.jsonl").stdout
    assert f"Sudoku 11 of {other}" in shown
    assert "there is no puzzle '11'" in invoke("show", "11").stderr  # of 8 that were predicted
    assert "Answer" not in invoke("show", "3", "--data", other).stdout.replace("Known answer", "")
    for arguments in (("show", "007bbfb7"), ("show", "007bbfb7", "--data", "arc-agi-1")):
        assert invoke(*arguments).stdout.startswith("Task 007bbfb7")
    # The run's own data is not what its answers are to any more.
    assert invoke("predict", run, "--data", other).exit_code == 0
    assert "3 of 12 shown" in invoke("show", run).stdout or "shown" not in invoke("show").stdout
    # A submission that is left over in the folder is of something else.
    (out / "submission.json").write_text(json.dumps({"1": []}))
    assert json.loads(invoke("score", out, "--json").stdout)["puzzles"] == 12


def test_a_model_card_has_scores_of_the_run_s_own_puzzles(tmp_path: Path) -> None:
    run = tmp_path / "run"
    job.train(config_of(tmp_path), CPU, run)

    def card() -> str:
        return model_card(run, read_parts(run), "owner/name", None)

    assert "Not scored: the run has no submission yet" in card()
    assert invoke("predict", run).exit_code == 0
    assert "exact" in card() and "/8 " in card() and "Not scored" not in card()
    assert invoke("predict", run, "--data", table(tmp_path, seed=7)).exit_code == 0
    assert "Not scored: its answers are to other puzzles" in card()


def test_another_shortest_path_is_shown_as_valid(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("question,answer\nS  G,So G\n")
    tasks = load_tasks(str(path))
    log = answers_of(tmp_path, tasks, {"1": np.array([[2, 1], [4, 3]], np.uint8)})
    shown = ("show", "1", "--predictions", log)
    assert "Answer ✓ valid" in invoke(*shown).stdout
    assert invoke(*shown, "--out", tmp_path / "m.svg").exit_code == 0
    drawn = (tmp_path / "m.svg").read_text()
    assert ">valid<" in drawn and ">wrong<" not in drawn


def test_a_log_without_answers_or_with_strange_ones(tmp_path: Path) -> None:
    tasks = load_tasks(str(table(tmp_path)))
    empty = answers_of(tmp_path, tasks, {})
    assert invoke("score", empty).stdout.splitlines()[-1] == "0 of 12 puzzles are answered"
    mazes = load_tasks(str(table(tmp_path, "maze")))
    for number, (of, line, told) in enumerate(
        [
            (tasks, '"halt":0.5,"order":0,"grid":[[1,2],[3,4]]', "a grid is 2×2, the puzzle 4×4"),
            (tasks, '"steps":[[0.5,[[1,2,3,4]]]]', "a grid is 1×4, the puzzle 4×4"),
            (mazes, f'"steps":[[0.5,{[[9] * 4] * 4}]]', "a grid has the value 9, a maze 0 to 4"),
            (tasks, '"steps":null', "a field of it is not what `arc-trm predict` writes"),
            (tasks, '"halt":NaN,"order":0,"grid":[[1]]', "its halting score is nan"),
        ]
    ):
        strange = answers_of(tmp_path, of, {}, f"strange{number}")
        with strange.open("a") as file:
            file.write(f'{{"task":"1","test":0,"puzzle":"1",{line}}}\n')
        for command in ("score", "report"):
            assert f"line 3 is not a prediction: {told}" in invoke(command, strange).stderr
        result = invoke("show", "1", "--predictions", strange)
        assert result.exit_code == 2 and told in result.stderr
    with empty.open("a") as file:
        file.write("[1]\n")
    assert "it is no JSON object" in invoke("score", empty).stderr


def test_without_known_answers_there_is_no_comparison(tmp_path: Path) -> None:
    boards = load_tasks(str(table(tmp_path))).boards
    path = tmp_path / "questions.csv"
    signs = (".123456789"[value] for value in boards.questions.reshape(-1).tolist())
    texts = ["".join(next(signs) for _ in range(16)) for _ in range(len(boards))]
    path.write_text("\n".join(["question", *texts]) + "\n")
    tasks = load_tasks(str(path))
    log = answers_of(tmp_path, tasks, {"1": boards.answers[0]})
    assert "exact" not in invoke("score", log).stdout.splitlines()[0]
    assert "cannot be compared" in invoke("score", log, log).stderr
    assert invoke("report", log).exit_code == 0


# What is for ARC only


@pytest.mark.slow
def test_what_is_for_arc_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "first"
    job.train(config_of(tmp_path), CPU, run)
    path = table(tmp_path)
    assert invoke("predict").exit_code == 0
    before = sorted(run.iterdir())
    for arguments, told in (
        (("predict", "--attempts", "2"), "--attempts is for ARC"),
        (("predict", "--augmentations", "3"), "votes of augmentations are for ARC"),
        (("predict", "--canvas", "fit"), "--canvas is for ARC"),
        (("validate", run), "validating is for ARC"),
        (("validate", run / "predictions.jsonl"), "validating is for ARC"),
        (
            ("predict", "--data", "arc-agi-1/evaluation"),
            "have 11 tokens, as of Sudoku, but ARC has 12",
        ),
        (
            ("predict", "--data", "sudoku-6x6/test"),
            "6 cells a side, but the weights were trained on 4",
        ),
        (("predict", "--skip-invalid"), "--skip-invalid goes with --data"),
        (("score", "--solutions", "x.json"), "--solutions is for ARC"),
        (("report", "--solutions", "x.json"), "--solutions is for ARC"),
        (("adapt", "--weights", run, "--data", path), "adapting to demonstrations is for ARC"),
        (("adapt", "--weights", run, "--data", "arc-agi-1/evaluation"), "but ARC has 12"),
        (("merge", run, run, "--out", "m.json"), "merging into a submission is for ARC"),
        (("export", run, "--format", "arcprize", "--out", "x"), "--format arcprize is for ARC"),
        (("data", "show", "arc-agi-1", "--skip-invalid"), "--skip-invalid is for CSV files"),
        (("data", "identifiers", "--subset", f"a={path}", "--out", "i.json"), "is for ARC"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, arguments
        assert told in result.stderr, result.stderr
        assert result.stderr.count("Error: ") == 1 and "Traceback" not in result.stderr
    assert sorted(run.iterdir()) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "runs",
        "sudoku-0.csv",
        "sudoku-1.csv",
    ]


def test_weights_of_arc_answer_no_puzzles(tmp_path: Path) -> None:
    run = tmp_path / "run"
    job.train(run_config_of_arc(write_challenges(tmp_path)), CPU, run)
    before = sorted(run.iterdir())
    for data in (table(tmp_path), "sudoku-6x6/test"):
        result = invoke("predict", run, "--data", data)
        assert result.exit_code == 2
        assert "the weights have 12 tokens, as of ARC, but Sudoku has 11" in result.stderr
    assert sorted(run.iterdir()) == before


def test_answers_in_a_submission_are_of_arc(tmp_path: Path) -> None:
    submission = tmp_path / "submission.json"
    submission.write_text(json.dumps({"1": [{"attempt_1": [[1]], "attempt_2": [[2]]}]}))
    result = invoke("score", submission, "--data", table(tmp_path))
    assert result.exit_code == 2 and "is for ARC" in result.stderr


@pytest.mark.slow
def test_published_weights_answer_a_file(tmp_path: Path) -> None:
    published = GOLDEN / "trm_mixer" / "step_0"
    weights, out = tmp_path / "weights", tmp_path / "out"
    out.mkdir()
    assert invoke("convert", published, weights).exit_code == 0
    path = tmp_path / "s.csv"
    made = generated(Recipe("sudoku", 3, 0, 9))
    write_table(path, made.boards, "here", made.ratings.tolist())
    result = invoke("predict", weights, "--data", path, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert json.loads(invoke("score", out, "--json").stdout)["puzzles"] == 3


# Folders of the published trainer


def built(folder: Path, kind: str = "sudoku") -> Path:
    """A folder as the published builders make them of puzzles."""
    boards = load_tasks(str(table(folder, kind))).boards
    board = BOARDS[kind]
    out = folder / "built"
    out.mkdir()
    (out / "identifiers.json").write_text('["<blank>"]')
    for part in ("train", "test"):
        (out / part).mkdir()
        examples = [board.encode(boards.pair(place), boards.side) for place in range(len(boards))]
        for name, tokens in zip(("inputs", "labels"), zip(*examples, strict=True), strict=True):
            np.save(out / part / f"all__{name}.npy", np.stack(tokens))
        np.save(out / part / "all__puzzle_identifiers.npy", np.zeros(len(boards), np.int32))
        for name in ("puzzle_indices", "group_indices"):
            np.save(out / part / f"all__{name}.npy", np.arange(len(boards) + 1, dtype=np.int32))
        about = {"seq_len": 16, "vocab_size": board.vocabulary, "pad_id": 0, "ignore_label_id": 0}
        about |= {"num_puzzle_identifiers": 1, "sets": ["all"]}
        (out / part / "dataset.json").write_text(json.dumps(about))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOARDS)
def test_a_built_folder_is_learnt_from_and_predicted(tmp_path: Path, kind: str) -> None:
    folder = built(tmp_path, kind)
    tasks = load_tasks(str(folder))
    plain = load_tasks(str(table(tmp_path, kind)))
    assert tasks.domain == kind
    assert content_digest(tasks) == content_digest(plain)
    config = config_of(tmp_path, kind, train=[str(folder)], test=[str(folder)])
    learnt = build_training_set(config)
    assert len(learnt.groups) == 12 and learnt.names == ["<blank>"]
    assert any("shares 12 of its 12 puzzles" in note for note in learnt.notes)
    other = load_tasks(str(table(tmp_path, kind, 8, 1)))
    assert len(overlap_notes(config.data, tasks)) == 1
    assert overlap_notes(config.data, other) == []
    with pytest.raises(UserError, match="but ARC has 12"):
        build_training_set(
            config_of(tmp_path, kind, train=[str(folder)], test=["arc-agi-1/training"])
        )
    assert build_training_set(config_of(tmp_path, kind, train=[str(folder)], test=[])).groups
    job.train(config, CPU, tmp_path / "run")
    assert invoke("predict", tmp_path / "run").exit_code == 0
    assert json.loads(invoke("score", tmp_path / "run", "--json").stdout)["puzzles"] == 12


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tokens: tokens + 20, "expected 1 to 5 as of a sudoku"),
        (lambda tokens: tokens[:, :9], "of the 16 tokens that dataset.json says"),
        (lambda tokens: tokens[:5], "as many as in all__inputs.npy"),
        (lambda tokens: np.where(tokens > 1, 2, tokens), "the digit 1 more than once in"),
    ],
)
def test_a_built_folder_that_is_damaged(tmp_path: Path, change: object, told: str) -> None:
    folder = built(tmp_path)
    learn_and_predict = (
        lambda: build_training_set(config_of(tmp_path, train=[str(folder)])),
        lambda: load_tasks(str(folder)),
    )
    for part, read in zip(("train", "test"), learn_and_predict, strict=True):
        path = folder / part / "all__inputs.npy"
        np.save(path, change(np.load(path)).astype(np.uint8))  # type: ignore[operator]
        with pytest.raises(UserError) as caught:
            read()
        assert told in str(caught.value) and f"built/{part}" in str(caught.value)


def test_a_group_without_an_example_is_no_matter(tmp_path: Path) -> None:
    folder = built(tmp_path)
    for name in ("puzzle_indices", "group_indices"):
        path = folder / "train" / f"all__{name}.npy"
        starts = np.load(path)
        np.save(path, np.append(starts, starts[-1] + (name == "group_indices")).astype(np.int32))
    np.save(folder / "train" / "all__puzzle_identifiers.npy", np.zeros(13, np.int32))
    learnt = build_training_set(config_of(tmp_path, train=[str(folder)]))
    assert [group.pairs for group in learnt.groups] == 12 * [1] + [0]


def test_a_built_folder_without_its_test_half(tmp_path: Path) -> None:
    folder = built(tmp_path)
    about = folder / "test" / "dataset.json"
    about.write_text(about.read_text().replace('"vocab_size": 11', '"vocab_size": 12'))
    with pytest.raises(UserError, match=r"halves of different vocab_size"):
        load_tasks(str(folder))
    shutil.rmtree(folder / "test")
    with pytest.raises(UserError, match=r"has no test/dataset.json, so there is nothing in it"):
        load_tasks(str(folder))


# Generating


def test_generate_leaves_alone_what_was_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.csv"

    def slowly(recipe: Recipe, progress: Progress) -> Made:
        out.write_text("mine")
        return generated(recipe, progress)

    monkeypatch.setattr("arc_trm.puzzles.generate.generated", slowly)
    result = invoke("data", "generate", "sudoku", "--side", 4, "--count", 2, "--out", out)
    assert result.exit_code == 2 and "already exists" in result.stderr
    assert out.read_text() == "mine"


def test_generate_writes_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    arguments = ("data", "generate", "sudoku", "--side", 6, "--count", 7, "--seed", 5)
    result = invoke(*arguments, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["count"], told["side"], told["kind"]) == (7, 6, "sudoku")
    assert len(load_tasks(str(out))) == 7
    assert invoke(*arguments, "--out", out).exit_code == 2  # it is there already
    assert invoke(*arguments, "--out", tmp_path / "s.json").exit_code == 2
    assert invoke(*arguments, "--out", tmp_path / "no" / "s.csv").exit_code == 2
    other = tmp_path / "again.csv"
    assert "7 Sudoku puzzles, 6×6" in invoke(*arguments, "--out", other).stdout
    assert other.read_bytes() == out.read_bytes()
    assert (
        invoke("data", "generate", "maze", "--clues", 3, "--out", tmp_path / "m.csv").exit_code == 2
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again.csv", "s.csv"]


@pytest.mark.slow
def test_hard_is_meant_unless_something_else_is_said(tmp_path: Path) -> None:
    def ratings(*options: object) -> dict[str, float]:
        out = tmp_path / "p.csv"
        out.unlink(missing_ok=True)
        result = invoke("data", "generate", *options, "--count", 3, "--out", out, "--json")
        assert result.exit_code == 0, result.stderr
        found: dict[str, float] = json.loads(result.stdout)["rating"]
        return found

    assert ratings("sudoku")["least"] >= 10
    assert ratings("sudoku", "--hardest", 0)["largest"] == 0
    assert ratings("maze")["least"] >= 111
    assert ratings("maze", "--side", 10)["largest"] < 111


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sudoku-6x6/train", "sudoku-6x6/test", "sudoku-easy/test", "sudoku-minimal/test"]
)
def test_made_sets_are_the_same_everywhere(name: str) -> None:
    facts = json.loads(invoke("data", "show", name, "--json").stdout)
    (split,) = facts["splits"]
    assert split["as_published"] and split["files"] == "made when needed"


@pytest.mark.slow
def test_data_lists_sets_that_are_made() -> None:
    assert "made when needed" in invoke("data", "list").stdout
    assert "Sudoku 6×6" in invoke("data", "show", "sudoku-6x6").stdout


def test_pairs_of_boards_are_of_a_task(tmp_path: Path) -> None:
    tasks = load_tasks(str(table(tmp_path)))
    only = tasks.only("3")
    assert list(only.tasks) == ["3"] and isinstance(only["3"].test[0], Pair)
    assert "Question" in only["3"]._repr_html_() and "12 puzzles" in tasks._repr_html_()
