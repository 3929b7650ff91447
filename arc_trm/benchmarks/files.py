"""Scale: seconds and peak memory of the commands that read large files.

The files are made up: the tasks of ARC-AGI-1 many times over, a log of predictions for every
augmentation, and a table of Sudokus. Each command runs on a tenth of the items and on all of them,
so that the growth shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arc_trm._version import __version__
from arc_trm.callbacks import Progress, ignore
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.environment import processor_name
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction
from arc_trm.puzzles.base import SEPARATOR
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.tasks import PuzzleArray, TaskSet
from submission import write_json
from submission.scoring import align_columns

TASKS, VOTERS, PUZZLES = 10_000, 1000, 1_000_000
"""Tasks of the largest challenges, augmentations of 400 tasks in the largest log, Sudokus."""
LOGGED_TASKS = 400
PARTS = (0.1, 1.0)
"""Shares of the items that are measured."""
GENERATED = 500
"""Sudokus that are generated; the others are these with other digits."""
SKILL = 0.3
"""Share of the made-up predictions that are right."""
TINY = (
    *("model.hidden_size=16", "model.num_heads=2", "model.puzzle_emb_dim=16"),
    *("model.outer_cycles=1", "model.inner_cycles=1", "model.supervision_steps=1"),
    *("data.augmentations=0", "train.eval_time_share=0", "train.global_batch_size=16"),
)
"""Settings of a model that takes no time beside the files."""
ARC = ("data.test=['challenges.json']", "data.max_grid_size=30", "model.seq_len=900")
SUDOKU = ("data.train=['puzzles.csv']", "data.test=[]", "model.seq_len=81", "model.vocab_size=11")
COMMANDS = {
    "tasks": (
        "data show challenges.json",
        "data convert challenges.json --out folder",
        "validate challenges.json",
        "train ARC --max-steps 2 --set model.canvas=bucketed --out run",
        "adapt run TINY --data challenges.json --max-steps 2 --out adapted",
        "predict run --augmentations 0 --out predicted",
        "score predicted",
        "report predicted",
        "show task000000 --predictions predicted",
        "export predicted --format arcprize --out arcprize",
        "merge predicted predicted/submission.json --out merged.json",
        "convert-submission predicted/submission.json --out converted.json",
    ),
    "log": (
        "score predictions.jsonl",
        "report predictions.jsonl --out log.html",
        "show 007bbfb7 --predictions predictions.jsonl",
        "merge predictions.jsonl predictions.jsonl --out both.json",
        "export predictions.jsonl --format submission --out exported.json",
    ),
    "puzzles": (
        "data show puzzles.csv",
        "data convert puzzles.csv --out copy.csv",
        "show 5 --data puzzles.csv",
        "train SUDOKU --max-steps 2 --out sudoku",
    ),
}
"""The commands by the kind of their files; later ones read what earlier ones wrote."""
ITEMS = {"tasks": "tasks", "log": "predictions", "puzzles": "Sudokus"}

# A process of its own starts each command: the peak of a child counts the memory of its parent.
MEASURE = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
errors = child.stderr.read()
_, status, used = os.wait4(child.pid, 0)
seconds, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
code, error = os.waitstatus_to_exitcode(status), errors.decode("utf-8", "replace")
print(json.dumps([code, seconds, cpu, memory, error]))
"""


def bench_files(
    tasks: int = TASKS,
    voters: int = VOTERS,
    puzzles: int = PUZZLES,
    progress: Progress = ignore,
) -> dict[str, Any]:
    """Measure every command that reads tasks, logs of predictions or tables of puzzles.

    Args:
        tasks: number of tasks in the challenges.
        voters: number of augmentations of each of 400 tasks in the log.
        puzzles: number of Sudokus.
        progress: called with the number of commands that were measured, and of all.

    Returns:
        `processor`: its name. `commands`: per command its name and the kind of its files; per part
        `items`, `seconds`, `cpu_seconds` and `peak_memory_mb`.

    Raises:
        UserError: a command fails, with what it says.
    """
    total = len(PARTS) * sum(map(len, COMMANDS.values()))
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="arc-trm-bench-") as name:
        for part in PARTS:
            folder = Path(name) / f"{part:g}"
            folder.mkdir()
            counts = [max(1, round(part * number)) for number in (tasks, voters, puzzles)]
            items = _write_files(folder, *counts)
            for kind, commands in COMMANDS.items():
                for command in commands:
                    progress(sum(map(len, parts.values())), total)
                    measured = {"items": items[kind], **_measure(command, folder)}
                    parts.setdefault((kind, command), []).append(measured)
    progress(total, total)
    found = [
        {"kind": kind, "command": command, "parts": parts[kind, command]} for kind, command in parts
    ]
    return {"what": "files", "processor": processor_name(), "commands": found}


def file_lines(values: Mapping[str, Any]) -> list[str]:
    """Return the table of what `bench_files` measured."""
    rows = [["command", "items", "seconds", "peak MB", "items", "seconds", "peak MB"]]
    for each in values["commands"]:
        words = each["command"].split()
        row = [" ".join(words[: 2 if words[0] == "data" else 1])]
        for part in each["parts"]:
            items = f"{part['items']:,} {ITEMS[each['kind']]}"
            row += [items, f"{part['seconds']:.1f}", f"{part['peak_memory_mb']:.0f}"]
        rows.append(row)
    return align_columns(rows)


def _measure(command: str, folder: Path) -> dict[str, float]:
    """Run a command in a folder and return what it took. Raises UserError if it fails."""
    settings = {"TINY": TINY, "ARC": (*TINY, *ARC), "SUDOKU": (*TINY, *SUDOKU)}
    arguments = []
    for word in command.split():
        arguments += [each for value in settings.get(word, ()) for each in ("--set", value)]
        arguments += [] if word in settings else [word]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "arc_trm", *arguments],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, cpu, memory, error = json.loads(done.stdout)
    if code not in (0, 3):  # 3: all predictions are guesses
        last = (error.strip().splitlines() or [f"exit status {code}"])[-1]
        raise UserError(f"`arc-trm {command}` failed while it was measured: {last}")
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_memory_mb": memory / 2**20}


def _write_files(folder: Path, tasks: int, voters: int, puzzles: int) -> dict[str, int]:
    """Write made-up files; return how many items each kind has."""
    known = load_tasks("arc-agi-1/training")
    _write_tasks(folder / "challenges.json", known, tasks)
    answers = _write_log(
        folder / "predictions.jsonl", known.select(known.ids[:LOGGED_TASKS]), voters
    )
    _write_puzzles(folder / "puzzles.csv", puzzles)
    return {"tasks": tasks, "log": answers, "puzzles": puzzles}


def _write_tasks(path: Path, known: TaskSet, number: int) -> None:
    """Write challenges with so many tasks, and their solutions beside them."""
    tasks, solutions = known.to_json(solutions=False), known.known_solutions()
    names = list(tasks)
    chosen = {f"task{n:06}": names[n % len(names)] for n in range(number)}
    write_json(path, {task_id: tasks[name] for task_id, name in chosen.items()})
    outputs = {task_id: solutions[name] for task_id, name in chosen.items()}
    write_json(path.with_name("solutions.json"), outputs)


def _write_log(path: Path, tasks: TaskSet, voters: int) -> int:
    """Write a log with predictions for each augmentation; return how many."""
    log, rng, number = PredictionLog(path), np.random.default_rng(0), 0
    key = {
        "weights": "0",
        "tasks": tasks.fingerprint(False),
        "augmentations": voters,
        "attempts": 2,
        "select": "votes",
        "version": __version__,
    }
    log.begin(key, {"model": "made-up", "data": ["arc-agi-1/training"], "max_grid_size": 30})
    for task in tasks:
        for test in range(len(task.test)):
            found = list(_predictions(rng, tasks, task.id, test, voters))
            log.append(found)
            number += len(found)
    log.close()
    return number


def _predictions(
    rng: np.random.Generator, tasks: TaskSet, task_id: str, test: int, voters: int
) -> Iterator[Prediction]:
    task = tasks[task_id]
    names = [task_id, *(f"{task_id}{SEPARATOR}{n}" for n in range(1, voters + 1))]
    output = task.test[test].output
    assert output is not None
    for order, (name, draw) in enumerate(zip(names, rng.random(len(names)), strict=True)):
        grid = output
        if draw > SKILL:
            changed = output.copy()
            changed.flat[rng.integers(changed.size)] = rng.integers(10)
            changed.flags.writeable = False
            grid = changed
        yield Prediction(task_id, test, name, order, grid, float(draw), steps=16, confidence=0.5)


def _write_puzzles(path: Path, number: int) -> None:
    """Write Sudokus with their solutions: generated ones, and these with other digits."""
    config = GeneratorConfig("sudoku", min(number, GENERATED), max_rating=0, clues=36)
    puzzles = generate_puzzles(config).puzzles
    rng = np.random.default_rng(0)
    chosen = np.arange(number) % len(puzzles.questions)
    digits = np.argsort(rng.random((number, 9)), axis=1).astype(np.uint8) + 1
    digits[: len(puzzles.questions)] = np.arange(1, 10)
    maps = np.concatenate([np.zeros((number, 1), np.uint8), digits], axis=1)
    questions, answers = (
        np.take_along_axis(maps, each[chosen].reshape(number, -1), axis=1).reshape(number, 9, 9)
        for each in (puzzles.questions, puzzles.answers)
    )
    write_csv(path, PuzzleArray("made-up", puzzles.kind, questions, answers))
