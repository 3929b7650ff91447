"""What long jobs report, and where a user's own code hears of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from arc_trm.errors import one_line

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence that the user should see."""
Progress: TypeAlias = Callable[[int, int], None]
"""Takes how many of how many steps are done."""
EndStatus: TypeAlias = Literal["finished", "interrupted", "failed"]
"""How training ended: at its last step or time limit, by a signal, or by an error."""


class StageProgress(Protocol):
    """Takes how far a stage is; see `Callback.stage`."""

    def __call__(self, name: str, done: int, total: int, in_bytes: bool = True) -> None: ...


def ignore(*_: object, **__: object) -> None:
    """Do nothing, as a `Note`, a `Progress` or a `StageProgress`."""


@dataclass(frozen=True)
class TrainingStart:
    """What a callback is told when training starts.

    Attributes:
        folder: of the run.
        config: the resolved settings as plain values, as in run.json.
        step: the last step that is done, 0 in a new run. Records of later steps follow, also of
            those that were trained before a kill.
        total_steps: planned steps.
        records: of metrics.jsonl so far, of none but the steps that are done.
        note: shows the user a sentence.
    """

    folder: Path
    config: Mapping[str, Any]
    step: int
    total_steps: int
    records: Sequence[Mapping[str, float]]
    note: Note


class Callback:
    """Hears what a job does. Subclass it and override what you need.

    Under torchrun only the callbacks of the first process are called.

    Attributes:
        may_fail: whether the job continues without the callback if it raises an exception; a note
            then says why. Otherwise the exception ends the job.
    """

    may_fail = False

    def start(self, training: TrainingStart) -> None:
        """Hear that `train` or `adapt` starts or resumes its steps."""

    def note(self, sentence: str) -> None:
        """Hear a sentence that a person should read."""

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        """Hear how far the job is.

        Args:
            done: training steps or queries so far.
            total: all of them, as far as it is known.
            record: a new record of metrics.jsonl, if there is one.
        """

    def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
        """Hear how far a stage before or within the job is, a download or a compilation.

        A stage ends when another one or the job itself reports something.

        Args:
            name: of the stage.
            done: bytes so far.
            total: all of them; None if nothing is counted.
            in_bytes: False if things other than bytes are counted.
        """

    def end(self, status: EndStatus) -> None:
        """Hear that `train` or `adapt` ends, after the last record."""


class CallbackList(Callback):
    """Calls several callbacks in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def start(self, training: TrainingStart) -> None:
        self._call(lambda callback: callback.start(training))

    def note(self, sentence: str) -> None:
        self._call(lambda callback: callback.note(sentence))

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        self._call(lambda callback: callback.progress(done, total, record))

    def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
        self._call(lambda callback: callback.stage(name, done, total, in_bytes))

    def end(self, status: EndStatus) -> None:
        self._call(lambda callback: callback.end(status))

    def _call(self, action: Callable[[Callback], None]) -> None:
        for callback in self.callbacks:
            try:
                action(callback)
            except Exception as error:
                if not callback.may_fail:
                    raise
                self.callbacks = tuple(each for each in self.callbacks if each is not callback)
                reason = f"{type(error).__name__}: {one_line(str(error))}"
                self.note(f"{type(callback).__name__} failed, the job continues without: {reason}")
