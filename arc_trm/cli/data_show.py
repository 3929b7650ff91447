"""`arc-trm data`: which datasets there are, what is in them and what they share."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import click
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from arc_trm.cli.data_generate import fetch_command, generate_command
from arc_trm.cli.data_identifiers import identifiers_command
from arc_trm.cli.progress import bar
from arc_trm.data.loader import (
    DATA_FOLDER,
    content_digest,
    find_files,
    find_tasks,
    load_tasks,
    missing_files,
)
from arc_trm.data.readers.csv import is_table, read_table
from arc_trm.data.registry import (
    MadeSource,
    Manifest,
    Overlap,
    find_manifest,
    manifests,
    recorded_overlaps,
)
from arc_trm.errors import UserError
from arc_trm.tasks import TaskSet
from arc_trm.viz.svg import printable

MAX_SIDE = 30
SIDES_SHOWN = (5, 10, 15, 20, 25, 30)

Facts = dict[str, Any]
"""What `--json` prints, and the tables show a part of."""


@click.group()
def data() -> None:
    """Tell what data there is.

    DATA, wherever a command takes it, is the name of a dataset (arc-agi-1) or of a split
    (arc-agi-1/training), a folder of task files or in the published trainer's format, a challenges
    file, whose solutions are found beside it, a single task file, or a CSV file of Sudokus or
    mazes. The names of datasets go first: a folder of such a name is written ./arc-agi-1.

    \b
    Examples:
      arc-trm data list
      arc-trm data show arc-agi-1
      arc-trm data generate sudoku --out hard.csv
      arc-trm data identifiers --subset training=arc-agi-1/training --out identifiers.json
    """


for _command in (identifiers_command, generate_command, fetch_command):
    data.add_command(_command)


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List the known datasets: their splits and where the files are.

    Files that no package carries are looked for in the folder that the environment variable
    ARC_TRM_DATA names.

    \b
    Examples:
      arc-trm data list
      ARC_TRM_DATA=~/arc arc-trm data list
    """
    listed = [_dataset_facts(manifest) for manifest in manifests().values()]
    if as_json:
        click.echo(json.dumps(listed))
        return
    rows = [
        (split["name"], split["tasks"], split["test_outputs"], dataset["licence"], _where(split))
        for dataset in listed
        for split in dataset["splits"]
    ]
    _print(_table(("data", "tasks", "test outputs", "licence", "files"), rows))


@data.command("show")
@click.argument("what", metavar="DATA")
@click.option("--skip-invalid", is_flag=True, help="Count and list bad rows of a file of puzzles.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the ids of shared tasks.")
def show_command(what: str, skip_invalid: bool, as_json: bool) -> None:
    """Show how much DATA holds and, of a dataset, its card.

    The card has the licence, the sources and the tasks shared with other datasets. A task fits a
    canvas if all that a solver may see of it does: its demonstrations and test inputs. All puzzles
    of a CSV file are solved, to see that they have one solution.

    \b
    Examples:
      arc-trm data show arc-agi-2
      arc-trm data show arc-agi-1/evaluation --json
      arc-trm data show my-tasks/
    """
    found = find_manifest(what)
    named = found is not None and found[0].domain != "arc"
    if skip_invalid and not is_table(Path(what)) and not named:
        raise UserError(f"--skip-invalid is for CSV files of puzzles, which {what} is not")
    if found is None:
        tasks = _checked(Path(what), skip_invalid) if is_table(Path(what)) else load_tasks(what)
        counts = {"tasks": len(tasks), "test_outputs": tasks.test_outputs}
        facts: Facts = {"name": what, "splits": [{"name": what, **counts, **_contents(tasks)}]}
        if tasks.notes:
            facts["notes"] = tasks.notes
    else:
        facts = _card(*found, skip_invalid)
    if as_json:
        click.echo(json.dumps(facts))
        return
    if found is not None:
        _print_card(facts)
    splits = facts["splits"]
    rows = [(split["name"], split["tasks"], split["test_outputs"]) for split in splits]
    _print(*facts.get("notes", ()), _table(("data", "tasks", "test outputs"), rows))
    fitting = [
        (split["name"], *(split["fits"][side - 1] for side in SIDES_SHOWN))
        for split in splits
        if "fits" in split
    ]
    if fitting:
        headings = ("tasks that fit", *(f"{side} × {side}" for side in SIDES_SHOWN))
        _print("", _table(headings, fitting))
    puzzles = [
        (
            *(split["name"], split["kind"], f"{split['side']} × {split['side']}"),
            *(split["here"], split["known"]),
        )
        for split in splits
        if "kind" in split
    ]
    if puzzles:
        _print("", _table(("puzzles", "kind", "size", "here", "known answers"), puzzles))
    if found is not None:
        _print("", *_overlap_sentences(recorded_overlaps(what)))


def _checked(path: Path, skip_invalid: bool) -> TaskSet:
    """A CSV file of puzzles, all of which are solved."""
    with bar("solving puzzles") as drawn:
        return replace(read_table(path, skip_invalid, True, drawn.update), name=str(path))


def _split_facts(manifest: Manifest, split: str) -> Facts:
    """What the manifest says of a split and where its files are, None if not on this machine."""
    found = find_files(manifest, split)
    made = next((each for each in manifest.sources if isinstance(each, MadeSource)), None)
    return {
        "name": f"{manifest.name}/{split}",
        **asdict(manifest.splits[split]),
        "source": found.source.title if found else made.title if made else None,
        "files": str(found.place) if found else "made when needed" if made else None,
    }


def _dataset_facts(manifest: Manifest, only: str | None = None) -> Facts:
    return {
        "name": f"{manifest.name}/{only}" if only else manifest.name,
        "title": manifest.title,
        "licence": manifest.licence,
        "homepage": manifest.homepage,
        "splits": [_split_facts(manifest, each) for each in manifest.chosen(only)],
    }


def _card(manifest: Manifest, only: str | None, skip_invalid: bool) -> Facts:
    facts = _dataset_facts(manifest, only)
    for split in facts["splits"]:
        tasks = find_tasks(split["name"], skip_invalid)
        if tasks is not None:
            published = split["sha256"]
            split |= _contents(tasks)
            split["as_published"] = split["sha256"] == published if published else None
            if tasks.notes:
                facts.setdefault("notes", []).extend(tasks.notes)
    return facts | {
        "citation": manifest.citation,
        "format": manifest.format,
        "sources": [asdict(source) for source in manifest.sources],
        "overlaps": [
            asdict(overlap) | {"tasks": len(overlap.ids)}
            for overlap in recorded_overlaps(facts["name"])
        ],
    }


def _contents(tasks: TaskSet) -> Facts:
    """`fits` has the number of tasks that fit a canvas of side 1, 2, ..., 30; puzzles have one."""
    if not tasks.is_arc:
        boards = tasks.boards
        about = {"kind": tasks.domain, "side": boards.side, "here": len(boards)}
        about["known"] = int(boards.known.sum())
        return {"sha256": content_digest(tasks), **about}
    sides = Counter(task.max_side for task in tasks)
    fits = list(accumulate(sides[side] for side in range(1, MAX_SIDE + 1)))
    return {"sha256": content_digest(tasks), "fits": fits}


def _where(split: Facts) -> str:
    if split["files"] is None:
        return f"missing; `arc-trm data show {split['name']}` says how to get them"
    return str(split["files"])


def _print_card(facts: Facts) -> None:
    lines = [f"{facts['title']} ({facts['name']})", ""]
    lines += [f"{what.capitalize()}: {facts[what]}" for what in ("licence", "homepage", "citation")]
    for number, source in enumerate(facts["sources"], 1):
        revision = f", revision {source['revision']}" if source.get("revision") else ""
        lines.append(f"Source {number}: {source['title']}{revision}")
        lines += [
            f"  {split}: {DATA_FOLDER}/{place}"
            for split, places in source.get("places", {}).items()
            for place in places
        ]
        lines += [
            f"  {split}: {source['repository']}/{file}"
            for split, file in source.get("files", {}).items()
        ]
    for split in facts["splits"]:
        if split["files"] is None:
            lines.append(f"Missing: {missing_files(split['name'])}")
        else:
            told = {True: ", as published", False: ", NOT as published", None: ""}
            state = told[split["as_published"]]
            lines.append(f"Files of {split['name']}{state}: {split['files']}")
    _print(*lines, "")


def _overlap_sentences(overlaps: Iterable[Overlap]) -> Iterable[str]:
    for overlap in overlaps:
        particular = [f"{here} is {there} there" for here, there in overlap.other_id.items()]
        particular += [f"{task_id} has other demonstrations" for task_id in overlap.changed]
        listing = f" ({', '.join(particular)})" if particular else ""
        number = len(overlap.ids)
        tasks = "1 task" if number == 1 else f"{number} tasks"
        yield f"{overlap.split} shares {tasks} with {overlap.other}{listing}."


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, value in zip(headings, rows[0], strict=True):
        justify: JustifyMethod = "right" if isinstance(value, int) else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(value))) for value in row))
    return table


def _print(*parts: str | Table) -> None:
    # What is not read on a screen is not folded to its width.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    for part in parts:
        console.print(Text(printable(part)) if isinstance(part, str) else part)
