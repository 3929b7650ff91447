"""`arc-trm data convert` and `arc-trm data check`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    NAME,
    json_option,
    output,
    path_option,
    print_note,
    skip_invalid_option,
)


@click.command("convert")
@click.argument("what", type=NAME, metavar="DATA")
@path_option("--out", "A .json or .csv file, or a new folder.", "PATH", required=True)
@skip_invalid_option
@json_option
def convert_data(what: str, out: Path, skip_invalid: bool, as_json: bool) -> None:
    """Write DATA in one of the official forms.

    The name of PATH says which: my_challenges.json holds challenges, with the known test outputs in
    my_solutions.json beside it; puzzles.csv holds Sudokus or mazes; another name is a new folder
    with a file for each task. Nothing that exists is replaced.

    \b
    Examples:
      arc-trm data convert ConceptARC.zip --out concept_challenges.json
      arc-trm data convert tasks.jsonl --out tasks
      arc-trm data convert puzzles.sdm --out puzzles.csv
    """
    from arc_trm.data.convert import convert_tasks, describe_conversion
    from arc_trm.data.loader import load_tasks

    tasks = load_tasks(what, skip_invalid)
    conversion = convert_tasks(tasks, out)
    for note in conversion.notes:
        print_note(note)
    record = {
        "files": list(map(str, conversion.files)),
        "tasks": len(tasks),
        "test_outputs": tasks.test_outputs,
        "notes": list(conversion.notes),
    }
    output(record, describe_conversion(conversion), as_json)


@click.command("check")
@click.argument("what", type=NAME, metavar="DATA")
@json_option
def check(what: str, as_json: bool) -> None:
    """Count and list what is odd about DATA.

    Of ARC tasks: invalid ones, numbers of pairs and sizes, the same task under two ids,
    demonstrations that contradict each other or equal a test pair. Of Sudokus and mazes: invalid
    rows, the same puzzle twice, and Sudokus without a solution or with several, for which all are
    solved. Of all: what known datasets have, too, as far as their files are here. The exit status
    is 0 whatever is found, unless nothing is valid.

    \b
    Examples:
      arc-trm data check my_challenges.json
      arc-trm data check puzzles.csv --json
    """
    from arc_trm.data.check import check_data
    from arc_trm.viz.progress import show_progress

    with show_progress("checking") as callback:
        result = check_data(what, callback.stage)
    output(result.to_dict(), result.lines(), as_json)
