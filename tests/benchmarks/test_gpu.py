"""`python -m arc_trm.benchmarks.gpu`: all parts in tiny; parts that fail, hang or are stopped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import TOO_LONG, one_thread
from notes import Notes
from paths import GOLDEN, ROOT
from processes import finds_processes

from arc_trm.benchmarks import gpu, throughput, timing
from arc_trm.benchmarks.gpu_parts import PARTS, PUBLISHED_ON, Setup, run_part
from arc_trm.benchmarks.gpu_report import markdown
from arc_trm.callbacks import Callback
from arc_trm.data.generated_file import generate_file
from arc_trm.time_limit import TimeLimit

Cli = Callable[..., Result]
PART = {part.name: part for part in PARTS}


@pytest.mark.slow
def test_all_parts_in_tiny(
    tmp_path: Path, challenges: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for module, name in (  # parts change them; the test changes them back
        (throughput, "STEP_SECONDS"),
        (timing, "ACTION_SECONDS"),
        (timing, "PRODUCT_SECONDS"),
        (timing, "PRODUCT_SIDE"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    tasks = gpu.data_settings(str(challenges), Callback())
    setup, found = Setup(True, str(GOLDEN), str(challenges), tasks), {}
    for (file, config), command in zip(setup.sudokus().items(), setup.file_commands(), strict=True):
        generate_file(config, Path(file))
        made = Path(file).read_bytes()
        Path(file).unlink()
        assert cli(*shlex.split(command)[1:]).exit_code == 0 and Path(file).read_bytes() == made
    for name in PART:
        run_part(name, setup)
        lines = Path(f"{name}.jsonl").read_text().splitlines()
        found[name] = [json.loads(line) for line in lines]
    everything = [each for measured in found.values() for each in measured]
    assert all(each["title"] and each["text"] for each in everything)

    for each in found["golden"]:
        values = each["values"]
        assert values["cells"] == 16 * 2 * 200  # steps, examples, cells
        assert values["different"] < 0.1 * values["cells"] and 0 <= values["logit"] < 1
    assert found["golden"][0]["text"].endswith(": agrees")

    rates = [each["rate"] for name in ("arc", "sudoku", "small") for each in found[name]]
    assert len(rates) == 9
    assert str(challenges) in found["arc"][0]["command"]
    for rate in rates:
        assert 0 < rate["low"] <= rate["per_second"] <= rate["high"]
        assert rate["published"] is None  # the published model is not tiny
    for name in ("arc", "sudoku"):
        values = found[name][0]["values"]
        assert max(values["product_tflops_before_after"]) == values["product_tflops"]

    assert found["first-step"][0]["values"]["first_step_seconds"] > 0
    first = found["first-prediction"][0]["values"]
    assert 0 < first["first_prediction_seconds"] <= first["seconds"]
    for name, limits in (("learning", [1.5]), ("time-limits", [1.5, 1.5])):
        assert [each["values"]["limit_seconds"] for each in found[name]] == limits
        assert all({"planned", "done", "seconds"} <= each["values"].keys() for each in found[name])
    for each in found["profile"]:
        values = each["values"]
        total = sum(kernel["seconds"] for kernel in values["profile"])
        assert total == pytest.approx(values["busy_seconds"])
        assert values["busy_seconds"] > 0 and values["seconds_per_step"] > 0
        assert "aten::mm" in {kernel["name"] for kernel in values["profile"]}


class SavedParts(Callback):
    """Counts the parts in the files whenever another one begins."""

    def __init__(self, out: Path) -> None:
        self.out, self.saved = out, list[int]()

    def progress(self, done: int, total: int, record: object = None) -> None:
        if done:
            self.saved.append(len(json.loads((self.out / "gpu.json").read_text())["parts"]))
            assert (self.out / "gpu.md").read_text().count("\n## ") == 2 + self.saved[-1]


@pytest.mark.slow
def test_a_part_that_fails_or_hangs_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    hangs = replace(PART["arc"], seconds=0.01)
    parts = [hangs, PART["first-prediction"], PART["first-step"]]
    saved = SavedParts(out)
    report = gpu.measure_card(out, TimeLimit(TOO_LONG), True, GOLDEN, None, parts, saved)
    killed, failed, done = report["parts"]
    assert (killed["status"], killed["error"]) == ("killed", "it took longer than 0 s")
    assert failed["status"] == "failed" and failed["error"].startswith("there are no weights")
    assert done["status"] == "done" and len(done["measurements"]) == 1
    assert saved.saved == [1, 2, 3]
    assert json.loads((out / "gpu.json").read_text()) == report
    page = (out / "gpu.md").read_text()
    assert done["measurements"][0]["text"] in page and failed["error"] in page
    assert report["machine"]["torch"] in page


def test_what_cannot_be_measured_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [PART["golden"], PART["arc"]]
    nothing = tmp_path / "nothing"
    monkeypatch.setattr(gpu, "GOLDEN", nothing)  # as where only the package is installed
    report = gpu.measure_card(tmp_path / "out", TimeLimit(1.0), True, nothing, None, parts)
    assert [part["status"] for part in report["parts"]] == ["skipped", "skipped"]
    golden, arc = (part["error"] for part in report["parts"])
    assert "--golden" in golden and "--minutes" in arc


@pytest.mark.parametrize(
    ("option", "value", "said"), [("--golden", "nothing", "--golden"), ("--minutes", "nan", "0.1")]
)
def test_wrong_options_are_refused_before_anything_is_written(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(gpu.main, ["--tiny", "--out", str(out), option, value])
    assert done.exit_code == 2 and said in done.output and "Traceback" not in done.output
    assert not out.exists()


def test_rates_stand_beside_the_published_ones() -> None:
    values = {"utilisation": 0.5, "product_tflops_before_after": [600.0, 610.0]}
    rate = {"per_second": 15.0, "low": 14.0, "high": 16.0, "unit": "examples", "published": 10.0}
    measurement = {"title": "a|b", "command": "", "text": "", "values": values, "rate": rate}
    part = {
        "title": "A part",
        "status": "done",
        "error": "",
        "seconds": 3.0,
        "limit_seconds": 9.0,
        "measurements": [measurement],
    }
    report = {"command": "c", "began_at": "now", "tiny": False, "machine": {}, "parts": [part]}
    page = markdown(report | {"file_commands": ["makes a file"]})
    assert "\n    makes a file\n" in page
    assert "| a\\|b | 15 examples | 14 to 16 | 10 | 1.50 | 0.500 | 600, 610 |  |" in page
    assert PUBLISHED_ON in page and "Models, batches and times are tiny" not in page


def test_where_nothing_is_measured_the_page_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "PROCESS_STARTED", time.monotonic() - 60.0)
    out = tmp_path / "out"
    done = CliRunner().invoke(gpu.main, ["--out", str(out), "--minutes", "0.5"])
    assert done.exit_code == 2 and "nothing was measured" in done.stderr
    assert "--minutes" in (out / "gpu.md").read_text()


def test_invalid_tasks_are_left_out_and_listed(challenges: Path, tmp_path: Path) -> None:
    tasks = json.loads(challenges.read_text())
    (tmp_path / "some.json").write_text(json.dumps(tasks | {"damaged": {"train": 1}}))
    told = Notes()
    settings = gpu.data_settings(str(tmp_path / "some.json"), told)
    assert "data.skip_invalid=true" in settings
    assert len(told.notes) == 1 and "damaged" in told.notes[0]


def test_card_and_driver_are_asked_of_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"  # answers as the real one does, and only what it knows
    fields = "name,driver_version,memory.total,memory.used,power.limit,clocks.max.sm"
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = "--query-gpu={fields} --format=csv,noheader" ] || exit 2\n'
        "echo 'A card, 1.2'\necho 'Another, 1.2'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert gpu._nvidia_smi() == "A card, 1.2; Another, 1.2"


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, message in (
        (["--out", tmp_path], "already exists and is not an empty folder"),
        (["--out", tmp_path / "new", "--data", "nothing"], "neither a dataset nor"),
        (["--out", tmp_path / "new", "--data", ""], '"" is neither a dataset nor'),
        (["--out", tmp_path / "new", "--data", "sudoku-easy/test"], "name ARC tasks with --data"),
        (["--out", tmp_path / "file" / "new"], "cannot make the folder"),
    ):
        result = CliRunner().invoke(gpu.main, [*map(str, options)])
        assert result.exit_code == 2 and message in result.output
        assert "Traceback" not in result.output and result.output.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def parts_below(folder: Path) -> list[str]:
    """The processes of parts that run in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command, place = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
        except OSError:
            continue
        if b"arc_trm.benchmarks.gpu_parts" in command and place.is_relative_to(folder):
            found.append(process.name)
    return found


@pytest.mark.slow
@finds_processes
def test_a_signal_ends_the_part_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arc_trm.benchmarks.gpu", "--out", tmp_path / "out"]
    environment = {**one_thread(), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + TOO_LONG
    while not parts_below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[-1] == "stopped"
    assert parts_below(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
