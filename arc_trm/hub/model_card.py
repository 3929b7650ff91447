"""The model card, README.md: what a run is, in the words of its own files, and no local path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from arc_trm import runs
from arc_trm.checkpoint import ORIGIN
from arc_trm.checkpoint.weights_dir import Parts
from arc_trm.config import DataConfig, ModelConfig, RunConfig
from arc_trm.data.loader import find_tasks, overlap_warnings
from arc_trm.data.registry import find_manifest
from arc_trm.data.splits import predicted_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import are_of, read_predictions
from arc_trm.evaluation.scoring import judged
from arc_trm.hub.repo_id import is_plain_path, is_repository
from arc_trm.models import ARCHITECTURES
from arc_trm.tasks import TaskSet
from submission import read_json, read_submission, score

_TAGS = ["arc-agi", "arc-trm", "abstraction-and-reasoning-corpus"]
_MODEL_KEYS = (
    *(
        "architecture",
        "num_layers",
        "num_high_level_layers",
        "hidden_size",
        "num_heads",
        "mixer",
        "pos_encoding",
        "puzzle_emb_len",
    ),
    *("outer_cycles", "inner_cycles", "supervision_steps", "separate_networks", "backprop_through"),
)
# What is told of an origin.json, if it is what it should be and no path of a machine.
_FACTS: dict[str, Callable[[str], object]] = {
    "repository": is_repository,
    "revision": re.compile("[0-9a-f]{40}").fullmatch,
    "subfolder": is_plain_path,
    "file": re.compile(r"[\w.-]+").fullmatch,
}


@dataclass(frozen=True)
class _Scores:
    """A run's own submission against its own data: `table` is None where `why` says why not."""

    table: str | None
    why: str = ""
    warnings: tuple[str, ...] = ()


def model_card(folder: Path, parts: Parts, repository: str, licence: str | None) -> str:
    """The README.md of a weight folder, with the front matter that the Hub reads.

    Args:
        folder: a run, or another weight folder, whose card says what is known of it.
        parts: its content.
        repository: `owner/name` that it goes to.
        licence: the Hub's identifier of the weights' licence, `apache-2.0` for example.
    """
    config = runs.run_config(folder) if runs.is_run(folder) else None
    sections = [
        _front_matter(parts.config, licence),
        f"# {repository.partition('/')[2]}",
        _what(parts, config),
        *(_of_run(folder, parts, config) if config is not None else [_of_folder(folder)]),
        _use(repository, config),
        f"## Licence\n\n{licence or 'None is stated.'}",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(config: ModelConfig, licence: str | None) -> str:
    values: dict[str, Any] = {"license": licence} if licence else {}
    tag = ARCHITECTURES[config.architecture].title.lower().replace(" ", "-")
    values |= {"library_name": "arc-trm", "tags": [*_TAGS, tag]}
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _what(parts: Parts, config: RunConfig | None) -> str:
    network = sum(math.prod(tensor.shape) for tensor in parts.network.values())
    table = math.prod(parts.table.shape) if parts.table is not None else 0
    trained = f", trained for {parts.step:,} steps" if config or parts.step else ""
    rows = f"{len(parts.names):,} rows of puzzles" if table else "no table of puzzles"
    shape = _table((key, getattr(parts.config, key)) for key in _MODEL_KEYS)
    title = ARCHITECTURES[parts.config.architecture].title
    return (
        f"A {title} for puzzles on grids{trained}, in the format of "
        f"arc-trm.\n\n{network:,} parameters in the network, {table:,} in the puzzle embedding "
        f"({rows}).\n\n{shape}"
    )


def _of_run(folder: Path, parts: Parts, config: RunConfig) -> list[str]:
    scores = _scores(folder, config.data)
    train = config.train
    recipe = _table(
        [
            ("steps done", parts.step),
            ("total_steps", train.total_steps),
            ("epochs", config.epochs),
            ("global_batch_size", train.global_batch_size),
            ("lr, puzzle_emb_lr", f"{train.lr:g}, {train.puzzle_emb_lr:g}"),
            ("lr_min_ratio", f"{train.lr_min_ratio:g}"),
            ("warmup_steps", train.warmup_steps),
            ("betas", ", ".join(f"{beta:g}" for beta in train.betas)),
            (
                "weight_decay, puzzle_emb_weight_decay",
                f"{train.weight_decay:g}, {train.puzzle_emb_weight_decay:g}",
            ),
            ("ema_decay", f"{train.ema_decay:g}"),
            ("halt_exploration_prob", f"{train.halt_exploration_prob:g}"),
            ("supervision_steps", train.supervision_steps),
            ("augmentations", config.data.augmentations),
            ("max_grid_size", config.data.max_grid_size),
            ("random_translation", config.data.random_translation),
            ("train_puzzles", config.data.train_puzzles),
            ("test_puzzles", config.data.test_puzzles),
            ("dtype", config.dtype),
            ("seed", config.seed),
        ]
    )
    result = (
        f"```\n{scores.table}\n```" if scores.table is not None else f"Not scored: {scores.why}."
    )
    warnings = "".join(f"\n\n**{warning}**" for warning in scores.warnings)
    return [
        f"## Data\n\n{_data(config.data)}",
        f"## Training\n\n{recipe}",
        "## Scores\n\nOf the run's own answers, two attempts per test input of an ARC task and one "
        "per Sudoku or maze, on the data that it was to predict. Each line has its own "
        f"denominator.\n\n{result}{warnings}",
    ]


def _data(data: DataConfig) -> str:
    lines = [
        f"- {what}: {_described(name)}"
        for what, names in (
            ("learnt, all pairs", data.train),
            ("learnt where found, all pairs", data.optional_train),
            ("predicted; of ARC tasks the demonstrations were learnt", data.test),
        )
        for name in names
    ]
    return "\n".join(lines) or "None is named."


def _described(name: str) -> str:
    found = find_manifest(name)
    if found is None:
        return f"{_shown(name)} (files of the author's)"
    manifest, only = found
    splits = [manifest.splits[split] for split in manifest.chosen(only)]
    tasks, outputs = (
        sum(split.tasks for split in splits),
        sum(split.test_outputs for split in splits),
    )
    return (
        f"{name}, {manifest.title} ({manifest.licence}, {manifest.homepage}): {tasks:,} tasks, "
        f"{outputs:,} test outputs"
    )


def _shown(name: str) -> str:
    """DATA without its path: whose machine it lay on is nobody's business."""
    return name if find_manifest(name) else re.split(r"[/\\]", name.rstrip("/\\"))[-1]


def _scores(folder: Path, data: DataConfig) -> _Scores:
    if (folder / runs.PREDICTIONS).is_file() and not (folder / runs.SUBMISSION).is_file():
        return _board_scores(folder, data)
    if not (folder / runs.SUBMISSION).is_file():
        return _Scores(None, "the run has no submission yet")
    try:
        submission = read_submission(folder / runs.SUBMISSION)
        predicted = TaskSet.of(", ".join(map(_shown, data.test)), predicted_tasks(data))
        learnt = [_tasks_or_name(name) for name in (*data.train, *data.optional_train)]
        solutions = {
            task.id: [grid.tolist() for grid in task.solutions]
            for task in predicted
            if task.solutions is not None
        }
        if not solutions.keys() & submission.keys():
            return _Scores(None, "no answer of its submission is to a task whose output is known")
        table = "\n".join(score(submission, solutions).lines())
    except UserError:
        return _Scores(None, "its submission or its data could not be read when it was uploaded")
    return _Scores(table, warnings=tuple(overlap_warnings(learnt, [predicted])))


def _board_scores(folder: Path, data: DataConfig) -> _Scores:
    """Of Sudokus and mazes, whose answers are no submission."""
    log = folder / runs.PREDICTIONS
    try:
        predicted = predicted_tasks(data)
        if predicted.is_arc:
            return _Scores(None, "the run has no submission yet")
        if not are_of(log, predicted):
            return _Scores(None, "its answers are to other puzzles")
        lines = judged(read_predictions(log, predicted).completed()).lines()
    except UserError:
        return _Scores(None, "its answers or its data could not be read when it was uploaded")
    return _Scores("\n".join(lines))


def _tasks_or_name(name: str) -> TaskSet | str:
    try:
        tasks = find_tasks(name)
    except UserError:
        tasks = None  # the files may be long gone
    return TaskSet.of(_shown(name), tasks) if tasks is not None else _shown(name)


def _of_folder(folder: Path) -> str:
    """What is known of weights that no run here has trained."""
    if not (folder / ORIGIN).is_file():
        return "## Origin\n\nIts training is not recorded here."
    origin = read_json(folder / ORIGIN)
    facts = origin if isinstance(origin, dict) else {}
    told = {key: facts.get(key) for key in _FACTS}
    values = {key: value if isinstance(value, str) else "" for key, value in told.items()}
    values["file"] = re.split(r"[/\\]", values["file"])[-1]
    lines = [f"- {key}: {values[key]}" for key, reads in _FACTS.items() if reads(values[key])]
    return "## Origin\n\n" + ("\n".join(lines) or "Its training is not recorded here.")


def _use(repository: str, config: RunConfig | None) -> str:
    names = config.data.test if config is not None else ()
    data = next((name for name in names if find_manifest(name)), "DATA")
    return (
        "## Use\n\n```\n"
        f"arc-trm predict {repository} --data {data}\n"
        f"arc-trm pull {repository} --out FOLDER    # for a machine without network\n"
        f'```\n\n```python\nimport arc_trm\n\nmodel = arc_trm.load_model("{repository}")\n```'
    )


def _table(rows: Iterable[tuple[str, object]]) -> str:
    lines = [f"| {key} | {value} |" for key, value in rows if value is not None]
    return "\n".join(["| setting | value |", "| --- | --- |", *lines])
