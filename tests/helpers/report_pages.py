"""Pages of the report on a few made-up tasks and puzzles."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from puzzles import large_sudoku, write_large_sudoku

from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import write_json
from arc_trm.runs import PREDICTIONS
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz.report import build_comparison, build_report, report_page

HOSTILE = "</script><script>document.title='owned'</script><b>&x"

RIGHT, OTHER, THIRD = as_grid([[1, 2], [3, 4]]), as_grid([[1, 2], [3, 5]]), as_grid([[7]])


def make_task(name: str, outputs: int = 1) -> Task:
    shown = Pair(as_grid([[1, 2, 3]]), as_grid([[3], [2]]))
    return Task(name, (shown, shown), tuple(Pair(as_grid([[9, 0]]), RIGHT) for _ in range(outputs)))


TASKS = [make_task("first001"), make_task("second02"), make_task("twofold3", 2), make_task(HOSTILE)]

# Per task and test the grids that were voted for, each by one puzzle.
VOTES: dict[tuple[str, int], list[Grid]] = {
    ("first001", 0): [RIGHT, RIGHT, RIGHT, OTHER],
    ("second02", 0): [OTHER, OTHER, RIGHT],
    ("twofold3", 0): [RIGHT],
    ("twofold3", 1): [THIRD, THIRD, OTHER, OTHER, RIGHT],
}

BETTER: dict[tuple[str, int], list[Grid]] = {
    ("first001", 0): [THIRD, OTHER],
    ("second02", 0): [RIGHT],
    ("twofold3", 0): [RIGHT],
    ("twofold3", 1): [RIGHT],
}
"""Votes that lose first001 and gain the rest of twofold3."""

TRACE = (
    TraceStep(None, 0.1),
    TraceStep(OTHER, 0.25),
    TraceStep(OTHER, 0.5),
    TraceStep(RIGHT, 0.75),
)

PUZZLES = {
    "Sudoku": ["1.3..41.2..3.3.1,1234341221434321"] * 2,
    "Maze": ["S  G,So G"] * 3,
}


def write_predictions(
    folder: Path,
    trace: tuple[TraceStep, ...] = TRACE,
    votes: dict[tuple[str, int], list[Grid]] = VOTES,
) -> Path:
    """Write challenges, their solutions beside them, and a predictions.jsonl that names them."""
    tasks = TaskSet.from_tasks("made-up", TASKS)
    challenges = folder / "some_challenges.json"
    write_json(challenges, tasks.to_json(solutions=False))
    write_json(folder / "some_solutions.json", tasks.known_solutions())
    log = PredictionLog(folder / PREDICTIONS)
    metadata = {"model": "tiny <i>model</i>", "data": [str(challenges)], "max_grid_size": 30}
    log.begin({"tasks": tasks.fingerprint(False)}, metadata)
    for (task_id, test), grids in votes.items():
        log.append(
            Prediction(
                task_id,
                test,
                f"p{order}",
                order,
                grid,
                0.5,
                trace=trace if task_id == "first001" and order == 0 else (),
            )
            for order, grid in enumerate(grids)
        )
    return log.path


def write_two(folder: Path) -> tuple[Path, Path]:
    paths = []
    for name, votes in (("before", VOTES), ("after", BETTER)):
        (folder / name).mkdir()
        paths.append(write_predictions(folder / name, votes=votes))
    return paths[0], paths[1]


def write_puzzle_predictions(folder: Path, kind: str) -> Path:
    """Write answers to three puzzles: right, wrong and, of a maze, another shortest path."""
    path = folder / "puzzles.csv"
    path.write_text("\n".join(["question,answer", *PUZZLES[kind]]) + "\n")
    tasks = load_tasks(str(path))
    question, output = tasks["1"].test[0].grids
    answers = {"1": output, "2": question}
    if kind == "Maze":
        answers["3"] = as_grid([[2, 1], [4, 3]])
    log = PredictionLog(folder / PREDICTIONS)
    log.begin({}, {"kind": tasks.kind, "data": [str(path)], "max_grid_size": 30})
    for task_id, grid in answers.items():
        trace = (TraceStep(question, 0.25), TraceStep(grid, 0.75))
        log.append([Prediction(task_id, 0, task_id, 0, grid, 0.75, trace=trace)])
    return log.path


def write_large_prediction(folder: Path) -> Path:
    """Write the right answer to a 16×16 Sudoku."""
    path = write_large_sudoku(folder)
    log = PredictionLog(folder / PREDICTIONS)
    log.begin({}, {"kind": "sudoku", "data": [str(path)], "max_grid_size": 30})
    log.append([Prediction("1", 0, "1", 0, large_sudoku()[1], 0.75)])
    return log.path


def make_page(path: Path, data: str | None = None, solutions: str | None = None) -> str:
    return report_page(build_report(PredictionSource.open(path, data, solutions)), "1.2.3")


def make_comparison(before: Path, after: Path) -> str:
    sources = [PredictionSource.open(path) for path in (before, after)]
    return report_page(build_comparison(*sources), "1.2.3")


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def text_of(page: str) -> str:
    """Return what is written on the page before scripts draw on it."""
    body = page[page.index("<body>") : page.index("<script")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
