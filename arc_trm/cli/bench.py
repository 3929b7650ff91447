"""`arc-trm bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from arc_trm.cli.output import is_main
from arc_trm.cli.running import device_options, given
from arc_trm.clock import shown_duration


@click.command()
@click.argument("what", type=click.Choice(["predict", "train", "data"]))
@click.option("--preset", default="arc-agi-1", show_default=True, help="Named config to measure.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="TOML file that changes it."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--batch-size", type=click.IntRange(1), help="Sequences in a step.")
@given(*device_options())
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object alone.")
def bench(
    what: str,
    preset: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    batch_size: int | None,
    device: str,
    compiled: bool | None,
    as_json: bool,
) -> None:
    """Measure how fast this machine is: how long will my run take?

    Measures steps as a real run does them, against the rate of a large matrix product, and what
    each part of a step costs. The last line is one JSON object.

    \b
    Examples:
      arc-trm bench train
      arc-trm bench predict --preset arc-agi-2 --batch-size 16
      torchrun --nproc-per-node 4 -m arc_trm bench train --preset arc-agi-1
    """
    from arc_trm.bench import bench_data, bench_predict, bench_train
    from arc_trm.config import load_config
    from arc_trm.device import pick_device

    config = load_config(preset, config_file, overrides)
    if what == "data":
        result = bench_data(config, batch_size)
    else:
        measure = bench_train if what == "train" else bench_predict
        result = measure(config, pick_device(device), batch_size, compiled)
    if not is_main():
        return
    if not as_json:
        for line in _lines(result):
            click.echo(line)
    click.echo(json.dumps(_rounded(result)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _lines(result: dict[str, Any]) -> list[str]:
    """What a person wants to know of a result."""
    seconds, size = result["seconds_per_step"], result["batch_size"]
    lines = [
        f"{result['what']}, preset {result['preset']}, {result['device']}, {result['dtype']}",
        f"{result['examples_per_second']:.4g} examples a second, {seconds:.4g} s for a step of "
        f"{size}",
    ]
    if "utilisation" in result:
        lines.append(
            f"{result['gflop_per_example']:.4g} GFLOP an example: {result['utilisation']:.1%} of "
            f"the {result['product_tflops']:.4g} TFLOP a second of a large matrix product"
        )
    lines.append(
        f"first step after {shown_duration(result['first_step_seconds'])}, at most "
        f"{result['peak_memory_mb']} MB"
    )
    parts = result.get("parts", {})
    for name, cost in parts.items():
        lines.append(f"  {name:<12}{cost:10.4f} s {cost / seconds:6.1%}")
    if parts:
        rest = seconds - sum(parts.values())
        lines.append(f"  {'the rest':<12}{rest:10.4f} s {rest / seconds:6.1%}")
    whole = result.get("whole_run")
    if whole:
        lines.append(
            f"the whole, {whole['examples']:,} examples: {shown_duration(whole['seconds'])}"
        )
    return lines
