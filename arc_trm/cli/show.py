"""`arc-trm show`: tasks, predictions and training curves, in the terminal or as a picture."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from arc_trm.answers import read_predictions
from arc_trm.data.sources import load_tasks
from arc_trm.errors import UserError
from arc_trm.pictures.curve import MEASURES, Measure, Series, curve_picture, series
from arc_trm.pictures.scene import PALETTE, check_ending, printable, save
from arc_trm.pictures.task import steps_picture, task_picture
from arc_trm.results import find_answers, is_log, read_results
from arc_trm.runs import PREDICTIONS, latest_run, read_metrics, run_config
from arc_trm.tasks import Grid, Pair, Task, TaskSet
from arc_trm.voting import Predictions, TestPrediction
from submission import SubmissionError

FALLBACKS = ("arc-agi-1", "arc-agi-2")
TASKS_SHOWN = 6
CHART_ROWS = 9  # about so many: the labels are evenly apart
CHART_WIDTH = 100
RIGHT, WRONG, DIM = Style(color="green"), Style(color="red"), Style(dim=True)
BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a character's 4 x 2 dots."""


@click.command()
@click.argument("what", required=False)
@click.option("--data", metavar="DATA", help="Where to look for the task.")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show the attempts in this predictions.jsonl, submission or folder of ARC Prize's "
    "benchmarking.",
)
@click.option("--steps", is_flag=True, help="Show how the answer changed from step to step.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a picture instead: a task's, or the training curve. Ends in .svg or .png.",
)
def show(
    what: str | None, data: str | None, predictions: Path | None, steps: bool, out: Path | None
) -> None:
    """Show a task with its predictions, or how a run went.

    WHAT is the id of a task or a run folder; nothing means the latest run, with its training curve
    and a few of the tasks that it predicted.

    A task is looked for in the data of the latest run, then in arc-agi-1 and arc-agi-2, and shown
    with that run's predictions. Cells are coloured where the terminal can, and digits elsewhere or
    where NO_COLOR is set.

    \b
    Examples:
      arc-trm show
      arc-trm show 007bbfb7
      arc-trm show 007bbfb7 --out task.svg
      arc-trm show 007bbfb7 --steps
    """
    if out is not None:
        check_ending(out)
    if what is None or Path(what).is_dir():
        if data or predictions or steps:
            raise UserError("--data, --predictions and --steps go with a task: name one")
        _show_run(latest_run() if what is None else Path(what), out)
    else:
        _show_task(what, data, predictions, steps, out)


def _show_run(run: Path, out: Path | None) -> None:
    config, records = run_config(run), read_metrics(run)
    title = f"{config.name}, seed {config.seed}"
    if out is not None:
        save(curve_picture(records, title), out)
        click.echo(f"Wrote {out}")
        return
    screen = Screen()
    screen.say(Text(f"{printable(str(run))}: {printable(title)}\n"))
    for measure in MEASURES:
        screen.say(*_chart(series(records, measure.key), measure, screen.console.width), Text())
    screen.say(Text(_summary(records)))
    if (run / PREDICTIONS).is_file():
        loaded = [task for name in config.data.test for task in load_tasks(name)]
        tasks = TaskSet.of(", ".join(config.data.test), loaded)
        _show_predicted(screen, tasks, read_predictions(run / PREDICTIONS, tasks))


def _summary(records: Sequence[dict[str, float]]) -> str:
    if not records:
        return "No metrics yet."
    last = records[-1]
    said = {
        "step": "Step {:,.0f}",
        "lm_loss": "loss {:.4g}",
        "exact_accuracy": "exact accuracy {:.1%}",
        "examples_per_second": "{:,.3g} examples a second",
    }
    return ", ".join(text.format(last[key]) for key, text in said.items() if key in last)


def _show_predicted(screen: Screen, tasks: TaskSet, predictions: Predictions) -> None:
    """How many predictions are right, and the first few of them beside one another."""
    verdicts: list[bool] = []
    blocks: list[Block] = []
    for prediction in predictions:
        task = tasks[prediction.task]
        pair = task.test[prediction.test]
        if pair.output is not None:
            verdicts.append(any(_equal(grid, pair.output) for grid in prediction.attempts))
        if len(blocks) < TASKS_SHOWN:
            label = f"Test input {prediction.test + 1}"
            figures = screen.figures(label, pair, prediction.attempts)
            blocks.append(_below(_lines(printable(task.id)), screen.flow(figures)))
    if verdicts:
        solved = f"{sum(verdicts)} of the {len(verdicts)}"
        screen.say(Text(f"Right in two attempts: {solved} predicted test outputs that are known."))
    if blocks:
        screen.say(Text(), *screen.flow(blocks, 6).lines, Text())
    if len(blocks) < len(predictions):
        screen.say(
            Text(f"{len(blocks)} of {len(predictions)} shown; `arc-trm show TASK` shows any.")
        )


def _show_task(
    task_id: str, data: str | None, answers: Path | None, steps: bool, out: Path | None
) -> None:
    task = _find_task(task_id, data)
    found = _predictions(task, answers)
    if steps and not any(each.steps for each in found):
        raise UserError(
            f"there are no steps of task {task_id!r} to show: predict it with `arc-trm predict`, "
            "or name its predictions.jsonl with --predictions"
        )
    if out is not None:
        if steps:
            drafts = {each.test: [(s.grid, s.halt) for s in each.steps] for each in found}
            save(steps_picture(task, {test: d for test, d in drafts.items() if d}), out)
        else:
            save(task_picture(task, {each.test: each.attempts for each in found}), out)
        click.echo(f"Wrote {out}")
        return
    screen = Screen()
    screen.say(Text(f"Task {printable(task.id)}\n"))
    if steps:
        for each in found:
            screen.say(*screen.flow(screen.steps(task, each)).lines, Text())
        return
    demonstrations = [
        screen.flow(screen.figures(f"Input {number}", pair))
        for number, pair in enumerate(task.train, 1)
    ]
    screen.say(*screen.flow(demonstrations, 6).lines, Text())
    attempts = {each.test: each.attempts for each in found}
    for index, pair in enumerate(task.test):
        figures = screen.figures(f"Test input {index + 1}", pair, attempts.get(index, ()))
        screen.say(*screen.flow(figures).lines, Text())


def _latest_run() -> Path | None:
    try:
        return latest_run()
    except UserError:
        return None


def _latest_data() -> tuple[str, ...]:
    """What the latest run predicted and learnt from, as far as it can be told."""
    try:
        wanted = run_config(latest_run()).data
    except (UserError, SubmissionError):
        return ()
    return wanted.test + wanted.train


def _find_task(task_id: str, data: str | None) -> Task:
    """The task out of `data`, else out of the latest run's data or what is bundled."""
    names = [data] if data else list(dict.fromkeys([*_latest_data(), *FALLBACKS]))
    known: dict[str, Task] = {}
    for name in names:
        try:
            tasks = load_tasks(name)
        except (UserError, SubmissionError):
            if name == data:
                raise
            continue  # the latest run's data may be gone, which is no reason to show nothing
        if task_id in tasks:
            return tasks[task_id]
        known |= tasks.tasks
    close = difflib.get_close_matches(task_id, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UserError(f"no run folder and no task {task_id!r} in {', '.join(names)}{hint}")


def _predictions(task: Task, answers: Path | None) -> list[TestPrediction]:
    """What `answers` say of the task, else those of the latest run if any."""
    run = _latest_run()
    source = find_answers(answers) if answers else run / PREDICTIONS if run else None
    if source is None or (answers is None and not source.is_file()):
        return []
    only = TaskSet.of(task.id, [task])
    found = read_predictions(source, only) if is_log(source) else read_results(source, only)
    if answers and not found:
        raise UserError(f"{answers} holds no prediction for task {task.id!r}")
    return list(found)


def _identity(grid: Grid | None) -> object:
    return None if grid is None else (grid.shape, grid.tobytes())


def _equal(grid: Grid | None, output: Grid) -> bool:
    return grid is not None and np.array_equal(grid, output)


@dataclass(frozen=True)
class Block:
    """Lines to be placed beside others, and the columns they take."""

    lines: tuple[Text, ...]
    width: int


def _lines(*lines: str | Text) -> Block:
    texts = tuple(Text(line) if isinstance(line, str) else line for line in lines)
    return Block(texts, max(text.cell_len for text in texts))


def _below(*blocks: Block) -> Block:
    lines = tuple(line for block in blocks for line in block.lines)
    return Block(lines, max(block.width for block in blocks))


def _beside(blocks: Sequence[Block], gap: int) -> Block:
    lines = []
    for number in range(max(len(block.lines) for block in blocks)):
        line, start = Text(), 0
        for block in blocks:
            if number < len(block.lines) and block.lines[number].cell_len:
                line.append(" " * (start - line.cell_len))
                line.append_text(block.lines[number])
            start += block.width + gap
        lines.append(line)
    return Block(tuple(lines), start - gap)


class Screen:
    """Where it is printed, and what it can show."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.coloured = (
            self.console.color_system in ("256", "truecolor") and not self.console.no_color
        )

    def say(self, *lines: Text) -> None:
        for line in lines:
            self.console.print(line, no_wrap=True, overflow="ignore", crop=False)

    def flow(self, blocks: Iterable[Block], gap: int = 3) -> Block:
        """Blocks side by side, as many a line as the width allows, a line left free between."""
        lines: list[list[Block]] = []
        room = 0
        for block in blocks:
            if not lines or block.width > room:
                lines.append([])
                room = self.console.width
            lines[-1].append(block)
            room -= block.width + gap
        placed = [_beside(line, gap) for line in lines]
        return _below(placed[0], *(_below(_lines(""), line) for line in placed[1:]))

    def figures(self, label: str, pair: Pair, attempts: Sequence[Grid | None] = ()) -> list[Block]:
        """The input, an arrow, the attempts, the output; a question mark for lack of both."""
        wide = self._wide([*pair.grids, *attempts])
        figures = [self._figure(Text(label), pair.input, wide), self._arrow(pair.input, wide)]
        for number, grid in enumerate(attempts, 1):
            figures.append(self._judged(f"Attempt {number}", grid, pair, wide))
        if pair.output is not None:
            name = Text("Correct output" if attempts else "Output")
            figures.append(self._figure(name, pair.output, wide))
        elif not attempts:
            figures.append(_lines("Output", "?"))
        return figures

    def steps(self, task: Task, prediction: TestPrediction) -> list[Block]:
        """The test input and every draft that differs from the one before, with its steps."""
        pair = task.test[prediction.test]
        figures = [self._figure(Text(f"Test input {prediction.test + 1}"), pair.input, True)]
        drafts = enumerate(prediction.steps, 1)
        for _, same in groupby(drafts, lambda each: _identity(each[1].grid)):
            numbered = list(same)
            first, (last, step) = numbered[0][0], numbered[-1]
            name = f"Step {first}" if first == last else f"Steps {first}–{last}"
            figure = self._judged(name, step.grid, pair, True)
            figures.append(_below(figure, _lines(Text(f"halt {100 * step.halt:.0f} %", DIM))))
        if pair.output is not None:
            figures.append(self._figure(Text("Correct output"), pair.output, True))
        return figures

    def _judged(self, label: str, grid: Grid | None, pair: Pair, wide: bool) -> Block:
        """An answer to a pair, right or wrong where its output is known."""
        name = Text(label)
        if grid is None:
            return _lines(name, "no grid")
        if pair.output is not None:
            right = np.array_equal(grid, pair.output)
            name.append(" ✓ right" if right else " ✗ wrong", RIGHT if right else WRONG)
        return self._figure(name, grid, wide)

    def _wide(self, grids: Sequence[Grid | None]) -> bool:
        """Whether cells may be two columns wide: all grids of a row fit the width that way."""
        columns: int = sum(2 * grid.shape[1] + 4 for grid in grids if grid is not None) + 4
        return columns <= self.console.width

    def _figure(self, label: Text, grid: Grid, wide: bool) -> Block:
        height, width = grid.shape
        size = Text(f"{height} × {width}", DIM)
        return _lines(label, *self._rows(grid, wide), size)

    def _rows(self, grid: Grid, wide: bool) -> list[Text]:
        if not self.coloured:
            return [Text((" " if wide else "").join(map(str, row))) for row in grid.tolist()]
        if wide:
            return [Text.assemble(*(("  ", _cell(c)) for c in row)) for row in grid.tolist()]
        rows = grid.tolist()
        pairs = zip(rows[::2], [*rows[1::2], [None] * len(rows[0])], strict=False)
        return [
            Text.assemble(*(("▀", _cell(low, high)) for high, low in zip(*pair, strict=True)))
            for pair in pairs
        ]

    def _arrow(self, grid: Grid, wide: bool) -> Block:
        """An arrow at the middle of the grid to its left."""
        rows = len(self._rows(grid, wide))
        return _lines(*[""] * ((rows + 1) // 2), "→")


def _cell(ground: int | None, half: int | None = None) -> Style:
    return Style(
        bgcolor=None if ground is None else PALETTE[ground],
        color=None if half is None else PALETTE[half],
    )


def _chart(drawn: Series, measure: Measure, width: int) -> list[Text]:
    """A panel of dots, two columns and four rows of them a character, with labelled axes."""
    spacing = max(1, round(CHART_ROWS / (len(drawn.y) - 1)))
    labels = {spacing * row: measure.label(tick) for row, tick in enumerate(reversed(drawn.y))}
    rows = max(labels) + 1
    margin = max(map(len, labels.values()))
    columns = max(min(width, CHART_WIDTH) - margin - 3, 20)
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    for piece in drawn.points(dots.shape[1] - 1, dots.shape[0] - 1):
        for start, end in zip(piece, piece[1:] or piece, strict=False):
            count = 2 + int(max(abs(start[0] - end[0]), abs(start[1] - end[1])))
            across, up = np.linspace(start, end, count).round().astype(int).T
            dots[-1 - up, across] = True
    cells = dots.reshape(rows, 4, columns, 2)
    codes = 0x2800 + (cells * BRAILLE[:, None, :]).sum(axis=(1, 3))
    title = Text(measure.title)
    if drawn.left_out:
        title.append(f" ({drawn.left_out:,} not finite, left out)", DIM)
    lines = [title]
    for number, row in enumerate(codes.tolist()):
        axis = f"{labels.get(number, ''):>{margin}} {'┤' if number in labels else '│'}"
        lines.append(Text.assemble((axis, DIM), ("".join(map(chr, row)), measure.colour)))
    first, last = (f"{step:,.0f}" for step in drawn.x)
    ends = f"{first}{f'step {last}':>{columns - len(first)}}"
    return [
        *lines,
        Text(f"{'':{margin}} └{'─' * columns}", DIM),
        Text(f"{'':{margin}}  {ends}", DIM),
    ]
