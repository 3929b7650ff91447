"""arc-trm bench: what it counts is right, what it says is there, what cannot be is one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner, Result
from tiny import ARCHITECTURES, write_challenges
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from arc_trm.benchmarks import scaling as growth
from arc_trm.benchmarks import throughput as jobs
from arc_trm.benchmarks import timing
from arc_trm.benchmarks.flops import layer_flops, supervision_flops
from arc_trm.cli import main
from arc_trm.config import ModelConfig, from_dict
from arc_trm.models import build_model

PUBLISHED = ModelConfig()


def test_the_published_size_takes_what_is_said_of_it() -> None:
    model = build_model(PUBLISHED, 1)
    application = 2 * layer_flops(PUBLISHED, PUBLISHED.length)
    assert application == pytest.approx(15.9e9, rel=0.01)
    assert supervision_flops(model, 916, training=False) == 15 * application
    assert supervision_flops(model, 916, training=True) == 25 * application


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "mixer"])
def test_operations_are_those_that_pytorch_counts(architecture: str) -> None:
    shape = ARCHITECTURES.get(architecture, {**ARCHITECTURES["trm"], "mixer": "mlp"})
    model = build_model(from_dict(ModelConfig, shape), 1)
    batch, length = 3, model.config.length
    x = model.embed(torch.zeros(batch, length - 1).int(), torch.zeros(batch, 32))
    # Attention in plain products, for the counter does not know the processor's own kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        y, _ = model.supervision_step(x.requires_grad_(), *model.initial_state(batch))
    assert counter.get_total_flops() == batch * supervision_flops(model, length, training=False)
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    passes = model.blocks_with_gradient * layer_flops(model.config, length)
    assert counter.get_total_flops() == batch * 2 * passes


@pytest.fixture
def quick(monkeypatch, tmp_path) -> list[str]:
    """Options of a tiny model on tiny tasks, in a hurry."""
    monkeypatch.setattr(jobs, "SECONDS", 0.01)
    monkeypatch.setattr(timing, "PRODUCT_SECONDS", 0.01)
    monkeypatch.setattr(timing, "PRODUCT_SIDE", {"cpu": 64})
    monkeypatch.setattr(timing.timed, "__defaults__", (0.01,))
    challenges = write_challenges(tmp_path)
    settings = [f"model.{key}={value}" for key, value in ARCHITECTURES["trm"].items()]
    settings += [f'data.test=["{challenges}"]', "data.augmentations=3"]
    return ["--preset", "quickstart", *(f"--set={each}" for each in settings)]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


def told(*arguments: str) -> dict:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(last, dict)
    return last


@pytest.mark.parametrize("what", ["train", "predict"])
def test_train_and_predict(quick, what: str) -> None:
    result = told(what, *quick, "--set=dtype=float32")
    assert result["what"] == what
    expected = result["gflop_per_example"] * result["batch_size"] / result["seconds_per_step"] / 1e3
    assert result["utilisation"] == pytest.approx(expected / result["product_tflops"], rel=0.01)
    rate = result["batch_size"] / result["seconds_per_step"]
    assert result["examples_per_second"] == pytest.approx(rate, rel=0.01)
    assert {"attention", "swiglu", "norms", "heads"} <= result["parts"].keys()
    assert all(seconds > 0 for seconds in result["parts"].values())
    assert result["first_step_seconds"] > 0 and result["peak_memory_mb"] > 0
    assert result["whole_run"]["examples"] == {"train": 144000, "predict": 12}[what]
    assert result["kernels"] is False
    if what == "train":
        assert {"data", "loss", "optimisers"} <= result["parts"].keys()
        assert set(result["needed_memory_mb"]) >= {"table", "activations"}


def test_a_run_on_fitting_canvases_is_the_mean_of_all(quick, tmp_path) -> None:
    large = {"train": [{"input": [[1] * 12] * 12, "output": [[2]]}], "test": [{"input": [[1]]}]}
    path = tmp_path / "tiny_challenges.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "large": large}))
    (tmp_path / "tiny_solutions.json").unlink()
    fit = ["--set=model.canvas=bucketed", "--set=model.seq_len=225", "--set=data.max_grid_size=30"]
    for what in ("train", "predict"):
        result = told(what, *quick, *fit, "--batch-size", "2")
        shares, seconds = result["share_by_side"], result["seconds_per_step_by_side"]
        assert set(shares) == set(seconds) == {"8", "13"}
        assert sum(shares.values()) == pytest.approx(1, rel=1e-3)
        mean = sum(shares[side] * seconds[side] for side in shares)
        assert result["seconds_per_step"] == pytest.approx(mean, rel=0.01)
        assert "a step on the canvas of side 13: " in invoke(what, *quick, *fit).output
    assert shares["13"] == pytest.approx(1 / 4, rel=1e-3)  # a task of four


def test_data(quick) -> None:
    result = told("data", *quick, "--json")
    assert result["examples_per_second"] > 0
    assert result["puzzles"] == 12


def test_people_are_told_how_long_the_whole_takes(quick) -> None:
    output = invoke("train", *quick).output
    assert "examples a second" in output
    assert "the whole, 144,000 examples: " in output


def test_growth_is_drawn(quick, monkeypatch, tmp_path) -> None:
    for name in ("BATCHES", "SUPERVISION_STEPS", "AUGMENTATIONS"):
        monkeypatch.setattr(growth, name, (1, 2))
    picture = tmp_path / "g.svg"
    result = told("growth", *quick, "--out", str(picture))
    assert [at for at, _ in result["cells"]] == [16]
    assert [at for at, _ in result["augmentations"]] == [1, 2]
    drawn = picture.read_text()
    assert "Cells of the canvas" in drawn and drawn.count("<polyline") > 8
    lost = invoke("growth", *quick, "--out", str(picture / "g.svg"))  # in a file, not a folder
    assert lost.exit_code == 2 and "Traceback" not in lost.output
    assert json.loads(lost.stdout)["what"] == "growth"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--out", "x.svg"], "writes no picture"),
        (["data", "--device", "cpu"], "leave out --device"),
        (["growth", "--batch-size", "4"], "leave out --batch-size"),
        (["growth", "--out", "x.gif"], "ends in .svg or .png"),
        (["train", "--preset", "nothing"], "unknown preset"),
        (["train", "--device", "cuda:99"], "cannot be used here"),
        (["nonsense"], "is not one of"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_processes_measure_together(quick, tmp_path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    command += ["-m", "arc_trm", "bench", "train", *quick, "--batch-size", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert (result["processes"], result["batch_size"]) == (2, 4)
