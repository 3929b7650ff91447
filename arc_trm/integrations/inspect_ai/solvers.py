"""Solvers: TRM, which answers all samples in a few batches, and language models."""

from __future__ import annotations

import functools
from itertools import zip_longest
from typing import Any

from inspect_ai.model import ModelOutput, ModelUsage
from inspect_ai.solver import Generate, Solver, TaskState, fork, solver

from arc_trm.config import InferenceConfig, inference_config
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.source import PredictionSource
from arc_trm.integrations.inspect_ai.batching import (
    NO_SOURCE,
    FileSource,
    RequestBatcher,
    SampleAnswer,
    SampleQuery,
    Source,
    WeightsSource,
    guess,
    logger,
)
from arc_trm.integrations.inspect_ai.errors import translate_errors
from arc_trm.integrations.prompts import grid_text
from arc_trm.runs import latest_run
from arc_trm.tasks import as_grid

ATTEMPTS_KEY = "arc_trm:attempts"
"""Key of a sample's store for its attempts, lists of rows; None where one failed."""


@solver
def trm(
    weights: str | None = None,
    predictions: str | None = None,
    augmentations: int | None = None,
    samples: int | None = None,
    noise: float | None = None,
    starts: str | None = None,
    supervision_steps: int | None = None,
    early_exit: bool | None = None,
    select: str | None = None,
    seed: int | None = None,
) -> Solver:
    """Answer with TRM.

    Without weights and predictions the latest run is used; without a run the attempts are guesses.
    Samples are those of `arc_trm/arc_agi`.

    Args:
        weights: a run, a weights folder or a repository on the Hugging Face Hub.
        predictions: stored predictions in place of weights: predictions.jsonl, submission.json, a
            folder of ARC Prize's benchmarking, or a run.
        augmentations: that vote besides the task itself; None is all that were trained.
        samples, noise, starts, supervision_steps, early_exit, select, seed: how the weights are
            asked, as the fields of `InferenceConfig`; all None is as `tune_inference` chose, or
            plainly.
    """
    with translate_errors():
        config = inference_config(
            samples=samples,
            noise=noise,
            starts=starts,
            supervision_steps=supervision_steps,
            early_exit=early_exit,
            select=select,
            seed=seed,
        )
        name, source = _find_source(weights, predictions, augmentations, config)
    batcher = RequestBatcher(source)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        with translate_errors():
            answer = await batcher.answer(_query(state))
        state.store.set(ATTEMPTS_KEY, list(answer.attempts))
        state.metadata = {**state.metadata, "source": name, **_confidence(answer)}
        state.output = ModelOutput.from_content("arc-trm", _describe(answer))
        state.messages.append(state.output.message)
        return state

    return solve


def _find_source(
    weights: str | None,
    predictions: str | None,
    augmentations: int | None,
    config: InferenceConfig | None,
) -> tuple[str, Source]:
    """Return the name of the source and the source."""
    if augmentations is not None and (type(augmentations) is not int or augmentations < 0):
        raise UserError(f"augmentations is {augmentations}: give a number from 0 up")
    if weights is not None and predictions is not None:
        raise UserError("weights and predictions exclude each other: name one of them")
    if predictions is not None and augmentations is not None:
        raise UserError("augmentations are for weights: predictions are voted already")
    if predictions is not None and config is not None:
        raise UserError(
            "samples, noise and other settings are for weights: predictions are made already"
        )
    weights, predictions = as_name(weights), as_name(predictions)
    if predictions is not None:
        return predictions, FileSource(PredictionSource.open(predictions))
    weights = weights or latest_run_name()
    if weights is not None:
        return weights, WeightsSource(weights, augmentations, config)
    logger.warning(f"the answers are {NO_SOURCE}, not those of a model")
    return NO_SOURCE, guess


def as_name(argument: object) -> str | None:
    """Return a name or path from an argument that inspect_ai parsed as YAML and split at commas."""
    if isinstance(argument, list):
        return ",".join(map(str, argument))
    return None if argument is None else str(argument)


def latest_run_name() -> str | None:
    """Return the path of the run made last, or None if no run is known."""
    try:
        return str(latest_run())
    except UserError:
        return None


def _query(state: TaskState) -> SampleQuery:
    match state.metadata:
        case {"task": str(task), "test": int(test), "test_inputs": [*inputs]}:
            return SampleQuery(task, test, tuple(as_grid(grid) for grid in inputs))
    raise UserError(
        f"sample {state.sample_id} is not one of arc_trm/arc_agi, whose metadata has the test input"
    )


def _confidence(answer: SampleAnswer) -> dict[str, Any]:
    """Return votes, halting probabilities and the note of an answer, where there are any."""
    confidence: dict[str, Any] = {}
    if any(votes is not None for votes in answer.votes):
        confidence = {"votes": answer.votes, "halt_prob": answer.halt_probs}
    if answer.note:
        confidence["note"] = answer.note
    return confidence


def _describe(answer: SampleAnswer) -> str:
    """Return the attempts as text for a person."""
    parts = [answer.note] if answer.note else []
    details = zip_longest(answer.attempts, answer.votes, answer.halt_probs)
    for number, (grid, votes, halt_prob) in enumerate(details, 1):
        confidence = ""
        if votes is not None:
            confidence = f" ({pluralise(votes, 'vote')}, halting probability {halt_prob:.3f})"
        text = "none" if grid is None else f"```\n{grid_text(grid)}\n```"
        parts.append(f"Attempt {number}{confidence}:\n{text}")
    return "\n\n".join(parts)


@solver
def language_model(attempts: int = 2) -> Solver:
    """Ask the model for independent completions, each of which is an attempt."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        forks = await fork(state, [one_attempt(number + 1) for number in range(attempts)])
        outputs = [each.output for each in forks]
        usages = [each.usage for each in outputs if each.usage is not None]
        state.output = outputs[0].model_copy(
            update={
                "choices": [each.choices[0] for each in outputs],
                "usage": functools.reduce(ModelUsage.__add__, usages) if usages else None,
            }
        )
        state.messages.extend(each.message for each in outputs)
        return state

    return solve


@solver
def one_attempt(number: int) -> Solver:
    """Ask the model for attempt `number`."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        # No model sees it, but with --cache two equal requests would share one answer.
        state.messages[-1].metadata = {"attempt": number}
        return await generate(state)

    return solve


@solver
def model_or_run(
    attempts: int = 2, augmentations: int | None = None, settings: dict[str, Any] | None = None
) -> Solver:
    """Use `language_model`, or `trm` if there is no model (`none/none`)."""
    prompted = language_model(attempts)
    own = functools.cache(lambda: trm(augmentations=augmentations, **(settings or {})))

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        chosen = own() if state.model.api == "none" else prompted
        return await chosen(state, generate)

    return solve
