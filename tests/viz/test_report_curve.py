"""The training curve on the page of the report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from report_pages import data_of, make_page, text_of

from arc_trm.config import DataConfig, RunConfig, TrainConfig
from arc_trm.runs import METRICS, PREDICTIONS_FOLDER, create_run
from arc_trm.viz.curve import EXACT_SHORT
from arc_trm.viz.report.chart import training_section


def test_a_run_has_its_curve_and_says_its_tasks(predictions: Path) -> None:
    data = DataConfig(test=(str(Path("some_challenges.json").absolute()),))
    run = create_run(RunConfig("tiny", 0, data=data), Path("run"))
    records = [
        {"step": n, "train/lm_loss": 1 / n, "train/exact_of_halted": 0.5} for n in range(1, 9)
    ]
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    folder = run / PREDICTIONS_FOLDER / "12345678"
    folder.mkdir(parents=True)
    shutil.copy(predictions, folder)
    page = make_page(run)
    assert f"Training 8 steps; loss per example 0.125; {EXACT_SHORT} 50 %" in text_of(page)
    assert page.count('class="smooth training" d="M0.0') == 2
    assert data_of(page)["tasks"][0]["outcome"] == "right"


def test_a_curve_is_smoothed_with_the_raw_line_behind() -> None:
    rng = np.random.default_rng(0)
    values = (1 + rng.normal(0, 0.1, 500)).tolist()
    page = training_section([{"step": n, "train/lm_loss": value} for n, value in enumerate(values)])
    raw, smooth = (
        re.findall(rf'class="{name} training" d="M([^"]+)"', page.partition("<svg viewBox")[2])
        for name in ("raw", "smooth")
    )

    def spread(path: str) -> float:
        return float(np.std([float(y) for y in re.findall(r"[\d.]+", path)[1::2]]))

    assert len(raw) == len(smooth) == 1 and page.index(raw[0]) < page.index(smooth[0])
    assert spread(smooth[0]) < 0.5 * spread(raw[0])
    assert "No example halted yet" in page  # so there is no exact accuracy


def test_a_curve_does_not_end_before_a_loss_that_is_not_finite() -> None:
    records = [{"step": n, "train/lm_loss": 1.5} for n in range(1, 9)]
    page = training_section([*records, {"step": 9, "train/lm_loss": float("nan")}])
    assert "9 steps; loss per example nan" in page
    assert "at the end loss per example nan" in page
    assert "at the end no example halted yet" in page


def test_evaluations_are_drawn_and_said_beside_training() -> None:
    records: list[dict[str, float]] = [
        {"step": n, "train/lm_loss": 1.5, "train/exact_of_halted": 0.9} for n in range(1, 9)
    ]
    for step, exact in ((4, 0.25), (6, 0.5), (8, 0.375)):
        records.append({"step": step, "eval/exact": exact, "eval/puzzles": 200})
    page = training_section(records)
    plot = page.rpartition("<svg viewBox")[2]
    (line,) = re.findall(r'class="smooth validation" d="M([^"]+)"', plot)
    xs, ys = np.array([float(number) for number in re.findall(r"[\d.]+", line)]).reshape(-1, 2).T
    assert xs / 600 == pytest.approx([3 / 7, 5 / 7, 1], abs=1e-3)
    assert ys / 160 == pytest.approx([0.75, 0.5, 0.625])
    assert plot.count('class="dot validation"') == 4 and plot.count('class="ring validation"') == 1
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    validation = "validation exact at best 50 % at step 6"
    assert f"exact of halted 90 %; {validation}" in text
    assert "of 200 validation puzzles, averaged weights best: 50 % at step 6" in text


def test_the_best_evaluation_of_a_page_is_by_the_metric_of_the_run(predictions: Path) -> None:
    data = DataConfig(test=(str(Path("some_challenges.json").absolute()),))
    train = TrainConfig(best_metric="valid")
    run = create_run(RunConfig("tiny", 0, data=data, train=train), Path("run"))
    records = [
        {"step": 1, "eval/exact": 0.25, "eval/valid": 0.75, "eval/puzzles": 8},
        {"step": 2, "eval/exact": 0.5, "eval/valid": 0.625, "eval/puzzles": 8},
    ]
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    folder = run / PREDICTIONS_FOLDER / "12345678"
    folder.mkdir(parents=True)
    shutil.copy(predictions, folder)
    assert "validation valid at best 75 % at step 1" in text_of(make_page(run))
