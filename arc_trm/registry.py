"""Named extension points: a decorator registers an entry, a setting names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from arc_trm.errors import UserError, format_value, suggestion

T = TypeVar("T")


class Registry(dict[str, T]):
    """Entries by name, in the order of their registration.

    `register` adds an entry and `[name]` looks it up; `del` frees its name again.

    Args:
        noun: what an entry is called in messages, "architecture" for example.
        setting: the config key that names an entry, if there is one.
    """

    instances: ClassVar[list[Registry[Any]]] = []
    """All registries of this process."""

    def __init__(self, noun: str, setting: str | None = None) -> None:
        super().__init__()
        self.noun, self.setting = noun, setting
        self.instances.append(self)

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def decorate(entry: T) -> T:
            if name in self:
                raise ValueError(f"the {self.noun} {name!r} is registered already")
            self[name] = entry
            return entry

        return decorate

    def __missing__(self, name: str) -> T:
        """Raise UserError, which suggests the closest name."""
        where = f"{self.setting}: " if self.setting else ""
        advice = suggestion(name, self) or "; register it first"
        raise UserError(f"{where}unknown {self.noun} {format_value(name)}{advice}")
