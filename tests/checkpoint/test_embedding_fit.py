"""What a fit says of made-up tables whose structure is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from tiny import MODEL, write_weights

import arc_trm
from arc_trm.checkpoint import WeightsDir, embedding_fit, save_config, save_weights
from arc_trm.checkpoint.embedding_fit import EmbeddingFit, fit_embedding
from arc_trm.errors import UserError
from arc_trm.puzzles.arc.augmentation import ArcAugmentation

TASKS, AUGMENTATIONS, SIZE = 5, 150, MODEL["puzzle_emb_dim"]


def made_up(folder: Path, row: Callable[[int, ArcAugmentation], np.ndarray]) -> EmbeddingFit:
    """Fit a table whose rows are a function of task and augmentation."""
    rng = np.random.default_rng(0)
    names, rows = [], [np.zeros(SIZE)]
    for task in range(TASKS):
        for number in range(AUGMENTATIONS + 1):
            colours = bytes([0, *rng.permutation(range(1, 10)).tolist()])
            augmentation = ArcAugmentation(int(rng.integers(8)), colours) if number else None
            augmentation = augmentation or ArcAugmentation()
            names.append(f"task{task}" + (f"|||{augmentation.name}" if number else ""))
            rows.append(row(task, augmentation))
    weights = WeightsDir(write_weights(folder, names))
    network, _, known, step = weights.parts
    table = torch.from_numpy(np.array(rows)).float()
    save_config(folder, weights.config, known)
    save_weights(folder, weights.config, network, table, step)
    return fit_embedding(WeightsDir(folder))


def vectors(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(*shape, SIZE))


def test_a_table_of_shared_parts_is_explained_whole(tmp_path: Path) -> None:
    task, symmetry, images = vectors(TASKS), 2 * vectors(8), vectors(10, 10)

    def row(number: int, augmentation: ArcAugmentation) -> np.ndarray:
        pairs = enumerate(augmentation.colours)
        seen = sum(images[colour, image] for colour, image in pairs if colour)
        return task[number] + symmetry[augmentation.dihedral] + seen

    fit = made_up(tmp_path / "w", row)
    tasks, symmetries, colours, own = fit.fits
    assert (fit.rows, fit.tasks, fit.size) == (TASKS * (AUGMENTATIONS + 1), TASKS, SIZE)
    assert tasks.explained < symmetries.explained < 0.9 < colours.explained
    assert colours.explained == pytest.approx(1, abs=1e-9)
    assert own.explained == pytest.approx(1, abs=1e-9)
    assert (tasks.vectors, symmetries.vectors, colours.vectors) == (4, 11, 11 + 64)
    assert own.vectors == 4 + TASKS * (7 + 64)


def test_parts_that_each_task_has_for_itself_are_explained_by_the_last_fit_alone(
    tmp_path: Path,
) -> None:
    symmetry, images = vectors(TASKS, 8), vectors(TASKS, 10, 10)

    def row(number: int, augmentation: ArcAugmentation) -> np.ndarray:
        pairs = enumerate(augmentation.colours)
        seen = sum(images[number, colour, image] for colour, image in pairs if colour)
        return symmetry[number, augmentation.dihedral] + seen

    *_, colours, own = made_up(tmp_path / "w", row).fits
    assert colours.explained < 0.5
    assert own.explained == pytest.approx(1, abs=1e-9)


def test_random_rows_are_explained_by_as_many_vectors_but_not_adjusted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fit = made_up(tmp_path / "w", lambda *_: rng.normal(size=SIZE))
    for each in fit.fits:
        expected = each.vectors / (fit.rows - 1)
        assert each.explained == pytest.approx(expected, rel=0.25)
        assert each.adjusted is not None and abs(each.adjusted) < 0.05
    assert fit.variance == pytest.approx(1, rel=0.05)


def test_equal_rows_have_no_variance_to_explain(tmp_path: Path) -> None:
    fit = made_up(tmp_path / "w", lambda *_: np.ones(SIZE))
    assert fit.variance == 0
    assert all((each.explained, each.adjusted) == (0, None) for each in fit.fits)
    assert fit.lines()[-1].endswith("unknown")


def test_the_fit_does_not_depend_on_how_many_rows_are_read_at_once(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_embedding(WeightsDir(tiny_run))
    monkeypatch.setattr(embedding_fit, "CHUNK", 2)
    for one, other in zip(whole.fits, fit_embedding(WeightsDir(tiny_run)).fits, strict=True):
        assert one.vectors == other.vectors
        assert one.explained == pytest.approx(other.explained, abs=1e-9)


def test_the_command_prints_the_fit_and_python_returns_it(
    tiny_run: Path, cli: Callable[..., Result]
) -> None:
    result = cli("fit-embedding", tiny_run)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == arc_trm.fit_embedding(tiny_run).lines()
    assert "9 rows of 3 tasks, 32 numbers each" in result.stdout


def test_weights_without_a_table_of_augmented_tasks_are_told(
    tmp_path: Path, cli: Callable[..., Result]
) -> None:
    composed = write_weights(tmp_path / "composed", puzzle_embedding="composed")
    plain = write_weights(tmp_path / "plain")
    broken = write_weights(tmp_path / "broken", ["a", "a|||t9|||0123456789"])
    for folder, reason in (
        (composed, "has a composed puzzle embedding"),
        (plain, "has no puzzle embedding of augmented tasks"),
        (broken, '"a|||t9|||0123456789" names no augmentation of a task'),
    ):
        result = cli("fit-embedding", folder)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert reason in line
        with pytest.raises(UserError):
            fit_embedding(WeightsDir(folder))
