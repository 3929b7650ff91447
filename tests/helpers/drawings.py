"""What drawings hold."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter

from arc_trm.viz import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def rectangles(svg: str) -> Counter[str]:
    """Count the rectangles of each colour."""
    root = ElementTree.fromstring(svg)
    return Counter(element.attrib["fill"] for element in root.iter(f"{SVG}rect"))


def texts_of(svg: str) -> list[str | None]:
    """Return all texts, in their order."""
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether two boxes overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def assert_inside(drawing: Drawing) -> None:
    """Assert that no element leaves the drawing."""
    for element in drawing.elements:
        left, top, right, bottom = element.box
        assert left >= 0 and top >= 0, element
        assert right <= drawing.width and bottom <= drawing.height, element
