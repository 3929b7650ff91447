"""Schedules: puzzles are asked again while they are in doubt, and a restart asks exactly the rest.

The answers are made up, by a key alone, so that they do not depend on when a query is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import InferenceConfig
from arc_trm.evaluation.predictions import Prediction
from arc_trm.evaluation.selection import SELECTION_RULES
from arc_trm.inference.queries import Query
from arc_trm.inference.schedule import DoubtSchedule, FixedSchedule, Schedule
from arc_trm.puzzles import KINDS
from arc_trm.tasks import as_grid

RULES = ("rule", "votes", "best_halt", "confidence", "first_halt", "particles")
GROUPED = ("first_halt", "particles")
GRIDS = [as_grid([[value]]) for value in range(1, 4)]


def plain_queries(count: int) -> list[Query]:
    return [Query(str(number), 0, str(number), 0, 0, 4, False) for number in range(count)]


def answer(query: Query, seed: int, is_draft: bool = False) -> Prediction:
    """Make up the answer to a query; the third grid is the valid one."""
    random = Random(f"{seed} {query.key}")
    grid = random.choice([None, *GRIDS])
    return Prediction(
        query.task_id,
        query.test,
        query.puzzle,
        query.order,
        grid,
        0.0 if grid is None else random.random(),
        sample=query.sample,
        is_draft=is_draft,
        confidence=random.random(),
        valid=grid is GRIDS[2],
    )


def schedule_for(
    config: InferenceConfig, count: int, known: Iterable[Prediction] = ()
) -> DoubtSchedule:
    rule = SELECTION_RULES[config.select]
    return DoubtSchedule(plain_queries(count), config, KINDS["sudoku"], rule, known)


def ask(schedule: Schedule, seed: int, random: Random) -> list[tuple[Query, Prediction]]:
    """Ask all, in batches of random sizes whose answers arrive in any order."""
    active: list[Query] = []
    found: list[tuple[Query, Prediction]] = []
    while True:
        side = 4 if active else None
        if schedule.peek(side) is not None:
            active += schedule.take(random.randint(1, 6), side)
        if not active:
            assert not schedule.waiting() and len(schedule) == 0
            return found
        assert len(schedule) == len(schedule.waiting())
        groups = {query.group for query in active if query.group}
        random.shuffle(active)
        done = [query for query in active if query.group is None][: random.randint(0, 3)]
        if groups:  # which end together
            ended = random.choice(sorted(groups))
            done += [query for query in active if query.group == ended]
        done = done or [query for query in active if query.group is None]
        active = [query for query in active if query not in done]
        pairs = [(query, answer(query, seed)) for query in done]
        found += pairs
        schedule.add(prediction for _, prediction in pairs)


configs = st.builds(
    InferenceConfig,
    samples=st.integers(2, 9),
    views=st.integers(1, 3),
    noise=st.just(0.3),
    select=st.sampled_from(RULES),
)


@given(configs, st.integers(1, 5), st.integers(0, 99), st.integers(0, 99))
def test_puzzles_are_asked_in_rounds_that_double_until_nothing_is_in_doubt(
    config: InferenceConfig, count: int, seed: int, order: int
) -> None:
    found = ask(schedule_for(config, count), seed, Random(order))
    assert len({query.key for query, _ in found}) == len(found)
    rule, most = SELECTION_RULES[config.select], config.answers
    rounds = {1, most} if config.select in GROUPED else {1, 2, 4, 8, 16, most}
    for plain in plain_queries(count):
        own = {
            query.sample * config.views + query.order: prediction
            for query, prediction in found
            if query.task_id == plain.task_id
        }
        assert sorted(own) == list(range(len(own))), "one after the other, the plain one first"
        assert len(own) <= most and len(own) in rounds
        for number in sorted(rounds):
            if number > len(own):
                break
            answers = [own[each] for each in range(number) if own[each].grid is not None]
            chosen = rule(answers)
            same = [each for each in answers if each.grid is chosen[0].grid] if chosen else []
            decided = any(each.valid for each in same) and (
                config.select == "rule" or max(each.halt_prob for each in same) > 0.5
            )
            # It is asked again if and only if its answer is in doubt.
            assert decided == (number == len(own)) or number == len(own) == most


@given(configs, st.integers(1, 5), st.integers(0, 99), st.randoms())
def test_a_restart_with_any_of_the_answers_asks_exactly_the_others(
    config: InferenceConfig, count: int, seed: int, random: Random
) -> None:
    whole = ask(schedule_for(config, count), seed, random)
    prefix = whole[: random.randint(0, len(whole))]
    if random.random() < 0.5:  # lines of a log are also lost, and come in any order
        prefix = random.sample(whole, len(prefix))
    known = [prediction for _, prediction in prefix]
    known += [answer(query, seed + 1, True) for query, _ in whole[:3]]  # drafts decide nothing
    rest = ask(schedule_for(config, count, known), seed, random)
    asked = {query.key for query, _ in rest}
    wanted = {query.key for query, _ in whole} - {query.key for query, _ in prefix}
    if config.select not in GROUPED:
        assert asked == wanted
        return
    groups = {query.group for query, _ in whole if query.group and query.key in wanted}
    expected = {query.key for query, _ in whole if query.key in wanted or query.group in groups}
    assert asked == expected  # a group is asked as a whole


def test_the_most_doubtful_puzzles_of_a_round_come_first() -> None:
    config = InferenceConfig(samples=2, noise=0.3, select="votes")
    schedule = schedule_for(config, 5)
    plain = schedule.take(5, None)
    grid, valid = GRIDS[0], GRIDS[2]
    for query, (found, prob, is_valid) in zip(
        plain,
        [(valid, 0.4, True), (valid, 0.9, True), (grid, 0.9, False), (None, 0, None), (grid, 0, 0)],
        strict=True,
    ):
        schedule.add(
            [Prediction(query.task_id, 0, query.puzzle, 0, found, prob, valid=bool(is_valid))]
        )
    again = [query.task_id for query in schedule.take(9, None)]
    assert again in (["3", "4", "2", "0"], ["4", "3", "2", "0"])


def grouped(name: str, count: int, side: int = 4) -> list[Query]:
    return [
        Query(name, 0, name, 0, 0, side, False, sample, group=(name, 0)) for sample in range(count)
    ]


def test_groups_stay_together_and_enter_an_idle_batch_whatever_their_size() -> None:
    single = plain_queries(1)
    schedule = FixedSchedule([*single, *grouped("a", 5), *grouped("b", 2)])
    assert schedule.take(3, None) == single
    assert schedule.take(3, 4) == []  # the group does not fit beside others
    assert [query.task_id for query in schedule.take(3, None)] == ["a"] * 5
    assert [query.task_id for query in schedule.take(3, None)] == ["b"] * 2
    assert schedule.peek(None) is None


def test_queries_on_another_canvas_wait_until_the_batch_is_empty() -> None:
    schedule = FixedSchedule([*grouped("a", 1), *grouped("b", 1, 5)])
    assert [query.task_id for query in schedule.take(9, None)] == ["a"]
    assert schedule.peek(4) is None
    assert schedule.take(9, 4) == []
    following = schedule.peek(None)
    assert following is not None and following.side == 5
    schedule.repeat(grouped("c", 1))
    assert [query.task_id for query in schedule.take(9, None)] == ["c"]


@pytest.mark.parametrize("select", GROUPED)
def test_what_decides_together_is_asked_in_one_round(select: str) -> None:
    config = InferenceConfig(samples=9, noise=0.3, select=select)
    schedule = schedule_for(config, 1)
    (plain,) = schedule.take(1, None)
    schedule.add([Prediction(plain.task_id, 0, plain.puzzle)])
    assert len(schedule.take(1, None)) == 8
