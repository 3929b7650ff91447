"""Answers to read, whoever gave them and in whatever file, with the tasks that they are for.

They are a predictions.jsonl, a submission, a folder of ARC Prize's benchmarking, or a folder that
`arc-trm predict` wrote into, such as a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import submission
from arc_trm.config import DataConfig, from_dict
from arc_trm.data.loader import absolute_data_path, load_tasks
from arc_trm.data.registry import find_manifest
from arc_trm.data.splits import predicted_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import PredictionLog, are_of, read_predictions
from arc_trm.evaluation.voting import InputPrediction, PredictionSet
from arc_trm.puzzles import ARC, DOMAINS
from arc_trm.runs import PREDICTIONS, SUBMISSION, is_run, run_config
from arc_trm.tasks import TaskSet, as_grid
from submission import (
    FormatError,
    Problem,
    Ranked,
    Submission,
    SubmissionError,
    read_submission,
)

CANDIDATES = 32
"""Of a test input that vote in a merger; more would weigh less than a thirtieth of the first."""


def find_answers(path: Path, kinds: Sequence[str] = (PREDICTIONS, SUBMISSION)) -> Path:
    """The file or folder with the answers that `path` means; of several the first of `kinds`.

    Of answers to Sudokus and mazes it is the log, which is all there is. Raises UserError if nobody
    has predicted there yet.
    """
    if not path.is_dir():
        return path
    found = [path / name for name in kinds if (path / name).is_file()]
    for answers in found[1:]:  # a submission that is left over is not the answers to puzzles
        with suppress(UserError):
            if is_log(answers) and kind_of(answers) != ARC.name:
                return answers
    if found:
        return found[0]
    if is_run(path):
        raise UserError(f"{path} has no answers yet: make them with `arc-trm predict {path}`")
    return path


def is_log(answers: Path) -> bool:
    """Whether they are in a predictions.jsonl, with votes and steps."""
    return answers.suffix == ".jsonl"


def about_data(data: DataConfig) -> dict[str, Any]:
    """What a predictions.jsonl says of its tasks, so that they are found again."""
    return {
        "data": [absolute_data_path(name) for name in data.test],
        "max_grid_size": data.max_grid_size,
        "test_puzzles": data.test_puzzles,
        "skip_invalid": data.skip_invalid,
    }


def about_answers(answers: Path) -> Mapping[str, Any]:
    """What a predictions.jsonl says of itself; nothing if they are in another kind of file."""
    about = PredictionLog(answers).header().get("about") if is_log(answers) else None
    return about if isinstance(about, dict) else {}


def kind_of(answers: Path) -> str:
    """The name of the domain of the tasks that are answered; files that do not say are ARC's.

    Raises UserError if there is no such domain.
    """
    kind = str(about_answers(answers).get("kind", ARC.name))
    if kind not in DOMAINS:
        raise UserError(
            f"{answers} says that it answers puzzles of the kind {kind[:40]!r}, expected one "
            f"of {', '.join(DOMAINS)}: remove the file and predict again"
        )
    return kind


def only_arc(tasks: TaskSet, what: str) -> None:
    """Raises UserError unless these are tasks that `what`, a part of a sentence, is for."""
    if not tasks.is_arc:
        raise UserError(f"{what} is for ARC, but {tasks.name} holds {DOMAINS[tasks.domain].title}")


def named_data(answers: Path) -> list[str]:
    """The names of the data that a predictions.jsonl says it answers."""
    names = about_answers(answers).get("data")
    return [str(name) for name in names] if isinstance(names, list) else []


def public_name(data: str) -> str:
    """DATA for others to read: where a file lies here is nobody else's business."""
    return data if find_manifest(data) else Path(data).name


def tasks_of(data: str, skip_invalid: bool = False) -> TaskSet:
    """The tasks of DATA, or those that a run predicts. Raises as `load_tasks`."""
    if is_run(Path(data)):
        return predicted_tasks(run_config(Path(data)).data)
    return load_tasks(data, skip_invalid)


def answered_tasks(answers: Path, data: str | None = None) -> TaskSet:
    """The tasks that answers are for: DATA if given, else what they or the run they are in say.

    DATA may be a run here, whose tasks are meant. Raises UserError if it cannot be told, or if the
    tasks found are others than were answered.
    """
    about = about_answers(answers)
    if data is not None:
        return tasks_of(data, about.get("skip_invalid") is True)
    names = named_data(answers)
    if names and "max_grid_size" in about:
        chosen = {
            key: about[key]
            for key in ("max_grid_size", "test_puzzles", "skip_invalid")
            if key in about
        }
        try:
            tasks = predicted_tasks(from_dict(DataConfig, {"test": names, **chosen}))
        except UserError as error:
            raise UserError(
                f"{answers} answers tasks that cannot be read ({error}): name them with --data"
            ) from None
    elif is_run(answers.parent):
        tasks = predicted_tasks(run_config(answers.parent).data)
    else:
        raise UserError(f"{answers} does not say which tasks it answers: name them with --data")
    if is_log(answers) and are_of(answers, tasks) is False:
        raise UserError(
            f"the tasks in {tasks.name} are others than those that {answers} answers: name these "
            "with --data"
        )
    return tasks


def read_results(answers: Path, tasks: TaskSet) -> PredictionSet:
    """The answers to test inputs of `tasks`, of which there must be one; others are left out.

    A predictions.jsonl is read with the attempts of the submission.json beside it, so that both
    score the same: that one may hold older answers where there was no time for new ones, and
    guesses. Raises UserError naming what cannot be read or does not fit the
    tasks.
    """
    found = read_some(answers, tasks)
    log = is_log(answers)
    answered = any(each.candidates or not log for each in found)
    if not answered and not (log and are_of(answers, tasks)):
        raise UserError(
            f"{answers} answers none of the {len(tasks)} tasks of {tasks.name}: name others as data"
        )
    return found


def read_some(answers: Path, tasks: TaskSet) -> PredictionSet:
    """`read_results` of tasks among which there may be none that is answered."""
    kind = kind_of(answers)
    if kind != tasks.domain:
        here, there = (DOMAINS[each].title for each in (kind, tasks.domain))
        raise UserError(
            f"{answers} answers {here}, but {tasks.name} holds {there}: name the data that it "
            "answers"
        )
    if is_log(answers):
        if not tasks.is_arc and are_of(answers, tasks) is False:
            raise UserError(
                f"{answers} answers other puzzles than those of {tasks.name}, whose numbers mean "
                "others: name the data that it answers, or leave that out"
            )
        found = read_predictions(answers, tasks).completed()
        submitted = _submission_beside(answers, tasks)
        return found if submitted is None else found.submitted(submitted)
    counts = {task.id: len(task.test) for task in tasks}
    ranked = submission.read_ranked(answers, counts)
    problems = [
        Problem(f"task {task_id}", f"has {len(outputs)} answers, expected {counts[task_id]}")
        for task_id, outputs in ranked.items()
        if task_id in counts and len(outputs) != counts[task_id]
    ]
    if problems:
        raise FormatError(problems, answers)
    return PredictionSet.of(
        tasks,
        (
            InputPrediction(
                task.id, test, (), tuple(as_grid(grid) if grid else None for grid in candidates)
            )
            for task in tasks
            for test, candidates in enumerate(ranked.get(task.id, ()))
        ),
    )


def _submission_beside(log: Path, tasks: TaskSet) -> Submission | None:
    """The submission that goes with a log, if it is there and answers these tasks."""
    if log.name != PREDICTIONS:  # a log that was moved aside is of something else
        return None
    try:
        found = read_submission(log.with_name(SUBMISSION))
    except SubmissionError:
        return None
    fits = all(len(found.get(task.id, ())) == len(task.test) for task in tasks)
    return found if fits else None


def read_ranked(answers: Path, counts: Mapping[str, int], data: str | None = None) -> Ranked:
    """The attempts, read without the tasks where they are not needed.

    Arguments as in `submission.read_ranked`; `data` is for a predictions.jsonl that does not say
    which tasks it answers. Raises UserError.
    """
    if not is_log(answers):
        return submission.read_ranked(answers, counts)
    return read_results(answers, answered_tasks(answers, data)).attempts()


def read_votes(
    answers: Path, counts: Mapping[str, int], data: str | None = None
) -> tuple[Ranked, Ranked]:
    """Candidates for a merger, and the attempts, which may be guesses, for where it lacks some.

    Arguments and errors as in `read_ranked`.
    """
    if not is_log(answers):
        ranked = submission.read_ranked(answers, counts)
        return ranked, ranked
    found = read_results(answers, answered_tasks(answers, data))
    only_arc(found.tasks, "merging into a submission")
    return found.candidates(CANDIDATES), found.attempts()
