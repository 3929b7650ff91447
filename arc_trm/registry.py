"""Named extension points: a decorator registers an entry, a setting names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from arc_trm.errors import UserError, suggestion

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name, in the order of their registration.

    Args:
        noun: what an entry is called in messages, "architecture" for example.
        setting: the config key that names an entry, if there is one.
    """

    def __init__(self, noun: str, setting: str | None = None) -> None:
        self.noun, self.setting = noun, setting
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def decorate(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.noun} {name!r} is registered already")
            self._entries[name] = entry
            return entry

        return decorate

    def unregister(self, name: str) -> None:
        """Remove an entry, so that its name is free again."""
        del self._entries[name]

    def __getitem__(self, name: str) -> T:
        """Return an entry. Raises UserError, which suggests the closest name, if there is none."""
        if name not in self._entries:
            where = f"{self.setting}: " if self.setting else ""
            advice = suggestion(name, self._entries) or "; register it first"
            raise UserError(f"{where}unknown {self.noun} {name!r}{advice}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """Return all entries."""
        return list(self._entries.values())
