"""`make api`: every module that is meant to be used from Python has a page made of docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render
import pytest
from paths import ROOT

import arc_trm
import submission

for package in (arc_trm, submission):  # pdoc sees what is loaded, as the Makefile says
    for each in package.__all__:
        getattr(package, each)
MODULES = re.search(r"^API := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
assert MODULES is not None
NAMES = MODULES[1].replace("\\\n", " ").split()


def public(name: str) -> list[pdoc.doc.Doc[object]]:
    """Return the classes and functions that a module offers: those in `__all__`, else its own."""
    module = pdoc.doc.Module.from_name(name)
    return [
        member
        for member in module.members.values()
        if isinstance(member, pdoc.doc.Class | pdoc.doc.Function)
        and not member.name.startswith("_")
        and (hasattr(module.obj, "__all__") or member.modulename == name)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_has_a_docstring(name: str) -> None:
    assert pdoc.doc.Module.from_name(name).docstring
    found = public(name)
    assert found
    assert [each.fullname for each in found if not each.docstring] == []


@pytest.mark.slow
def test_the_page_is_made(tmp_path: Path) -> None:
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*NAMES, output_directory=tmp_path)
    assert "arc_trm.evaluation.voting" in (tmp_path / "index.html").read_text("utf-8")
    page = (tmp_path / "arc_trm" / "evaluation" / "voting.html").read_text("utf-8")
    for each in public("arc_trm.evaluation.voting"):
        assert f'id="{each.name}"' in page
    assert (tmp_path / "submission.html").exists()
