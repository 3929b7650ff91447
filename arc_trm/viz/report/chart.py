"""The training curve as a part of a page: it takes the page's colours and any width.

The lines are an SVG that is stretched; what is written is text of the page beside it, so that it
keeps its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arc_trm.viz.curve import EXACT_SHORT, MEASURES, Measure, Series, read_series, ticks
from arc_trm.viz.report.markup import folded, text
from submission.scoring import format_percent

WIDTH, HEIGHT = 600, 160  # units of the SVG


def training_section(records: Sequence[Mapping[str, float]]) -> str:
    """Return the training curve behind a line that says where it ends; "" without records."""
    if not records:
        return ""
    series = {measure: read_series(records, measure.key) for measure in MEASURES}
    ends = [end for measure, each in series.items() if (end := _end(measure, each))]
    steps = f"{max(record['step'] for record in records):,.0f} steps"
    charts = "".join(_chart(measure, each) for measure, each in series.items())
    return folded("Training", "; ".join([steps, *ends]), f'<div class="charts">{charts}</div>')


def _end(measure: Measure, series: Series) -> str:
    """Return where a measure ends as words, "" if it has no value."""
    if series.end is None:
        return ""
    name = EXACT_SHORT if measure.percent else measure.title.partition(":")[0].lower()
    value = format_percent(series.end) if measure.percent else f"{series.end:.3g}"
    return f"{name} {value}"


def _chart(measure: Measure, series: Series) -> str:
    first, last = series.x
    y_labels = "".join(
        f'<span class="y" style="bottom:{100 * series.relative_height(tick):.2f}%">'
        f"{text(measure.label(tick))}</span>"
        for tick in series.y
    )
    x_ticks = [t for t in ticks(first, last, 4) if first <= t <= last and t == round(t)]
    x_labels = "".join(
        f'<span class="x" style="left:{100 * (tick - first) / (last - first):.2f}%">{tick:,.0f}'
        "</span>"
        for tick in x_ticks
    )
    notes = [each for each in (_smoothing(series), series.left_out) if each]
    end = _end(measure, series) or series.nothing
    description = f"{measure.title} over {last:,.0f} steps; at the end {end}"
    content = f'<p class="empty">{text(series.nothing.capitalize())}</p>'
    if series.segments:
        content = _svg(series)
    return (
        f'<figure class="chart {measure.key}"><figcaption>{text(measure.title)} '
        f'<span class="muted">{text("; ".join(notes))}</span></figcaption>'
        f'<div class="plot" role="img" aria-label="{text(description)}">{content}{y_labels}'
        f'{x_labels}</div><p class="axis">{text(measure.x_label)}</p></figure>'
    )


def _smoothing(series: Series) -> str:
    return f"running mean of {series.window:,} records" if series.window > 1 else ""


def _svg(series: Series) -> str:
    lines = [_line(0, HEIGHT * (1 - series.relative_height(tick))) for tick in series.y]
    if series.window > 1:
        lines += _paths(series, "raw")
        lines += _paths(series.smoothed(), "smooth")
    else:
        lines += _paths(series, "smooth")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(lines)}</svg>"
    )


def _line(x: float, y: float) -> str:
    return f'<path class="tick" d="M{x:g} {y:g}H{WIDTH}"/>'


def _paths(series: Series, style: str) -> list[str]:
    """Return a path for each segment; a single point becomes a dot by its round ends."""
    paths = []
    for segment in series.points(WIDTH, HEIGHT):
        first, *others = (f"{x:.1f} {HEIGHT - y:.1f}" for x, y in segment)
        path = f"M{first}L{' '.join(others or [first])}"
        paths.append(f'<path class="{style}" d="{path}"/>')
    return paths
