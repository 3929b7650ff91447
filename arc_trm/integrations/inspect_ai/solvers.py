"""Solvers: TRM, which answers all samples in few batches, and language models, one by one."""

from __future__ import annotations

import functools
from typing import Any

from inspect_ai.model import ModelOutput, ModelUsage
from inspect_ai.solver import Generate, Solver, TaskState, fork, solver

from arc_trm import runs
from arc_trm.errors import UserError
from arc_trm.integrations.inspect_ai.batching import (
    NO_SOURCE,
    FromFile,
    FromWeights,
    Given,
    Question,
    Source,
    Turns,
    guesses,
    logger,
)
from arc_trm.integrations.inspect_ai.errors import told
from arc_trm.integrations.prompts import grid_text
from arc_trm.tasks import as_grid
from submission.errors import pluralise

ATTEMPTS_KEY = "arc_trm:attempts"
"""Where a sample's store holds attempts, as lists of rows; None where one failed."""


@solver
def trm(
    weights: str | None = None, predictions: str | None = None, augmentations: int | None = None
) -> Solver:
    """Answers with TRM.

    Args:
        weights: a run, a weight folder or a repository on the Hugging Face Hub.
        predictions: instead, answers to read: predictions.jsonl, submission.json, a folder of ARC
            Prize's benchmarking, or a run.
        augmentations: voters beside the task itself; None is all that were trained.

    Without weights and predictions the latest run in `runs` answers, and where there is none,
    guesses do. Samples are those of `arc_trm/arc_agi`.
    """
    with told():
        name, source = _source(weights, predictions, augmentations)
    turns = Turns(source)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        with told():
            question = _question(state)
            given = await turns.ask(question)
        state.store.set(ATTEMPTS_KEY, list(given.attempts))
        state.metadata = {**state.metadata, "source": name, **_confidence(given)}
        state.output = ModelOutput.from_content("arc-trm", _shown(given))
        state.messages.append(state.output.message)
        return state

    return solve


def _source(
    weights: str | None, predictions: str | None, augmentations: int | None
) -> tuple[str, Source]:
    """What answers, and its name."""
    if augmentations is not None and (type(augmentations) is not int or augmentations < 0):
        raise UserError(f"augmentations is {augmentations}: give a number from 0 up")
    if weights is not None and predictions is not None:
        raise UserError("weights and predictions both say what the answers are: give one of them")
    if predictions is not None and augmentations is not None:
        raise UserError("augmentations are for weights: predictions have voted already")
    weights, predictions = as_name(weights), as_name(predictions)
    if predictions is not None:
        return predictions, FromFile(predictions)
    weights = weights or latest_run()
    if weights is not None:
        return weights, FromWeights(weights, augmentations)
    logger.warning(f"the answers are {NO_SOURCE}: none is a model's")
    return NO_SOURCE, guesses


def as_name(given: object) -> str | None:
    """A name or path out of an argument that inspect_ai has read as YAML and split at commas."""
    if isinstance(given, list):
        return ",".join(map(str, given))
    return None if given is None else str(given)


def latest_run() -> str | None:
    """The latest run in `runs`, if there is one."""
    try:
        return str(runs.latest_run())
    except UserError:
        return None


def _question(state: TaskState) -> Question:
    match state.metadata:
        case {"task": str(task), "test": int(test), "test_inputs": [*inputs]}:
            return Question(task, test, tuple(as_grid(grid) for grid in inputs))
    raise UserError(
        f"sample {state.sample_id} is none of arc_trm/arc_agi, whose metadata hold the test input"
    )


def _confidence(given: Given) -> dict[str, Any]:
    remark = {"remark": given.remark} if given.remark else {}
    voted = any(votes is not None for votes in given.votes)
    return {**({"votes": given.votes, "halt": given.halt} if voted else {}), **remark}


def _shown(given: Given) -> str:
    """The attempts as a person reads them."""
    parts = [given.remark] if given.remark else []
    unsaid = (None,) * len(given.attempts)
    said = zip(given.attempts, given.votes or unsaid, given.halt or unsaid, strict=True)
    for number, (grid, votes, halt) in enumerate(said, 1):
        sure = (
            ""
            if votes is None
            else f" ({pluralise(votes, 'vote')}, halting probability {halt:.3f})"
        )
        text = "none" if grid is None else f"```\n{grid_text(grid)}\n```"
        parts.append(f"Attempt {number}{sure}:\n{text}")
    return "\n\n".join(parts)


@solver
def language_model(attempts: int = 2) -> Solver:
    """Asks the model for as many independent completions, each of which is an attempt."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        made = await fork(state, [one_attempt(number + 1) for number in range(attempts)])
        outputs = [each.output for each in made]
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
    """Asks the model for attempt `number`."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        # No model sees it, but with --cache two equal questions would have one answer.
        state.messages[-1].metadata = {"attempt": number}
        return await generate(state)

    return solve


@solver
def model_or_run(attempts: int = 2, augmentations: int | None = None) -> Solver:
    """`language_model`, or `trm` without arguments where there is no model (`none/none`)."""
    asks = language_model(attempts)
    ours = functools.cache(lambda: trm(augmentations=augmentations))

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        chosen = ours() if state.model.api == "none" else asks
        return await chosen(state, generate)

    return solve
