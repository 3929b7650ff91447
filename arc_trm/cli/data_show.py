"""`arc-trm data list` and `arc-trm data show`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from arc_trm.cli.options import NAME, json_option, output, skip_invalid_option

SIDES_SHOWN = (5, 10, 15, 20, 25, 30)


@click.command("list")
@json_option
def list_datasets(as_json: bool) -> None:
    """List the known datasets and where their files are.

    Files that no package carries are looked for in the folder that the environment variable
    ARC_TRM_DATA names, or in the folder data here. Any layout will do where the tasks are known by
    their digest.

    \b
    Examples:
      arc-trm data list
      ARC_TRM_DATA=~/arc arc-trm data list
    """
    from arc_trm.data.describe import describe_datasets

    datasets = describe_datasets()
    if as_json:
        output(datasets, [], as_json)
        return
    rows = [
        (
            each["name"],
            each["tasks"],
            each["test_outputs"],
            dataset["licence"],
            each["place"] or "missing",
        )
        for dataset in datasets
        for each in dataset["splits"]
    ]
    _print(_table(("data", "tasks", "test outputs", "licence", "files"), rows))
    missing = [
        each["name"] for dataset in datasets for each in dataset["splits"] if not each["place"]
    ]
    if missing:
        _print("", f"missing: `arc-trm data show {missing[0]}` says how to get the files")


@click.command("show")
@click.argument("what", type=NAME, metavar="DATA")
@skip_invalid_option
@json_option
def show_dataset(what: str, skip_invalid: bool, as_json: bool) -> None:
    """Show how much DATA holds and, of a dataset, its card.

    The card has the licence, the sources and the tasks shared with other datasets. A task fits a
    canvas if its demonstrations and test inputs do.

    \b
    Examples:
      arc-trm data show arc-agi-2
      arc-trm data show arc-agi-1/evaluation --json
      arc-trm data show my-tasks/
    """
    from arc_trm.data.describe import describe_data, describe_overlap, describe_versions
    from arc_trm.data.registry import recorded_overlaps

    facts = describe_data(what, skip_invalid)
    if as_json:
        output(facts, [], as_json)
        return
    if "sources" in facts:
        _print(*_card_lines(facts), "")
    _print(*facts["notes"], *_tables(facts["splits"]))
    if "sources" in facts:
        name = facts["name"]
        _print("", *map(describe_overlap, recorded_overlaps(name)), *describe_versions(name))


def _size(side: int) -> str:
    return f"{side} × {side}"


def _tables(splits: Sequence[dict[str, Any]]) -> list[str | Table]:
    rows: list[tuple[object, ...]]
    rows = [(each["name"], each["tasks"], each["test_outputs"]) for each in splits]
    tables: list[str | Table] = [_table(("data", "tasks", "test outputs"), rows)]
    fits = [(each["name"], each["fits"]) for each in splits if "fits" in each]
    if fits:
        rows = [(name, *(counts[side - 1] for side in SIDES_SHOWN)) for name, counts in fits]
        tables += ["", _table(("tasks that fit", *map(_size, SIDES_SHOWN)), rows)]
    puzzles = [each for each in splits if "kind" in each]
    if puzzles:
        headings = ("puzzles", "kind", "size", "here", "known answers")
        rows = [(p["name"], p["kind"], _size(p["side"]), p["here"], p["known"]) for p in puzzles]
        tables += ["", _table(headings, rows)]
    return tables


def _card_lines(facts: dict[str, Any]) -> list[str]:
    from arc_trm.data.describe import GENERATED
    from arc_trm.data.loader import DATA_FOLDER, missing_files

    lines = [f"{facts['title']} ({facts['name']})", ""]
    lines += [f"{what.capitalize()}: {facts[what]}" for what in ("licence", "homepage", "citation")]
    for number, source in enumerate(facts["sources"], 1):
        revision = f", revision {source['revision']}" if source.get("revision") else ""
        lines.append(f"Source {number}: {source['title']}{revision}")
        for split, paths in source.get("paths", {}).items():
            lines += [f"  {split}: {DATA_FOLDER}/{path}" for path in paths]
        for split, file in source.get("files", {}).items():
            lines.append(f"  {split}: {source['repository']}/{file}")
    for split in facts["splits"]:
        if split["files"] is None:
            lines.append(f"Missing: {missing_files(split['name'])}")
        else:
            known = "recorded" if split["place"] == GENERATED else "published"
            states = {True: f", as {known}", False: f", NOT as {known}", None: ""}
            state = states[split["as_published"]]
            lines.append(f"{split['name']}{state}: {split['files']}")
    return lines


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    from arc_trm.viz.svg import printable

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, value in zip(headings, rows[0], strict=True):
        justify: JustifyMethod = "right" if isinstance(value, int) else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(value))) for value in row))
    return table


def _print(*parts: str | Table) -> None:
    from arc_trm.viz.svg import printable

    # Output to a file is not folded to the width of a screen.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    for part in parts:
        console.print(Text(printable(part)) if isinstance(part, str) else part)
