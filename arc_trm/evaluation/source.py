"""Stored predictions of any solver, with the tasks that they are for.

Predictions are a predictions.jsonl, a submission, a folder of ARC Prize's benchmarking, a folder
that `arc-trm predict` wrote into, or a run, which means the predictions that were made in it last.
`PredictionSource.open` resolves everything once, and every file is read once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arc_trm.config import DataConfig, from_dict
from arc_trm.data.leakage import named_leakage, run_leakage
from arc_trm.data.loader import absolute_data_path, load_tasks, public_data_name
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.versions import version_conflict
from arc_trm.errors import UserError, format_name, one_line, quote_path, verb
from arc_trm.evaluation.breadth import Asked, Breadth
from arc_trm.evaluation.finding import FoundPredictions, find_predictions, kind_of_log
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog, read_predictions
from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.file_kind import PARTS, wrong_file
from arc_trm.puzzles import KINDS, PuzzleKind, kind_of
from arc_trm.runs import (
    PREDICTIONS,
    SUBMISSION,
    Run,
    is_run,
)
from arc_trm.tasks import DEFAULT_KIND, Pair, Task, TaskSet, as_grid
from submission import (
    Answers,
    FormatError,
    Problem,
    Ranked,
    Scored,
    Solutions,
    Submission,
    SubmissionError,
    count_outputs,
    read_answers,
    read_solutions,
    read_submission,
    to_submission,
)
from submission.formats import FORMS

MAX_MERGED = 32
"""Maximum number of candidates of a test input that vote when predictions are merged."""

EXPECTED = "a predictions.jsonl, a submission, a run or a folder of ARC Prize's benchmarking"
"""What predictions are, for messages."""

ONLY_GRIDS = (
    f"{{path}} is a solutions file, expected {EXPECTED}: `arc-trm score` takes it after "
    "--solutions; if these grids are answers, make a submission of them with `arc-trm "
    "convert-submission {quoted} --challenges CHALLENGES --out submission.json`"
)
"""What is wrong with lists of grids, if the number of test inputs is not known."""

NOT_WRITTEN = "unknown: the job that has its predictions.jsonl here did not write this file"

DATA_FIELDS = ("max_grid_size", "test_puzzles", "skip_invalid")


class PredictionSource:
    """Predictions in a file or folder. `open` is the constructor.

    Attributes:
        path: of the file or folder that holds the predictions.
        log: the predictions as a log; None if they are in another format.
        label: the path that the user gave.
        described_by: the log whose header names the tasks; for a submission, the log beside it.
        others: folders of other predictions in the run that the user named, newest first.
    """

    def __init__(
        self,
        label: str,
        found: FoundPredictions,
        data: str | None,
        solutions: Path | None,
        tasks: TaskSet | None,
    ) -> None:
        self.label, self.path, self.others = label, found.path, found.others
        self.log = found.log if found.log and found.log.path == found.path else None
        self.described_by = found.log
        self._data, self._solutions, self._given = data, solutions, tasks
        self._shared: PredictionSource | None = None  # has the same tasks
        self._settled: Answers | None = None  # with the numbers of test inputs

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        data: str | None = None,
        solutions: str | os.PathLike[str] | None = None,
        tasks: TaskSet | None = None,
        prefer: Sequence[str] = (PREDICTIONS, SUBMISSION),
    ) -> PredictionSource:
        """Open predictions in a file or folder.

        Args:
            path: as in the description of this module.
            data: DATA or a run with the tasks; None is what the predictions name.
            solutions: official solutions to score against; None is what the tasks hold.
            tasks: loaded tasks, in place of `data`.
            prefer: names of files in a folder, the preferred first.

        Raises:
            UserError: there are no predictions, or their header is invalid.
        """
        folder = Path(path)
        if not os.path.exists(folder):  # Path.exists raises for names that are too long
            raise UserError(f"{folder} does not exist: name {EXPECTED}")
        if folder.name in PARTS and (error := wrong_file(folder, "predictions", EXPECTED)):
            raise error
        chosen = Path(solutions) if solutions is not None else None
        found = find_predictions(folder, prefer, data)
        source = cls(str(path), found, data, chosen, tasks)
        _ = source.kind  # an invalid header is an error here
        if found.log is None and not _has_task_files(found.path):
            has_grids = bool(source._answers.reading.grids)  # a file without answers is an error
            if has_grids and (data, chosen, tasks) == (None, None, None):
                raise UserError(ONLY_GRIDS.format(path=source.path, quoted=quote_path(source.path)))
        return source

    def sharing(self, first: PredictionSource) -> PredictionSource:
        """Share the tasks and solutions of another source, and return this one.

        What a job predicted for other tasks keeps its own.
        """
        if self.kind is not first.kind:
            return self
        own, other = self.made_by, first.made_by
        if own is None or self._data is not None:
            same = first.names_tasks
        else:
            same = other is not None and other.header.get("tasks") == own.header.get("tasks")
            if same and own.metadata.get("data") != first.metadata.get("data"):
                with suppress(UserError):  # they may have other outputs, if they are still there
                    _ = self.tasks
                    same = False
        self._shared = first if same else None
        if self._solutions is not None:
            self.solutions = first.solutions
        return self

    # Metadata

    @property
    def made_by(self) -> PredictionLog | None:
        """The log of the job that made the predictions.

        For a submission this is the log beside it, but only if its job wrote this very submission.
        """
        return self.log or (self.described_by if self._status is not None else None)

    @cached_property
    def _status(self) -> LogStatus | None:
        """The status of a submission in the log beside it."""
        if self.log is not None or self.described_by is None:
            return None
        if self._answers.form != FORMS["submission"]:
            return None
        return self.described_by.status_of(to_submission(self._answers.ranked))

    @cached_property
    def _answers(self) -> Answers:
        """What a file or folder other than a log says."""
        try:
            return read_answers(self.path)
        except FormatError as error:
            raise (wrong_file(self.path, "predictions", EXPECTED) or error) from None

    @cached_property
    def run(self) -> Run | None:
        """The run whose weights made the predictions; if these are not known, that around them."""
        weights = self.metadata.get("weights")
        if isinstance(weights, str) and not os.path.isabs(weights):
            return None  # they are on the Hub
        # A file is in the run itself, or in the folder of a job in the run's predictions.
        places = [self.path.parent, *self.path.absolute().parents[2:3]]
        if isinstance(weights, str) and os.path.exists(weights):
            places.insert(0, Path(weights))
        runs = [Run(each) for each in places if is_run(each)]
        # The run may have been moved or copied, and what is at its old place may be another one.
        return next((each for each in runs if self._has_weights(each)), runs[0] if runs else None)

    def _has_weights(self, run: Run) -> bool:
        """Return whether a run still has the weights that predicted, as far as that is known."""
        checkpoint = self.metadata.get("checkpoint")
        now = run.weights_digest(checkpoint if isinstance(checkpoint, str) else None)
        return self.metadata.get("weights_digest") in (None, now)

    @cached_property
    def summary(self) -> PredictionSummary:
        """What the predictions are, for people and for `--json`."""
        made_by = self.made_by
        if made_by is None:
            counts = count_outputs(self._read_ranked({}))
            return PredictionSummary(
                str(self.path),
                weights=None if self.described_by is None else NOT_WRITTEN,
                data=tuple(self.data_names),
                tasks=len(counts),
                test_inputs=sum(counts.values()),
            )
        status = self._status if self.log is None else LogStatus.of(self._predicted_inputs())
        names = [public_data_name(name) for name in self._logged_data] or self.data_names
        found = PredictionSummary.of_log(str(self.path), made_by, names, status)
        outdated = self.run is not None and not self._has_weights(self.run)
        found = replace(found, others=tuple(map(str, self.others)), outdated=outdated)
        if not made_by.is_plain:
            asked = self._logged if self.log is None else self._predicted_inputs()
            found = replace(found, asked=Asked.of(asked, made_by.selected_by(self.kind)))
        if self.log is not None and self._data is not None:
            found = replace(found, scored_data=tuple(self.data_names))
        if self.run is not None and os.path.isabs(found.weights or ""):
            found = replace(found, weights=os.path.abspath(self.run.path))  # it may have been moved
        return found

    def _predicted_inputs(self) -> Iterator[InputPrediction]:
        """Yield the predictions for tasks that were to be predicted; the user's may be more."""
        digests = self._data_metadata.get("test_digests")
        known = digests if isinstance(digests, dict) and digests else self.tasks
        return (each for each in self.predictions if each.task_id in known)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the job that made the predictions; empty if it is not known."""
        return self.made_by.metadata if self.made_by is not None else {}

    @property
    def _data_metadata(self) -> Mapping[str, Any]:
        """The metadata on the tasks; empty without a log."""
        return self.described_by.metadata if self.described_by is not None else {}

    @property
    def kind(self) -> PuzzleKind:
        """The kind of puzzle. Raises UserError if a log names an unknown one."""
        return KINDS[DEFAULT_KIND] if self.described_by is None else kind_of_log(self.described_by)

    @property
    def data_names(self) -> list[str]:
        """The datasets that the predictions are for, without the folders of their paths."""
        names: Sequence[str] = self._logged_data if self._data is None else [self._data]
        if self._data is not None and is_run(Path(self._data)):
            names = Run(self._data).config.data.test
        elif not names and self._shared is not None:
            return self._shared.data_names
        elif not names and self.run is not None:
            names = self.run.config.data.test
        return [public_data_name(name) for name in names]

    @property
    def _logged_data(self) -> list[str]:
        """What a log names as its data, [] without a log."""
        names = self._data_metadata.get("data")
        return [str(name) for name in names] if isinstance(names, list) else []

    @property
    def name(self) -> str:
        """Name of the model, else of the file or, for names that all jobs give, of its folder."""
        path = self.path.resolve()
        fallback = path.parent.name if path.name in (PREDICTIONS, SUBMISSION) else path.name
        return str(self.metadata.get("model") or fallback)

    @property
    def report_path(self) -> Path:
        """Default path of the report."""
        own = self.path.name in (PREDICTIONS, SUBMISSION)
        return self.path.parent / ("report.html" if own else f"{self.path.resolve().stem}.html")

    # Tasks

    @cached_property
    def tasks(self) -> TaskSet:
        """The tasks that the predictions are for, with the outputs to score against.

        Raises UserError if they are not named, cannot be read, or differ from the predicted tasks.
        """
        if self._solutions is None:
            return self._named_tasks
        try:
            return self._named_tasks.with_solutions(self.solutions)
        except UserError as error:
            raise (UserError(self.version_note) if self.version_note else error) from None

    @cached_property
    def _named_tasks(self) -> TaskSet:
        """The tasks as their files have them."""
        tasks = self._find_tasks()
        self._check_test_inputs(tasks)
        return tasks

    @cached_property
    def solutions(self) -> Solutions:
        """The solutions to score against.

        Raises UserError if the file is invalid or the kind of puzzle has no solutions files.
        """
        if self._solutions is None:
            return self._named_tasks.known_solutions()
        if not self.kind.writes_submission:
            raise UserError(
                f"{self._solutions} cannot be used: official solutions are for ARC, so name "
                f"{self.kind.title} puzzles with their answers with --data"
            )
        try:
            return read_solutions(self._solutions)
        except FormatError as error:
            expected = "official solutions"
            raise (wrong_file(self._solutions, "solutions", expected) or error) from None

    def _check_test_inputs(self, tasks: TaskSet) -> None:
        """Raise UserError if tasks of the user's data have other test inputs than predicted ones.

        Tasks of two versions of a dataset may share their ids.
        """
        digests = self._data_metadata.get("test_digests")
        if self._data is None or not isinstance(digests, dict) or self.kind.numbered:
            return
        changed = [
            task.id for task in tasks if digests.get(task.id) not in (None, task.test_digest())
        ]
        if changed:
            have = verb(len(changed), "has", "have")
            raise UserError(
                f"{len(changed)} of the {len(tasks)} tasks of {tasks.name} {have} other test "
                f"inputs than those that {self.path} is for (first {format_name(changed[0])}): "
                "name the data that was predicted"
            )

    @property
    def names_tasks(self) -> bool:
        """Whether the tasks of the predictions are known."""
        named = (self._given, self._shared, self._data, self.run)
        return any(each is not None for each in named) or bool(self._logged_data)

    def _find_tasks(self) -> TaskSet:
        if self._given is not None:
            return self._given
        if self._shared is not None:
            return self._shared.tasks
        if self._data is not None:
            folder = Path(self._data)
            if is_run(folder):
                return predicted_tasks(Run(folder).config.data)
            skip_invalid = self._data_metadata.get("skip_invalid") is True
            return load_tasks(self._data, skip_invalid).with_tests()
        if self._logged_data and "max_grid_size" in self._data_metadata:
            tasks = self._logged_tasks()
        elif self.run is not None:
            tasks = predicted_tasks(self.run.config.data)
        else:
            raise UserError(
                f"{self.path} does not say which tasks it is for: name them with --data"
            )
        if self.described_by is not None and self.described_by.matches_tasks(tasks) is False:
            raise UserError(
                f"the tasks in {tasks.name} differ from those that {self.path} is for: name these "
                "with --data"
            )
        return tasks

    def _logged_tasks(self) -> TaskSet:
        facts = self._data_metadata
        settings = {key: facts[key] for key in DATA_FIELDS if key in facts}
        try:
            return predicted_tasks(from_dict(DataConfig, {"test": self._logged_data, **settings}))
        except UserError as error:
            raise UserError(
                f"{self.path} is for tasks that cannot be read ({error}): name them with --data"
            ) from None

    def leakage(self) -> list[str]:
        """Return warnings if the weights were trained on outputs of the tasks that are scored."""
        if self._data is not None:
            found = run_leakage(self.run.config.data, self.tasks) if self.run is not None else []
            names = self.metadata.get("train_data")
            if isinstance(names, list) and (self.run is None or self.run.config.adapt is not None):
                found += named_leakage(list(map(str, names)), self.tasks)
            return list(dict.fromkeys(found))
        leaks = self.metadata.get("leaks")
        return [one_line(str(leak)) for leak in leaks] if isinstance(leaks, list) else []

    # Predictions

    @cached_property
    def predictions(self) -> PredictionSet:
        """The predictions for `tasks`. Raises UserError if there are none or they do not fit.

        Attempts of a log are those of the submission beside it if its job wrote that, so that both
        have the same score, whatever the selection rule and the number of attempts.
        """
        found = self.load(self.tasks)
        answered = any(each.candidates or self.log is None for each in found)
        if not answered and not (self.log and self.log.matches_tasks(self.tasks)):
            raise UserError(
                f"{self.path} has predictions for none of the {len(self.tasks)} tasks of "
                f"{self.tasks.name}: name other data"
            )
        return found

    def load(self, tasks: TaskSet) -> PredictionSet:
        """Return the predictions for these tasks, which may be none."""
        self._check_kind(tasks)
        if self.log is None:
            return self._from_ranked(tasks)
        if self.kind.numbered and self.log.matches_tasks(tasks) is False:
            raise UserError(
                f"{self.path} is for other puzzles than those of {tasks.name}, whose numbers mean "
                "others: name the data that was predicted, or leave it out"
            )
        found = read_predictions(self.log, tasks).fill_missing(self.log.attempts(tasks))
        submission = self._submission_beside(tasks)
        return found if submission is None else found.with_submission(submission)

    def _check_kind(self, tasks: TaskSet) -> None:
        if self.kind.name != tasks.kind:
            raise UserError(
                f"{self.path} has predictions for {self.kind.title}, but {tasks.name} holds "
                f"{kind_of(tasks).title}: name the data that was predicted"
            )

    def attempts(self, counts: Mapping[str, int] | None = None) -> Ranked:
        """Return the attempts; only a log needs the tasks to be read.

        `counts`: number of test inputs per task; None is that of the tasks, if they are known.
        """
        if self.log is not None:
            return self.predictions.attempts()
        return self._read_ranked(self._known_counts() if counts is None else counts)

    def _known_counts(self) -> dict[str, int]:
        """Return the number of test inputs per task, {} if the tasks are not known."""
        known = self._solutions is not None or self.names_tasks
        return count_outputs(self.solutions) if known else {}

    def candidates(self, counts: Mapping[str, int] | None = None) -> Ranked:
        """Return the candidates to merge: those of a log, otherwise the attempts.

        Attempts that are known to be guesses are no candidates.
        """
        if self.log is not None:
            return self.predictions.candidates(MAX_MERGED)
        attempts = self.attempts(counts)
        guessed = set(self.summary.guessed or ())
        return {
            task_id: [
                [] if (task_id, test) in guessed else grids for test, grids in enumerate(outputs)
            ]
            for task_id, outputs in attempts.items()
        }

    @property
    def scored_tasks(self) -> TaskSet:
        """The tasks to score against; if only solutions are known, tasks without inputs."""
        if self._solutions is not None and not self.names_tasks:
            return _tasks_of_solutions(self.solutions)
        return self.tasks

    @property
    def scoring_notes(self) -> list[str]:
        """Sentences on what is scored that a person may not expect."""
        return [note for note in (self._scope_note, self.version_note) if note is not None]

    @cached_property
    def version_note(self) -> str | None:
        """What differs if tasks and solutions are those of two versions of a dataset."""
        if not self.kind.writes_submission or not self.names_tasks:
            return None
        tasks = self._named_tasks
        if self._solutions is None:
            return version_conflict(tasks.without_solutions(), tasks.known_solutions())
        return version_conflict(tasks, self.solutions, self._solutions)

    @property
    def _scope_note(self) -> str | None:
        """Which tasks are scored and why, if official solutions have more and --data names none."""
        chosen = any(each is not None for each in (self._given, self._shared, self._data))
        log = self.described_by if self._logged_data else None
        named_by = log or self.run
        if self._solutions is None or chosen or named_by is None:
            return None
        scored, total = sum(each in self.tasks for each in self.solutions), len(self.solutions)
        if scored == total:
            return None
        are_scored = verb(scored, "is scored, the one", "are scored, those")
        return (
            f"only {scored} of the {total} tasks in {self._solutions} {are_scored} that "
            f"{named_by.path} is for: name other tasks with --data"
        )

    def score(self) -> Scored:
        """Score the attempts, once. Raises UserError if no output is known or tasks do not fit."""
        return self._score

    @cached_property
    def _score(self) -> Scored:
        tasks = self.scored_tasks
        self._check_kind(tasks)
        attempts = self.attempts()
        if not any(task_id in tasks for task_id in attempts):
            ours = format_name(next(iter(attempts), ""))
            theirs = format_name(next(iter(tasks.ids), ""))
            problem = Problem(
                "",
                f"has attempts at none of the {len(tasks)} tasks with a solution (its first task "
                f"is {ours}, theirs {theirs})",
            )
            raise FormatError([problem], self.path)
        try:
            selected_by = "" if self.made_by is None else self.made_by.selected_by(self.kind)
            if self.log is not None:
                selected_by = self.predictions.selected_by
            return self.kind.score(tasks, attempts, selected_by)
        except FormatError as error:
            raise FormatError(error.problems, self.path) from error

    @property
    def scored_summary(self) -> PredictionSummary:
        """The summary, with what is scored. Raises UserError as `score` does."""
        solved, scored = self._solved_guesses()
        return replace(
            self.summary,
            solved_guesses=solved,
            scored_guesses=scored,
            scored_tasks=len(self.score().task_ids),
            scored_data=() if self._data is None else tuple(self.data_names),
            solutions=None if self._solutions is None else str(self._solutions),
        )

    @cached_property
    def breadth(self) -> Breadth | None:
        """What the answers were worth if several were asked; None otherwise, or without a log.

        It is None, too, if there was no time for any.
        """
        log = self.made_by
        if log is None or log.answers == 1:
            return None
        found = self._logged
        if not any(each.answers for each in found):
            return None
        return Breadth.of(found, self.score())

    @cached_property
    def _logged(self) -> PredictionSet:
        """The predictions in the log of the job that made the source; there must be one."""
        if self.log is not None:
            return self.predictions
        assert self.made_by is not None
        return read_predictions(self.made_by, self.tasks)

    def _solved_guesses(self) -> tuple[int, int] | tuple[None, None]:
        """Return how many guesses have a right attempt and how many are scored, None if unknown."""
        guessed = self.summary.guessed
        if guessed is None:
            return None, None
        attempts, tasks, solved, scored = self.attempts(), self.scored_tasks, 0, 0
        for task_id, test in guessed:
            known = task_id in tasks and task_id in attempts and test < len(tasks[task_id].test)
            output = tasks[task_id].test[test].output if known else None
            if output is not None:
                scored += 1
                solved += output.tolist() in list(attempts[task_id][test])
        return solved, scored

    def _read_ranked(self, counts: Mapping[str, int]) -> Ranked:
        if self._settled is None or counts:
            needed = not counts and self._answers.reading.grids
            self._settled = self._answers.settle(self._known_counts() if needed else counts)
        return self._settled.ranked

    @property
    def form_note(self) -> str | None:
        """What the file is and how it was read, if it holds answers in another form."""
        if self.log is not None:
            return None
        return (self._settled or self._answers).note("arc-trm")

    def _from_ranked(self, tasks: TaskSet) -> PredictionSet:
        counts = {task.id: len(task.test) for task in tasks}
        ranked = self._read_ranked(counts)
        problems = [
            Problem(f"task {task_id}", f"has {len(outputs)} answers, expected {counts[task_id]}")
            for task_id, outputs in ranked.items()
            if len(outputs) != counts.get(task_id, len(outputs))
        ]
        if problems:
            raise FormatError(problems, self.path)
        predictions = []
        for task in tasks:
            for test, candidates in enumerate(ranked.get(task.id, ())):
                attempts = tuple(as_grid(grid) if grid else None for grid in candidates)
                predictions.append(InputPrediction(task, test, (), attempts))
        return PredictionSet(tasks, predictions)

    def _submission_beside(self, tasks: TaskSet) -> Submission | None:
        """Return the submission that the job of a log wrote beside it, if it is for these tasks."""
        assert self.log is not None
        if self.path.name != PREDICTIONS or not self.kind.writes_submission:
            return None
        try:
            found = read_submission(self.path.with_name(SUBMISSION))
        except SubmissionError:
            return None
        fits = all(len(found.get(task.id, ())) == len(task.test) for task in tasks)
        status = self.log.status_of(found) if fits else None
        return found if status is not None and status.is_last else None


def data_metadata(data: DataConfig) -> dict[str, Any]:
    """Return the metadata by which a log names its tasks."""
    return {
        "data": [absolute_data_path(name) for name in data.test],
        **{field: getattr(data, field) for field in DATA_FIELDS},
    }


def _has_task_files(path: Path) -> bool:
    """Return whether a path is a folder with JSON files, as of ARC Prize's benchmarking."""
    return os.path.isdir(path) and any(path.glob("*.json"))


def _tasks_of_solutions(solutions: Solutions) -> TaskSet:
    """Return tasks with the outputs of solutions; their inputs are a single cell."""
    blank, tasks = as_grid([[0]]), []
    for task_id, outputs in solutions.items():
        pairs = tuple(Pair(blank, as_grid(grid)) for grid in outputs)
        tasks.append(Task(task_id, (), pairs))
    return TaskSet.from_tasks("the solutions", tasks)
