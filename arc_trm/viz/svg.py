"""Drawings of rectangles, lines and text, composed once and written as SVG or PNG; `save`.

Coordinates are pixels of the SVG, x to the right and y downward; a PNG has `SCALE` times as many.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from arc_trm.errors import UserError, close_match, format_value
from arc_trm.io import atomic_write
from arc_trm.viz.theme import CARD, INK

SCALE = 2
OVERSAMPLING = 2  # Pillow draws lines without antialiasing: draw larger, then average

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle; x and y are its left and top."""

    x: float
    y: float
    width: float
    height: float
    fill: str

    @property
    def box(self) -> Box:
        return self.x, self.y, self.x + self.width, self.y + self.height

    def moved(self, dx: float, dy: float) -> Rectangle:
        return Rectangle(self.x + dx, self.y + dy, self.width, self.height, self.fill)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through two or more points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1

    @property
    def box(self) -> Box:
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def moved(self, dx: float, dy: float) -> Line:
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Line(points, self.colour, self.width)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; x is where `anchor` says, y is the baseline.

    Control characters, which XML forbids, are replaced.
    """

    x: float
    y: float
    text: str
    size: int = 13
    colour: str = INK
    anchor: Literal["start", "middle", "end"] = "start"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))

    @property
    def box(self) -> Box:
        width = text_width(self.text, self.size)
        left = self.x - width * {"start": 0, "middle": 0.5, "end": 1}[self.anchor]
        return left, self.y - 0.8 * self.size, left + width, self.y + 0.25 * self.size

    def moved(self, dx: float, dy: float) -> Text:
        x, y = self.x + dx, self.y + dy
        return Text(x, y, self.text, self.size, self.colour, self.anchor)


Element: TypeAlias = Rectangle | Line | Text
"""Has the `box` that it takes; `moved` returns it at another place."""


class Picture(Protocol):
    """What `save` writes: a `Drawing`, or an `Animation` of several."""

    endings: ClassVar[tuple[str, ...]]
    """Of the names of its files: `.svg`."""

    def encode(self, ending: str) -> bytes:
        """Return a file in the format of one of the endings."""


@dataclass(frozen=True)
class Drawing:
    """Elements within a width and a height, the later ones on top."""

    width: float
    height: float
    elements: tuple[Element, ...] = ()
    endings: ClassVar[tuple[str, ...]] = (".svg", ".png")

    def svg(self, style: str = "") -> str:
        """Return an SVG document. Text is escaped and made as wide as in the PNG.

        `style` is CSS of the picture as a part of a page.
        """
        return svg_document(self.width, self.height, map(svg_element, self.elements), style)

    def png(self) -> bytes:
        """Return a PNG file of `SCALE` times the width and height."""
        file = io.BytesIO()
        self.image(SCALE).save(file, "PNG", optimize=True)
        return file.getvalue()

    def image(self, scale: int) -> Image.Image:
        """Return an RGB image of `scale` times the width and height."""
        zoom = scale * OVERSAMPLING
        image = Image.new("RGB", (round(self.width * zoom), round(self.height * zoom)), CARD)
        draw = ImageDraw.Draw(image)
        for element in self.elements:
            _draw_element(draw, element, zoom)
        return image.reduce(OVERSAMPLING)

    def encode(self, ending: str) -> bytes:
        """Return the bytes of a `.svg` or `.png` file."""
        return self.png() if ending == ".png" else self.svg().encode()


ANIMATION_ENDING = ".gif"
"""Of a file that only an animation can be written to."""


def save(picture: Picture, path: Path) -> None:
    """Write a picture, whole or not at all, in the format that the path's ending says.

    Raises:
        UserError: the picture has no format with this ending.
        WriteError: the file cannot be written.
    """
    check_ending(path, picture.endings)
    data = picture.encode(path.suffix.lower())
    with atomic_write(path, "wb") as file:
        file.write(data)


def check_ending(path: Path, endings: Sequence[str] = Drawing.endings) -> None:
    """Raise UserError unless the path has one of the endings, which are those of a drawing."""
    ending = path.suffix.lower()
    if ending in endings:
        return
    *others, last = endings
    hint = ""
    if ending == ANIMATION_ENDING:
        hint = f"; {ending} is for an animation: `arc-trm show TASK --trace --out FILE{ending}`"
    elif close := close_match(ending, endings):
        hint = f"; did you mean {format_value(close)}?"
    raise UserError(f"{path}: the name of a picture ends in {', '.join(others)} or {last}{hint}")


def svg_document(width: float, height: float, lines: Iterable[str], style: str = "") -> str:
    """Return an SVG document of lines, with CSS of the picture as a part of a page."""
    size = f'width="{width:g}" height="{height:g}"'
    view = f'viewBox="0 0 {width:g} {height:g}"'
    font = 'font-family="Aileron, Helvetica, Arial, sans-serif"'
    css = f' style="{style}"' if style else ""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} {font}{css}>'
    return "\n".join([start, *lines, "</svg>", ""])


def printable(text: str) -> str:
    """Return text in one line, without what XML forbids or a terminal would obey."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in text)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@cache
def text_width(text: str, size: int) -> float:
    """Return the width of one line of text in pixels."""
    return _font(10 * size).getlength(text) / 10


def fit_text(text: str, size: int, width: float) -> str:
    """Return as much of a text as fits a width, with an ellipsis if it was cut."""
    text = printable(text[:300])  # no picture is wider, and measuring takes time
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def row(drawings: Sequence[Drawing], gap: float) -> Drawing:
    """Place drawings side by side, their middles at one height."""
    height = max(drawing.height for drawing in drawings)
    placed: list[Element] = []
    x = 0.0
    for drawing in drawings:
        placed += _moved(drawing, x, (height - drawing.height) // 2)
        x += drawing.width + gap
    return Drawing(x - gap, height, tuple(placed))


def column(drawings: Sequence[Drawing], gap: float) -> Drawing:
    """Place drawings below one another, flush left."""
    placed: list[Element] = []
    y = 0.0
    for drawing in drawings:
        placed += _moved(drawing, 0, y)
        y += drawing.height + gap
    return Drawing(max(drawing.width for drawing in drawings), y - gap, tuple(placed))


def centred(drawing: Drawing, width: float, height: float) -> Drawing:
    """Place a drawing in the middle of a larger one."""
    placed = _moved(drawing, (width - drawing.width) // 2, (height - drawing.height) // 2)
    return Drawing(width, height, tuple(placed))


def framed(drawing: Drawing, padding: float, fill: str, edge: str | None = None) -> Drawing:
    """Place a drawing on a background of one colour, with an edge of one pixel if given."""
    width, height = drawing.width + 2 * padding, drawing.height + 2 * padding
    ground = [Rectangle(0, 0, width, height, edge or fill)]
    if edge:
        ground.append(Rectangle(1, 1, width - 2, height - 2, fill))
    return Drawing(width, height, (*ground, *_moved(drawing, padding, padding)))


def _moved(drawing: Drawing, dx: float, dy: float) -> Iterable[Element]:
    return (element.moved(dx, dy) for element in drawing.elements)


def svg_element(element: Element) -> str:
    """Return the SVG of an element, its text escaped."""
    match element:
        case Rectangle(x, y, width, height, fill):
            size = f'width="{width:g}" height="{height:g}"'
            return f'<rect x="{x:g}" y="{y:g}" {size} fill="{fill}"/>'
        case Line(points, colour, width):
            path = " ".join(f"{x:g},{y:g}" for x, y in points)
            style = f'fill="none" stroke="{colour}" stroke-width="{width:g}"'
            return f'<polyline points="{path}" {style} stroke-linejoin="round"/>'
        case Text(x, y, text, size, colour, anchor):
            length = f'textLength="{text_width(text, size):.1f}" lengthAdjust="spacingAndGlyphs"'
            style = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}" {length}'
            return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>'


def _draw_element(draw: ImageDraw.ImageDraw, element: Element, zoom: int) -> None:
    match element:
        case Rectangle(fill=fill):
            left, top, right, bottom = (round(zoom * side) for side in element.box)
            draw.rectangle((left, top, right - 1, bottom - 1), fill=fill)  # Pillow includes the end
        case Line(points, colour, width):
            path = [(zoom * x, zoom * y) for x, y in points]
            draw.line(path, fill=colour, width=round(zoom * width), joint="curve")
        case Text(x, y, text, size, colour, anchor):
            side = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            font = _font(size * zoom)
            draw.text((zoom * x, zoom * y), text, fill=colour, font=font, anchor=side)
