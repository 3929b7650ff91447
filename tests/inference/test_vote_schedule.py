"""Under a time limit, votes begin with few supervision steps and go on where they disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from copycat import tasks, weights
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import InferenceConfig
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import Prediction
from arc_trm.inference import make_plan, predict_tasks, predict_to_folder
from arc_trm.inference.queries import Query
from arc_trm.inference.schedule import VoteSchedule
from arc_trm.models.trm import TRM
from arc_trm.tasks import as_grid
from arc_trm.time_limit import TimeLimit

ALL, FEW = 8, 1


def queries(inputs: int, voters: int, sides: Sequence[int] = (4,)) -> list[Query]:
    return [
        Query(f"t{n}", 0, f"t{n}|||{order}", 1 + order, order, sides[n % len(sides)], False)
        for order in range(voters)
        for n in range(inputs)
    ]


def ask(
    schedule: VoteSchedule, answer: Callable[[Query], int], room: int = 3
) -> Iterator[Prediction]:
    """Yield predictions for what the schedule asks; `answer` gives the colour of each grid."""
    while taken := schedule.take(room, None):
        assert len({query.side for query in taken}) == 1
        found = [
            Prediction(
                *query.key[:3],
                query.order,
                as_grid([[answer(query)]]),
                steps=query.steps or ALL,
                is_draft=query.is_draft,
            )
            for query in taken
        ]
        schedule.add(found)
        yield from found


@given(
    inputs=st.integers(1, 5),
    voters=st.integers(1, 9),
    sides=st.sampled_from([(4,), (4, 8), (8, 4, 6)]),
    seed=st.integers(0, 99),
    known=st.integers(0, 60),
)
def test_every_query_ends_with_all_steps_and_none_is_asked_twice(
    inputs: int, voters: int, sides: tuple[int, ...], seed: int, known: int
) -> None:
    made, rng = queries(inputs, voters, sides), np.random.default_rng(seed)

    def answer(query: Query) -> int:
        return int(rng.integers(4))

    first = list(ask(VoteSchedule(made, FEW), answer))
    assert {(each.key, each.is_draft) for each in first if not each.is_draft} == {
        (query.key, False) for query in made
    }
    kept = first[:known]  # the job was killed after these
    schedule = VoteSchedule(made, FEW, kept)
    assert len(schedule) == len(schedule.waiting())
    both = [*kept, *ask(schedule, answer)]
    for asked in (first, both):
        assert len({(each.key, each.is_draft) for each in asked}) == len(asked)
        assert sum(not each.is_draft for each in asked) == len(made)


def test_all_test_inputs_have_a_few_steps_before_any_has_all() -> None:
    asked = list(ask(VoteSchedule(queries(4, 3), FEW), lambda query: query.order))
    finals = [place for place, each in enumerate(asked) if not each.is_draft]
    assert {each.task_id for each in asked[: finals[0]]} == {"t0", "t1", "t2", "t3"}


def test_votes_that_disagree_are_asked_before_votes_that_agree() -> None:
    def answer(query: Query) -> int:
        return query.order if query.task_id == "t1" else 5

    finals = [each for each in ask(VoteSchedule(queries(3, 6), FEW), answer) if not each.is_draft]
    later = [each.task_id for each in finals if each.order]
    assert later[:5] == ["t1"] * 5 and "t1" not in later[5:]


def test_settled_votes_have_few_drafts() -> None:
    asked = list(ask(VoteSchedule(queries(1, 9), FEW), lambda query: 1))
    assert sum(each.is_draft for each in asked) == 2


def test_a_job_with_time_enough_has_the_answers_of_one_without_a_limit(tmp_path: Path) -> None:
    known = tasks()
    loaded = weights(TRM, known)
    config = InferenceConfig(supervision_steps=4)
    expected = predict_tasks(loaded, known, config=config)
    plan = make_plan(loaded, known, config=config)
    found = predict_to_folder(tmp_path, plan, TimeLimit(600.0))
    log = PredictionLog(tmp_path / "predictions.jsonl")
    drafts = [each for each in log.read() if each.is_draft]
    assert drafts and {each.steps for each in drafts} == {1}
    stored = read_predictions(PredictionLog(log.path), known)
    assert found.job is not None and found.job.predicted_queries == found.job.queries
    for one, other, third in zip(expected, found, stored, strict=True):
        assert [c.puzzles for c in one.candidates] == [c.puzzles for c in other.candidates]
        assert [c.puzzles for c in one.candidates] == [c.puzzles for c in third.candidates]
        assert all(map(np.array_equal, one.attempts, other.attempts))
