"""Predict: ask a model what a schedule wants to know, until nothing is left or time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from arc_trm.callbacks import Note, ignore
from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig
from arc_trm.device import describe_memory, free_memory, is_out_of_memory
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.predictions import Prediction, PredictionJob, PredictionSet, Skipped
from arc_trm.evaluation.selection import SelectionRule
from arc_trm.inference.engine import Engine
from arc_trm.inference.pace import Pace
from arc_trm.inference.plan import PredictionPlan, make_plan
from arc_trm.inference.queries import Query, max_batch_size
from arc_trm.inference.schedule import Schedule
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit

NO_GRID = "the model predicts no grid"


def predict_tasks(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    batch_size: int | None = None,
    config: InferenceConfig | None = None,
    attempts: int | None = None,
    rule: SelectionRule | None = None,
) -> PredictionSet:
    """Predict every test input of `tasks` in memory.

    Args:
        weights: only tasks with a puzzle embedding can be predicted.
        tasks: to predict; their test outputs have no effect.
        augmentations: maximum number besides the task itself; None is all that were trained.
        batch_size: queries per batch; None depends on the size of the canvas.
        config: how the model is asked; None asks once.
        attempts: number per test input; None is the maximum of the kind of puzzle.
        rule: ranks the predictions of a test input in place of the rule that `config` names.

    Raises:
        UserError: the model cannot predict this kind of puzzle, or cannot be asked so.
    """
    kind_of(tasks).check_model(weights.model.config, tasks)
    plan = make_plan(weights, tasks, augmentations, config, attempts, rule)
    counter, schedule = plan.counter(), plan.schedule(plan.queries)
    for batch in predict_scheduled(plan, schedule, TimeLimit(), batch_size):
        counter.add(batch)
    guesses = tuple(plan.skipped) + tuple(
        Skipped(*key, NO_GRID) for key in plan.inputs if not counter[key].candidates
    )
    count = sum(counter[key].answers for key in plan.inputs)
    job = PredictionJob(count, count, guesses)
    predictions = PredictionSet(tasks, counter).fill_missing()
    return PredictionSet(tasks, predictions, job, plan.selected_by)


def predict_scheduled(
    plan: PredictionPlan,
    schedule: Schedule,
    time_limit: TimeLimit,
    batch_size: int | None = None,
    reserve: Callable[[], float] = lambda: 0.0,
    paced: bool = True,
    note: Note = ignore,
) -> Iterator[list[Prediction]]:
    """Yield predictions for the queries of a schedule, as they are made, until the time limit.

    Queries that are cut off then have a draft as their prediction, which is yielded last. If
    `paced`, batches are small first and grow as long as the time limit allows. The first batch for
    which the memory is too small is asked again in halves, as are all after it; `note` is told so.

    Raises:
        UserError: the memory is too small for half a batch, too.
    """
    weights, steps = plan.weights, plan.supervision_steps
    device = weights.model.y_init.device
    engine = Engine(weights, plan.tasks, plan.config)
    pace = Pace(
        time_limit if paced else TimeLimit(),
        reserve,
        lambda side: batch_size or max_batch_size(weights, side),
    )
    while True:
        taken: list[Query] = []
        if (query := schedule.peek(engine.side)) is not None:
            room = pace.room(len(engine), query.side, query.steps or steps)
            taken = schedule.take(room, engine.side)
        if not len(engine) and not taken:
            return
        found: list[Prediction] | None = None
        try:
            engine.add(taken)
            active, most, started = len(engine), engine.max_steps, time.monotonic()
            found = engine.step()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            assert engine.side is not None
            if not pace.halve(len(engine), engine.side):
                raise UserError(
                    f"predicting {pluralise(len(engine), 'test input')} at once takes more memory "
                    f"than is left on {describe_memory(device)}: lower --batch-size, or use "
                    "another --device"
                ) from error
        if found is None:  # not in the handler, where the traceback keeps the tensors
            schedule.repeat(engine.withdraw())
            weights.model.free_graphs()
            free_memory(device)
            note("the memory is too small for a batch, so batches are half as large from now on")
            continue
        pace.measure(active, most, time.monotonic() - started)
        schedule.repeat(engine.retry)
        engine.retry.clear()
        schedule.add(found)
        if found:
            yield found
        if time_limit.left - reserve() <= 0:
            if drafts := engine.drain():
                yield drafts
            return
