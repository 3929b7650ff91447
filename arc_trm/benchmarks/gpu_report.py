"""Markdown of what `python -m arc_trm.benchmarks.gpu` measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arc_trm.benchmarks.gpu_parts import PUBLISHED_ON
from arc_trm.time_limit import format_duration

MAX_KERNELS = 12
"""Kernels of a profile that the page names; the JSON file has more."""
FACTS = (
    ("device", "device"),
    ("GPU, by nvidia-smi", "nvidia_smi"),
    ("CPU", "cpu"),
    ("PyTorch", "torch"),
    ("CUDA", "cuda"),
    ("Triton", "triton"),
    ("Python", "python"),
    ("commit", "commit"),
    ("uncommitted changes", "changed"),
    ("digest of the source", "source_digest"),
)
RATE_COLUMNS = (
    "what",
    "a second",
    "quartiles",
    "published",
    "ratio",
    "utilisation",
    "product TFLOP/s",
    "peak MB",
)


def markdown(report: Mapping[str, Any]) -> str:
    """Return the page of a report, what gpu.json holds."""
    lines = ["# Measurements of a card", "", *_machine(report), "", *_rates(report["parts"])]
    for part in report["parts"]:
        lines += ["", f"## {part['title']}", "", *_part(part)]
    lines += ["", "## Files", "", "The commands above need files that these make:", ""]
    lines += [f"    {command}" for command in report["file_commands"]]
    return "\n".join([*lines, ""])


def _machine(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"`{report['command']}`, {report['began_at']}"
    if report["tiny"]:
        yield ""
        yield "Models, batches and times are tiny: the numbers say only that the script works."
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    machine = report["machine"]
    for title, key in FACTS:
        if (value := machine.get(key)) is not None:
            yield _row([title, str(value)])


def _rates(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the table of all rates."""
    yield "## Rates"
    yield ""
    yield (
        "The median step, and its quartiles. A ratio is to the published code under torch.compile, "
        f"as recorded on {PUBLISHED_ON}. There training had no optimiser, and prediction neither "
        "encoding nor decoding; here both are included. The product rate is that of a large matrix "
        "product, before and after the steps."
    )
    yield ""
    yield _row(RATE_COLUMNS)
    yield _row(["---"] * len(RATE_COLUMNS))
    for part in parts:
        for each in part["measurements"]:
            if each["rate"] is not None:
                yield _rate_row(each)


def _rate_row(measurement: Mapping[str, Any]) -> str:
    rate, values = measurement["rate"], measurement["values"]
    published = rate["published"]
    before, after = values["product_tflops_before_after"]
    memory = values.get("peak_memory_mb")
    return _row(
        [
            measurement["title"],
            f"{rate['per_second']:.4g} {rate['unit']}",
            f"{rate['low']:.4g} to {rate['high']:.4g}",
            "" if published is None else f"{published:.4g}",
            "" if published is None else f"{rate['per_second'] / published:.2f}",
            f"{values['utilisation']:.3f}",
            f"{before:.4g}, {after:.4g}",
            "" if memory is None else f"{memory:,}",
        ]
    )


def _part(part: Mapping[str, Any]) -> Iterator[str]:
    took, limit = format_duration(part["seconds"]), format_duration(part["limit_seconds"])
    yield f"{part['status'].capitalize()}, {took} of at most {limit}."
    if part["error"]:
        yield ""
        yield f"> {part['error']}"
    if part["measurements"]:
        yield ""
    for each in part["measurements"]:
        yield f"- {each['title']}: {each['text']}"
        if each["command"]:
            yield f"  (`{each['command']}`)"
    for each in part["measurements"]:
        if "profile" in each["values"]:
            yield ""
            yield from _kernels(each)


def _kernels(measurement: Mapping[str, Any]) -> Iterator[str]:
    values = measurement["values"]
    yield _row([measurement["title"], "ms", "share of the kernels", "calls"])
    yield _row(["---"] * 4)
    for each in values["profile"][:MAX_KERNELS]:
        share = each["seconds"] / values["busy_seconds"]
        name = each["name"][:60]
        yield _row(
            [f"`{name}`", f"{1e3 * each['seconds']:.2f}", f"{share:.1%}", f"{each['calls']:g}"]
        )


def _row(cells: Sequence[str]) -> str:
    """Return a row of a table; a bar in a cell would end it."""
    text = " | ".join(each.replace("|", r"\|") for each in cells)
    return f"| {text} |"
