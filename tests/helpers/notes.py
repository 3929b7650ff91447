"""A callback that keeps what a run says, and may end it as a kill would."""

from __future__ import annotations

from collections.abc import Mapping

from arc_trm.callbacks import Callback


class Notes(Callback):
    """Keeps all notes, and raises InterruptedError at a step as a kill would end the run."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == self.stop:
            raise InterruptedError
