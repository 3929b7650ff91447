"""Callbacks: what a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Iterable


class Callback:
    """Is called during a run; override the methods that you need.

    Under torchrun only the callbacks of the first process are called.
    """

    def note(self, sentence: str) -> None:
        """Receive a sentence for the user."""

    def progress(self, step: int, total_steps: int, record: dict[str, float] | None) -> None:
        """Receive the progress of the run, before the first step and after every step.

        Args:
            step: number of steps that are done.
            total_steps: expected number of steps in all.
            record: the record that the step added to `metrics.jsonl`, None if it added none.
        """


class CallbackList(Callback):
    """Calls several callbacks in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def note(self, sentence: str) -> None:
        for callback in self.callbacks:
            callback.note(sentence)

    def progress(self, step: int, total_steps: int, record: dict[str, float] | None) -> None:
        for callback in self.callbacks:
            callback.progress(step, total_steps, record)
