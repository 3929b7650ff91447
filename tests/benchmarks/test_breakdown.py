"""The parts of a step, read from traces of the profiler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import ARCHITECTURES

from arc_trm.benchmarks import breakdown
from arc_trm.benchmarks.timing import mean_watts
from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.models import PuzzleModel, build_model
from arc_trm.training import Trainer

STEP, BACKWARD = "arc-trm: the rest", "autograd::engine::evaluate_function: "


def span(
    name: str, start: float, end: float, thread: int = 1, kind: str = "cpu_op", **arguments: int
) -> dict[str, Any]:
    named = {key.replace("_", " "): value for key, value in arguments.items()}
    times = {"ts": start * 1e6, "dur": (end - start) * 1e6}
    return {"ph": "X", "cat": kind, "name": name, "tid": thread, **times, "args": named}


HOST = [
    span(STEP, 0, 20),
    span("arc-trm: norms", 1, 6),
    span("arc-trm: attention", 2, 5),
    span("aten::mul", 2.5, 2.6, Sequence_number=7),  # makes no node, the next one does
    span("aten::mm", 3, 4, Sequence_number=7),
    span("aten::add", 5.5, 5.8, Sequence_number=8),
]


def test_the_innermost_part_counts_on_a_cpu_and_backward_for_the_part_of_its_node() -> None:
    events = [
        *HOST,
        span(BACKWARD + "AddBackward0", 10, 11, Sequence_number=8),
        span(BACKWARD + "MmBackward0", 11, 14, Sequence_number=7),
        span(BACKWARD + "torch::autograd::AccumulateGrad", 14, 15),
    ]
    parts = breakdown.read_trace(events)
    assert parts == pytest.approx({"attention": 3 + 3, "norms": 2 + 1, "the rest": 11})


def test_kernels_count_for_the_part_that_launched_them_in_any_thread() -> None:
    events = [
        *HOST,
        span("cudaLaunchKernel", 3.1, 3.2, kind="cuda_runtime", correlation=1),
        span("cuLaunchKernel", 5.6, 5.7, kind="cuda_driver", correlation=2),
        span(BACKWARD + "MmBackward0", 10, 11, thread=2, Sequence_number=7),
        span("cudaLaunchKernel", 10.1, 10.2, thread=2, kind="cuda_runtime", correlation=3),
        span("cudaMemcpyAsync", 12, 12.1, kind="cuda_runtime", correlation=4),
        span("arc-trm: attention", 2, 18, kind="gpu_user_annotation"),
        span("gemm", 6, 8, thread=7, kind="kernel", correlation=1),
        span("norm", 8, 9, thread=7, kind="kernel", correlation=2),
        span("gemm", 12, 15, thread=7, kind="kernel", correlation=3),
        span("copy", 14, 16, thread=8, kind="gpu_memcpy", correlation=4),  # 1 s beside the product
        span("unknown", 17, 18, thread=7, kind="kernel", correlation=99),
    ]
    parts = breakdown.read_trace(events)
    assert parts == pytest.approx({"attention": 5, "norms": 1, "the rest": 2})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_parts_of_a_step_add_up_and_leave_nothing_behind(architecture: str) -> None:
    model, trainer = tiny_trainer(architecture)
    batch = {
        "inputs": torch.ones(2, 16, dtype=torch.int),
        "labels": torch.ones(2, 16, dtype=torch.int),
        "puzzle_ids": torch.zeros(2, dtype=torch.int),
    }
    parts = breakdown.step_parts(lambda: trainer.step(batch), 2.0, 0.5, model, trainer)
    assert sum(parts.values()) == pytest.approx(2)
    assert parts["data"] == 0.5
    named = {"attention", "swiglu", "norms", "heads", "embedding", "loss", "optimisers"}
    assert set(parts) == {"data", "the rest", *named}
    assert all(seconds > 0 for seconds in parts.values())
    for each in (trainer, *model.modules()):
        assert not any(hasattr(value, "__wrapped__") for value in vars(each).values())


def test_backward_is_found_in_a_real_trace() -> None:
    model, trainer = tiny_trainer("transformer")
    y, _ = model.initial_state(2)
    events = breakdown._trace(
        lambda: model.token_logits(y).float().sum().backward(), y.device, model, trainer
    )
    forward = [each for each in events if not each.get("name", "").startswith(BACKWARD)]
    assert len(forward) < len(events)
    assert breakdown.read_trace(events)["heads"] > breakdown.read_trace(forward)["heads"]


def tiny_trainer(architecture: str) -> tuple[PuzzleModel, Trainer]:
    config = from_dict(ModelConfig, ARCHITECTURES[architecture])
    model = build_model(config, 1)
    return model, Trainer(model, TrainConfig(global_batch_size=2, total_steps=9))


@pytest.mark.parametrize(
    ("output", "watts"),
    [("100.5\n200.5\n", 150.5), ("[N/A]\n", None), ("", None), ("100\n15", 57.5)],
)
def test_power_is_the_mean_of_the_numbers_that_there_are(output: str, watts: float | None) -> None:
    assert mean_watts(output) == watts
