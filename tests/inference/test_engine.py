"""Asking a batch: plain answers are the model's, and no answer depends on who else is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import copycat
import numpy as np
import pytest
import torch
from lucky import Lucky, sudoku_plan, sudoku_weights, sudokus, without_answers
from tiny import MODEL
from torch import Tensor

from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig, ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog, read_predictions
from arc_trm.evaluation.predictions import Prediction, PredictionSet
from arc_trm.inference import make_plan, predict_tasks, predict_to_folder
from arc_trm.inference.engine import Engine, view_of
from arc_trm.inference.plan import PredictionPlan
from arc_trm.inference.predictor import predict_scheduled
from arc_trm.inference.queries import Query, further_queries, shard
from arc_trm.models.hrm import HRM
from arc_trm.models.state import LatentState, Sampling
from arc_trm.models.transformer import Transformer
from arc_trm.models.trm import TRM
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.tasks import Pair, TaskSet
from arc_trm.time_limit import TimeLimit

NOISY: dict[str, Any] = {"samples": 6, "noise": 0.3}
JOBS: list[dict[str, Any]] = [
    NOISY,
    {**NOISY, "views": 2, "select": "votes"},
    {**NOISY, "early_exit": True, "select": "confidence"},
    {**NOISY, "views": 2, "select": "particles"},
    {**NOISY, "views": 2, "select": "first_halt"},
]


def facts(prediction: Prediction) -> dict[str, Any]:
    """All that is known of a prediction, comparable."""
    record = dataclasses.asdict(prediction)
    record["grid"] = None if prediction.grid is None else prediction.grid.tolist()
    if prediction.runner_up is not None:
        record["runner_up"] = prediction.runner_up.tolist()
    record["trace"] = [
        (None if step.grid is None else step.grid.tolist(), step.halt_prob)
        for step in prediction.trace
    ]
    return record


def ask(plan: PredictionPlan, batch_size: int | None = None) -> dict[object, dict[str, Any]]:
    """Return what is known of all predictions of a job, by their keys."""
    schedule = plan.schedule(plan.queries)
    batches = predict_scheduled(plan, schedule, TimeLimit(), batch_size)
    return {each.key: facts(each) for batch in batches for each in batch}


def assert_close(found: dict[object, dict[str, Any]], expected: dict[object, Any]) -> None:
    """Check that predictions are equal but for the rounding of probabilities."""
    assert found.keys() == expected.keys()
    for key, one in found.items():
        other = expected[key]
        assert one["grid"] == other["grid"] and one["steps"] == other["steps"]
        assert [grid for grid, _ in one["trace"]] == [grid for grid, _ in other["trace"]]
        for name in ("halt_prob", "confidence"):
            assert one[name] == pytest.approx(other[name], abs=1e-4)


@pytest.mark.parametrize("architecture", [TRM, HRM, Transformer])
def test_plain_answers_are_those_of_the_model_to_the_bit(architecture: type[TRM]) -> None:
    changes = {TRM: {}, HRM: {"architecture": "hrm"}}.get(
        architecture,
        {"architecture": "transformer", "inner_cycles": 1, "outer_cycles": 1}
        | {"supervision_steps": 1},
    )
    shape = {**MODEL, "vocab_size": 11, "mixer": "mlp", **changes}
    model = architecture(from_dict(ModelConfig, shape), 1, generator=torch.Generator())
    with torch.no_grad():
        model.heads.halt.weight.normal_(generator=torch.Generator().manual_seed(0))
    loaded, tasks, kind = Weights(model.eval(), {"<blank>": 0}), sudokus(), KINDS["sudoku"]
    tokens = [kind.encode(Pair(task.test[0].input), 4)[0] for task in tasks]
    inputs = torch.from_numpy(np.stack(tokens)).int()
    *_, (logits, halt_logits) = model.predict_steps(inputs, torch.zeros(len(tokens)).int())
    found = predict_tasks(loaded, tasks, config=InferenceConfig(samples=1, noise=0.0))
    assert [each.steps for each in found] == [model.config.supervision_steps] * len(tasks)
    for each, row, halt_logit in zip(found, logits, halt_logits, strict=True):
        grid = kind.decode(row.argmax(-1).to(torch.uint8).numpy())
        if grid is None:
            assert not each.candidates
        else:
            (candidate,) = each.candidates
            assert np.array_equal(candidate.grid, grid)
            assert candidate.halt_prob == halt_logit.sigmoid().item()


@pytest.mark.parametrize("settings", JOBS, ids=str)
def test_answers_do_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    """Of a model that rounds hardly anything, traces and all."""
    expected = ask(sudoku_plan(**settings))
    assert len(expected) > len(sudokus())
    for batch_size in (1, 2, 5):
        assert_close(ask(sudoku_plan(**settings), batch_size), expected)


@pytest.mark.parametrize("settings", [*JOBS[1:], {"samples": 3, "starts": "random"}], ids=str)
def test_answers_of_a_network_do_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    """Beyond rounding, in float32."""
    tasks = sudokus(4)
    expected = ask(sudoku_plan(TRM, tasks, **settings))
    for batch_size in (1, 3):
        assert_close(ask(sudoku_plan(TRM, tasks, **settings), batch_size), expected)


def test_the_seed_decides_the_samples_but_not_the_plain_answers() -> None:
    one, other = (ask(sudoku_plan(TRM, sudokus(3), **NOISY, seed=seed)) for seed in (0, 1))
    again = ask(sudoku_plan(TRM, sudokus(3), **NOISY))
    assert one == again
    shared = one.keys() & other.keys()
    plain = {key for key in shared if key[-1] == 0}
    assert plain and all(one[key] == other[key] for key in plain)
    assert all(one[key]["halt_prob"] != other[key]["halt_prob"] for key in shared - plain)


def test_what_is_asked_does_not_depend_on_the_known_answers() -> None:
    settings = {**NOISY, "views": 2}
    blind = sudoku_plan(tasks=without_answers(sudokus()), **settings)
    assert ask(blind) == ask(sudoku_plan(**settings))


def test_the_plain_answers_are_those_of_a_job_that_asks_once() -> None:
    once = predict_tasks(sudoku_weights(), sudokus())
    for settings in JOBS:
        if settings.get("early_exit"):
            continue
        found = predict_tasks(sudoku_weights(), sudokus(), config=InferenceConfig(**settings))
        for one, other in zip(once, found, strict=True):
            assert one.plain and len(one.plain) == len(other.plain)
            assert all(map(np.array_equal, one.plain, other.plain))


@pytest.mark.parametrize("kind", ["sudoku", "maze"])
def test_the_answer_to_a_view_is_that_to_the_changed_puzzle_changed_back(kind: str) -> None:
    tasks: TaskSet = generate_puzzles(
        GeneratorConfig(kind, 3, 0, 4, 2 if kind == "maze" else 0)
    ).puzzles
    vocabulary = {"vocab_size": KINDS[kind].vocab_size(4), "mixer": "mlp"}
    model = TRM(from_dict(ModelConfig, {**MODEL, **vocabulary}), 1, generator=torch.Generator())
    with torch.no_grad():  # predicts no padding
        model.heads.token.weight[0].zero_()
    loaded = Weights(model.eval(), {"<blank>": 0})
    plan = make_plan(loaded, tasks, config=InferenceConfig(views=8, select="votes"))
    found = ask(plan)
    changed_puzzles = 0
    for query in plan.queries:
        question = tasks[query.task_id].test[0].input
        for copy in [query, *further_queries(query, plan.config, 1, 8)]:
            view = view_of(KINDS[kind], copy)
            changed = view.apply(question)
            changed_puzzles += not np.array_equal(changed, question)
            assert np.array_equal(view.invert(changed), question)
            tokens = torch.from_numpy(KINDS[kind].encode(Pair(changed), 4)[0]).int()[None]
            *_, (logits, _) = model.predict_steps(tokens, torch.zeros(1).int())
            grid = KINDS[kind].decode(logits[0].argmax(-1).to(torch.uint8).numpy())
            expected = None if grid is None else view.invert(grid).tolist()
            assert found[copy.key]["grid"] == expected
    assert changed_puzzles > 15


def test_a_query_leaves_the_batch_as_soon_as_it_is_answered() -> None:
    plan = sudoku_plan(samples=2, noise=0.3, early_exit=True, select="votes")
    engine = Engine(plan.weights, plan.tasks, plan.config)
    engine.add(plan.queries)
    spoiled = [q for q in plan.queries if Lucky.spoils(plan.tasks[q.task_id].test[0].input)]
    assert 0 < len(spoiled) < len(plan.queries)
    left = engine.step()
    assert {each.task_id for each in left} == {q.task_id for q in plan.queries} - {
        q.task_id for q in spoiled
    }
    assert {each.steps for each in left} == {1}
    assert len(engine) == len(spoiled)
    engine.add(further_queries(spoiled[0], plan.config, 1, 2))
    engine.step()
    last = engine.step()
    assert {each.task_id for each in last if each.sample == 0} == {q.task_id for q in spoiled}


def test_a_time_that_is_up_leaves_drafts_which_answers_replace(tmp_path: Path) -> None:
    plan = sudoku_plan(TRM, **NOISY, select="votes")
    engine = Engine(plan.weights, plan.tasks, plan.config)
    engine.add(plan.queries)
    assert not engine.step() and not engine.step()
    drafts = engine.drain()
    assert len(engine) == 0
    assert [(each.is_draft, each.steps) for each in drafts] == [(True, 2)] * len(plan.queries)
    whole = predict_to_folder(tmp_path / "whole", plan, TimeLimit())
    (tmp_path / "cut").mkdir()
    log = PredictionLog(tmp_path / "cut" / "predictions.jsonl")
    log.begin(plan.key, {})
    log.append(drafts)
    resumed = predict_to_folder(tmp_path / "cut", plan, TimeLimit())
    assert resumed.to_dicts() == whole.to_dicts()
    assert [each.steps for each in resumed] == [each.steps for each in whole]
    assert resumed.job is not None and whole.job is not None
    assert resumed.job.queries == whole.job.queries


def answers_of(predictions: PredictionSet) -> list[object]:
    """What a job says of its test inputs, besides its files."""
    return [
        (
            each.to_dict(),
            {name: len(trace) for name, trace in each.sample_traces.items()},
            [None if grid is None else grid.tolist() for grid in each.plain],
            each.answers,
            each.steps,
        )
        for each in predictions
    ]


def logged(folder: Path) -> list[str]:
    """The lines of predictions in a folder's log, each once, in some order."""
    lines = (folder / "predictions.jsonl").read_text().splitlines()[1:]
    return sorted({line for line in lines if line.startswith('{"task"') and line.endswith("}")})


class Killed(Exception):
    pass


def kill_after(count: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= count:
            raise Killed

    return progress


@pytest.mark.parametrize("settings", JOBS, ids=str)
def test_a_killed_job_resumes_to_the_same_log(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = predict_to_folder(tmp_path / "whole", sudoku_plan(**settings), TimeLimit())
    expected = logged(tmp_path / "whole")
    for count in (0, 1, len(expected) // 2, len(expected) - 4):
        folder = tmp_path / str(count)
        with pytest.raises(Killed):
            options = {"batch_size": 3, "progress": kill_after(count)}
            predict_to_folder(folder, sudoku_plan(**settings), TimeLimit(), **options)
        assert len(logged(folder)) >= count
        resumed = predict_to_folder(folder, sudoku_plan(**settings), TimeLimit(), 4)
        assert logged(folder) == expected
        assert answers_of(resumed) == answers_of(whole)
        notes: list[str] = []
        predict_to_folder(folder, sudoku_plan(**settings), TimeLimit(), note=notes.append)
        (note,) = notes
        assert note == f"{len(expected)} of {len(expected)} predictions exist already"


@pytest.mark.parametrize("settings", JOBS[1:], ids=str)
def test_a_log_cut_anywhere_resumes_to_the_same_log(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Also in the middle of a group, whose copies cannot be asked one by one, and of a line."""
    whole = predict_to_folder(tmp_path / "whole", sudoku_plan(**settings), TimeLimit(), 3)
    expected = logged(tmp_path / "whole")
    data = (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    start = data.index(b"\n") + 1
    for share in (0.2, 0.5, 0.7, 0.8, 0.99):
        folder = tmp_path / str(share)
        folder.mkdir()
        cut = start + int(share * (len(data) - start))
        (folder / "predictions.jsonl").write_bytes(data[:cut])
        resumed = predict_to_folder(folder, sudoku_plan(**settings), TimeLimit())
        assert logged(folder) == expected
        assert answers_of(resumed) == answers_of(whole)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"samples": 4}, {"samples": 8}),
        ({"samples": 8}, {"samples": 4}),
        ({"samples": 4, "select": "votes"}, {"samples": 8}),
        ({"samples": 4}, {"samples": 3, "views": 2}),
        ({"samples": 4, "select": "particles"}, {"samples": 4, "select": "first_halt"}),
        ({"samples": 4, "select": "particles"}, {"samples": 8, "select": "particles"}),
    ],
)
def test_a_job_with_other_numbers_copies_what_is_the_same_and_ends_as_a_fresh_one(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, other = sudoku_plan(noise=0.3, **first), sudoku_plan(noise=0.3, **second)
    fresh = predict_to_folder(tmp_path / "fresh", other, TimeLimit())
    predict_to_folder(tmp_path / "one", one, TimeLimit())
    notes: list[str] = []
    copied = predict_to_folder(
        tmp_path / "other", other, TimeLimit(), others=[tmp_path / "one"], note=notes.append
    )
    (note,) = notes
    common = set(logged(tmp_path / "one")) & set(logged(tmp_path / "fresh"))
    assert len(common) >= len(sudokus())
    if one.key["group"] or other.key["group"]:  # samples are other ones beside other samples
        common = {line for line in common if '"sample"' not in line}
    assert note.startswith(f"{len(common)} of ")
    assert logged(tmp_path / "other") == logged(tmp_path / "fresh")
    assert answers_of(copied) == answers_of(fresh)


def test_other_noise_or_seeds_copy_only_the_plain_answers(tmp_path: Path) -> None:
    predict_to_folder(tmp_path / "one", sudoku_plan(samples=4, noise=0.3), TimeLimit())
    for number, changes in enumerate([{"noise": 0.2}, {"seed": 1}, {"starts": "random"}]):
        notes: list[str] = []
        settings = {"samples": 4, "noise": 0.3, **changes}
        folder = tmp_path / str(number)
        plan, others = sudoku_plan(**settings), [tmp_path / "one"]
        predict_to_folder(folder, plan, TimeLimit(), others=others, note=notes.append)
        assert notes[0].startswith(f"{len(sudokus())} of ")


def test_the_files_hold_the_answers_of_a_prediction_in_memory(tmp_path: Path) -> None:
    for number, settings in enumerate(JOBS):
        plan = sudoku_plan(**settings)
        written = predict_to_folder(tmp_path / str(number), plan, TimeLimit())
        expected = predict_tasks(plan.weights, plan.tasks, config=InferenceConfig(**settings))
        log = PredictionLog(tmp_path / str(number) / "predictions.jsonl")
        read = read_predictions(log, plan.tasks)
        assert written.selected_by == read.selected_by == expected.selected_by == plan.config.select
        for found in (written, read):
            for one, other in zip(found, expected, strict=True):
                assert [(c.votes, c.puzzles) for c in one.candidates] == [
                    (c.votes, c.puzzles) for c in other.candidates
                ]
                assert (one.answers, one.steps) == (other.answers, other.steps)


# Groups


def test_a_group_ends_with_its_first_halt_and_the_others_have_no_answer() -> None:
    plan = sudoku_plan(samples=8, noise=0.3, select="first_halt")
    found = ask(plan)
    stopped = 0
    for plain in plan.queries:
        copies = [found[key] for key in found if key[0] == plain.task_id and key[-1]]
        if not copies:
            continue
        (steps,) = {each["steps"] for each in copies}
        answered = [each for each in copies if each["grid"] is not None]
        if steps < plan.supervision_steps:
            stopped += 1
            (winner,) = answered
            assert winner["halt_prob"] > 0.5
    assert stopped


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("settings", JOBS, ids=str)
def test_a_diverged_model_ends_with_wrong_answers(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], bad: str
) -> None:
    def read(model: Lucky, state: Any) -> Tensor:
        return torch.full((len(state.x),), float(bad))

    monkeypatch.setattr(Lucky, "read_halt_logits", read)
    monkeypatch.setattr(Lucky, "read_logits", lambda _, state: state.x * float("nan"))
    found = predict_tasks(sudoku_weights(), sudokus(3), config=InferenceConfig(**settings))
    assert found.score().to_dict()["valid"]["solved"] == 0
    assert len(found) == 3


# ARC


def arc_plan(**settings: Any) -> PredictionPlan:
    known = copycat.tasks()
    return make_plan(copycat.weights(TRM, known), known, 2, InferenceConfig(**settings))


def test_samples_multiply_the_votes_of_the_augmentations() -> None:
    known, loaded = copycat.tasks(), copycat.weights(copycat.Copycat, copycat.tasks())
    config = InferenceConfig(samples=4, noise=0.3)
    for each in predict_tasks(loaded, known, augmentations=2, config=config):
        (candidate,) = each.candidates
        assert candidate.votes == each.answers == 12
        assert len(set(candidate.puzzles)) == 3


def test_samples_are_asked_after_the_plain_answers_of_all_augmentations() -> None:
    samples = [query.sample for query in arc_plan(samples=3, noise=0.3).queries]
    assert samples == sorted(samples) and len(samples) == 27


@pytest.mark.parametrize("select", ["votes", "particles", "first_halt"])
def test_arc_answers_depend_neither_on_the_batch_nor_on_the_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    monkeypatch.setattr(TRM, "has_trained_halting", True)
    plan = arc_plan(samples=4, noise=0.5, select=select)
    expected = ask(plan)
    assert_close(ask(plan, 1), expected)
    for world_size in (2, 3):
        shards = [shard(plan.queries, rank, world_size) for rank in range(world_size)]
        parts = [ask(dataclasses.replace(plan, queries=own)) for own in shards]
        found: dict[object, dict[str, Any]] = {}
        for part in parts:
            assert not found.keys() & part.keys()
            found |= part
        assert_close(found, expected)


def test_copies_that_decide_together_are_dealt_to_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TRM, "has_trained_halting", True)
    queries = arc_plan(samples=4, noise=0.5, select="particles").queries
    for world_size in (2, 3, 5):
        shards = [shard(queries, rank, world_size) for rank in range(world_size)]
        assert sorted(id(q) for own in shards for q in own) == sorted(map(id, queries))
        groups = [{query.group for query in own if query.group} for own in shards]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 9


# What is refused


def refused(loaded: Weights, tasks: TaskSet, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        make_plan(loaded, tasks, config=InferenceConfig(**settings))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_the_weights_or_the_puzzles_cannot_do_is_refused() -> None:
    arc, loaded = copycat.tasks(), copycat.weights(TRM, copycat.tasks())
    assert "needs puzzles with a rule" in refused(loaded, arc, select="rule")
    assert "views are the augmentations that were trained" in refused(loaded, arc, views=2)
    untrained = Weights(TRM(loaded.model.config, 1).eval(), {"<blank>": 0})
    for settings in (
        {"early_exit": True},
        {"select": "best_halt"},
        {"samples": 2, "noise": 0.1, "select": "particles"},
        {"samples": 2, "noise": 0.1, "select": "first_halt"},
    ):
        assert "needs a trained halting head" in refused(untrained, arc, **settings)
    assert "are all the same: add --noise" in refused(loaded, arc, samples=2)
    assert "are all the same: add --noise" in refused(loaded, arc, samples=2, starts="fixed")
    mazes = generate_puzzles(GeneratorConfig("maze", 2, 0, 4, 2)).puzzles
    maze = TRM(from_dict(ModelConfig, {**MODEL, "vocab_size": 6, "mixer": "mlp"}), 1)
    message = refused(Weights(maze, {"<blank>": 0}), mazes, views=9)
    assert message == "Maze puzzles have 8 views at most, got 9"
    assert 'did you mean "particles"?' in refused(loaded, arc, select="particle")
    shape = {**MODEL, "vocab_size": 11, "mixer": "mlp", "architecture": "transformer"}
    shape |= {"outer_cycles": 1, "inner_cycles": 1, "supervision_steps": 1}
    direct = Weights(Transformer(from_dict(ModelConfig, shape), 1), {"<blank>": 0})
    assert "carries no state" in refused(direct, sudokus(2), samples=2, noise=0.3)


def test_a_random_model_may_be_sampled_without_noise() -> None:
    loaded = sudoku_weights(TRM)
    config = dataclasses.replace(loaded.model.config, initial_state="random")
    loaded.model.config = config
    config = InferenceConfig(samples=3, select="votes")
    found = ask(make_plan(loaded, sudokus(2), config=config))
    probs = {each["halt_prob"] for key, each in found.items() if key[0] == "1"}
    assert len(probs) == len([key for key in found if key[0] == "1"]) > 1


def sides(queries: Sequence[Query]) -> set[int]:
    return {query.side for query in queries}


@pytest.mark.parametrize("select", ["votes", "particles", "first_halt"])
def test_answers_on_canvases_of_several_sizes_do_not_depend_on_the_batch(
    monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    """Grids that reach the edge of a small canvas are asked for again on the full one."""
    monkeypatch.setattr(TRM, "has_trained_halting", True)
    monkeypatch.setattr(copycat, "MODEL", {**MODEL, "canvas": "bucketed"})
    plan = arc_plan(samples=3, noise=0.5, select=select)
    assert len(sides(plan.queries)) == 1 < copycat.SIDE
    expected = ask(plan)
    assert {query.key for query in plan.queries} == expected.keys()
    assert_close(ask(plan, 2), expected)


# Memory that runs out


class Cramped(Lucky):
    """Has memory for so many queries at once."""

    most, fails_at_once = 7, False

    def begin(
        self,
        inputs: Tensor,
        puzzle_ids: Tensor,
        sampling: Sequence[Sampling],
        augmentations: Tensor | None = None,
    ) -> LatentState:
        if self.fails_at_once and len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().begin(inputs, puzzle_ids, sampling, augmentations)

    def advance(self, state: LatentState) -> LatentState:
        if len(state) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().advance(state)


@pytest.mark.parametrize("fails_at_once", [True, False])
@pytest.mark.parametrize("settings", [NOISY, JOBS[2], {**JOBS[3], "samples": 3}], ids=str)
def test_a_batch_that_does_not_fit_the_memory_is_asked_in_halves(
    settings: dict[str, Any], fails_at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cramped, "fails_at_once", fails_at_once)
    expected = ask(sudoku_plan(**settings))
    plan, notes = sudoku_plan(Cramped, **settings), list[str]()
    batches = predict_scheduled(
        plan, plan.schedule(plan.queries), TimeLimit(), 13, note=notes.append
    )
    assert_close({each.key: facts(each) for batch in batches for each in batch}, expected)
    (note,) = notes
    assert note == "the memory is too small for a batch, so batches are half as large from now on"


@pytest.mark.parametrize(("batch_size", "queries"), [(None, "6 test inputs"), (1, "1 test input")])
def test_half_a_batch_that_does_not_fit_either_is_one_sentence(
    batch_size: int | None, queries: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Cramped, "most", 0)
    sentence = f"^predicting {queries} at once takes more .*: lower --batch-size, or use another"
    with pytest.raises(UserError, match=sentence):
        predict_to_folder(tmp_path, sudoku_plan(Cramped), TimeLimit(), batch_size)
