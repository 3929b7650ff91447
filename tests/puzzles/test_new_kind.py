"""A kind of puzzle from outside the package plugs in, from its CSV file to the report."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result

from arc_trm import pipeline
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, GridPuzzle, PuzzleScore, register_kind
from arc_trm.puzzles.symmetry import SYMMETRIES, Dihedral
from arc_trm.puzzles.theme import puzzle_theme
from arc_trm.runs import predictions_of
from arc_trm.tasks import Grid, PuzzleArray

SIDE = 4
SETTINGS = (
    "dtype='float32'",
    "model.hidden_size=32",
    "model.num_heads=2",
    "model.puzzle_emb_dim=32",
    "model.supervision_steps=3",
    "train.global_batch_size=4",
    "train.warmup_steps=3",
    "train.lr=1e-2",
    "train.ema_decay=0.9",
)
STEPS = 30
"""After so many the model predicts no padding, so every puzzle has an answer."""


class LatinSquare(GridPuzzle):
    """Every row and column holds each of the letters a to d once."""

    name = "latin-square"
    title = "Latin square"
    default_side = SIDE
    symbols = "_abcd"
    max_augmentations = SYMMETRIES - 1
    rule = "every row and column holds every letter, and the given cells stay"
    theme = puzzle_theme(
        task="Latin square",
        colours=("#FFFFFF",) * 5,
        symbols=" abcd",
        text_symbols="_abcd",
        given="#E4E0D6",
    )

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> Dihedral:
        return Dihedral(number)

    def side_error(self, side: int) -> str | None:
        return None if side == SIDE else f"a Latin square has {SIDE} cells a side, not {side}"

    def validate(self, questions: Grid, answers: Grid, known: npt.NDArray[np.bool_]) -> list[str]:
        letters = np.arange(1, SIDE + 1)
        full = (np.sort(answers, 1) == letters[:, None]).all((1, 2))
        full &= (np.sort(answers, 2) == letters).all((1, 2))
        kept = ((questions == 0) | (answers == questions)).all((1, 2))
        return [
            "the answer is not a Latin square of the question" if fault else ""
            for fault in known & ~(full & kept)
        ]

    def guess(self, questions: Grid, rng: np.random.Generator) -> Grid:
        letters = rng.integers(1, SIDE + 1, questions.shape).astype(np.uint8)
        return np.where(questions == 0, letters, questions)


@pytest.fixture
def latin_square() -> Iterator[LatinSquare]:
    """The kind, registered for one test."""
    kind = LatinSquare()
    register_kind(kind)
    yield kind
    del KINDS[kind.name]


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file squares.csv of 12 puzzles in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = ["question,answer"]
    for letters in itertools.islice(itertools.permutations("abcd"), 12):
        shifted = (letters[row:] + letters[:row] for row in range(SIDE))
        answer = "".join(itertools.chain.from_iterable(shifted))
        hidden = set(rng.permutation(SIDE**2)[:5].tolist())
        question = "".join("_" if cell in hidden else letter for cell, letter in enumerate(answer))
        rows.append(f"{question},{answer}")
    path = Path("squares.csv")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_its_files_are_read_and_validated(latin_square: LatinSquare, squares: Path) -> None:
    tasks = load_tasks(squares)
    assert isinstance(tasks, PuzzleArray)
    assert (tasks.kind, tasks.side, len(tasks)) == ("latin-square", SIDE, 12)
    for pair in (tasks.pair(index) for index in range(len(tasks))):
        assert pair.output is not None and latin_square.is_valid(pair.input, pair.output)
        tokens, labels = latin_square.encode(pair, SIDE)
        assert np.array_equal(tokens.reshape(SIDE, SIDE), pair.input + 1)
        assert np.array_equal(latin_square.decode(labels), pair.output)
    squares.write_text(squares.read_text() + "aabb" * 4 + "," + "aabb" * 4 + "\n")
    with pytest.raises(UserError, match=r"row 13 .*: the answer is not a Latin square"):
        load_tasks(squares)


def test_the_pipeline_trains_predicts_and_scores(latin_square: LatinSquare, squares: Path) -> None:
    run = pipeline.train(data=squares, overrides=SETTINGS, max_steps=STEPS, out="run", device="cpu")
    assert run.config.model.vocab_size == latin_square.vocab_size(SIDE) == 6
    assert run.config.model.seq_len == SIDE**2
    assert run.metrics[-1]["step"] == STEPS
    predictions = pipeline.predict(run.path, squares, device="cpu")
    assert len(predictions) == 12
    assert not (run.path / "submission.json").exists()
    score = pipeline.score(predictions)
    assert isinstance(score, PuzzleScore)
    assert (score.kind, score.answered.sum()) == (latin_square, 12)
    assert pipeline.score(run.path).to_dict() == score.to_dict()


def test_the_commands_train_predict_score_show_and_report(
    latin_square: LatinSquare, squares: Path, cli: Callable[..., Result]
) -> None:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    trained = cli(
        "train", "--data", squares, "--max-steps", STEPS, "--out", "runs/first", *settings
    )
    assert trained.exit_code == 0, trained.stderr
    assert f"12 Latin square puzzles, 96 with augmentations, {STEPS} steps of 4" in trained.stderr

    predicted = cli("predict", "--data", squares, "--json")
    assert predicted.exit_code == 0, predicted.stderr
    facts = json.loads(predicted.stdout)
    assert (facts["tasks"], facts["predicted_queries"], facts["queries"]) == (12, 12, 12)
    assert "shares 12 of its 12 puzzles with" in predicted.stderr

    scored = json.loads(cli("score", "--json", "--with-published").stdout)
    assert (scored["kind"], scored["puzzles"]) == ("latin-square", 12)
    assert scored["exact"]["total"] == scored["valid"]["total"] == 12
    assert scored["baselines"]["copying the question"]["exact"]["solved"] == 0
    assert latin_square.rule in cli("score").stdout

    # Which puzzles are shown depends on the trained weights, and these on the processor.
    examples = cli("show").stdout
    assert re.search(r"^ *Latin square ([1-9]|1[0-2])\b", examples, re.MULTILINE)
    assert re.search(r"^[1-4] of 12 predicted puzzles shown", examples, re.MULTILINE)
    shown = cli("show", "3").stdout
    assert shown.startswith("Latin square 3 of ") and "Known answer" in shown
    assert all(letter in shown for letter in "_abcd")
    assert "Step" in cli("show", "3", "--trace").stdout
    assert cli("show", "3", "--out", "three.svg").exit_code == 0
    drawing = Path("three.svg").read_text()
    assert "Known answer" in drawing and ">d<" in drawing and "#E4E0D6" in drawing

    reported = cli("report")
    assert reported.exit_code == 0, reported.stderr
    page = (predictions_of(Path("runs/first"))[0] / "report.html").read_text()
    assert '"title":"Latin square 1"' in page and latin_square.rule in page

    described = json.loads(cli("data", "show", squares, "--json").stdout)
    (split,) = described["splits"]
    assert (split["kind"], split["side"], split["known"]) == ("latin-square", SIDE, 12)


def test_a_kind_without_a_generator_cannot_be_generated(
    latin_square: LatinSquare, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    result = cli("data", "generate", "latin-square", "--out", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert 'puzzles of the kind "latin-square" cannot be generated' in result.stderr


def test_an_unregistered_kind_is_unknown(squares: Path) -> None:
    assert "latin-square" not in KINDS
    with pytest.raises(UserError, match=r"expected one of '.1234'"):
        load_tasks(squares)
