"""Tuning how a model is asked: the search, the choice, and what ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import copycat
import numpy as np
import oracle
import pytest
import torch
from copycat import Copycat
from puzzles import write_puzzles
from tiny import ARCHITECTURES

from arc_trm import Callback, load_tasks
from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig, ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.inference import TuningResult, predict_tasks, tune
from arc_trm.inference.trials import PLAIN, Trial, choose
from arc_trm.models import build_model
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import Rate
from submission.process import Stopped

STEPS = 3  # of the model
NOISY, VIEWED = InferenceConfig(samples=4, noise=0.3), InferenceConfig(views=4)


@pytest.fixture
def puzzles(tmp_path: Path) -> TaskSet:
    return load_tasks(write_puzzles(tmp_path, count=12))


def trial(config: InferenceConfig, solved: Sequence[float], steps: float) -> Trial:
    return Trial(config, Rate(sum(solved), len(solved)), np.array(solved, float), steps, 1.0)


def tuned(
    tasks: TaskSet,
    condition: oracle.Condition,
    callback: Callback | None = None,
    limit: TimeLimit | None = None,
    seed: int = 0,
) -> TuningResult:
    known = oracle.weights(tasks, condition)
    return tune(known, tasks, limit or TimeLimit(), seed=seed, callback=callback)


class Recorder(Callback):
    """Records notes, and calls `after` with their number."""

    def __init__(self, after: Callable[[int], None] = lambda count: None) -> None:
        self.notes: list[str] = []
        self.after = after

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.after(len(self.notes))


def test_one_puzzle_more_is_no_reason_to_take_more_steps() -> None:
    plain = trial(PLAIN, [1] * 50 + [0] * 50, 16)
    assert choose([plain, trial(NOISY, [1] * 51 + [0] * 49, 40)]) is plain


def test_a_clearly_better_setting_is_chosen_and_of_these_the_cheapest() -> None:
    plain, best = trial(PLAIN, [1] * 50 + [0] * 50, 16), trial(NOISY, [1] * 81 + [0] * 19, 60)
    cheaper = trial(VIEWED, [1] * 80 + [0] * 20, 30)
    assert choose([plain, best]) is best
    assert choose([plain, best, cheaper]) is cheaper


def test_puzzles_are_compared_in_pairs() -> None:
    """Rates of 50 % and 56 % differ if all else is equal, and not if most puzzles changed."""
    plain = trial(PLAIN, [1] * 50 + [0] * 50, 16)
    gained = trial(NOISY, [1] * 56 + [0] * 44, 40)
    shuffled = trial(NOISY, [0] * 44 + [1] * 56, 40)
    assert choose([plain, gained]) is gained
    assert choose([plain, shuffled]) is plain


def test_of_equally_cheap_settings_the_most_accurate_is_chosen() -> None:
    one, other = trial(PLAIN, [1, 1, 0, 0], 16), trial(NOISY, [1, 1, 1, 0], 16)
    assert choose([one, other]) is choose([other, one]) is other


@pytest.mark.parametrize(
    ("condition", "chosen"),
    [
        (lambda noise, steps, is_view, number: True, PLAIN),
        (lambda noise, steps, is_view, number: False, PLAIN),
        (
            lambda noise, steps, is_view, number: steps >= 2 * STEPS,
            InferenceConfig(supervision_steps=2 * STEPS),
        ),
        (
            lambda noise, steps, is_view, number: steps >= 4 * STEPS,
            InferenceConfig(supervision_steps=4 * STEPS),
        ),
        (
            lambda noise, steps, is_view, number: noise == 0.5,
            InferenceConfig(samples=4, noise=0.5),
        ),
        (lambda noise, steps, is_view, number: is_view, InferenceConfig(views=4)),
    ],
    ids=["always", "never", "deep", "deeper", "noise", "views"],
)
def test_the_setting_that_helps_is_found(
    puzzles: TaskSet, condition: oracle.Condition, chosen: InferenceConfig
) -> None:
    assert tuned(puzzles, condition).chosen.config == chosen


def test_more_samples_are_chosen_if_few_are_too_few(puzzles: TaskSet) -> None:
    """With noise one answer in ten is right."""
    result = tuned(puzzles, lambda noise, *rest: noise == 0.2 and rest[-1] < 10)
    assert result.chosen.config.samples > 4
    assert result.chosen.config.noise == 0.2


def test_a_trial_is_what_predict_would_do(puzzles: TaskSet) -> None:
    """Answers that settings share are asked for once, and still count in each of them."""

    def condition(noise: float, steps: int, is_view: bool, number: int) -> bool:
        return number * (1 + is_view) * (1 + 10 * noise) > 95

    result, weights = tuned(puzzles, condition, seed=3), oracle.weights(puzzles, condition)
    assert len({each.rate.value for each in result.trials}) > 2
    for each in result.trials:
        predictions = predict_tasks(weights, puzzles, config=replace(each.config, seed=3))
        assert predictions.score().rates["exact",] == each.rate
        assert sum(found.steps for found in predictions) / len(puzzles) == each.steps


def test_equal_seeds_measure_the_same(puzzles: TaskSet) -> None:
    def measured(seed: int) -> list[tuple[str, Rate, float]]:
        result = tuned(puzzles, lambda noise, *rest: noise > 0 and rest[-1] < 30, seed=seed)
        return [(each.title, each.rate, each.steps) for each in result.trials]

    assert measured(1) == measured(1) != measured(2)


def test_the_table_has_all_settings_and_marks_one(puzzles: TaskSet) -> None:
    result = tuned(puzzles, lambda noise, steps, is_view, number: noise == 0.5)
    header, *rows = result.lines()
    assert header.split() == ["setting", "exact", "steps", "per", "puzzle", "seconds"]
    assert len(rows) == len(result.trials)
    (marked,) = [row for row in rows if row.endswith("<- chosen")]
    assert marked.startswith("samples 4, noise 0.5 ")
    assert "12/12  100.0 %" in marked
    assert any(row.startswith("plain ") and "0/12    0.0 %" in row for row in rows)
    costs = [each["steps"] for each in result.to_dict()["settings"] if each["chosen"]]
    assert costs == [result.chosen.steps]
    assert "within" not in result.reason and "is best" in result.reason


def test_the_plain_answer_may_win(puzzles: TaskSet) -> None:
    result = tuned(puzzles, lambda *_: True)
    assert result.reason.startswith("no setting is better than the plain answer")
    choice = result.choice("0" * 16)
    assert choice.inference == InferenceConfig()
    assert choice.count_shared(task.input_digests() for task in puzzles) == len(puzzles)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped(signal.SIGTERM)])
def test_a_signal_ends_the_search_and_what_was_measured_decides(
    puzzles: TaskSet, error: BaseException
) -> None:
    def stop(count: int) -> None:
        if count == 4:  # the number of puzzles, and three settings
            raise error

    result = tuned(puzzles, lambda noise, steps, *_: steps > STEPS, Recorder(stop))
    assert result.interrupted and len(result.trials) == 3
    assert result.chosen.config == InferenceConfig(supervision_steps=2 * STEPS)
    assert "interrupted: chosen among 3 settings" in result.notes()


def test_a_signal_before_two_settings_chooses_nothing(puzzles: TaskSet) -> None:
    def stop(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(puzzles, lambda *_: True, Recorder(stop))


class Switched(TimeLimit):
    """A time limit that is over when `is_over` is set."""

    is_over = False

    @property
    def left(self) -> float:
        return -1.0 if self.is_over else 1e6


def test_settings_without_time_are_named(puzzles: TaskSet) -> None:
    limit = Switched()

    def stop(count: int) -> None:
        limit.is_over = count >= 4

    result = tuned(puzzles, lambda noise, steps, *_: steps > STEPS, Recorder(stop), limit)
    assert not result.interrupted and len(result.trials) == 3
    assert result.chosen.config == InferenceConfig(supervision_steps=2 * STEPS)
    (note,) = result.notes()
    assert note.startswith("not tried: ")
    assert f"samples 4, noise 0.1, supervision steps {2 * STEPS}" in note


def test_without_time_for_two_settings_nothing_is_chosen(puzzles: TaskSet) -> None:
    with pytest.raises(UserError, match="no time to compare two settings"):
        tuned(puzzles, lambda *_: True, limit=TimeLimit(1e-3))


class Short(TimeLimit):
    """A time limit that seems short until settings are tried."""

    seconds_left = 1e-6

    @property
    def left(self) -> float:
        return self.seconds_left


def test_with_little_time_fewer_puzzles_are_asked(tmp_path: Path) -> None:
    """All settings are tried on the same ones; which, the seed decides."""
    many = load_tasks(write_puzzles(tmp_path, count=100))

    def asked(seed: int) -> list[str]:
        limit = Short(1e-9)
        recorder = Recorder(lambda count: setattr(limit, "seconds_left", 1e6))
        result = tuned(many, lambda *_: True, recorder, limit, seed)
        assert {len(each.solved) for each in result.trials} == {30}
        assert recorder.notes[0] == "trying each setting on the same 30 of 100 puzzles"
        return list(result.tasks.ids)

    assert asked(1) == asked(1) != asked(2)


def test_a_transformer_has_views_alone(puzzles: TaskSet) -> None:
    shape = {**ARCHITECTURES["transformer"], "vocab_size": oracle.SUDOKU.vocab_size(4)}
    model = build_model(from_dict(ModelConfig, shape), 1, generator=torch.Generator())
    weights, recorder = Weights(model.eval(), {"<blank>": 0}), Recorder()
    result = tune(weights, puzzles, TimeLimit(), callback=recorder)
    assert [each.config for each in result.trials] == [
        InferenceConfig(views=count) for count in (1, 4, 16)
    ]
    assert "carries no state, so samples and supervision steps are left out" in recorder.notes[0]


def solved_tasks() -> TaskSet:
    """Return ARC tasks whose outputs are their inputs."""
    known = [
        task.with_solutions([pair.input.tolist() for pair in task.test]) for task in copycat.tasks()
    ]
    return TaskSet.from_tasks("x", known)


def test_arc_tasks_have_no_views() -> None:
    tasks = solved_tasks()
    result = tune(copycat.weights(Copycat, tasks), tasks, TimeLimit(), augmentations=1)
    assert result.chosen.config == PLAIN
    assert (result.rate_name, result.chosen.rate) == ("pass@2 per task", Rate(2, 2))
    assert {each.config.views for each in result.trials} == {1}
    assert any(each.config.samples == 16 for each in result.trials)
    # Two answers to each test input of three steps each.
    assert result.chosen.steps == 2 * STEPS
    assert "steps per test input" in result.lines()[0]


def test_nothing_to_tune_or_to_tune_on_is_an_error(puzzles: TaskSet) -> None:
    tasks = copycat.tasks()
    weights = copycat.weights(Copycat, tasks)
    with pytest.raises(UserError, match="x has no task with known outputs"):
        tune(weights, tasks, TimeLimit())
    tasks = solved_tasks()
    others = TaskSet.from_tasks("y", (replace(task, id=f"other {task.id}") for task in tasks))
    with pytest.raises(UserError, match="the weights can predict no task of y"):
        tune(weights, others, TimeLimit())
    model = build_model(from_dict(ModelConfig, ARCHITECTURES["transformer"]), 1)
    with pytest.raises(UserError, match="there is nothing to tune"):
        tune(replace(weights, model=model), tasks, TimeLimit())


def test_what_cannot_be_scored_or_predicted_is_left_out() -> None:
    first, second = solved_tasks()
    unknown = replace(first.without_solutions(), id="c")
    tasks = TaskSet.from_tasks("x", [first, second, unknown])
    recorder, weights = Recorder(), copycat.weights(Copycat, TaskSet.from_tasks("x", [first]))
    result = tune(weights, tasks, TimeLimit(), augmentations=0, callback=recorder)
    assert result.tasks.ids == ["a"]
    assert recorder.notes[0] == "1 of 3 tasks have no known output: left out"
    assert recorder.notes[1].startswith("1 of 2 tasks cannot be predicted")
