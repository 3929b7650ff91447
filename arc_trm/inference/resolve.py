"""Resolve how a model is asked: what is left open, and what it cannot do."""

from __future__ import annotations

from dataclasses import replace

from arc_trm.callbacks import Note
from arc_trm.checkpoint import INFERENCE_FILE, WeightsDir
from arc_trm.config import InferenceConfig, ModelConfig
from arc_trm.config.inference import AUTO
from arc_trm.errors import UserError, format_value, quote_path
from arc_trm.evaluation.selection import SelectionRule, resolve_selection
from arc_trm.inference.groups import GROUP_RULES
from arc_trm.models import ARCHITECTURES, PuzzleModel
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.tasks import TaskSet

HALTING_RULES = ("best_halt", *GROUP_RULES)
"""Selection rules that need a trained halting head."""


def resolve_inference(
    model: PuzzleModel,
    kind: PuzzleKind,
    tasks: TaskSet,
    config: InferenceConfig,
    rule: SelectionRule | None = None,
) -> InferenceConfig:
    """Return the config with the number of supervision steps and the name of the selection rule.

    Args:
        model: to ask.
        kind, tasks: of the tasks to predict.
        config: maybe with None or `auto`.
        rule: if given, it selects in place of the rule that `config` names.

    Raises:
        UserError: the model or the kind cannot be asked so.
    """
    if rule is None:
        select = resolve_selection(config.select, kind)
    else:
        select = str(getattr(rule, "__qualname__", type(rule).__qualname__))
    check_samples(model.config, config)
    if kind.embeds_tasks:
        needs_several = config.samples == 1 and select in GROUP_RULES
    else:
        needs_several = config.answers == 1 and (rule is not None or config.select != AUTO)
    if needs_several:
        raise UserError(
            f"the selection rule {format_value(select)} has a single answer to select from: ask "
            "for several "
            f"with --samples{'' if kind.embeds_tasks else ' or --views'}"
        )
    _check_views(kind, tasks, config.views)
    if not model.has_trained_halting and (select in HALTING_RULES or config.early_exit):
        what = "early_exit" if config.early_exit else f"the selection rule {format_value(select)}"
        raise UserError(
            f"{what} needs a trained halting head, but that of these weights has never been "
            "trained: leave it out"
        )
    steps = config.supervision_steps or model.config.supervision_steps
    return replace(config, supervision_steps=steps, select=select)


def check_samples(model: ModelConfig, config: InferenceConfig) -> None:
    """Raise UserError if all samples that a model of this shape is asked for would be the same."""
    if config.samples == 1:
        return
    architecture = ARCHITECTURES[model.architecture]
    if not architecture.carries_state:
        raise UserError(
            f"a {architecture.title} carries no state, so all its samples are the same: ask for 1 "
            "sample"
        )
    if not (config.noise or "random" in (config.starts, model.initial_state) or model.latent_noise):
        raise UserError(
            f"{config.samples} samples without noise or random starts are all the same: add "
            "--noise 0.3, for example, or --starts random, or ask for 1 sample"
        )


def default_inference(weights: WeightsDir, tasks: TaskSet, note: Note) -> InferenceConfig | None:
    """Return how weights are asked where a user has named no option.

    Args:
        weights: maybe with a choice of `arc-trm tune-inference`.
        tasks: to predict.
        note: hears which choice is used, or why none is.

    Returns:
        The choice; None without one, or if it was made for other weights of the folder.

    Raises:
        UserError: the choice was made on some of the tasks, or its file is damaged.
    """
    choice, path = weights.inference, weights.folder / INFERENCE_FILE
    if choice is None:
        return None
    if not weights.inference_fits:
        note(
            f"{path} was tuned for other weights than these ({weights.choice.title}), so they are "
            f"asked plainly; `arc-trm tune-inference {quote_path(weights.folder)}` tunes for these"
        )
        return None
    if shared := choice.count_shared(task.input_digests() for task in tasks):
        noun = kind_of(tasks).noun
        raise UserError(
            f"{tasks.name} shares {shared} of its {len(tasks)} {noun}s with {choice.data}, on "
            f"which `arc-trm tune-inference` chose how these weights are asked, so that a score "
            f"would be too high: name other data, or ask so anyway with "
            f"{choice.inference.options()}"
        )
    note(f"asking as `arc-trm tune-inference` chose: {choice.inference}")
    return choice.inference


def _check_views(kind: PuzzleKind, tasks: TaskSet, views: int) -> None:
    """Raise UserError unless the puzzles have so many views."""
    most = kind.max_views
    if views == 1 or most is None or views <= most:
        return
    if kind.embeds_tasks:
        raise UserError(
            f"{tasks.name} holds {kind.title}, whose views are the augmentations that were "
            "trained: leave out --views, and choose their number with --augmentations"
        )
    raise UserError(f"{kind.title} puzzles have {most} views at most, got {views}")
