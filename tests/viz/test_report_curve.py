"""The training curve on the page of the report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
from report_pages import data_of, make_page, text_of

from arc_trm.config import DataConfig, RunConfig
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
    assert f"Training 8 steps; loss per example 0.125; {EXACT_SHORT} 50.0 %" in text_of(page)
    assert page.count('class="smooth"') == 2
    assert data_of(page)["tasks"][0]["outcome"] == "right"


def test_a_curve_is_smoothed_with_the_raw_line_behind() -> None:
    rng = np.random.default_rng(0)
    values = (1 + rng.normal(0, 0.1, 500)).tolist()
    page = training_section([{"step": n, "train/lm_loss": value} for n, value in enumerate(values)])
    raw, smooth = (re.findall(rf'class="{name}" d="M([^"]+)"', page) for name in ("raw", "smooth"))

    def spread(path: str) -> float:
        return float(np.std([float(y) for y in re.findall(r"[\d.]+", path)[1::2]]))

    assert len(raw) == len(smooth) == 1 and page.index("raw") < page.index('"smooth"')
    assert spread(smooth[0]) < 0.5 * spread(raw[0])
    assert "No sequence halted yet" in page  # so there is no exact accuracy


def test_a_curve_does_not_end_before_a_loss_that_is_not_finite() -> None:
    records = [{"step": n, "train/lm_loss": 1.5} for n in range(1, 9)]
    page = training_section([*records, {"step": 9, "train/lm_loss": float("nan")}])
    assert "9 steps; loss per example nan" in page
    assert "at the end loss per example nan" in page
    assert "at the end no sequence halted yet" in page
