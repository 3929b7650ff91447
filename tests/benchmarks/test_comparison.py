"""arc-trm bench --with: blocks of two settings in turn, and what their ratios say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import make_trainer

from arc_trm.benchmarks import comparison
from arc_trm.benchmarks.comparison import Setting, bench_comparison, comparison_lines
from arc_trm.benchmarks.throughput import Benchmark, CanvasSteps
from arc_trm.callbacks import Callback
from arc_trm.config import load_config

CPU = torch.device("cpu")


class Machine:
    """A machine with a clock of its own, on which steps may take longer the later it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slowdown: float = 0.0) -> None:
        self.now, self.slowdown, self.steps = 0.0, slowdown, list[float]()
        self._patch = monkeypatch
        monkeypatch.setattr(comparison, "elapsed", self.elapsed)

    def elapsed(self, step: Callable[[], object], device: torch.device, repeats: int = 1) -> float:
        before = self.now
        for _ in range(repeats):
            step()
        return self.now - before

    def step(self, seconds: float) -> None:
        self.steps.append(seconds)
        self.now += seconds * (1 + self.slowdown * self.now)

    def compare(self, *settings: dict[float, float]) -> Any:
        """Compare settings: the share of each canvas by the seconds of a step on it."""
        config, trainer = load_config("quickstart"), make_trainer()
        benchmarks = [
            Benchmark(
                config,
                trainer.model,
                [
                    CanvasSteps(side**2, share, lambda cost=cost: self.step(cost))
                    for side, (cost, share) in enumerate(costs.items(), start=1)
                ],
                batch_size=12,
                examples=1,
            )
            for costs in settings
        ]
        prepared = iter(benchmarks)
        self._patch.setattr(comparison, "prepare_training", lambda *_: next(prepared))
        named = [Setting(name, config) for name in ("as given", "changed")]
        return bench_comparison("train", named, CPU, Callback())


def test_each_canvas_counts_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setattr(comparison, "BLOCK_SECONDS", 16.0)
    result = machine.compare({4.0: 0.6, 0.5: 0.4}, {5.0: 1.0})
    first, second = (each["blocks"] for each in result["settings"])
    assert first == pytest.approx([12 / 2.6] * result["rounds"])  # 0.6 * 4 + 0.4 * 0.5
    assert second == pytest.approx([12 / 5.0] * result["rounds"])
    assert result["ratio"]["median"] == pytest.approx(2.6 / 5)
    block = [4.0] * 2 + [0.5] * 16  # 8 s on each of two canvases
    assert machine.steps[-len(block) - 3 :] in (block + [5.0] * 3, [5.0] * 3 + block)


def test_slow_steps_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    result = machine.compare({100.0: 0.9, 50.0: 0.1}, {70.0: 1.0})
    first, second = [100.0, 50.0], [70.0]
    assert machine.steps[:6] == first + second + first + second  # to warm up, and to time one
    blocks = machine.steps[6:]
    assert len(blocks) == 3 * result["rounds"]
    assert blocks[:6] == second + first + first + second  # neither is always the first


@pytest.mark.parametrize("seconds", [0.9, 1.0, 1.1])
def test_a_machine_that_becomes_slower_is_no_difference(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the whole comparison a step becomes slower by more than the settings differ."""
    machine = Machine(monkeypatch, slowdown=0.01)
    result = machine.compare({1.0: 1.0}, {seconds: 1.0})
    rates = result["settings"][0]["examples_per_second"]
    assert rates["most"] > 1.15 * rates["least"]
    assert result["differs"] is (seconds != 1)
    assert result["ratio"]["median"] == pytest.approx(1 / seconds, rel=0.05)
    last = comparison_lines(result)[-1]
    assert last.endswith("no difference") is (seconds == 1)
