"""Drawings: texts that fit, and files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from arc_trm.errors import UserError
from arc_trm.viz import Drawing, save
from arc_trm.viz.svg import SCALE, Rectangle, Text, fit_text, printable, text_width

DRAWING = Drawing(40, 30, (Rectangle(0, 0, 40, 30, "#FFFFFF"), Text(2, 20, "<a&b>")))


def test_texts_are_cut_to_a_width() -> None:
    assert fit_text("short", 22, 300) == "short"
    cut = fit_text("x" * 5000, 22, 300)
    assert cut.endswith("…") and 280 < text_width(cut, 22) <= 300


def test_control_characters_are_replaced() -> None:
    assert printable("a b\nc\x1b[31m\u202e") == "a b\ufffdc\ufffd[31m\ufffd"


def test_texts_are_escaped() -> None:
    assert ">&lt;a&amp;b&gt;</text>" in DRAWING.svg()


@pytest.mark.parametrize("ending", ["svg", "PNG"])
def test_files_are_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"task.{ending}"
    path.write_text("an earlier one")
    save(DRAWING, path)
    if ending == "svg":
        assert path.read_text("utf-8") == DRAWING.svg()
    else:
        with Image.open(path) as image:
            assert image.size == (SCALE * DRAWING.width, SCALE * DRAWING.height)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'task\.svgz: .*\.svg or \.png; did you mean "\.svg"\?'):
        save(DRAWING, tmp_path / "task.svgz")
    with pytest.raises(UserError, match=r"\.svg or \.png$"):
        save(DRAWING, tmp_path / "task")
    assert list(tmp_path.iterdir()) == []
