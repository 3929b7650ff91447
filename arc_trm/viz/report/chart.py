"""The curves of a run as a part of a page: it takes the page's colours and any width.

The lines are an SVG that is stretched; what is written is text of the page beside it, so that it
keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence

from arc_trm.viz.curve import (
    EXACT_SHORT,
    TRAINING,
    VALIDATION,
    Curve,
    LegendEntry,
    Panel,
    describe_best,
    run_panels,
)
from arc_trm.viz.report.markup import folded, text
from arc_trm.viz.series import Axes, Point, Record, Series, ticks

WIDTH, HEIGHT = 600, 160  # units of the SVG


def training_section(records: Sequence[Record], best_metric: str = "auto") -> str:
    """Return the curves of a run behind a line that says where they end; "" without records.

    Args:
        best_metric: by which the best evaluation is marked, as in `train.best_metric`.
    """
    if not records:
        return ""
    loss, exact = run_panels(records, best_metric)
    steps = f"{max(record['step'] for record in records):,.0f} steps"
    ends = [*(_end(panel) for panel in (loss, exact)), describe_best(exact)]
    charts = "".join(_chart(panel) for panel in (loss, exact))
    lead = "; ".join(filter(None, [steps, *ends]))
    return folded("Training", lead, f'<div class="charts">{charts}</div>')


def _end(panel: Panel) -> str:
    """Return where training ends as words, "" if it has no value."""
    end = panel.curves[0].series.end
    if end is None:
        return ""
    name = EXACT_SHORT if panel.percent else panel.title.lower()
    return f"{name} {panel.label(end)}"


def _chart(panel: Panel) -> str:
    axes = panel.axes
    first, last = axes.x
    y_labels = "".join(
        f'<span class="y" style="bottom:{100 * axes.relative_height(tick):.2f}%">'
        f"{text(panel.label(tick))}</span>"
        for tick in axes.y
    )
    x_ticks = [t for t in ticks(first, last, 4) if first <= t <= last and t == round(t)]
    x_labels = "".join(
        f'<span class="x" style="left:{100 * (tick - first) / (last - first):.2f}%">{tick:,.0f}'
        "</span>"
        for tick in x_ticks
    )
    legend = "".join(map(_legend_item, panel.legend()))
    ends = [_end(panel) or panel.curves[0].series.nothing, describe_best(panel)]
    end = "; ".join(filter(None, ends))
    description = f"{panel.title} over {last:,.0f} steps; at the end {end}"
    content = f'<p class="empty">{text(panel.nothing.capitalize())}</p>'
    if not panel.nothing:
        content = _svg(panel)
    return (
        f'<figure class="chart"><figcaption>{text(panel.title)}</figcaption>'
        f'<ul class="legend">{legend}</ul>'
        f'<div class="plot" role="img" aria-label="{text(description)}">{content}{y_labels}'
        f'{x_labels}</div><p class="axis">{text(panel.x_label)}</p></figure>'
    )


def _legend_item(entry: LegendEntry) -> str:
    """Return what a mark means, or a note without a mark."""
    if entry.mark is None:
        return f"<li>{text(entry.text)}</li>"
    style = _style(entry.curve)
    swatch = "" if entry.mark == "best" else f'<path class="smooth {style}" d="M1 8H17"/>'
    if entry.mark != "line":
        swatch += _dot((9, 8), style, entry.mark == "best")
    svg = f'<svg width="18" height="16" aria-hidden="true">{swatch}</svg>'
    return f"<li>{svg} {text(entry.text)}</li>"


def _style(curve: Curve) -> str:
    """Return the class of a curve, by its colour."""
    return {TRAINING: "training", VALIDATION: "validation"}.get(curve.colour, "other")


def _svg(panel: Panel) -> str:
    axes = panel.axes
    lines = [_line(0, HEIGHT * (1 - axes.relative_height(tick))) for tick in axes.y]
    for curve in panel.curves:
        for series in curve.background:
            lines += _paths(axes, series, f"raw {_style(curve)}")
    for curve in panel.curves:
        style = _style(curve)
        lines += _paths(axes, curve.series, f"smooth {style}")
        lines += [_dot(_place(axes, point), style) for point in curve.marks]
        if curve.best is not None:
            lines.append(_dot(_place(axes, curve.best), style, best=True))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(lines)}</svg>"
    )


def _line(x: float, y: float) -> str:
    return f'<path class="tick" d="M{x:g} {y:g}H{WIDTH}"/>'


def _place(axes: Axes, point: Point) -> Point:
    x, y = axes.place(point, WIDTH, HEIGHT)
    return x, HEIGHT - y


def _dot(place: Point, style: str, best: bool = False) -> str:
    """Return a dot, of the best point within a ring: the round ends of lines without a length."""
    d = f"M{place[0]:.1f} {place[1]:.1f}h0"
    rings = ("ring", "hole", "dot") if best else ("dot",)
    return "".join(f'<path class="{ring} {style}" d="{d}"/>' for ring in rings)


def _paths(axes: Axes, series: Series, style: str) -> list[str]:
    """Return a path for each segment; a single point becomes a dot by its round ends."""
    paths = []
    for segment in axes.lines(series, WIDTH, HEIGHT):
        first, *others = (f"{x:.1f} {HEIGHT - y:.1f}" for x, y in segment)
        path = f"M{first}L{' '.join(others or [first])}"
        paths.append(f'<path class="{style}" d="{path}"/>')
    return paths
