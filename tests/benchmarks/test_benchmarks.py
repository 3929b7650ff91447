"""arc-trm bench: it counts correctly, says what it measured, and refuses what it cannot do."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from click.testing import Result
from paths import ROOT
from tiny import ARCHITECTURES
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from arc_trm.benchmarks import BenchmarkResult, comparison, kernels, scaling, throughput, timing
from arc_trm.benchmarks.adaptation import MACHINES, computed_rates
from arc_trm.benchmarks.flops import block_flops, supervision_flops
from arc_trm.config import ModelConfig, from_dict, load_config
from arc_trm.data.processes import process_count
from arc_trm.environment import processor_name
from arc_trm.errors import UserError
from arc_trm.models import BLOCKS, PuzzleModel, build_model

PUBLISHED = ModelConfig()
NO_EMBEDDING = {"mixer": "mlp", "puzzle_emb_len": 0, "puzzle_emb_dim": 0}
SHAPES: dict[str, dict[str, object]] = {
    **ARCHITECTURES,
    "mixer": {**ARCHITECTURES["trm"], "mixer": "mlp"},
    "conv_swiglu": {**ARCHITECTURES["trm"], "block": "conv_swiglu"},
    "digits": {**ARCHITECTURES["trm"], **NO_EMBEDDING, "block": "digit_equivariant"},
}
Cli = Callable[..., Result]


@pytest.mark.slow
def test_published_size_takes_the_documented_flops() -> None:
    model = build_model(PUBLISHED, 1)
    network = 2 * block_flops(PUBLISHED, PUBLISHED.length)
    assert network == pytest.approx(15.9e9, rel=0.01)
    assert supervision_flops(model, 916, training=False) == 15 * network
    assert supervision_flops(model, 916, training=True) == 25 * network


def embedded(model: PuzzleModel, batch: int) -> torch.Tensor:
    """x of empty puzzles."""
    config = model.config
    puzzle_embeddings = torch.zeros(batch, config.puzzle_emb_dim)
    return model.embed(torch.zeros(batch, config.seq_len).int(), puzzle_embeddings)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts(shape: dict[str, object]) -> None:
    model = build_model(from_dict(ModelConfig, shape), 1)
    batch, length = 3, model.state_length()
    x = embedded(model, batch)
    # Attention as plain products: the counter does not know the fused kernel of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        y, _ = model.supervision_step(x.requires_grad_(), *model.initial_state(batch))
    assert counter.get_total_flops() == batch * supervision_flops(model, length, training=False)
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    forward = model.blocks_with_gradient * block_flops(model.config, length)
    assert counter.get_total_flops() == batch * 2 * forward


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.slow
def test_flops_without_gradients_of_the_weights_are_those_that_pytorch_counts(
    shape: dict[str, object],
) -> None:
    model = build_model(from_dict(ModelConfig, shape), 1).requires_grad_(False)
    batch, length = 3, model.state_length()
    leaf = embedded(model, batch).requires_grad_()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        x = 1 * leaf  # the counter hooks the arguments of modules, which may be no leaves
        y, z = model.supervision_step(x, *model.initial_state(batch))
        torch.autograd.grad(y.sum(), leaf)
        if model.has_continue_head:
            with torch.no_grad():
                model.supervision_step(x, y, z)
    expected = supervision_flops(model, length, training=True, embedding_only=True)
    assert counter.get_total_flops() == batch * expected


@pytest.mark.parametrize(
    ("block", "flops"), [("linear", 2 * 5 * 32 * 32), ("nothing", None), ("looped", None)]
)
def test_flops_of_blocks_from_outside_are_counted(
    block: str, flops: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looped(torch.nn.Module):
        def forward(self, h: torch.Tensor) -> torch.Tensor:
            while h.sum() > 1:  # nobody knows how often
                h = h / 2
            return h

    made = {"linear": torch.nn.Linear(32, 32, device="meta"), "looped": Looped()}
    for name, module in made.items():
        monkeypatch.setitem(BLOCKS, name, lambda config, generator, module=module: module)
    config = ModelConfig(block=block, hidden_size=32, puzzle_emb_dim=32)
    if flops is not None:
        assert block_flops(config, 5) == flops
        return
    with pytest.raises(UserError, match=f'block "{block}"'):
        block_flops(config, 5)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, challenges: Path) -> list[str]:
    """Options of a tiny model on tiny tasks, measured for a moment."""
    monkeypatch.setattr(throughput, "STEP_SECONDS", 0.01)
    monkeypatch.setattr(timing, "ACTION_SECONDS", 0.01)
    monkeypatch.setattr(timing, "PRODUCT_SECONDS", 0.01)
    monkeypatch.setattr(timing, "PRODUCT_SIDE", {"cpu": 64})
    settings = [f"model.{key}={value}" for key, value in ARCHITECTURES["trm"].items()]
    settings += [f'data.test=["{challenges}"]', "data.augmentations=3"]
    return ["--preset", "quickstart", "--device", "cpu", *(f"--set={each}" for each in settings)]


def run_bench(cli: Cli, *arguments: object) -> dict:
    """Run `arc-trm bench` and return its JSON object."""
    result = cli("bench", *arguments)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize(("what", "examples"), [("train", 144000), ("predict", 12)])
def test_train_and_predict(cli: Cli, tiny: list[str], what: str, examples: int) -> None:
    result = run_bench(cli, what, *tiny, "--set=dtype=float32")
    assert result["what"] == what
    expected = result["gflop_per_example"] * result["batch_size"] / result["seconds_per_step"] / 1e3
    assert result["utilisation"] == pytest.approx(expected / result["product_tflops"], rel=0.01)
    rate = result["batch_size"] / result["seconds_per_step"]
    assert result["examples_per_second"] == pytest.approx(rate, rel=0.01)
    assert {"attention", "swiglu", "norms", "heads"} <= result["breakdown"].keys()
    assert all(seconds > 0 for seconds in result["breakdown"].values())
    total = sum(result["breakdown"].values())
    assert total == pytest.approx(result["seconds_per_step"], rel=0.01)
    assert result["first_step_seconds"] > 0 and result["peak_memory_mb"] > 0
    assert result["whole_run"]["examples"] == examples
    assert result["kernels"] is False
    if what == "train":
        assert {"data", "loss", "optimisers"} <= result["breakdown"].keys()
        assert 0 < result["waits_for_data"] < 1
        assert set(result["needed_memory_mb"]) >= {"puzzle_embedding", "activations"}


def test_adapt_measures_both_phases_and_computes_other_machines(cli: Cli, tiny: list[str]) -> None:
    preset = ["--preset", "adapt-long", *tiny[2:]]
    done = cli("bench", "adapt", *preset)
    measured = [line for line in done.stderr.splitlines() if line.startswith("measuring ")]
    assert measured == [
        "measuring the puzzle embedding only",
        "measuring all weights",
        "measuring prediction",
    ]
    lines = done.stdout.splitlines()
    result = json.loads(lines[-1])
    phases = [result["embedding_only"], result["all_weights"]]
    assert phases[0]["gflop_per_example"] < phases[1]["gflop_per_example"]
    seconds = [128 / each["examples_per_second"] for each in phases]  # a step of adapt-long
    mean = 0.25 * seconds[0] + 0.75 * seconds[1]
    assert result["steps_per_hour"] == pytest.approx(3600 / mean, rel=0.01)
    predicted = 3600 * result["predict"]["examples_per_second"]
    assert result["predictions_per_hour"] == pytest.approx(predicted, rel=0.01)
    gflop = 0.25 * phases[0]["gflop_per_example"] + 0.75 * phases[1]["gflop_per_example"]
    h100 = result["computed"]["H100"]
    share = h100["steps_per_hour"] / 3600 * 128 * gflop / 989.4e3
    assert share == pytest.approx(0.32, rel=0.05)  # two digits are given
    (here,) = (line for line in lines if line.startswith("  measured here "))
    assert "steps" in here and "predictions" in here
    (heading,) = (line for line in lines if line.startswith("computed, not measured, "))
    assert [line.split(",")[0].strip() for line in lines[lines.index(heading) + 1 : -1]] == [
        "L4 × 4",
        "T4 × 2",
        "H100",
    ]


@pytest.mark.slow
def test_the_table_for_kaggle_has_the_computed_numbers() -> None:
    cells = {machine.name: f"{machine.name}, {machine.dtype} |" for machine in MACHINES}
    for preset in ("adapt-arc-agi-2", "adapt-long"):
        config = load_config(preset)
        model, share = build_model(config.model, 1), config.train.embedding_only_fraction
        flops = [
            supervision_flops(model, config.model.length, training, embedding_only)
            for training, embedding_only in ((True, True), (True, False), (False, False))
        ]
        step = config.train.global_batch_size * (share * flops[0] + (1 - share) * flops[1])
        prediction = config.model.supervision_steps * flops[2]
        for name, rates in computed_rates(step / 1e9, prediction / 1e9).items():
            steps, predictions = rates["steps_per_hour"], rates["predictions_per_hour"]
            cells[name] += f" {steps:,.0f} | {predictions:,.0f} |"
    table = (ROOT / "kaggle" / "README.md").read_text()
    assert all(f"| {row}\n" in table for row in cells.values())


@pytest.mark.slow
def test_bucketed_canvases_are_measured_one_by_one(
    cli: Cli, tiny: list[str], challenges: Path
) -> None:
    large = {"train": [{"input": [[1] * 12] * 12, "output": [[2]]}], "test": [{"input": [[1]]}]}
    tasks = {**json.loads(challenges.read_text()), "large": large}
    challenges.write_text(json.dumps(tasks))
    challenges.with_name("tiny_solutions.json").unlink()
    settings = ("model.canvas=bucketed", "model.seq_len=225", "data.max_grid_size=30")
    options = [*tiny, *(f"--set={setting}" for setting in settings)]
    for what in ("train", "predict"):
        result = run_bench(cli, what, *options, "--batch-size", 2)
        shares, seconds = result["share_by_side"], result["seconds_per_step_by_side"]
        assert set(shares) == set(seconds) == {"8", "13"}
        assert sum(shares.values()) == pytest.approx(1, rel=1e-3)
        mean = sum(shares[side] * seconds[side] for side in shares)
        assert result["seconds_per_step"] == pytest.approx(mean, rel=0.01)
        assert "a step on the canvas of side 13: " in cli("bench", what, *options).output
    assert shares["13"] == pytest.approx(1 / 4, rel=1e-3)  # one task of four


def test_data(cli: Cli, tiny: list[str]) -> None:
    options = [option for option in tiny if option not in ("--device", "cpu")]
    result = run_bench(cli, "data", *options, "--json")
    assert result["examples_per_second"] > 0 and result["examples_per_second_of_all"] > 0
    assert result["batch_processes"] == process_count()
    assert result["puzzles"] == 12


def test_people_read_how_long_the_whole_run_takes(cli: Cli, tiny: list[str]) -> None:
    done = cli("bench", "train", *tiny)
    assert "examples a second" in done.stdout
    assert "of a step waits for its batch" in done.stdout
    assert "the whole run, 144,000 examples: " in done.stdout
    assert "profile of a step" in done.stderr


def test_predictions_are_counted_in_queries(cli: Cli, tiny: list[str]) -> None:
    *lines, _ = cli("bench", "predict", *tiny).stdout.splitlines()
    assert " queries a second" in lines[1] and " GFLOP for one query: " in lines[2]
    assert "the whole run, 12 queries: " in lines[-1]
    assert not any("example" in line for line in lines)


def test_settings_are_compared_by_turns(
    cli: Cli, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "BLOCK_SECONDS", 0.001)
    done = cli(
        "bench",
        "train",
        *tiny,
        "--batch-size",
        2,
        "--with",
        "batch_size=4",
        "--with",
        "model.outer_cycles=1",
        "--with",
        "dtype=float32",
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    first, second = result["settings"]
    assert (first["batch_size"], second["batch_size"]) == (2, 4)
    assert second["dtype"] == "float32"
    assert second["name"] == "batch_size=4 model.outer_cycles=1 dtype=float32"
    assert result["rounds"] >= 5
    for spread in (first["examples_per_second"], result["ratio"]):
        assert 0 < spread["least"] <= spread["median"] <= spread["most"]
    for each in (first, second):
        assert len(each["blocks"]) == result["rounds"]
        assert statistics.median(each["blocks"]) == each["examples_per_second"]["median"]
    assert processor_name() in done.stdout.splitlines()[0]
    assert second["name"] in done.stdout.splitlines()[2]


@pytest.mark.parametrize(
    ("differs", "end"), [(True, "the second to the first"), (False, "no difference")]
)
def test_a_ratio_is_no_difference_within_its_spread(differs: bool, end: str) -> None:
    rate = {"median": 2.0, "least": 1.0, "most": 3.0}
    setting = {"examples_per_second": rate, "batch_size": 1, "dtype": "float32", "name": "x"}
    lines = BenchmarkResult(
        {
            "what": "compare",
            **dict.fromkeys(("measured", "preset", "device", "processor"), "x"),
            "rounds": 9,
            "settings": [setting, setting],
            "ratio": rate,
            "differs": differs,
        }
    ).lines()
    assert lines[-1] == f"ratio in 9 rounds: 2.000 (1.000 to 3.000), {end}"


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_operations_are_measured_by_kernels_and_by_pytorch(
    cli: Cli, tiny: list[str], monkeypatch: pytest.MonkeyPatch, mixer: str
) -> None:
    monkeypatch.setattr(kernels, "POSITIONS", {"cpu": 32})
    monkeypatch.setattr(kernels, "COPIED_BYTES", {"cpu": 2**10})
    done = cli("bench", "kernels", *tiny, f"--set=model.mixer={mixer}", "--set=model.canvas=full")
    assert "measuring 3/3" in done.stderr
    *lines, last = done.stdout.splitlines()
    assert processor_name() in lines[0]
    result = json.loads(last)
    operations = result["operations"]
    named = {"attention": "attention with rotation", "mlp": "mixer over positions"}[mixer]
    assert set(operations) == {"residual norm", "SiLU(gate) · up", named}
    assert all(seconds > 0 for each in operations.values() for seconds in each.values())
    assert result["copy_bytes_per_second"] > 0
    assert [line.split("  ")[1] for line in lines[2:]] == list(operations)


@pytest.mark.slow
def test_scaling_is_drawn(
    cli: Cli, tiny: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("BATCH_SIZES", "SUPERVISION_STEPS", "AUGMENTATIONS"):
        monkeypatch.setattr(scaling, name, (1, 2))
    picture = tmp_path / "scaling.svg"
    result = run_bench(cli, "scaling", *tiny, "--out", picture)
    assert [x for x, _ in result["cells"]] == [16]
    assert [x for x, _ in result["augmentations"]] == [1, 2]
    drawing = picture.read_text()
    assert "Cells of the canvas" in drawing and drawing.count("<polyline") > 8
    # The picture cannot be written into a file; what was measured is not lost.
    failed = cli("bench", "scaling", *tiny, "--out", picture / "scaling.svg")
    assert failed.exit_code and "Traceback" not in failed.output
    assert '"what": "scaling"' in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "x.svg"], "writes no picture"),
        (["data", "--with", "seed=1"], "compares no settings"),
        (["train", "--with", "batch_size=0"], "is no batch size"),
        (["train", "--with", "dtype"], '--with takes KEY=VALUE, got "dtype"'),
        (["train", "--with", "=float32"], '--with takes KEY=VALUE, got "=float32"'),
        (["train", "--with", "compile=maybe"], "write compile=true or compile=false"),
        (["train", "--with", "model.nothing=1"], "model.nothing"),
        (["train", "--with", "seed=1", "--with", "seed=2"], 'changes "seed" twice'),
        (["data", "--device", "cpu"], "leave out --device"),
        (["scaling", "--batch-size", "4"], "leave out --batch-size"),
        (["adapt", "--preset", "arc-agi-1"], "trains from scratch, so `bench train` measures it"),
        (["scaling", "--out", "x.gif"], "ends in .svg or .png"),
        (["train", "--preset", "nothing"], "unknown preset"),
        (["train", "--device", "cuda:99"], "cannot be used here"),
        (["nonsense"], "is not one of"),
    ],
)
def test_mistakes_are_one_sentence(cli: Cli, arguments: list[str], message: str) -> None:
    result = cli("bench", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


SHORT = """
from arc_trm.benchmarks import comparison, throughput, timing
from arc_trm.cli import main

comparison.BLOCK_SECONDS = 0.01
throughput.STEP_SECONDS = timing.ACTION_SECONDS = timing.PRODUCT_SECONDS = 0.01
timing.PRODUCT_SIDE = {"cpu": 64}
main(prog_name="arc-trm")
"""


@pytest.mark.parametrize(
    ("what", "preset"),
    [
        (["train"], "quickstart"),
        (["adapt"], "adapt-arc-agi-2"),
        (["train", "--with=train.lr=0.1"], "quickstart"),
    ],
    ids=["train", "adapt", "compare"],
)
@pytest.mark.slow
def test_processes_measure_together(
    what: list[str],
    preset: str,
    tiny: list[str],
    tmp_path: Path,
    torchrun: Callable[..., CompletedProcess[str]],
) -> None:
    script = tmp_path / "short.py"  # measures for a short time only
    script.write_text(SHORT)
    done = torchrun(script, "bench", *what, *tiny, "--preset", preset, "--batch-size", 4, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    sizes = [
        each["batch_size"]
        for each in (result, *result.values(), *result.get("settings", ()))
        if isinstance(each, dict) and "batch_size" in each
    ]
    assert result["processes"] == 2 and set(sizes) == {4}
