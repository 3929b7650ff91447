"""metrics.jsonl grows while a run trains, in whole lines, and is right after a kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TRAIN, make_trainer, run_config

from arc_trm import runs
from arc_trm.checkpoint import read_tensors, save_config
from arc_trm.runs import Run
from arc_trm.training import Callback, Trainer, run_dir, train_run
from arc_trm.training.run_dir import RunWriter
from arc_trm.training.trainer import METRICS
from submission import WriteError

CPU = torch.device("cpu")
TOTAL = TRAIN["total_steps"]


class Reader(Callback):
    """Reads metrics.jsonl at every step, and ends the run at one as a kill would."""

    def __init__(self, run: Path, stop: int | None = None) -> None:
        self.path, self.stop = run / runs.METRICS, stop
        self.seen: list[str] = []
        self.records: list[Mapping[str, float]] = []

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        self.seen.append(self.path.read_text() if self.path.exists() else "")
        if record is not None:
            self.records.append(record)
        if done == self.stop:
            raise InterruptedError


def write_at_once(monkeypatch: pytest.MonkeyPatch, interval: float = 0.0) -> None:
    monkeypatch.setattr(run_dir, "METRICS_INTERVAL_S", interval)


def lines(run: Path) -> list[dict[str, Any]]:
    """The records in the file as they are, without what depends on the machine's speed."""
    text = (run / runs.METRICS).read_text()
    assert not text or text.endswith("\n")
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        del record["train/examples_per_second"], record["train/seconds"]
    return records


def test_records_are_written_long_before_the_first_save(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at_once(monkeypatch)
    run = tmp_path / "run"
    reader = Reader(run, stop=7)
    with pytest.raises(InterruptedError):
        train_run(run_config(challenges), CPU, run, callbacks=[reader])
    assert not (run / runs.TRAINING_STATE).exists()
    assert len(reader.seen) == 8
    for step, text in enumerate(reader.seen):
        assert text == "" or text.endswith("\n")
        records = [json.loads(line) for line in text.splitlines()]
        assert records == reader.records[:step]
    assert Run(run).metrics == reader.records


def test_the_file_is_not_written_at_every_step(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at_once(monkeypatch, interval=1e9)
    reader = Reader(tmp_path / "run")
    train_run(run_config(challenges), CPU, tmp_path / "run", callbacks=[reader])
    assert {*reader.seen} == {""}
    assert Run(tmp_path / "run").metrics == reader.records  # at the end all are there


def test_a_long_run_has_records_from_its_first_step_on(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges, train={**TRAIN, "total_steps": 10_000})
    reader = Reader(tmp_path / "run", stop=31)
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "run", callbacks=[reader])
    assert [record["step"] for record in reader.records] == [1, 2, 4, 8, 10, 20, 30]


@pytest.fixture
def killed(tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was saved at step 4 and whose metrics reach step 9."""
    run = tmp_path / "killed"
    config = run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[Reader(run, stop=5)])
    assert int(read_tensors(run / runs.TRAINING_STATE)[0]["steps_done"]) == 4
    state = (run / runs.TRAINING_STATE).read_bytes()
    with pytest.raises(InterruptedError):
        train_run(Run(run).config, CPU, run, resume=True, callbacks=[Reader(run, stop=10)])
    (run / runs.TRAINING_STATE).write_bytes(state)
    assert [record["step"] for record in lines(run)] == [*range(1, 10)]
    return run


@pytest.mark.parametrize("cut", [0, 1, 40, 10_000])
@pytest.mark.slow
def test_no_record_stands_twice_or_is_lost_after_a_kill(
    tmp_path: Path, challenges: Path, killed: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """The kill cut so many bytes off the file, but nothing older than the training state."""
    write_at_once(monkeypatch)
    train_run(run_config(challenges), CPU, tmp_path / "straight")
    path = killed / runs.METRICS
    kept = "".join(f"{line}\n" for line in path.read_text().splitlines()[:4]).encode()
    written = path.read_bytes()
    path.write_bytes(written[: max(len(kept), len(written) - cut)])
    reader = Reader(killed, stop=6)
    with suppress(InterruptedError):
        train_run(Run(killed).config, CPU, killed, resume=True, callbacks=[reader])
    assert reader.seen[0].encode() == kept  # from the first step on nobody reads dropped records
    train_run(Run(killed).config, CPU, killed, resume=True)
    assert lines(killed) == lines(tmp_path / "straight")
    assert path.read_bytes().startswith(kept)


def test_a_full_disk_is_named_and_leaves_whole_lines(
    tmp_path: Path, killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at_once(monkeypatch)
    shutil.copytree(killed, tmp_path / "before")
    real = Path.open

    class Full:
        """A file on a disk that takes ten bytes more."""

        def __init__(self, file: Any) -> None:
            self._file, self._room = file, 10

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: memoryview) -> int:
            if not self._room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = self._file.write(data[: self._room])
            self._room -= written
            return int(written)

    def open_on_a_full_disk(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = real(self, mode, *rest, **more)
        return Full(file) if self.name == runs.METRICS and "a" in mode else file

    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot be written: the disk is full"):
        train_run(Run(killed).config, CPU, killed, resume=True)
    monkeypatch.undo()
    assert lines(killed) == lines(tmp_path / "before")[:4]
    for name in (runs.TRAINING_STATE, "model.safetensors"):
        assert (killed / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    assert train_run(Run(killed).config, CPU, killed, resume=True).step == TOTAL
    assert [record["step"] for record in lines(killed)] == [*range(1, TOTAL + 1)]


def test_records_say_how_the_steps_since_the_last_one_went(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Mapping[str, float]] = []
    real = Trainer.step

    def step(self: Trainer, batch: Mapping[str, torch.Tensor]) -> Mapping[str, float]:
        metrics = real(self, batch)
        steps.append({**metrics, **self.learning_rates()})
        return metrics

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(run_dir, "MIN_RECORDS", 1)
    train_run(run_config(challenges), CPU, tmp_path / "run")
    records = Run(tmp_path / "run").metrics
    assert [record["step"] for record in records] == [1, 2, 4, 8, 12]
    size, first = TRAIN["global_batch_size"], 0
    for record in records:
        part, first = steps[first : int(record["step"])], int(record["step"])

        def total(name: str, part: list[Mapping[str, float]] = part) -> float:
            return sum(step[name] for step in part)

        examples, halted = len(part) * size, total("count")
        expected = {
            "step": first,
            "train/loss": total("loss") / len(part),
            "train/lm_loss": total("lm_loss") / examples,
            "train/halt_loss": total("halt_loss") / examples,
            "train/halted": halted,
            "train/halted_share": halted / examples,
            "train/grad_norm": total("grad_norm") / len(part),
            "train/lr": part[-1]["lr"],
            "train/puzzle_emb_lr": part[-1]["puzzle_emb_lr"],
        }
        if halted:
            expected |= {
                "train/cell_accuracy_of_halted": total("accuracy") / halted,
                "train/exact_of_halted": total("exact_accuracy") / halted,
                "train/halt_accuracy_of_halted": total("halt_accuracy") / halted,
                "train/steps_of_halted": total("steps") / halted,
            }
        assert record.pop("train/examples_per_second") > 0 < record.pop("train/seconds")
        assert record == pytest.approx(expected)
    assert halted > 0


def test_the_time_of_a_record_goes_on_after_a_kill(tmp_path: Path) -> None:
    state, fingerprints = tmp_path / "run", {"data": "", "config": "{}"}
    state.mkdir()
    records: list[dict[str, float] | None] = []
    for steps in (range(1, 15), range(15, 21)):
        trainer = make_trainer()
        save_config(state, trainer.model.config, ["<blank>", *"abcde"])
        writer = RunWriter(state, trainer, 10_000, fingerprints)
        if steps[0] > 1:
            writer.load()
        values = dict.fromkeys(METRICS, 1.0)
        records += [writer.log_step(step, values, 2.0) for step in steps]
        trainer.steps_done = steps[-1]
        writer.save()
    found = {int(each["step"]): each for each in records if each is not None}
    assert found.keys() == {1, 2, 4, 8, 10, 20}
    for step, record in found.items():
        assert record["train/seconds"] == 2.0 * step
        assert record["train/examples_per_second"] == trainer.config.global_batch_size / 2


def test_the_time_of_training_goes_on_after_a_kill(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at_once(monkeypatch)
    train = {**TRAIN, "save_interval_s": 1e-9}
    run, config = tmp_path / "run", run_config(challenges, train=train)
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[Reader(run, stop=7)])
    path = run / runs.METRICS
    text = path.read_text()
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        record["train/seconds"] += 1000  # as of a run that has trained for long
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    train_run(config, CPU, run, resume=True)
    times = [record["train/seconds"] for record in Run(run).metrics]
    assert len(times) > len(records) and times == sorted(times)
    assert times[0] > 1000 and times[-1] < 2000
