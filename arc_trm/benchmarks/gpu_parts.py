"""The parts of `python -m arc_trm.benchmarks.gpu`, of which each runs in a process of its own.

`python -m arc_trm.benchmarks.gpu_parts NAME SETUP` runs one in the current folder and appends a
line of JSON to NAME.jsonl for every measurement, so that a kill loses none that was made.
"""

from __future__ import annotations

import gc
import json
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from arc_trm.benchmarks import throughput, timing
from arc_trm.benchmarks.adaptation import PHASES, bench_adapt
from arc_trm.benchmarks.golden import compare_losses, compare_predictions
from arc_trm.benchmarks.step_profile import StepProfiler
from arc_trm.benchmarks.throughput import Result, bench_predict, bench_training
from arc_trm.callbacks import Callback, TrainingStart
from arc_trm.config import load_config
from arc_trm.device import pick_device
from arc_trm.errors import UserError, verb
from arc_trm.evaluation.metrics import describe_evaluation, evaluations
from arc_trm.io import append
from arc_trm.metric_keys import EXAMPLES_PER_SECOND
from arc_trm.pipeline import adapt, predict, train
from arc_trm.puzzles.generate import GeneratorConfig
from arc_trm.time_limit import PROCESS_STARTED
from submission.process import end_with_parent

SUDOKUS, FEW_SUDOKUS = "sudokus.csv", "few-sudokus.csv"
"""Files in the folder of the parts."""
FIRST_RUN = "first"
"""Folder of the run that measures the first step, whose weights predict the first Sudokus."""
STEP_SECONDS, MANY_CANVASES_SECONDS = 3.0, 15.0
"""How long the steps of a benchmark are repeated: on one canvas, and on a dozen together."""
WARM_STEPS, PROFILED_STEPS = 10, 3
"""Steps before a profile, and in it."""
AGREES = 1e-3
"""What deviations of logits and losses in float32 are below, if rounding alone explains them."""
AMPLIFIES = "trm_mixer"
"""The recording whose random weights amplify rounding in every step, so that only the kernels of
the CPU that it was made on reproduce it."""

PUBLISHED_ON = "one NVIDIA H200 on 2026-11-26, torch 2.11.0+cu130, bfloat16"
"""What the rates of the published code under torch.compile were recorded on: ARC on the full canvas
with a batch of 192, Sudoku with one of 768."""
ARC_TRAINING, ARC_PREDICTION = 916.6, 1641.5
SUDOKU_TRAINING, SUDOKU_PREDICTION = 5964.1, 9634.2
"""Examples a second in training, without an optimiser, and supervision steps in prediction."""

SUDOKU_FILES = (f'data.train=["{SUDOKUS}"]', f'data.test=["{FEW_SUDOKUS}"]')
NOT_EVALUATED = "data.validation_puzzles=0"
NOT_AUGMENTED = "data.augmentations=0"
"""Few rows of the puzzle embedding, so that a run is saved in no time."""

TINY_GOLDEN = "trm_learned_positions"
"""The smallest recording."""
TINY_BATCH = 4
TINY_MODEL = (
    "model.hidden_size=32",
    "model.num_heads=2",
    "model.puzzle_emb_dim=32",
    "model.outer_cycles=1",
    "model.inner_cycles=1",
    "model.supervision_steps=2",
    "data.augmentations=1",
)
TINY_ARC = (
    *TINY_MODEL,
    "model.puzzle_emb_len=1",
    "model.seq_len=100",
    "data.train=[]",
    'data.test=["arc-agi-1/training"]',
    "data.max_grid_size=6",
)


@dataclass(frozen=True)
class Setup:
    """What the parts are told.

    Attributes:
        tiny: shrink models, batches and times, to test the script and not the machine.
        golden: folder of the recordings; None without recordings.
        data: ARC tasks in place of the datasets that the presets name; None are those.
        data_settings: of a run that trains on `data`.
    """

    tiny: bool
    golden: str | None = None
    data: str | None = None
    data_settings: Sequence[str] = ()

    def arc_settings(self, *usual: str) -> list[str]:
        """Return settings of a run on ARC tasks."""
        return [*usual, *(TINY_ARC if self.tiny else ()), *self.data_settings]

    def sudoku_settings(self, *usual: str) -> list[str]:
        """Return settings of a run on the Sudokus in the current folder."""
        return [*SUDOKU_FILES, *usual, *(TINY_MODEL if self.tiny else ())]

    def batch_setting(self, usual: int) -> str:
        """Return the setting of a batch size."""
        return f"train.global_batch_size={TINY_BATCH if self.tiny else usual}"

    def sudokus(self) -> dict[str, GeneratorConfig]:
        """Return the files of easy Sudokus that the parts find in their folder."""
        count = 30 if self.tiny else 3000
        return {
            SUDOKUS: GeneratorConfig("sudoku", count, seed=1, max_rating=0, clues=40),
            FEW_SUDOKUS: GeneratorConfig("sudoku", 8, seed=2, max_rating=0, clues=40),
        }

    def file_commands(self) -> list[str]:
        """Return command lines that make the files which the commands of measurements name."""
        return [
            f"arc-trm data generate sudoku --count {config.count} --seed {config.seed} "
            f"--max-rating {config.max_rating} --clues {config.clues} --out {file}"
            for file, config in self.sudokus().items()
        ]


@dataclass(frozen=True)
class Rate:
    """Examples or supervision steps a second: those of the median step, and of its quartiles.

    Attributes:
        published: the published code's rate; None if it was not measured.
    """

    per_second: float
    low: float
    high: float
    unit: str
    published: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One result.

    Attributes:
        title: of what was measured.
        command: command line that measures the same, or "". It may need the files that the
            `file_commands` make, and the runs of commands before it.
        text: the result in words.
        values: the result in numbers, in seconds unless a key says otherwise.
        rate: the rate if it is one.
    """

    title: str
    command: str
    text: str
    values: Mapping[str, Any]
    rate: Rate | None = None


@dataclass(frozen=True)
class Part:
    """A part of the measurements.

    Attributes:
        seconds: after which it is killed.
    """

    name: str
    title: str
    seconds: float
    measure: Callable[[Setup], Iterator[Measurement]]


class Watch(Callback):
    """Hears when a job has its first result, how many steps were planned, and what it says."""

    def __init__(self) -> None:
        self.planned: int | None = None
        self.first: float | None = None
        self.notes: list[str] = []

    def start(self, training: TrainingStart) -> None:
        self.planned = training.total_steps

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done and self.first is None:
            self.first = time.monotonic()

    def seconds_since(self, started: float) -> float | None:
        """Return the seconds from then to the first result, None if there was none."""
        return None if self.first is None else self.first - started


# Rates


def _bench(
    setup: Setup,
    title: str,
    what: str,
    preset: str,
    settings: Sequence[str],
    batch_size: int | None = None,
    published: float | None = None,
    seconds: float = STEP_SECONDS,
) -> Measurement:
    """Run `bench train` or `bench predict`; prediction is counted in supervision steps."""
    device, batch_size = _prepare(setup, seconds), TINY_BATCH if setup.tiny else batch_size
    config, callback = load_config(preset, None, settings), Callback()
    if what == "train":
        values = bench_training(what, config, device, batch_size, False, (0, 1), callback)
    else:
        values = bench_predict(config, device, batch_size, False, callback)
    del values["first_step_seconds"]  # since the start of the process, which did other things
    unit = "supervision steps" if what == "predict" else "examples"
    steps = values.get("supervision_steps", 1)
    rate = _rate(values, steps, unit, None if setup.tiny else published)
    command = _command("bench", what, "--preset", preset, settings=settings, batch_size=batch_size)
    return Measurement(title, command, _rate_text(rate), values, rate)


def _prepare(setup: Setup, seconds: float = STEP_SECONDS) -> torch.device:
    """Make ready for a benchmark of this process, and return its device.

    What an earlier one used is freed, and forgotten as a peak. Steps are repeated for these
    seconds, in tiny for a moment.
    """
    gc.collect()
    device = pick_device()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # before, nothing is held
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    throughput.STEP_SECONDS = seconds
    if setup.tiny:
        throughput.STEP_SECONDS = timing.ACTION_SECONDS = timing.PRODUCT_SECONDS = 0.01
        timing.PRODUCT_SIDE = dict.fromkeys(timing.PRODUCT_SIDE, 64)
    return device


def _rate(values: Result, steps: int, unit: str, published: float | None = None) -> Rate:
    number = steps * values["batch_size"]
    low, high = values["seconds_per_step_quartiles"]
    return Rate(number / values["seconds_per_step"], number / high, number / low, unit, published)


def _rate_text(rate: Rate) -> str:
    text = f"{rate.per_second:.4g} {rate.unit} a second"
    if rate.published is None:
        return text
    return f"{text}, {rate.per_second / rate.published:.2f} × the published code"


def _command(*words: str, settings: Sequence[str] = (), batch_size: int | None = None) -> str:
    """Return a command line of arc-trm."""
    arguments = ["arc-trm", *words]
    for setting in settings:
        arguments += ["--set", setting]
    if batch_size is not None:
        arguments += ["--batch-size", str(batch_size)]
    return shlex.join(arguments)


def measure_arc(setup: Setup) -> Iterator[Measurement]:
    """ARC-AGI-1 in the published size: all canvases as in a real run, and the full canvas."""
    title = "ARC, bucketed canvases, training"
    bucketed = setup.arc_settings("model.canvas=bucketed")
    yield _bench(
        setup,
        title,
        "train",
        "arc-agi-1",
        bucketed,
        published=ARC_TRAINING,
        seconds=MANY_CANVASES_SECONDS,
    )
    title = "ARC, full canvas, training"
    full = setup.arc_settings("data.augmentations=10")
    yield _bench(setup, title, "train", "arc-agi-1", full, 192, ARC_TRAINING)
    title = "ARC, full canvas, prediction"
    yield _bench(setup, title, "predict", "arc-agi-1", full, 192, ARC_PREDICTION)


def measure_sudoku(setup: Setup) -> Iterator[Measurement]:
    """The mixer of the published size, whose 97 positions are no multiple of 8."""
    settings = setup.sudoku_settings(NOT_EVALUATED)
    title = "Sudoku, mixer, training"
    yield _bench(setup, title, "train", "sudoku-gpu", settings, 768, SUDOKU_TRAINING)
    title = "Sudoku, mixer, prediction"
    yield _bench(setup, title, "predict", "sudoku-gpu", settings, 768, SUDOKU_PREDICTION)


def measure_small(setup: Setup) -> Iterator[Measurement]:
    """Models and batches so small that launching kernels takes longer than running them."""
    yield _bench(setup, "quickstart, training", "train", "quickstart", setup.data_settings)
    yield _bench(setup, "sudoku-quick, training", "train", "sudoku-quick", SUDOKU_FILES)
    preset, size = "adapt-arc-agi-2", TINY_BATCH if setup.tiny else 8
    settings = setup.arc_settings()
    config = load_config(preset, None, settings)
    values = bench_adapt(config, _prepare(setup), size, False, Callback())
    command = _command("bench", "adapt", "--preset", preset, settings=settings, batch_size=size)
    for phase in PHASES:
        rate = _rate(values[phase], 1, "examples")
        title = f"{preset}, {phase.replace('_', ' ')}"
        yield Measurement(title, command, _rate_text(rate), values[phase], rate)


# Agreement


def measure_golden(setup: Setup) -> Iterator[Measurement]:
    """Predictions and losses against the recordings of the published code."""
    if setup.golden is None:
        return
    device = pick_device()
    name = TINY_GOLDEN if setup.tiny else "*"
    for shapes in sorted(Path(setup.golden).glob(f"{name}/shapes.json")):
        folder = shapes.parent
        for dtype in (torch.float32, torch.bfloat16):
            values = compare_predictions(folder, device, dtype)
            different, cells = values["different"], values["cells"]
            text = (
                f"{different:,} of {cells:,} predicted cells differ, largest deviation of a "
                f"logit {values['logit']:.1e}"
            )
            if dtype == torch.float32:
                values["loss"] = compare_losses(folder, device)
                text += f", of the loss {values['loss']:.1e}"
                if folder.name == AMPLIFIES:
                    text += " (its random weights amplify rounding, so this is no fault)"
                else:
                    agrees = not different and max(values["logit"], values["loss"]) < AGREES
                    text += ": agrees" if agrees else ": DOES NOT AGREE"
            name = str(dtype).removeprefix("torch.")
            yield Measurement(f"{folder.name}, {name}", "", text, values)


# Real jobs


def measure_first_step(setup: Setup) -> Iterator[Measurement]:
    """How long a run takes from the start of the process to its first step."""
    watch = Watch()
    settings = setup.sudoku_settings(NOT_EVALUATED, setup.batch_setting(768))
    train("sudoku-gpu", max_steps=3, overrides=settings, out=FIRST_RUN, callbacks=[watch])
    seconds = watch.seconds_since(PROCESS_STARTED)
    words = ("train", "--preset", "sudoku-gpu", "--max-steps", "3", "--out", FIRST_RUN)
    command = _command(*words, settings=settings)
    text = f"{_seconds(seconds)} after the start of the process"
    values = {"first_step_seconds": seconds, "notes": watch.notes}
    yield Measurement("Sudoku, mixer, first step", command, text, values)


def measure_first_prediction(setup: Setup) -> Iterator[Measurement]:
    """How long a few Sudokus take from the start of the process."""
    if not Path(FIRST_RUN).is_dir():
        raise UserError("there are no weights, because the part first-step failed: repair it first")
    watch = Watch()
    predictions = predict(FIRST_RUN, FEW_SUDOKUS, out="first-predictions", callbacks=[watch])
    done = time.monotonic() - PROCESS_STARTED
    first = watch.seconds_since(PROCESS_STARTED)
    text = (
        f"{_seconds(first)} after the start of the process, all {len(predictions)} after "
        f"{_seconds(done)}"
    )
    values = {"first_prediction_seconds": first, "seconds": done, "notes": watch.notes}
    command = _command("predict", FIRST_RUN, "--data", FEW_SUDOKUS)
    yield Measurement("Sudoku, mixer, first prediction", command, text, values)


def measure_learning(setup: Setup) -> Iterator[Measurement]:
    """A short training on easy Sudokus under a time limit, evaluated on others."""
    limit = 1.5 if setup.tiny else 45.0
    evaluated_on = f"data.validation_puzzles={5 if setup.tiny else 100}"
    settings = setup.sudoku_settings(evaluated_on, setup.batch_setting(768))
    watch, started = Watch(), time.monotonic()
    run = train(
        "sudoku-gpu", time_limit=limit, overrides=settings, out="learning", callbacks=[watch]
    )
    values = _clock(watch, started, limit, run.total_steps, run.step)
    evaluated = evaluations(run.metrics)
    rates = [each[EXAMPLES_PER_SECOND] for each in run.metrics if EXAMPLES_PER_SECOND in each]
    values["examples_per_second"] = statistics.median(rates) if rates else None
    values["evaluations"] = evaluated
    result = describe_evaluation(evaluated[-1]) if evaluated else "not evaluated"
    text = f"{_clock_text(values, 'step', 'steps')}; {result}"
    time_limit = ("--time-limit", f"{limit:g}s")
    command = _command("train", "--preset", "sudoku-gpu", *time_limit, settings=settings)
    yield Measurement("Sudoku, mixer, training under a time limit", command, text, values)


def measure_time_limits(setup: Setup) -> Iterator[Measurement]:
    """Adapting and predicting under time limits: planned and done steps, seconds and limits."""
    adapt_limit, predict_limit = (1.5, 1.5) if setup.tiny else (30.0, 20.0)
    settings = setup.arc_settings(NOT_AUGMENTED, setup.batch_setting(8))
    base = train("arc-agi-1", max_steps=1, overrides=settings, out="base")
    words = ("train", "--preset", "arc-agi-1", "--max-steps", "1", "--out", "base")
    train_base = _command(*words, settings=settings)

    watch, started = Watch(), time.monotonic()
    data = setup.data or ("arc-agi-1/training" if setup.tiny else "arc-agi-2/evaluation")
    settings = ["data.augmentations=20", setup.batch_setting(384)]
    if setup.tiny:
        settings.append("data.max_grid_size=6")
    run = adapt(
        base, data, time_limit=adapt_limit, overrides=settings, out="adapted", callbacks=[watch]
    )
    values = _clock(watch, started, adapt_limit, run.total_steps, run.step)
    time_limit = ("--time-limit", f"{adapt_limit:g}s", "--out", "adapted")
    command = _command("adapt", "base", "--data", data, *time_limit, settings=settings)
    text = _clock_text(values, "step", "steps")
    yield Measurement("Adapting under a time limit", f"{train_base} && {command}", text, values)

    watch, started = Watch(), time.monotonic()
    job = predict(run, out="predicted", time_limit=predict_limit, callbacks=[watch]).job
    assert job is not None
    values = _clock(watch, started, predict_limit, job.queries, job.predicted_queries)
    command = _command("predict", "adapted", "--time-limit", f"{predict_limit:g}s")
    text = _clock_text(values, "query", "queries")
    yield Measurement("Predicting under a time limit", command, text, values)


def _clock(
    watch: Watch, started: float, limit: float, planned: int | None, done: int
) -> dict[str, Any]:
    """Return how a job used its time limit; a run may plan more steps when it has time left."""
    return {
        "limit_seconds": limit,
        "seconds": time.monotonic() - started,
        "first_result_seconds": watch.seconds_since(started),
        "planned": planned if watch.planned is None else watch.planned,
        "done": done,
        "notes": watch.notes,
    }


def _clock_text(values: Mapping[str, Any], one: str, several: str) -> str:
    planned, first = values["planned"], values["first_result_seconds"]
    text = (
        f"{planned:,} {verb(planned, one, several)} planned, {values['done']:,} done in "
        f"{values['seconds']:.1f} s of {values['limit_seconds']:g} s"
    )
    # Of a prediction the first result may be a draft by fewer supervision steps, which is no query.
    return f"{text}; first result after {first:.1f} s" if first is not None else text


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


# Profiles


def measure_profiles(setup: Setup) -> Iterator[Measurement]:
    """The kernels that a training step runs, and how long the device waits between them."""
    arc = setup.arc_settings(NOT_AUGMENTED, setup.batch_setting(192))
    yield _profile("ARC, full canvas, a training step", "arc-agi-1", arc, "profile-arc")
    sudoku = setup.sudoku_settings(NOT_EVALUATED, setup.batch_setting(768))
    yield _profile("Sudoku, mixer, a training step", "sudoku-gpu", sudoku, "profile-sudoku")


def _profile(title: str, preset: str, settings: Sequence[str], folder: str) -> Measurement:
    profiler = StepProfiler(pick_device(), WARM_STEPS, PROFILED_STEPS)
    steps = WARM_STEPS + PROFILED_STEPS + 1  # a GPU reports a step when it has got the next one
    train(preset, max_steps=steps, overrides=settings, out=folder, callbacks=[profiler])
    values = profiler.result()
    text = (
        f"{1e3 * values['busy_seconds']:.1f} ms of kernels in a step of "
        f"{1e3 * values['seconds_per_step']:.1f} ms while it was profiled"
    )
    return Measurement(title, "", text, values)


PARTS = (
    Part("golden", "Agreement with the published code", 60, measure_golden),
    Part("arc", "ARC in the published size", 150, measure_arc),
    Part("sudoku", "Sudoku with the published mixer", 80, measure_sudoku),
    Part("small", "Small models", 100, measure_small),
    Part("first-step", "Time until the first step", 45, measure_first_step),
    Part("first-prediction", "Time until the first prediction", 45, measure_first_prediction),
    Part("learning", "A short training", 75, measure_learning),
    Part("time-limits", "Adapting and predicting under a clock", 90, measure_time_limits),
    Part("profile", "Where the time of a step goes", 60, measure_profiles),
)
"""All parts, the most valuable first."""


def run_part(name: str, setup: Setup) -> None:
    """Measure a part in the current folder, and append its measurements to NAME.jsonl.

    Raises:
        UserError: the part cannot be measured here.
    """
    (part,) = (part for part in PARTS if part.name == name)
    for measurement in part.measure(setup):
        append(Path(f"{name}.jsonl"), f"{json.dumps(asdict(measurement))}\n".encode())


def main() -> None:
    """Run the part that the command line names; a part that fails ends with status 1 or 2."""
    name, setup = sys.argv[1:]
    end_with_parent(signal.SIGKILL)  # which bounds the time of a part
    try:
        run_part(name, Setup(**json.loads(setup)))
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
