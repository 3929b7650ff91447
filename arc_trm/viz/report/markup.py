"""HTML of single things: escaped text, numbers, tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from arc_trm.viz.svg import printable


def text(value: object) -> str:
    """Return text that is neither markup nor, in its characters, a control."""
    return escape(printable(str(value)))


def points(difference: float) -> str:
    """Return a difference of shares in points, `+1.5` or `−10.0`."""
    number = f"{100 * difference:+.1f}".replace("-", "−")
    return "0.0" if number in ("+0.0", "−0.0") else number


def folded(title: str, lead: str, content: str) -> str:
    """Return a card that opens on demand.

    Args:
        lead: what can be read without opening it.
        content: markup.
    """
    return (
        f'<details class="card"><summary><h2>{text(title)}</h2> '
        f'<span class="muted">{text(lead)}</span></summary>{content}</details>'
    )


def table(name: str, headings: Iterable[str], rows: Iterable[str], style: str = "") -> str:
    """Return a table in a box that scrolls if it must.

    Args:
        name: what it is called by screen readers.
        headings: texts; "" is a column without one.
        rows: from `row`.
        style: classes of the table.
    """
    head = "".join(
        f'<th scope="col">{text(each)}</th>' if each else "<td></td>" for each in headings
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(name)}">'
        f'<table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(heading: str, cells: Iterable[str], style: str = "", note: str = "") -> str:
    """Return a row of a table.

    Args:
        heading: what the row is about.
        cells: from `cell`.
        style: classes of the row.
        note: small text below the heading.
    """
    below = f'<small class="muted">{text(note)}</small>' if note else ""
    content = "".join(cells)
    return f'<tr class="{style}"><th scope="row">{text(heading)}{below}</th>{content}</tr>'


def cell(content: str, style: str = "") -> str:
    """Return a cell; `content` is markup. A percent sign stays with its number."""
    return f'<td class="{style}">{content.replace(" %", "&nbsp;%")}</td>'


def bar(start: float, end: float) -> str:
    """Return a bar from start to end of 0 to 1; its numbers are beside it."""
    style = f"left:{100 * start:.2f}%;width:{100 * (end - start):.2f}%"
    return f'<span class="bar" aria-hidden="true"><i style="{style}"></i></span>'
