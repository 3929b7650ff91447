"""An evaluation harness from outside the package uses the parts of `arc_trm.integrations`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from click.testing import Result

from arc_trm import load_tasks
from arc_trm.evaluation.source import PredictionSource
from arc_trm.integrations.inspect_ai.batching import (
    FileSource,
    RequestBatcher,
    SampleAnswer,
    SampleAnswers,
    SampleQuery,
    Source,
    WeightsSource,
    guess,
)
from arc_trm.integrations.prompts import grid_text, parse_attempts, prompt
from arc_trm.runs import predictions_of
from arc_trm.tasks import Grid, TaskSet
from submission import Grid as Rows
from submission import Ranked, read_submission, score_ranked, to_ranked


class Harness:
    """Runs all samples at once, as harnesses do, and collects the attempts of a solver."""

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks

    def queries(self) -> list[SampleQuery]:
        """Return a query for each test input."""
        return [
            SampleQuery(task.id, test, tuple(pair.input for pair in task.test))
            for task in self.tasks
            for test in range(len(task.test))
        ]

    def solve(self, source: Source) -> Ranked:
        """Return the attempts of a source."""

        async def answer_all() -> list[SampleAnswer]:
            batcher = RequestBatcher(source)
            return await asyncio.gather(*map(batcher.answer, self.queries()))

        answers = zip(self.queries(), asyncio.run(answer_all()), strict=True)
        return self._collect((query, answer.attempts) for query, answer in answers)

    def ask(self, model: Callable[[str], str]) -> Ranked:
        """Return the attempts in two completions of a language model for each prompt."""
        texts = [(query, prompt(self.tasks[query.task_id], query.test)) for query in self.queries()]
        return self._collect(
            (query, parse_attempts([model(text), model(text)])) for query, text in texts
        )

    def _collect(self, attempts: Iterable[tuple[SampleQuery, Sequence[Rows | None]]]) -> Ranked:
        ranked: dict[str, list[list[Rows]]] = {task.id: [] for task in self.tasks}
        for query, grids in attempts:
            ranked[query.task_id].append([grid or [] for grid in grids])
        return ranked


@pytest.fixture
def harness(challenges: Path) -> Harness:
    return Harness(load_tasks(challenges))


def mirror(queries: Sequence[SampleQuery]) -> SampleAnswers:
    """Answer with the mirrored test input, which is correct for the tiny tasks."""
    return {
        query.key: SampleAnswer((query.inputs[query.test][:, ::-1].tolist(),)) for query in queries
    }


def test_a_source_from_outside_answers_all_samples_in_one_call(harness: Harness) -> None:
    calls: list[int] = []

    def source(queries: Sequence[SampleQuery]) -> SampleAnswers:
        calls.append(len(queries))
        return mirror(queries)

    scored = score_ranked(harness.solve(source), harness.tasks.known_solutions())
    assert calls == [3]
    assert scored.pass_at[1].per_output.value == 1
    # The second guess is the mirrored input too.
    guessed = score_ranked(harness.solve(guess), harness.tasks.known_solutions())
    assert guessed.pass_at[1].per_output.value == 0
    assert guessed.pass_at[2].per_output.value == 1


def test_weights_and_files_answer_as_the_command_does(
    cli: Callable[..., Result], tiny_run: Path
) -> None:
    harness = Harness(load_tasks(tiny_run.parent.parent / "tiny_challenges.json"))
    assert cli("predict", tiny_run).exit_code == 0
    submitted = to_ranked(read_submission(predictions_of(tiny_run)[0] / "submission.json"))
    for source in (WeightsSource(str(tiny_run), None), FileSource(PredictionSource.open(tiny_run))):
        assert harness.solve(source) == submitted


def test_a_language_model_is_asked_with_the_same_prompt(harness: Harness) -> None:
    solutions = {
        prompt(task, test): grid
        for task in harness.tasks
        for test, grid in enumerate(task.solutions or ())
    }
    number = 0

    def model(text: str) -> str:
        nonlocal number
        number += 1
        solution: Grid = solutions[text]
        return f"```\n{grid_text(solution.tolist())}\n```" if number % 2 == 0 else "no idea"

    scored = score_ranked(harness.ask(model), harness.tasks.known_solutions())
    assert number == 6
    assert scored.pass_at[1].per_output.value == 0
    assert scored.pass_at[2].per_output.value == 1


def test_its_parts_do_not_need_inspect_ai() -> None:
    program = """
import sys
sys.modules["inspect_ai"] = None
import arc_trm.integrations.inspect_ai.batching, arc_trm.integrations.prompts
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
