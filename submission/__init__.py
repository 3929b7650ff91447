"""The official ARC-AGI file formats, for any solver: read, check, score, merge, write.

    from submission import read_challenges, write_submission
    challenges = read_challenges("arc-agi_evaluation_challenges.json")
    submission = {
        task_id: [{"attempt_1": [[0]], "attempt_2": [[0]]} for _ in task["test"]]
        for task_id, task in challenges.items()
    }
    write_submission("submission.json", submission, challenges)

Data is plain parsed JSON: dicts, lists, ints. Messages count pairs, rows, cells and test outputs
from 1. Everything raised on purpose is a SubmissionError. The same from a shell:
`python -m submission --help`.
"""

from submission.arcprize import Origin, arcprize_problems, read_arcprize, write_arcprize
from submission.comparison import Comparison, Difference, compare, comparison_table
from submission.ensemble import merge, merge_ranked
from submission.errors import FormatError, Problem, SubmissionError, WriteError
from submission.files import (
    atomic_write,
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
    Attempts,
    Challenges,
    Kind,
    Pair,
    Ranked,
    Solutions,
    Submission,
    Task,
    challenges_problems,
    recognise,
    schema,
    solutions_problems,
    submission_problems,
    task_problems,
)
from submission.grids import Grid, grid_problems
from submission.ranked import as_submission, counts_of, ranked_of, read_answers
from submission.scoring import LABELS, PassRates, Rate, Score, score, score_ranked, score_table

__all__ = [
    "KINDS",
    "LABELS",
    "Attempts",
    "Challenges",
    "Comparison",
    "Difference",
    "FormatError",
    "Grid",
    "Kind",
    "Origin",
    "Pair",
    "PassRates",
    "Problem",
    "Ranked",
    "Rate",
    "Score",
    "Solutions",
    "Submission",
    "SubmissionError",
    "Task",
    "WriteError",
    "arcprize_problems",
    "as_submission",
    "atomic_write",
    "challenges_problems",
    "compare",
    "comparison_table",
    "counts_of",
    "grid_problems",
    "merge",
    "merge_ranked",
    "ranked_of",
    "read_answers",
    "read_arcprize",
    "read_challenges",
    "read_json",
    "read_solutions",
    "read_submission",
    "read_task",
    "recognise",
    "schema",
    "score",
    "score_ranked",
    "score_table",
    "solutions_problems",
    "submission_problems",
    "task_problems",
    "write_arcprize",
    "write_json",
    "write_submission",
]
