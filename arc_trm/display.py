"""Drawing in notebooks without importing what draws.

Tasks and predictions are far below the package that draws them (`arc_trm.viz`). They ask the
renderer that `arc_trm` sets when it is imported.
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
