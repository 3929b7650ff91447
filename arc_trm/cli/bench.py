"""`arc-trm bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from arc_trm.cli.options import device_options, given
from arc_trm.cli.progress import bar, is_main
from arc_trm.time_limit import format_duration


@click.command()
@click.argument("what", type=click.Choice(["predict", "train", "data", "growth"]))
@click.option("--preset", default="arc-agi-1", show_default=True, help="Named config to measure.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="TOML file that changes it."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--batch-size", type=click.IntRange(1), help="Sequences in a step.")
@given(*device_options())
@click.option(
    "--out", type=click.Path(path_type=Path), help="Picture of `growth`; default: growth.svg."
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object alone.")
def bench(
    what: str,
    preset: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    batch_size: int | None,
    device: str,
    compiled: bool | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how fast this machine is: how long will my run take?

    Measures steps as a real run does them, against the rate of a large matrix product, and what
    each part of a step costs; `growth` draws how the time of a step grows. The last line is one
    JSON object.

    \b
    Examples:
      arc-trm bench train
      arc-trm bench predict --preset arc-agi-2 --set model.canvas=bucketed
      arc-trm bench growth --out growth.svg
      torchrun --nproc-per-node 4 -m arc_trm bench train --preset arc-agi-1
    """
    from arc_trm.benchmarks import bench_data, bench_growth, bench_predict, bench_train
    from arc_trm.config import load_config
    from arc_trm.device import pick_device
    from arc_trm.errors import UserError
    from arc_trm.viz.svg import check_ending, save

    config = load_config(preset, config_file, overrides)
    if out is not None and what != "growth":
        raise UserError(f"`bench {what}` writes no picture: leave out --out")
    picture = out or Path("growth.svg")
    if what == "data":
        if device != "auto" or compiled is not None:
            raise UserError("`bench data` computes nothing: leave out --device and --compile")
        result = bench_data(config, batch_size)
    elif what == "growth":
        if batch_size is not None:
            raise UserError("`bench growth` measures several batches: leave out --batch-size")
        check_ending(picture)
        with bar("measuring") as drawn:
            result, scene = bench_growth(config, pick_device(device), compiled, drawn.update)
    else:
        measure = bench_train if what == "train" else bench_predict
        result = measure(config, pick_device(device), batch_size, compiled)
    if not is_main():
        return
    try:
        if what == "growth":
            save(scene, picture)
        if not as_json:
            for line in [str(picture)] if what == "growth" else _lines(result):
                click.echo(line)
    finally:  # minutes of measuring are not lost with a picture that cannot be written
        click.echo(json.dumps(_rounded(result)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
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
        f"first step after {format_duration(result['first_step_seconds'])}, at most "
        f"{result['peak_memory_mb']} MB"
    )
    parts = result.get("parts", {})
    sides = result.get("seconds_per_step_by_side", {})
    if len(sides) > 1:  # parts are not measured on all canvases
        side, seconds = max(sides.items(), key=lambda each: int(each[0]))
        lines.append(f"a step on the canvas of side {side}: {seconds:.4g} s")
    for name, cost in parts.items():
        lines.append(f"  {name:<12}{cost:10.4f} s {cost / seconds:6.1%}")
    if parts:
        rest = seconds - sum(parts.values())
        lines.append(f"  {'the rest':<12}{rest:10.4f} s {rest / seconds:6.1%}")
    whole = result.get("whole_run")
    if whole:
        lines.append(
            f"the whole, {whole['examples']:,} examples: {format_duration(whole['seconds'])}"
        )
    return lines
