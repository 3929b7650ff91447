"""Forward pass, training and tokens agree with recordings of the published code.

The recordings were made with the AVX-512 kernels of Intel's MKL. The random weights of the MLP
mixer amplify rounding errors in every supervision step, so its numbers need the same order of
summation. The mixer therefore runs in a process of its own, with two threads (one thread sums in
another order) and with MKL's kernels for Intel CPUs (MKL chooses others on AMD CPUs). Other CPUs
skip it.

As a script, `test_golden.py check_forward NAME` prints the largest deviation.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import GOLDEN, ROOT, TESTS

from arc_trm.benchmarks.golden import load_golden, recorded_batches, recorded_config
from arc_trm.checkpoint.published import our_name
from arc_trm.puzzles.arc.augmentation import ArcAugmentation
from arc_trm.puzzles.arc.tokenizer import decode, encode_pair
from arc_trm.tasks import Pair, as_grid
from arc_trm.training import Trainer

LOGITS, LOSS = 1e-4, 1e-5
PORTABLE = ["trm_attention", "trm_learned_positions", "hrm"]
"""Recordings that every CPU reproduces."""


def check_forward(name: str) -> float:
    """Check all predictions and return the largest deviation of a recorded logit."""
    model, golden = load_golden(GOLDEN / name), np.load(GOLDEN / name / "forward.npz")
    inputs = torch.from_numpy(golden["batch_inputs"])
    puzzle_ids = torch.from_numpy(golden["batch_puzzle_identifiers"])
    deviation = 0.0
    steps = 0
    for steps, (logits, halt) in enumerate(model.predict_steps(inputs, puzzle_ids), 1):
        assert np.array_equal(logits.argmax(-1).numpy(), golden[f"preds_{steps}"]), steps
        np.testing.assert_allclose(halt.numpy(), golden[f"q_halt_{steps}"], rtol=0, atol=LOGITS)
        if f"logits_{steps}" in golden:
            deviation = max(deviation, np.abs(logits.numpy() - golden[f"logits_{steps}"]).max())
    assert steps == 16
    assert deviation < LOGITS
    return float(deviation)


def digest(tensor: torch.Tensor) -> np.ndarray:
    """Size, sums and some entries of a tensor, as they were recorded."""
    flat = tensor.detach().double().flatten()
    sums = [len(flat), flat.sum(), flat.abs().sum(), flat.norm()]
    return np.array([*map(float, sums), *flat[:: max(1, len(flat) // 32)][:32].tolist()])


def our_names(golden: np.lib.npyio.NpzFile, part: str, architecture: str) -> dict[str, np.ndarray]:
    keys = [key for key in golden if key.startswith(part)]
    return {our_name(key.removeprefix(part), architecture): golden[key] for key in keys}


def check_training(name: str) -> float:
    """Check 12 training steps and the final weights; return the largest deviation of the loss."""
    model, golden = load_golden(GOLDEN / name), np.load(GOLDEN / name / "train.npz")
    recorded = json.loads((GOLDEN / name / "train.json").read_text())
    batch_size = recorded["batch_size"]
    trainer = Trainer(model, recorded_config(recorded))
    deviation = 0.0
    batches = recorded_batches(GOLDEN / name, recorded)
    for expected, batch in zip(recorded["log"], batches, strict=True):
        metrics = trainer.step(batch)
        assert metrics["lm_loss"] == pytest.approx(expected["lm_loss"], rel=LOSS)
        assert metrics["halt_loss"] == pytest.approx(expected["q_halt_loss"], rel=LOSS)
        continue_loss = expected.get("q_continue_loss", 0.0)  # only HRM has one
        assert metrics["continue_loss"] == pytest.approx(continue_loss, rel=LOSS)
        for ours in ("count", "exact_accuracy", "steps"):
            assert metrics[ours] == expected[ours]
        assert metrics["halt_accuracy"] == expected["q_halt_accuracy"]
        assert metrics["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
        assert trainer.carry["halted"].int().tolist() == expected["halted"]
        assert trainer.carry["steps"].tolist() == expected["steps_done"]
        norm = float(trainer.gradients.norm())
        assert norm == pytest.approx(expected["grad_norm"], rel=1e-4)
        deviation = max(deviation, abs(metrics["loss"] * batch_size / expected["loss"] - 1))
    assert deviation < LOSS
    final = {**model.state_dict(), "puzzle_embedding": model.puzzle_embedding}
    averaged = trainer.averaged_state()
    ema = {name: averaged[name] for name, _ in model.named_parameters()}
    for part, ours in (("final/", final), ("ema/", ema)):
        names = our_names(golden, part, model.config.architecture)
        assert names.keys() == ours.keys()
        for key, expected in names.items():
            np.testing.assert_allclose(digest(ours[key]), expected, rtol=1e-4, atol=1e-6)
    return deviation


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
def test_forward(name: str) -> None:
    check_forward(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
def test_training(name: str) -> None:
    check_training(name)


def intel_kernels(folder: Path) -> dict[str, str]:
    """Return environment variables that make MKL use its kernels for Intel, or skip the test."""
    if not (torch.backends.mkl.is_available() and torch.cpu._is_avx512_supported()):
        pytest.skip("needs MKL and a CPU with AVX-512")
    if "GenuineIntel" in Path("/proc/cpuinfo").read_text():
        return {}
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler to make MKL choose its Intel kernels on this CPU")
    source, library = folder / "kernels.c", folder / "kernels.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.slow
@pytest.mark.parametrize("check", ["check_forward", "check_training"])
def test_mixer(check: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, __file__, check, "trm_mixer"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS / "helpers")]),
            "OMP_NUM_THREADS": "2",
            **intel_kernels(tmp_path),
        },
        check=True,
    )


GRIDS = json.loads((GOLDEN / "arc" / "grids.json").read_text())


@pytest.mark.parametrize("case", GRIDS["encode"])
def test_encode(case: dict) -> None:
    inputs, labels = encode_pair(Pair(as_grid(case["input"]), as_grid(case["output"])))
    assert inputs.tolist() == case["input_tokens"]
    assert labels.tolist() == case["output_tokens"]


@pytest.mark.parametrize("case", GRIDS["augment"])
def test_augment(case: dict) -> None:
    augmentation = ArcAugmentation.from_name(case["name"].removeprefix("task|||"))
    assert augmentation.apply(as_grid(case["grid"])).tolist() == case["augmented"]
    assert augmentation.invert(as_grid(case["augmented"])).tolist() == case["grid"]


@pytest.mark.parametrize("case", GRIDS["crop"])
def test_decode(case: dict) -> None:
    grid = decode(np.array(case["tokens"], np.uint8))
    assert ([] if grid is None else grid.tolist()) == case["grid"]


if __name__ == "__main__":
    check, name = sys.argv[1:]
    print(name, check, "largest deviation", globals()[check](name))
