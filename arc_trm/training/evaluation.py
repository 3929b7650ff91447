"""Evaluation while a run trains: validation puzzles are predicted with the averaged weights.

Nothing here draws random numbers or changes what is trained, so a run has the same weights with and
without evaluation. docs/training.md says when a run is evaluated and on how many puzzles.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor

from arc_trm.checkpoint import Weights
from arc_trm.config import RunConfig
from arc_trm.data.training_set import TrainingSet
from arc_trm.errors import UserError, pluralise, verb
from arc_trm.evaluation.metrics import (
    Outcome,
    best_evaluation,
    describe_evaluation,
    evaluations,
    halting_steps,
    summarise,
)
from arc_trm.evaluation.predictions import Prediction, PredictionSet
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference.engine import predict_batch
from arc_trm.inference.queries import Query, build_queries, shard
from arc_trm.metric_keys import EVAL, PUZZLES, training_seconds
from arc_trm.models import PuzzleModel
from arc_trm.puzzles import SEPARATOR, kind_of
from arc_trm.rng import rng_for
from arc_trm.tasks import Grid, TaskSet, same_grid
from arc_trm.training.budget import broadcast_scalar
from arc_trm.training.trainer import Trainer

EVALUATIONS = 20
"""Evaluations of a run unless `train.eval_interval` is set, about."""
MIN_PUZZLES = 16
"""Puzzles of an evaluation, at least, unless there are fewer."""
MAX_AUGMENTATIONS = 8
"""Augmentations that vote, at most."""
TIMED_STEPS = 101
"""Latest training steps whose median time is that of a step."""
SAFETY = 1.2
"""How much longer than the last evaluation the next one may take."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A prediction and what it says beside the grid."""

    prediction: Prediction
    cell_accuracy: float
    halt_step: int


@contextmanager
def averaged_weights(trainer: Trainer) -> Iterator[None]:
    """Give the model the moving average of its weights inside the context.

    Afterwards the weights are the same as before, to the last bit.
    """
    weights, model = trainer.flat_params.clone(), trainer.model
    embedding = model.puzzle_embedding
    modes = {module: module.training for module in model.modules()}
    trainer.flat_params.copy_(trainer.ema)
    model.puzzle_embedding = trainer.averaged_embedding
    model.eval()
    try:
        yield
    finally:
        trainer.flat_params.copy_(weights)
        model.puzzle_embedding = embedding
        for module, mode in modes.items():
            module.training = mode


class Evaluator:
    """Decides when a run is evaluated, and evaluates it.

    `train.eval_time_share` bounds the time of evaluations. It decides how many puzzles are
    predicted unless `data.validation_puzzles` says it, and whether an evaluation is due at a
    multiple of the interval unless `train.eval_interval` says it. `begin` must be called before
    anything else.

    Args:
        model: of the run.
        training_set: of the run, with tasks for validation.
        config: of the run, whose `train.best_metric` names a metric.

    Attributes:
        tasks: the tasks for validation that the model can predict.
        interval: steps between evaluations, at least.
        puzzles: how many are predicted; None until the first evaluation has measured it.
        records: of all evaluations so far.
        notes: sentences for the user.

    Raises:
        UserError: the model can predict none of the tasks.
    """

    _trainer: Trainer

    def __init__(self, model: PuzzleModel, training_set: TrainingSet, config: RunConfig) -> None:
        tasks, train = training_set.validation, config.train
        kind = kind_of(tasks)
        self._model, self._train = model, train
        self._weights = Weights(
            model,
            _known_puzzles(training_set),
            trained_augmentations=(training_set.augmentations, config.seed),
        )
        augmentations = None
        if kind.embeds_tasks:
            voting = config.data.vote_augmentations
            voting = training_set.augmentations if voting is None else voting
            augmentations = min(voting, MAX_AUGMENTATIONS)
        queries, skipped = build_queries(self._weights, tasks, augmentations)
        self._queries: defaultdict[str, list[Query]] = defaultdict(list)
        for query in queries:
            self._queries[query.task_id].append(replace(query, traced=False))
        left_out = {each.task_id for each in skipped}
        self.notes = []
        if left_out:
            reason = f"(first {skipped[0].task_id}: {skipped[0].reason})"
            if len(left_out) == len(tasks):
                raise UserError(f"no task of data.validation can be predicted {reason}")
            are = verb(len(left_out), "is", "are")
            self.notes.append(
                f"{len(left_out)} of {len(tasks)} tasks of data.validation {are} left out {reason}"
            )
            tasks = tasks.select(each for each in tasks.ids if each not in left_out)
        self.tasks = tasks
        order = rng_for("validation", len(tasks)).permutation(len(tasks)).tolist()
        ids = list(tasks.ids)
        self._order = [ids[index] for index in order]
        self._share = train.eval_time_share / (1 - train.eval_time_share)
        """Seconds of evaluation for each second of training, at most."""
        chosen = config.data.validation_puzzles
        self._chosen = None if chosen is None else min(chosen, len(tasks))
        self._expected: float | None = None  # seconds of the next evaluation
        self._trained = 0.0  # seconds since the last evaluation
        self._step_seconds: deque[float] = deque(maxlen=TIMED_STEPS)

    def begin(self, trainer: Trainer, records: Sequence[Mapping[str, float]]) -> None:
        """Begin or resume a run.

        Args:
            trainer: of the model; its config has the number of steps.
            records: of metrics.jsonl. The number of puzzles is that of the last evaluation, so that
                all can be compared.
        """
        self._trainer, steps = trainer, trainer.config.total_steps or 0
        self.records = evaluations(records)
        self.interval = self._train.eval_interval or max(1, steps // EVALUATIONS)
        self.puzzles = self._chosen
        trained = training_seconds(records)
        since_evaluation = trained[-1]
        if self.records:
            last = self.records[-1]
            since_evaluation -= trained[records.index(last) + 1]
            self.puzzles = max(1, min(int(last[PUZZLES]), len(self.tasks)))
            seconds = last.get(f"{EVAL}seconds", math.nan)
            self._expected = seconds if math.isfinite(seconds) else None
        self._trained = since_evaluation if math.isfinite(since_evaluation) else 0.0

    # When

    def add_step(self, seconds: float) -> None:
        """Count the time of a training step."""
        self._trained += seconds
        self._step_seconds.append(seconds)

    @property
    def is_due(self) -> bool:
        """Whether the run should be evaluated after the step that it has reached."""
        step = self._trainer.steps_done
        if step % self.interval or self.is_done:
            return False
        # A run that a signal has ended before an evaluation resumes with it, but how many puzzles
        # there is time for is only known after a step.
        is_planned = self.puzzles is not None and self._train.eval_interval is not None
        if not (is_planned or self._step_seconds or self._expected is not None):
            return False
        if self._train.eval_interval is not None:
            return True
        return self._share * self._trained >= self.expected_seconds

    @property
    def is_done(self) -> bool:
        """Whether the run was evaluated after the step that it has reached, or has no step yet."""
        step = self._trainer.steps_done
        return step == 0 or (bool(self.records) and self.records[-1]["step"] == step)

    @property
    def expected_seconds(self) -> float:
        """The seconds that an evaluation takes; before the first one at most, as far as is known.

        A supervision step of a batch takes less time without gradients than in training.
        """
        if self._expected is not None:
            return self._expected
        per_puzzle = len(self._queries[self._order[0]])
        least = max(MIN_PUZZLES * per_puzzle, self._room)
        queries = least if self.puzzles is None else self.puzzles * per_puzzle
        steps = self._model.config.supervision_steps * queries / self._train.global_batch_size
        return steps * self._median_step

    @property
    def _median_step(self) -> float:
        return statistics.median(self._step_seconds) if self._step_seconds else 0.0

    @property
    def _room(self) -> int:
        """Queries of a block, between which the time is looked at.

        Every rank predicts a batch of training, or less on a CPU, where small ones are as fast.
        """
        size = self._trainer.part_size(self._model.state_length())
        if self._trainer.flat_params.device.type == "cpu" and not self._model.compiled:
            size = min(size, MIN_PUZZLES)
        return size * self._trainer.world_size

    def measure(self) -> float:
        """Measure how long an evaluation takes whose number of puzzles is set, in seconds."""
        assert self.puzzles is not None
        block = next(self._blocks(self._order[: self.puzzles]))
        with averaged_weights(self._trainer):
            self._predict(block)  # the first one is slow
            started = time.monotonic()
            self._predict(block)
        seconds = (time.monotonic() - started) * self.puzzles / len(block)
        self._expected = self._broadcast(seconds)
        return self._expected

    def _broadcast(self, value: float) -> float:
        return broadcast_scalar(value, self._trainer.flat_params.device)

    # What

    def evaluate(
        self,
        seconds_left: float = math.inf,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> dict[str, float] | None:
        """Evaluate the averaged weights, and add to `records`. All ranks must call it together.

        Args:
            seconds_left: how many seconds it may take.
            is_interrupted: returns whether to stop, alike on all ranks; called before each block.

        Returns:
            The record, the same on all ranks; None if there is not enough time left, or if it was
            interrupted.
        """
        started, world_size = time.monotonic(), self._trainer.world_size
        if self._broadcast(seconds_left - self.expected_seconds) < 0:
            return None
        with averaged_weights(self._trainer):
            answers, ids = self._answers(started, seconds_left, is_interrupted)
        if not ids:
            return None
        if world_size > 1:
            parts: list[list[_Answer]] = [[] for _ in range(world_size)]
            dist.all_gather_object(parts, answers)
            answers = [answer for part in parts for answer in part]
        self.puzzles = len(ids)
        metrics = self._metrics(self._select(ids), answers)
        self._expected = self._broadcast(time.monotonic() - started)
        self._trained = 0.0
        step = {"step": self._trainer.steps_done}
        record = {**step, **metrics, f"{EVAL}seconds": self._expected}
        self.records.append(record)
        return record

    def _select(self, ids: Sequence[str]) -> TaskSet:
        chosen = set(ids)
        return self.tasks.select(each for each in self.tasks.ids if each in chosen)

    def _answers(
        self, started: float, seconds_left: float, is_interrupted: Callable[[], bool]
    ) -> tuple[list[_Answer], list[str]]:
        """Return this rank's answers, and the ids of the tasks that all ranks have predicted.

        Unless the number of puzzles is known, as many are predicted as there is time for. If it is
        interrupted, there are none.
        """
        budget = min(self._share * self.interval * self._median_step, seconds_left)
        answers, ids = list[_Answer](), list[str]()
        blocks = list(self._blocks(self._order[: self.puzzles]))
        is_cuda = self._trainer.flat_params.is_cuda
        if self.puzzles is None and (self._model.compiled or is_cuda):
            self._predict(blocks[0])  # compiles and records, which is no measure
            started = time.monotonic()
        for number, block in enumerate(blocks, 1):
            if is_interrupted():
                return [], []
            answers += self._predict(block)
            ids += block
            if self.puzzles is None and len(ids) >= MIN_PUZZLES:
                next_end = (time.monotonic() - started) * (number + 1) / number
                if self._broadcast(budget - next_end) < 0:
                    break
        return answers, ids

    def _blocks(self, ids: Sequence[str]) -> Iterator[list[str]]:
        """Yield the tasks in blocks of about `_room` queries."""
        room = self._room
        block, filled = list[str](), 0
        for task_id in ids:
            queries = len(self._queries[task_id])
            if block and filled + queries > room:
                yield block
                block, filled = [], 0
            block.append(task_id)
            filled += queries
        if block:
            yield block

    def _predict(self, block: Sequence[str]) -> list[_Answer]:
        """Return this rank's answers for the tasks of a block."""
        queries = [query for task_id in block for query in self._queries[task_id]]
        by_side: defaultdict[int, list[Query]] = defaultdict(list)
        for query in shard(queries, self._trainer.rank, self._trainer.world_size):
            by_side[query.side].append(query)
        answers, retry = list[_Answer](), list[Query]()
        for side, group in sorted(by_side.items()):
            answers += self._predict_in_batches(group, side, retry)
        return answers + self._predict_in_batches(retry, self._model.config.side, [])

    def _predict_in_batches(
        self, queries: Sequence[Query], side: int, retry: list[Query]
    ) -> list[_Answer]:
        answers = list[_Answer]()
        size = self._trainer.part_size(self._model.state_length(side * side))
        for start in range(0, len(queries), size):
            batch = queries[start : start + size]
            missing = self._batch_size(size) - len(batch)
            padded = [*batch, *[batch[-1]] * missing]
            answers += self._predict_batch(padded, len(batch), retry)
        return answers

    def _batch_size(self, size: int) -> int:
        """Return the least queries of a batch, so that torch.compile does not compile for others.

        On every canvas it has compiled for batches of training.
        """
        return size if self._model.compiled else 0

    def _predict_batch(
        self, batch: Sequence[Query], count: int, retry: list[Query]
    ) -> list[_Answer]:
        """Predict a batch and return the answers of the first `count` queries."""
        halt_logits, logits = list[Tensor](), list[Tensor]()

        def observe(step_logits: Tensor, step_halt_logits: Tensor) -> None:
            logits[:] = [step_logits]
            halt_logits.append(step_halt_logits)

        again = list[Query]()
        found = {
            (each.task_id, each.test, each.puzzle): each
            for each in predict_batch(self._weights, self.tasks, batch, None, again, observe)
        }
        retry += dict.fromkeys(again)  # padding repeats a query
        steps = halting_steps(torch.stack(halt_logits).float().cpu().numpy())
        tokens = logits[0].argmax(-1).cpu().numpy()
        answers = []
        for row, query in enumerate(batch[:count]):
            prediction = found.get((query.task_id, query.test, query.puzzle))
            if prediction is not None:
                accuracy = 0.0
                if not query.order:
                    accuracy = self._cell_accuracy(query, tokens[row])
                answers.append(_Answer(prediction, accuracy, int(steps[row])))
        return answers

    def _cell_accuracy(self, query: Query, tokens: Grid) -> float:
        """Return the share of the right answer's cells in predicted tokens (S,)."""
        output = self.tasks[query.task_id].test[query.test].output
        assert output is not None, "validation tasks have known outputs"
        side, first = query.side, kind_of(self.tasks).first_value_token
        inside = output[:side, :side]
        height, width = inside.shape
        predicted = tokens.reshape(side, side)[:height, :width]
        return float((predicted == inside + first).sum() / output.size)

    def _metrics(self, tasks: TaskSet, answers: Sequence[_Answer]) -> dict[str, float]:
        votes, outcomes = VoteCounter(tasks), dict[tuple[str, int], Outcome]()
        votes.add(answer.prediction for answer in answers)
        for answer in answers:
            prediction = answer.prediction
            if prediction.order == 0:
                key = prediction.task_id, prediction.test
                output = tasks[key[0]].test[key[1]].output
                outcomes[key] = Outcome(
                    same_grid(prediction.grid, output),
                    answer.cell_accuracy,
                    answer.halt_step,
                    prediction.halt_prob,
                )
        attempts = PredictionSet(tasks, votes).attempts()
        ordered = [outcomes[key] for key in sorted(outcomes)]
        summary = summarise(tasks, attempts, ordered)
        return {EVAL + name: value for name, value in summary.items()}

    # Which was best

    @property
    def best(self) -> Mapping[str, float] | None:
        """The record of the best evaluation so far; of equals the first."""
        return best_evaluation(self.records, self._train.best_metric)

    @property
    def is_stopped(self) -> bool:
        """Whether the last evaluations, as many as the patience, were no better than the best."""
        patience, best = self._train.early_stopping_patience, self.best
        if patience is None or best is None:
            return False
        return sum(each["step"] > best["step"] for each in self.records) >= patience

    # In words

    def describe(self) -> str:
        """Return when the run is evaluated, and on what."""
        noun = kind_of(self.tasks).noun
        name, steps = self.tasks.name, pluralise(self.interval, "step")
        share = f"{100 * self._train.eval_time_share:g} % of the time"
        if self.puzzles is None:
            number = f"as many of {pluralise(len(self.tasks), noun)} of {name} as {share} allow"
        else:
            number = f"{pluralise(self.puzzles, noun)} of {name}"
        every = f"every {steps}"
        if self._train.eval_interval is None and self.puzzles is not None:
            every += f", or more rarely to take at most {share}"
        return f"for validation the run predicts {number}, {every}"

    def describe_stop(self) -> str:
        """Return why early stopping ended the run, and which evaluation was the best."""
        best, patience = self.best, self._train.early_stopping_patience
        assert best is not None and patience is not None
        return (
            f"early stopping ended the run at step {self.records[-1]['step']:.0f}: "
            f"{pluralise(patience, 'evaluation')} in a row had no better {self._train.best_metric} "
            f"than step {best['step']:.0f} ({describe_evaluation(best)})"
        )


def _known_puzzles(training_set: TrainingSet) -> dict[str, int]:
    """Return the puzzle ids of the validation tasks by their names."""
    tasks = training_set.validation
    if not kind_of(tasks).embeds_tasks:
        return {}
    return {
        name: puzzle_id
        for puzzle_id, name in enumerate(training_set.puzzle_names)
        if name.partition(SEPARATOR)[0] in tasks
    }
