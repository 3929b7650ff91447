"""The hook by which tasks and predictions are drawn in notebooks.

Tasks and predictions must not import the package that draws them (`arc_trm.viz`). Instead `arc_trm`
sets the renderer when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable

_renderer: Callable[[object], str] | None = None


def set_renderer(renderer: Callable[[object], str]) -> None:
    """Set the function that turns an object into HTML."""
    global _renderer
    _renderer = renderer


class Displayed:
    """Base of classes whose objects draw themselves in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return None if _renderer is None else _renderer(self)
