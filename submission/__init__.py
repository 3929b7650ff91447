"""The official ARC-AGI file formats, for any solver: read, validate, convert, score, merge, write.

    from submission import read_challenges, write_submission
    challenges = read_challenges("arc-agi_evaluation_challenges.json")
    submission = {
        task_id: [{"attempt_1": [[0]], "attempt_2": [[0]]} for _ in task["test"]]
        for task_id, task in challenges.items()
    }
    write_submission("submission.json", submission, challenges)

Data is plain parsed JSON: dicts, lists, ints. Messages count pairs, rows, cells and test outputs
from 1. Every error raised on purpose is a SubmissionError. `python -m submission --help` shows the
same functions as commands.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from submission.answers import (
        Answers,
        Conversion,
        convert_submission,
        read_answers,
        read_ranked,
    )
    from submission.arcprize import Provenance, read_arcprize, write_arcprize
    from submission.comparison import Comparison, Difference, compare, describe_scores
    from submission.ensemble import merge, merge_files, merge_ranked
    from submission.errors import FormatError, Problem, SubmissionError, WriteError
    from submission.files import (
        atomic_write,
        parse_json,
        read_any,
        read_challenges,
        read_json,
        read_solutions,
        read_submission,
        read_task,
        write_json,
        write_submission,
    )
    from submission.formats import (
        KINDS,
        Challenges,
        Grid,
        Kind,
        Ranked,
        Solutions,
        Submission,
        Task,
        challenges_problems,
        grid_problems,
        recognise,
        schema,
        solutions_problems,
        submission_problems,
        task_problems,
    )
    from submission.ranked import count_outputs, to_ranked, to_submission
    from submission.scoring import (
        DENOMINATORS,
        PassRates,
        Rate,
        RateName,
        Score,
        Scored,
        score,
        score_ranked,
    )
    from submission.validation import Validation, check_path

__all__ = [
    "DENOMINATORS",
    "KINDS",
    "Answers",
    "Challenges",
    "Comparison",
    "Conversion",
    "Difference",
    "FormatError",
    "Grid",
    "Kind",
    "PassRates",
    "Problem",
    "Provenance",
    "Ranked",
    "Rate",
    "RateName",
    "Score",
    "Scored",
    "Solutions",
    "Submission",
    "SubmissionError",
    "Task",
    "Validation",
    "WriteError",
    "atomic_write",
    "challenges_problems",
    "check_path",
    "compare",
    "convert_submission",
    "count_outputs",
    "describe_scores",
    "grid_problems",
    "merge",
    "merge_files",
    "merge_ranked",
    "parse_json",
    "read_answers",
    "read_any",
    "read_arcprize",
    "read_challenges",
    "read_json",
    "read_ranked",
    "read_solutions",
    "read_submission",
    "read_task",
    "recognise",
    "schema",
    "score",
    "score_ranked",
    "solutions_problems",
    "submission_problems",
    "task_problems",
    "to_ranked",
    "to_submission",
    "write_arcprize",
    "write_json",
    "write_submission",
]

_MODULES = (
    "answers",
    "arcprize",
    "comparison",
    "ensemble",
    "errors",
    "files",
    "formats",
    "ranked",
    "scoring",
    "validation",
)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    import importlib

    # Modules are loaded when they are needed: a program must be able to say how signals end it
    # before it loads the rest of this package.
    if name in __all__:
        for module in _MODULES:
            found = importlib.import_module(f"{__name__}.{module}")
            if hasattr(found, name):
                return globals().setdefault(name, getattr(found, name))
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
