"""`arc-trm show`: tasks, predictions and training curves, in the terminal or as a picture."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import click
from rich.text import Text

from arc_trm.cli.resolve import chosen_answers
from arc_trm.config import DataConfig, RunConfig
from arc_trm.data.loader import load_tasks
from arc_trm.data.splits import predicted_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import are_of, read_predictions
from arc_trm.evaluation.scoring import MAX_TRACES, judged
from arc_trm.evaluation.source import answered_tasks, is_log, kind_of, named_data, read_results
from arc_trm.evaluation.voting import InputPrediction, PredictionSet
from arc_trm.puzzles import BOARDS, Board, of_vocab_size
from arc_trm.runs import PREDICTIONS, latest_run, read_metrics, run_config
from arc_trm.tasks import TaskSet, same_grid
from arc_trm.viz.curve import MEASURES, curve_picture, series
from arc_trm.viz.figure import steps_picture, task_picture
from arc_trm.viz.svg import check_ending, printable, save
from arc_trm.viz.terminal import Block, Screen, below, block_of, chart

FALLBACKS = ("arc-agi-1", "arc-agi-2")
TASKS_SHOWN, BOARDS_SHOWN = 6, 3
MOST_COMPARED = 5000  # ids of a set that a misspelt one may have been meant as


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

    WHAT is the id of a task, the number of a Sudoku or maze, or a run folder; nothing means the
    latest run, with its training curve and a few of the tasks that it predicted.

    A task is looked for in the data of the predictions, then of the latest run, then in arc-agi-1
    and arc-agi-2, and shown with the latest run's predictions unless others are named. Cells are
    coloured where the terminal can, and digits elsewhere or where NO_COLOR is set.

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
        screen.say(*chart(series(records, measure.key), measure, screen.console.width), Text())
    screen.say(Text(_summary(records)))
    if (run / PREDICTIONS).is_file():
        tasks = answered_tasks(run / PREDICTIONS)
        found = read_predictions(run / PREDICTIONS, tasks)
        if tasks.is_arc:
            _show_predicted(screen, tasks, found)
        else:
            _show_boards(tasks, found)


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


def _show_predicted(screen: Screen, tasks: TaskSet, predictions: PredictionSet) -> None:
    """How many predictions are right, and the first few of them beside one another."""
    verdicts: list[bool] = []
    blocks: list[Block] = []
    for prediction in predictions:
        task = tasks[prediction.task]
        pair = task.test[prediction.test]
        if pair.output is not None:
            verdicts.append(any(same_grid(grid, pair.output) for grid in prediction.attempts))
        if len(blocks) < TASKS_SHOWN:
            label = f"Test input {prediction.test + 1}"
            figures = screen.figures(label, pair, prediction.attempts)
            blocks.append(below(block_of(printable(task.id)), screen.flow(figures)))
    if verdicts:
        solved = f"{sum(verdicts)} of the {len(verdicts)}"
        screen.say(Text(f"Right in two attempts: {solved} predicted test outputs that are known."))
    if blocks:
        screen.say(Text(), *screen.flow(blocks, 6).lines, Text())
    if len(blocks) < len(predictions):
        screen.say(
            Text(f"{len(blocks)} of {len(predictions)} shown; `arc-trm show TASK` shows any.")
        )


def _show_boards(tasks: TaskSet, predictions: PredictionSet) -> None:
    """What answers are worth, and the first of them."""
    screen, blocks = Screen(tasks.domain), []
    for prediction in islice(predictions, BOARDS_SHOWN):
        task = tasks[prediction.task]
        figures = screen.figures(screen.look.input_name(1), task.test[0], prediction.attempts)
        blocks.append(below(block_of(f"{screen.look.task} {task.id}"), screen.flow(figures)))
    screen.say(*map(Text, judged(predictions.completed()).lines()), Text())
    if not blocks:
        return
    screen.say(*screen.flow(blocks, 6).lines, Text())
    screen.say(Text(f"{len(blocks)} of {len(predictions)} shown; `arc-trm show N` shows any."))


def _show_task(
    task_id: str, data: str | None, answers: Path | None, steps: bool, out: Path | None
) -> None:
    source = _source(answers)
    if source is not None and is_log(source) and kind_of(source) != "arc":
        only, found = _find_board(task_id, data, source, answers is not None)
    elif source is None and data is None and task_id.isdecimal() and _latest_predicts_boards():
        only, found = _numbered(predicted_tasks(_latest_data()), task_id), []
    else:
        only = _find_task(task_id, data, source)
        found = _predictions(only, source) if only.is_arc else []
    task = only[task_id]
    if answers and not found:
        raise UserError(f"{answers} holds no prediction for task {task.id!r}")
    if steps and not any(each.steps for each in found):
        raise UserError(
            f"there are no steps of task {task_id!r} to show: predict it with `arc-trm predict`, "
            "or name its predictions.jsonl with --predictions"
            if only.is_arc
            else f"there are no steps of puzzle {task_id!r} to show: `arc-trm predict` keeps those "
            f"of the first {MAX_TRACES} of a set"
        )
    valid = BOARDS[task.domain].valid if task.domain in BOARDS else None
    if out is not None:
        if steps:
            drafts = {each.test: [(s.grid, s.halt) for s in each.steps] for each in found}
            save(steps_picture(task, {test: d for test, d in drafts.items() if d}, valid), out)
        else:
            save(task_picture(task, {each.test: each.attempts for each in found}, valid), out)
        click.echo(f"Wrote {out}")
        return
    screen = Screen(task.domain)
    of = "" if only.is_arc else f" of {printable(only.name)}"
    screen.say(Text(f"{screen.look.task} {printable(task.id)}{of}\n"))
    if steps:
        for each in found:
            screen.say(*screen.flow(screen.steps(task, each)).lines, Text())
        return
    demonstrations = [
        screen.flow(screen.figures(f"Input {number}", pair))
        for number, pair in enumerate(task.train, 1)
    ]
    if demonstrations:
        screen.say(*screen.flow(demonstrations, 6).lines, Text())
    attempts = {each.test: each.attempts for each in found}
    for index, pair in enumerate(task.test):
        figures = screen.figures(screen.look.input_name(index + 1), pair, attempts.get(index, ()))
        screen.say(*screen.flow(figures).lines, Text())


def _latest_run() -> Path | None:
    try:
        return latest_run()
    except UserError:
        return None


def _latest_data() -> DataConfig:
    """What the latest run predicted and learnt from, as far as it can be told."""
    config = _latest_config()
    return config.data if config else DataConfig()


def _latest_config() -> RunConfig | None:
    try:
        return run_config(latest_run())
    except UserError:
        return None


def _latest_predicts_boards() -> bool:
    config = _latest_config()
    if config is None or not config.data.test:
        return False
    return isinstance(of_vocab_size(config.model.vocab_size), Board)


def _source(answers: Path | None) -> Path | None:
    """The file or folder that `answers` means, else the latest run's answers if any."""
    if answers is not None:
        return chosen_answers(answers)
    run = _latest_run()
    return run / PREDICTIONS if run and (run / PREDICTIONS).is_file() else None


def _find_task(task_id: str, data: str | None, source: Path | None) -> TaskSet:
    """The one task out of `data`, else of what the answers or the latest run name or is bundled."""
    named, latest = named_data(source) if source else [], _latest_data()
    recent = [*named, *latest.test, *latest.train]
    names = [data] if data else list(dict.fromkeys([*recent, *FALLBACKS]))
    known: dict[str, None] = {}
    for name in names:
        try:
            tasks = load_tasks(name, latest.skip_invalid)
        except UserError:
            if name == data:
                raise
            continue  # the latest run's data may be gone, which is no reason to show nothing
        if task_id in tasks:
            return tasks.only(task_id)
        known |= dict.fromkeys(islice(tasks.tasks, MOST_COMPARED))
    close = difflib.get_close_matches(task_id, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UserError(f"no run folder and no task {task_id!r} in {', '.join(names)}{hint}")


def _find_board(
    number: str, data: str | None, source: Path, asked: bool
) -> tuple[TaskSet, list[InputPrediction]]:
    """The one puzzle out of `data`, else of those that the answers are to, and what these say.

    Numbers mean other puzzles in other sets, so no other set is looked into; but a text that is
    none is an ARC task's. Answers that were not `asked` for are left out if they are to others.
    """
    if data is None and not number.isdecimal():
        return _find_task(number, None, None), []
    tasks = answered_tasks(source, data)
    if tasks.is_arc and not asked:
        return _find_task(number, data, None), []
    only = _numbered(tasks, number)
    if not asked and are_of(source, tasks) is False:
        return only, []
    answers = read_results(source, tasks)
    said = [each for each in answers if each.task == number and (each.attempts or each.steps)]
    return only, said


def _numbered(tasks: TaskSet, number: str) -> TaskSet:
    """The one puzzle of that number."""
    if number not in tasks:
        raise UserError(
            f"there is no puzzle {number!r} in {tasks.name}: name other data with --data"
        )
    return tasks.only(number)


def _predictions(only: TaskSet, source: Path | None) -> list[InputPrediction]:
    """What the answers say of the one task, without guesses where they say nothing."""
    if source is None:
        return []
    return list(read_predictions(source, only) if is_log(source) else read_results(source, only))
