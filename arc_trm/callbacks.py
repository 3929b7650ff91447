"""What long jobs report, and where a user's own code hears of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence that the user should see."""
Progress: TypeAlias = Callable[[int, int], None]
"""Takes how many of how many steps are done."""


class StageProgress(Protocol):
    """Takes how far a stage is; see `Callback.stage`."""

    def __call__(self, name: str, done: int, total: int, in_bytes: bool = True) -> None: ...


def ignore(*_: object, **__: object) -> None:
    """Do nothing, as a `Note`, a `Progress` or a `StageProgress`."""


class Callback:
    """Hears what a job does. Subclass it and override what you need.

    Under torchrun only the callbacks of the first process are called.
    """

    def note(self, sentence: str) -> None:
        """Hear a sentence that a person should read."""

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        """Hear how far the job is.

        Args:
            done: training steps or queries so far.
            total: all of them, as far as it is known.
            record: a new record of metrics.jsonl, if there is one.
        """

    def stage(self, name: str, done: int, total: int, in_bytes: bool = True) -> None:
        """Hear how far a stage before the job itself is, a download for example.

        Args:
            name: of the stage.
            done: bytes so far.
            total: all of them.
            in_bytes: False if things other than bytes are counted.
        """


class CallbackList(Callback):
    """Calls several callbacks in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def note(self, sentence: str) -> None:
        for callback in self.callbacks:
            callback.note(sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        for callback in self.callbacks:
            callback.progress(done, total, record)

    def stage(self, name: str, done: int, total: int, in_bytes: bool = True) -> None:
        for callback in self.callbacks:
            callback.stage(name, done, total, in_bytes)
