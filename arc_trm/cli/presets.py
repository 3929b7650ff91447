"""`arc-trm presets`."""

from __future__ import annotations

from dataclasses import asdict

import click

from arc_trm.cli.options import NAME, json_option, output


@click.command()
@click.argument("name", type=NAME, required=False)
@json_option
def presets(name: str | None, as_json: bool) -> None:
    """List the presets: what each needs, and what it gives. With NAME, also its settings.

    What a paper says is marked `published`; this project has not measured it.

    \b
    Examples:
      arc-trm presets
      arc-trm presets sudoku-quick
    """
    from arc_trm.config import preset_names, read_preset

    found = [read_preset(each) for each in ([name] if name else preset_names())]
    lines = []
    for preset in found:
        lines.append(f"{preset.name}: {preset.summary}")
        for field in ("command", "hardware", "time", "memory", "gives"):
            lines.append(f"  {field + ':':<9} {getattr(preset, field)}")
    if name:
        lines += ["", *found[0].text.strip().splitlines()]
    record = {each.name: asdict(each) for each in found}
    output(record, lines, as_json)
