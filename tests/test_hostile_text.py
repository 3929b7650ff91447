"""Text of others is text: in the terminal, pictures, pages, notebooks, model cards and files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import Result
from hostile import HOSTILE, tags
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from rich.text import Text

from arc_trm.cli.data_show import _table
from arc_trm.hub.markdown import code_block, show, table
from arc_trm.puzzles import KINDS
from arc_trm.runs import Run, write_run_config
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from arc_trm.viz import svg
from arc_trm.viz.images import draw_task
from arc_trm.viz.notebook import to_html
from arc_trm.viz.progress import show_progress
from arc_trm.viz.terminal import Terminal
from submission.cli import CommandError, print_lines, print_note

NAMES = [text.encode("utf-8", "replace").decode() for text in HOSTILE]
"""Those that a file in UTF-8 can hold."""
PAIR = {"input": [[1, 2]], "output": [[2, 1]]}


def assert_inert(printed: str) -> None:
    """Assert that no terminal acts on lines."""
    assert [line for line in printed.split("\n") if not line.isprintable()] == []


def report_progress(text: str) -> None:
    with show_progress("job") as callback:
        callback.note(text)
        callback.stage(text, 0, None)


PRINTERS: dict[str, Callable[[str], object]] = {
    "lines": print_lines,
    "note": print_note,
    "mistake": lambda text: CommandError(text).show(),
    "progress": report_progress,
    "terminal": lambda text: Terminal().print(text),
    "styled": lambda text: Terminal().print(Text.assemble("a", (text, "bold"), "z")),
    "table": lambda text: Console(width=1000).print(_table(("data",), [(text,)])),
    "repr": lambda text: print(Run(text), TaskSet(text, {}), Task(text, (), ())),
}


@pytest.mark.parametrize("name", PRINTERS)
def test_a_terminal_shows_text_and_does_not_act(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in HOSTILE:
        PRINTERS[name](text)
        printed = "".join(capsys.readouterr())
        assert_inert(printed)
        if text.isprintable():
            assert text in printed  # markup and all


def test_the_bar_of_a_terminal_shows_text_and_does_not_act(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for text in HOSTILE:
        with show_progress("job") as callback:
            callback.stage(text, 0, 5)
        shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", capsys.readouterr().err)
        assert_inert(shown)
        assert "[bold]" not in text or text in shown


@pytest.mark.parametrize("text", NAMES, ids=ascii)
def test_a_picture_shows_text(text: str) -> None:
    task = Task(text, (Pair(as_grid([[1]]), as_grid([[2]])),), (Pair(as_grid([[1]]), None),))
    for drawing in (svg.Drawing(90, 30, (svg.Text(0, 20, text),)), draw_task(task)):
        root = ElementTree.fromstring(drawing.svg())
        assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
            *("svg", "rect", "text", "polyline"),
        }
        assert all(each.isprintable() for each in root.itertext() if each.strip())
        assert drawing.png().startswith(b"\x89PNG")


def challenges(names: list[str]) -> dict[str, Any]:
    tests = [{"input": [[3, 4]]}]
    return {name: {"train": [PAIR], "test": tests} for name in names}


HARMLESS = [f"name {number}" for number in range(len(NAMES))]


def test_a_notebook_shows_text() -> None:
    def pages(names: list[str]) -> Iterator[str]:
        pair = Pair(np.ones((1, 2), np.uint8), np.ones((1, 2), np.uint8))
        tasks = [Task(name, (pair,), (pair,)) for name in names]
        for task in tasks:
            yield to_html(task)
        yield to_html(TaskSet.from_tasks(names[0], tasks))

    for page, expected in zip(pages(NAMES), pages(HARMLESS), strict=True):
        assert_inert(page)
        assert tags(page) == tags(expected)


def test_a_report_shows_text(tmp_path: Path, cli: Callable[..., Result]) -> None:
    pages = []
    for names in (HARMLESS, NAMES):
        tasks, answers = tmp_path / "tasks.json", tmp_path / "submission.json"
        tasks.write_text(json.dumps(challenges(names)))
        attempts = {"attempt_1": [[4, 3]], "attempt_2": [[0]]}
        answers.write_text(json.dumps({name: [attempts] for name in names}))
        page = tmp_path / "page.html"
        result = cli("report", answers, "--data", tasks, "--out", page)
        assert result.exit_code == 0, result.output
        pages.append(page.read_text())
    assert_inert(pages[1])
    assert tags(pages[1]) == tags(pages[0])
    assert pages[1].count("</script") == pages[0].count("</script")


def inline(tokens: list[Token]) -> set[str]:
    return {child.type for token in tokens for child in token.children or ()}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_markdown_shows_text(text: str) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for show_in in (
        lambda text: f"- data: {show(text)} (known)",
        lambda text: f"**{show(text)}**",
        lambda text: table([("key", text)]),
    ):
        shown, harmless = show_in(text), markdown.parse(show_in("a"))
        assert_inert(shown)
        tokens = markdown.parse(shown)
        assert [each.type for each in tokens] == [each.type for each in harmless]
        assert inline(tokens) <= {"text", "code_inline", "strong_open", "strong_close"}
        is_link = "://" in text or "www." in text  # some pages make links of such text
        assert not is_link or "code_inline" in inline(tokens)
    (block,) = markdown.parse(code_block(["first", text, "last"]))
    assert block.type == "fence" and block.content.startswith("first\n")
    assert block.content.endswith("\nlast\n")


def test_a_model_card_shows_text(tiny_run: Path) -> None:
    from arc_trm.checkpoint import WeightsDir
    from arc_trm.hub.model_card import model_card

    def tokens(names: list[str]) -> list[str]:
        config = Run(tiny_run).config
        data = replace(config.data, test=tuple(names), train=tuple(names))
        write_run_config(tiny_run, replace(config, data=data))
        card = model_card(WeightsDir(tiny_run), "owner/name", None)
        assert_inert(card)
        parsed = MarkdownIt("commonmark").enable("table").parse(card)
        assert inline(parsed) <= {"text", "code_inline", "softbreak"}
        return [each.type for each in parsed]

    assert tokens(NAMES) == tokens(HARMLESS)


def test_no_cell_of_a_csv_file_is_a_formula() -> None:
    for kind in KINDS.values():
        assert not set(getattr(kind, "symbols", "")) & set("=+-@\t\r")


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("predict", "RUN", "--data", "TASKS", "--out", "out"),
    ("train", "--data", "TASKS", "--device", "cpu", "--max-steps", "1", "--out", "new"),
    ("show", "ID", "--data", "TASKS"),
    ("data", "show", "TASKS"),
    ("data", "check", "TASKS"),
    ("validate", "ANSWERS", "--challenges", "TASKS"),
    ("validate", "TASKS", "--kind", "submission"),
    ("score", "ANSWERS", "--data", "TASKS"),
    ("score", "ANSWERS", "--solutions", "SOLUTIONS"),
    ("report", "ANSWERS", "--data", "TASKS", "--solutions", "SOLUTIONS", "--out", "page.html"),
    ("merge", "ANSWERS", "ANSWERS", "--data", "TASKS", "--out", "merged.json"),
    ("export", "ANSWERS", "--format", "arcprize", "--out", "attempts"),
    ("convert-submission", "ANSWERS", "--out", "converted.json"),
    ("score", "FOLDER", "--solutions", "SOLUTIONS"),
    ("validate", "FOLDER"),
    ("export", "FOLDER", "--format", "submission", "--out", "exported.json"),
    ("data", "show", "FOLDER"),
    ("train", "--preset", "ID"),
    ("ID",),
    ("--ID",),
)


@pytest.mark.slow
def test_commands_show_text(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]
) -> None:
    """Task ids, and the names of files and folders, in what commands print."""
    folder = tmp_path / "\x1b]0;x\x07\u202e[bold]"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run = tiny_run.rename(folder / "run")
    attempts = {"attempt_1": [[4, 3]], "attempt_2": [[0]]}
    item = {"answer": [[1]], "metadata": {"task_id": "x", "pair_index": 0}}
    files = {
        "TASKS": challenges(NAMES),
        "SOLUTIONS": {name: [[[4, 3]], [[1]]] for name in NAMES},  # too many
        "ANSWERS": {name: [attempts] for name in NAMES},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "FOLDER").mkdir()
    (folder / "FOLDER" / "\x1b[2J.json").write_text(json.dumps([{"attempt_1": item}]))
    places = {name: folder / name for name in (*files, "FOLDER")}
    statuses = []
    for command in COMMANDS:
        words = {**places, "RUN": run, "ID": NAMES[0], "--ID": f"--{NAMES[0]}"}
        result = cli(*(words.get(word, word) for word in command))
        assert_inert(result.stdout)
        assert_inert(result.stderr)
        statuses.append(result.exit_code)
    assert set(statuses) == {0, 2, 3} and statuses.count(0) > 3
