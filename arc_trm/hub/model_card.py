"""The model card, README.md: a description of weights from their own files, without local paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from arc_trm.checkpoint import WeightsDir
from arc_trm.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from arc_trm.data.loader import public_data_name
from arc_trm.data.registry import find_manifest
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import format_rows
from arc_trm.hub.markdown import code_block, show, table
from arc_trm.hub.repo_id import is_plain_path, is_repository
from arc_trm.models import ARCHITECTURES
from arc_trm.runs import PREDICTIONS, SUBMISSION, Run, find_run, predictions_of

_TAGS = ["arc-agi", "arc-trm", "abstraction-and-reasoning-corpus"]
_MODEL_KEYS = (
    "architecture",
    "num_layers",
    "num_high_level_layers",
    "hidden_size",
    "num_heads",
    "mixer",
    "pos_encoding",
    "puzzle_emb_len",
    "puzzle_embedding",
    "outer_cycles",
    "inner_cycles",
    "supervision_steps",
    "separate_networks",
    "backprop_through",
)
# Fields of an origin.json that are shown, if their text has the right form and so is no local path.
_ORIGIN_FIELDS: dict[str, Callable[[str], object]] = {
    "repository": is_repository,
    "revision": re.compile("[0-9a-f]{40}").fullmatch,
    "subfolder": is_plain_path,
    "file": re.compile(r"[\w.-]+").fullmatch,
}


_PREDICTIONS_ROWS = ("settings", "voters", "guesses", "started", "partial")
"""What is said of scored predictions."""


def model_card(weights: WeightsDir, repository: str, licence: str | None) -> str:
    """Return the README.md of a run or another weights folder that is pushed to a repository.

    It starts with the front matter that the Hub reads. `licence` is the Hub's name of a licence,
    such as `apache-2.0`. Raises UserError if the folder cannot be read.
    """
    run = find_run(weights.folder)
    config = run.config if run is not None else None
    history = _run_sections(run, weights) if run else [_origin(weights)]
    sections = [
        _front_matter(weights.config, licence),
        f"# {repository.partition('/')[2]}",
        _description(weights, config),
        *history,
        _usage(repository, config),
        f"## Licence\n\n{licence or 'None is stated.'}",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(config: ModelConfig, licence: str | None) -> str:
    values: dict[str, Any] = {"license": licence} if licence else {}
    tag = ARCHITECTURES[config.architecture].title.lower().replace(" ", "-")
    values |= {"library_name": "arc-trm", "tags": [*_TAGS, tag]}
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _description(weights: WeightsDir, config: RunConfig | None) -> str:
    title = ARCHITECTURES[weights.config.architecture].title
    _, embedding, names, step = weights.parts
    trained = f", trained for {step:,} steps" if config or step else ""
    embedded = "no puzzle embedding"
    if embedding is not None:
        is_composed = weights.config.puzzle_embedding == "composed"
        rows = "vectors of tasks" if is_composed else "puzzle ids"
        embedded = f"{embedding.numel():,} in the puzzle embedding ({len(names):,} {rows})"
    settings = table((key, getattr(weights.config, key)) for key in _MODEL_KEYS)
    return (
        f"A {title} for puzzles on grids{trained}, in the format of arc-trm.\n\n"
        f"{weights.description.parameters:,} parameters in the network, {embedded}.\n\n{settings}"
    )


def _run_sections(run: Run, weights: WeightsDir) -> list[str]:
    data, train = run.config.data, run.config.train
    settings = table(
        [
            ("steps done", weights.parts.step),
            ("checkpoint", weights.description.checkpoint),
            ("total_steps", train.total_steps),
            ("epochs", run.config.epochs),
            ("global_batch_size", train.global_batch_size),
            ("loss", train.loss),
            ("optimiser", train.optimiser),
            ("lr, puzzle_emb_lr", f"{train.lr:g}, {train.puzzle_emb_lr:g}"),
            ("muon_lr", f"{train.muon_lr:g}" if train.optimiser == "muon" else None),
            ("lr_schedule", _schedule(train)),
            ("warmup_steps", train.warmup_steps),
            ("betas", ", ".join(f"{beta:g}" for beta in train.betas)),
            (
                "weight_decay, puzzle_emb_weight_decay",
                f"{train.weight_decay:g}, {train.puzzle_emb_weight_decay:g}",
            ),
            ("grad_clip", train.grad_clip),
            ("label_smoothing", train.label_smoothing or None),
            ("ema_decay", f"{train.ema_decay:g}"),
            ("halt_exploration_prob", f"{train.halt_exploration_prob:g}"),
            ("supervision_steps", train.supervision_steps),
            ("augmentations", data.augmentations),
            ("max_grid_size", data.max_grid_size),
            ("random_translation", data.random_translation),
            ("train_puzzles", data.train_puzzles),
            ("test_puzzles", data.test_puzzles),
            ("dtype", run.config.dtype),
            ("seed", run.config.seed),
        ]
    )
    return [
        f"## Data\n\n{_data(data)}",
        f"## Training\n\n{settings}",
        "## Scores\n\nOf the run's own predictions for the data that it is to predict. Each line "
        f"has its own denominator.\n\n{_scores(run, weights)}",
    ]


def _data(data: DataConfig) -> str:
    lines = [
        f"- {use}: {_dataset(name)}"
        for use, names in (
            ("trained on, all pairs", data.train),
            ("trained on if its files were found, all pairs", data.optional_train),
            ("predicted; of ARC tasks the demonstrations were trained on", data.test),
        )
        for name in names
    ]
    return "\n".join(lines) or "None is named."


def _dataset(name: str) -> str:
    found = find_manifest(name)
    if found is None:
        return f"{show(public_data_name(name))} (the author's files)"
    manifest, only = found
    splits = [manifest.splits[split] for split in manifest.chosen(only)]
    tasks = sum(split.tasks for split in splits)
    outputs = sum(split.test_outputs for split in splits)
    return (
        f"{name}, {manifest.title} ({manifest.licence}, {manifest.homepage}): {tasks:,} tasks, "
        f"{outputs:,} test outputs"
    )


def _scores(run: Run, weights: WeightsDir) -> str:
    """Return the score of predictions of the run's own data by weights, and warnings of leakage."""
    made = predictions_of(run.path)
    if not made:
        return "Not scored: the run has no predictions yet."
    try:
        prefer = (SUBMISSION, PREDICTIONS)
        source = PredictionSource.open(run.path, data=str(run.path), prefer=prefer)
        digest = weights.choice.digest()
        wanted = {**source.metadata, "weights_digest": digest}
        if own := next((each for each in made if _is_made_by(each, wanted)), None):
            source = PredictionSource.open(own, data=str(run.path), prefer=prefer)
        summary, warnings = source.scored_summary, source.leakage()
        rows = {name: text for name, text in summary.rows().items() if name in _PREDICTIONS_ROWS}
        about = format_rows(rows)
        lines = [*about, *([""] if about else []), *source.score().lines()]
    except UserError:
        return (
            "Not scored: when the weights were uploaded, the run's predictions or its data could "
            "not be read, did not fit together, or no right output was known."
        )
    if source.made_by is None:
        return "Not scored: nothing says that these weights made the submission in the run."
    if source.metadata.get("weights_digest") not in (None, digest):
        return "Not scored: the run's predictions are of other weights than these."
    shown = [f"**{show(_without_paths(each, run))}**" for each in warnings]
    return "\n\n".join([code_block(lines), *shown])


def _is_made_by(folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether the predictions in a folder are of the same weights and data as wanted."""
    with suppress(UserError):
        found = PredictionLog(folder / PREDICTIONS).metadata
        return all(found.get(key) == wanted.get(key) for key in ("weights_digest", "data"))
    return False


def _without_paths(sentence: str, run: Run) -> str:
    """Return a sentence about data without the folders of their paths."""
    data = run.config.data
    for name in sorted((*data.train, *data.optional_train, *data.test), key=len, reverse=True):
        sentence = sentence.replace(name, public_data_name(name))
    return sentence


def _origin(weights: WeightsDir) -> str:
    """Return what is known about weights that no run here has trained."""
    texts = {key: weights.origin[key] for key in _ORIGIN_FIELDS if key in weights.origin}
    if "file" in texts:
        texts["file"] = re.split(r"[/\\]", texts["file"])[-1]
    lines = [f"- {key}: {show(text)}" for key, text in texts.items() if _ORIGIN_FIELDS[key](text)]
    training = weights.training
    for use, names in (("trained on", training.trained_on), ("adapted to", training.adapted_to)):
        if names:
            lines.append(f"- {use}: {', '.join(map(show, names))}")
    return "## Origin\n\n" + ("\n".join(lines) or "Its training is not recorded here.")


def _usage(repository: str, config: RunConfig | None) -> str:
    names = config.data.test if config is not None else ()
    data = next((name for name in names if find_manifest(name)), "DATA")
    return (
        "## Use\n\n```\n"
        f"arc-trm predict {repository} --data {data}\n"
        f"arc-trm pull {repository} --out FOLDER    # for a machine without network\n"
        f'```\n\n```python\nimport arc_trm\n\nmodel = arc_trm.load_model("{repository}")\n```'
    )


def _schedule(train: TrainConfig) -> str:
    if train.lr_schedule == "constant":
        return "constant"
    return f"{train.lr_schedule} to {train.lr_min_ratio:g}"
