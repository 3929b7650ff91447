"""Tune how a model is asked: try settings on held-out puzzles, and choose the cheapest good one.

The search is no grid. It tries the plain answer, then depth, then noise with few samples, then
views, then more samples and combinations of what was best so far. All settings are tried on the
same random puzzles, so that they are compared puzzle by puzzle. Answers that several settings share
are asked for once.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from arc_trm.callbacks import Callback
from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig
from arc_trm.config.schema import MAX_SUPERVISION_STEPS
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.predictions import Prediction, PredictionSet, QueryKey
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference.plan import PredictionPlan, make_plan
from arc_trm.inference.predictor import predict_scheduled
from arc_trm.inference.queries import Query, build_queries, max_batch_size
from arc_trm.inference.trials import (
    PLAIN,
    Trial,
    TuningResult,
    choose,
    describe_trial,
    most_accurate,
)
from arc_trm.models import PuzzleModel
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.rng import rng_for
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit, format_duration
from submission.process import Stopped

NOISES = (0.1, 0.2, 0.3, 0.5, 1.0)
"""σ of the noise that is tried."""
DEPTHS = (2, 4)
"""Multiples of the model's supervision steps that are tried."""
FEW_SAMPLES, MORE_SAMPLES, MOST_SAMPLES = 4, 16, 64
VIEWS = (4, 16)

MAX_TASKS = 10_000
"""Puzzles on which settings are tried, at most: more would make inference.json large."""
MIN_TASKS = 30
"""Puzzles on which settings are tried if there are so many, however short the time is."""
PROBE_SHARE = 0.02
"""Share of the time for the first measurement of speed, which doubles its puzzles until then."""
FIRST_PROBE = 8
SEARCH_SHARE = 0.6
"""Share of the time left that the search is expected to take: later settings may depend on better
ones that cost more, and speed varies."""
MARGIN = 1.1
"""A setting is tried if so many times the seconds that it is expected to take are left."""
CPU_BATCH = 64
"""Queries at once on a CPU, which is no faster with more and would notice the time limit late."""
MAX_KNOWN = 500_000
"""Answers that are kept for later settings that share them, at most."""


@dataclass(frozen=True)
class _Space:
    """What can be varied; `settings` says in which order.

    Attributes:
        steps: the model's supervision steps.
        is_recursive: whether the model carries a state, so that depth and noise matter.
        views: numbers of views that are tried.
    """

    steps: int
    is_recursive: bool
    views: Sequence[int]

    @classmethod
    def of(cls, model: PuzzleModel, kind: PuzzleKind) -> _Space:
        most = math.inf if kind.max_views is None else kind.max_views
        views = sorted({int(min(count, most)) for count in VIEWS} - {1})
        if kind.embeds_tasks:
            views = []
        return cls(model.config.supervision_steps, model.carries_state, views)

    def settings(self, pick: _Pick) -> Iterator[InferenceConfig]:
        """Yield the settings to try; later ones depend on how earlier ones did.

        Args:
            pick: returns the one of some settings that continues: the cheapest good one, or the
                most accurate one, of those that were tried.
        """
        depths, noisy = [PLAIN], list[InferenceConfig]()
        if self.is_recursive:
            found = [each * self.steps for each in DEPTHS]
            depths += [
                replace(PLAIN, supervision_steps=steps)
                for steps in found
                if steps <= MAX_SUPERVISION_STEPS
            ]
        yield from depths
        base = pick(depths, True)
        if self.is_recursive:
            noisy = [replace(base, samples=FEW_SAMPLES, noise=noise) for noise in NOISES]
        yield from noisy
        views = [replace(base, views=each) for each in self.views]
        yield from views
        if not noisy:
            return
        noise = pick(noisy, False).noise
        noises = [noise, *[each for each in NOISES if each > noise][:1]]
        broad = [replace(base, samples=MORE_SAMPLES, noise=each) for each in noises]
        mixed = [replace(base, samples=FEW_SAMPLES, noise=noise, views=each) for each in self.views]
        broad += mixed[:1]
        yield from broad
        best = pick([*depths, *noisy, *views, *broad], False)
        if best.answers > 1:
            if best.supervision_steps is not None:
                yield replace(best, supervision_steps=None)
            deeper = (best.supervision_steps or self.steps) * DEPTHS[0]
            if deeper <= MAX_SUPERVISION_STEPS:
                yield replace(best, supervision_steps=deeper)
        yield replace(base, samples=MOST_SAMPLES, noise=max(noise, best.noise))
        yield from mixed[1:]


_Pick = Callable[[Sequence[InferenceConfig], bool], InferenceConfig]


class _OutOfTime(Exception):
    """The time limit ended a trial."""


class _Search:
    """Tries settings on the same tasks.

    Args:
        weights, augmentations, seed, time_limit, callback: as of `tune`.
        tasks: with known outputs, some of which the settings are tried on.
    """

    def __init__(
        self,
        weights: Weights,
        tasks: TaskSet,
        augmentations: int | None,
        seed: int,
        time_limit: TimeLimit,
        callback: Callback,
    ) -> None:
        self.weights, self.augmentations = weights, augmentations
        self.all_tasks = self.tasks = tasks
        self.seed, self.time_limit, self.callback = seed, time_limit, callback
        self.kind = kind_of(tasks)
        self.space = _Space.of(weights.model, self.kind)
        self.trials: list[Trial] = []
        self.skipped: list[InferenceConfig] = []
        self.rate_name = ""
        self._known: dict[tuple[int, float, QueryKey], tuple[Prediction, float]] = {}
        most = self.space.settings(lambda settings, cheap: settings[-1])
        self.total = len(list(most))

    def run(self) -> int | None:
        """Try all settings for which there is time.

        Returns:
            The number of the signal that ended the search, None if none did.
        """
        config: InferenceConfig | None = None
        try:
            try:
                self.tasks = self._subset()
            except _OutOfTime:
                return None
            self.callback.progress(0, self.total)
            number = f"{len(self.tasks)} of {pluralise(len(self.all_tasks), self.kind.noun)}"
            self.callback.note(f"trying each setting on the same {number}")
            for done, config in enumerate(self.space.settings(self._pick)):
                self.callback.progress(done, max(self.total, done + 1))
                if self._expected_seconds(config) * MARGIN > self.time_limit.left:
                    self.skipped.append(config)
                    continue
                try:
                    trial = self._try(config, self.tasks)
                except _OutOfTime:
                    self.skipped.append(config)
                    continue
                self.trials.append(trial)
                self.callback.note(describe_trial(trial))
            self.callback.progress(self.total, self.total)
        except (KeyboardInterrupt, Stopped) as stop:
            if len(self.trials) < 2:
                raise
            tried = [each.config for each in self.trials]
            if config is not None and config not in (*tried, *self.skipped):
                self.skipped.append(config)
            return stop.number if isinstance(stop, Stopped) else signal.SIGINT
        return None

    def _pick(self, settings: Sequence[InferenceConfig], cheap: bool) -> InferenceConfig:
        tried = [each for each in self.trials if each.config in settings]
        if not tried:
            return settings[0]
        return (choose(tried) if cheap else most_accurate(tried)).config

    def _subset(self) -> TaskSet:
        """Return the random tasks that the settings are tried on: all if there is time."""
        ids = list(self.tasks.ids)
        order = [ids[each] for each in rng_for("tuning", self.seed).permutation(len(ids))]
        order = order[:MAX_TASKS]
        count, limit = len(order), self.time_limit.limit
        if limit is not None:
            probe = self._probe(order, PROBE_SHARE * limit)
            doubtful = 1 - probe.rate.value
            settings = list(self.space.settings(lambda settings, cheap: settings[0]))
            cost = sum(
                self._expected_steps(each, settings[:index], probe, doubtful)
                for index, each in enumerate(settings)
            )
            seconds = cost / probe.steps * probe.seconds / len(probe.solved)  # for each task
            fitting = int(SEARCH_SHARE * self.time_limit.left / seconds)
            count = min(count, max(MIN_TASKS, _round_down(fitting)))
        chosen = set(order[:count])
        return self.tasks.select(each for each in ids if each in chosen)

    def _probe(self, order: Sequence[str], seconds: float) -> Trial:
        """Return a trial of the plain answer to the first tasks, so many that it takes a while."""
        count = FIRST_PROBE
        while True:
            self.callback.stage("measuring speed", 0, None, in_bytes=False)
            trial = self._try(PLAIN, self.tasks.select(order[:count]))
            if count >= len(order) or trial.seconds >= seconds:
                return trial
            count *= 2

    def _expected_steps(
        self,
        config: InferenceConfig,
        earlier: Sequence[InferenceConfig],
        plain: Trial,
        doubtful: float,
    ) -> float:
        """Return the supervision steps per test input that are still to be taken for a setting.

        Args:
            config: the setting.
            earlier: settings whose answers are known.
            plain: the trial of the plain answer.
            doubtful: share of the test inputs whose single answer is doubtful.
        """
        deeper = (config.supervision_steps or self.space.steps) / self.space.steps
        share = 1.0 if self.kind.embeds_tasks else doubtful
        shared = [
            min(each.samples, config.samples) * min(each.views, config.views)
            if each.noise == config.noise
            else min(each.views, config.views)
            for each in earlier
            if each.supervision_steps == config.supervision_steps
        ]
        known = _expected_answers(max(shared), share) if shared else 0.0
        return plain.steps * deeper * (_expected_answers(config.answers, share) - known)

    def _expected_seconds(self, config: InferenceConfig) -> float:
        """Return the seconds that a setting will take, from what was measured; 0 at first."""
        if not self.trials:
            return 0.0
        plain, tried = self.trials[0], [each.config for each in self.trials]
        speed = sum(each.seconds for each in self.trials) / sum(e.steps for e in self.trials)
        return speed * self._expected_steps(config, tried, plain, 1 - plain.rate.value)

    def _try(self, config: InferenceConfig, tasks: TaskSet) -> Trial:
        """Measure a setting. Raises _OutOfTime at the time limit."""
        plan = make_plan(self.weights, tasks, self.augmentations, replace(config, seed=self.seed))
        queries = [replace(each, traced=False) for each in plan.queries]
        counter = plan.counter()
        seconds = self._add_known(plan, queries, counter)
        on_cpu = self.weights.model.y_init.device.type == "cpu"
        side = self.weights.model.config.side
        size = min(CPU_BATCH, max_batch_size(self.weights, side)) if on_cpu else None
        schedule, made = plan.schedule(queries, counter), list[Prediction]()
        started = time.monotonic()
        note = self.callback.note
        for batch in predict_scheduled(
            plan, schedule, self.time_limit, size, paced=False, note=note
        ):
            counter.add(batch)
            made += batch
        if any(each.is_draft for each in made) or len(schedule):
            raise _OutOfTime
        if made:
            elapsed = time.monotonic() - started
            speed = elapsed / sum(each.steps for each in made)
            seconds += elapsed
            for each in made if len(self._known) < MAX_KNOWN else ():
                self._known[_origin(plan, each.key)] = each, speed * each.steps
        found = PredictionSet(tasks, counter).fill_missing()
        score = self.kind.score(tasks, found.attempts())
        solved, total = score.counts()[score.headline]
        self.rate_name = " ".join(score.headline)
        return Trial(
            config,
            score.rates[score.headline],
            solved / total,
            sum(each.steps for each in found) / len(found),
            seconds,
        )

    def _add_known(
        self, plan: PredictionPlan, queries: Sequence[Query], counter: VoteCounter
    ) -> float:
        """Count the answers that earlier settings share; return the seconds that they took."""
        seconds = 0.0
        while True:
            waiting = plan.schedule(queries, counter).waiting()
            origins = [_origin(plan, each.key) for each in waiting if not counter.has(*each.key)]
            found = [self._known[each] for each in origins if each in self._known]
            if not found:
                return seconds
            counter.add(prediction for prediction, _ in found)
            seconds += sum(each for _, each in found)


def _origin(plan: PredictionPlan, key: QueryKey) -> tuple[int, float, QueryKey]:
    """Return everything that an answer depends on within a search."""
    return plan.supervision_steps, plan.config.noise if key[-1] else 0.0, key


def _expected_answers(most: int, doubtful: float) -> float:
    """Return how many answers a puzzle gets on average if it is asked again while in doubt.

    Each round doubles the answers. Measured on Sudokus, the share of the puzzles that are still in
    doubt shrinks by about the square root of the first one in every round.
    """
    expected, asked, share = 1.0, 1, doubtful
    while asked < most:
        more = min(asked, most - asked)
        expected, asked, share = expected + more * share, asked + more, share * doubtful**0.5
    return expected


def _round_down(number: int) -> int:
    """Return the largest of 10, 15, 20, 30, 50, 70, 100, 150, ... that is at most a number.

    So a machine that is a little faster or slower most often tries the same puzzles.
    """
    if number < 10:
        return number
    scale = 10 ** (len(str(number)) - 1)
    return max(int(each * scale) for each in (1, 1.5, 2, 3, 5, 7) if each * scale <= number)


def tune(
    weights: Weights,
    tasks: TaskSet,
    time_limit: TimeLimit,
    augmentations: int | None = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> TuningResult:
    """Try how a model is best asked, and choose the cheapest setting that is about as good.

    Ctrl-C, SIGTERM and the time limit end the search, and what was measured until then decides.

    Args:
        weights: the model.
        tasks: held-out ones; those without known outputs, and those that the weights do not know,
            are left out.
        time_limit: of the search.
        augmentations: as for `predict_tasks`.
        seed: of the choice of puzzles, of noise and of random starts.
        callback: hears a note for each setting, and progress.

    Raises:
        UserError: there is nothing to tune or to tune on, or no time for two settings.
    """
    callback = callback or Callback()
    usable = _usable(weights, tasks, augmentations, callback)
    search = _Search(weights, usable, augmentations, seed, time_limit, callback)
    kind, model = search.kind, weights.model
    if not search.space.is_recursive:
        left_out = f"a {model.title} carries no state, so samples and supervision steps"
        if not search.space.views:
            raise UserError(
                f"{left_out} change nothing, and {kind.title} has no other views: there is nothing "
                "to tune"
            )
        callback.note(f"{left_out} are left out")
    stopped_by = search.run()
    if len(search.trials) < 2:
        limit = "" if time_limit.limit is None else f" of {format_duration(time_limit.limit)}"
        raise UserError(
            f"the time limit{limit} left no time to compare two settings: allow more with "
            "--time-limit"
        )
    return TuningResult(
        search.tasks,
        search.rate_name,
        tuple(search.trials),
        tuple(search.skipped),
        stopped_by,
        time_limit.limit,
    )


def _usable(
    weights: Weights, tasks: TaskSet, augmentations: int | None, callback: Callback
) -> TaskSet:
    """Return the tasks that can be asked and scored. Raises UserError if there are none."""
    noun, total = kind_of(tasks).noun, len(tasks)
    known = [task.id for task in tasks if task.solutions is not None]
    if not known:
        raise UserError(
            f"{tasks.name} has no {noun} with known outputs, by which settings are compared: name "
            "other data with --data"
        )
    if len(known) < total:
        callback.note(f"{total - len(known)} of {total} {noun}s have no known output: left out")
        tasks = tasks.select(known)
    _, skipped = build_queries(weights, tasks, augmentations)
    unknown = {each.task_id for each in skipped}
    asked = [each for each in known if each not in unknown]
    if not asked:
        raise UserError(f"the weights can predict no {noun} of {tasks.name}: {skipped[0].reason}")
    if unknown:
        callback.note(
            f"{len(unknown)} of {len(known)} {noun}s cannot be predicted ({skipped[0].reason}): "
            "left out"
        )
        tasks = tasks.select(asked)
    return tasks
