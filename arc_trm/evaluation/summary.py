"""What predictions are: by which weights, for which data, with which settings, since when."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arc_trm.config import InferenceConfig, format_preset, to_dict
from arc_trm.data.loader import public_data_name
from arc_trm.errors import format_name, one_line, pluralise
from arc_trm.evaluation.breadth import Asked
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.io import relative_path
from arc_trm.puzzles import KINDS, PuzzleKind
from arc_trm.runs.checkpoints import BEST
from arc_trm.tasks import DEFAULT_KIND

SETTINGS = {
    "supervision_steps": "supervision steps",
    "augmentations": "augmentations",
    "canvas": "canvas",
    "dtype": "dtype",
    "attempts": "attempts",
    "samples": "samples",
    "noise": "noise",
    "starts": "starts",
    "views": "views",
    "early_exit": "early exit",
    "select": "selected by",
    "seed": "seed",
    "puzzle_embedding": "puzzle embedding",
}
"""Fields of a log's key that are settings, and what they are called in a sentence."""
USUAL = {
    **to_dict(InferenceConfig()),
    "supervision_steps": None,
    "puzzle_embedding": "trained",
}
"""Values of settings that are not worth a word."""
MAX_NUMBER = 1 << 63
"""What is not below it counts nothing that there is."""


OUTDATED = "the run has other weights by now: predict again for their score"
UNFINISHED = (
    "the job predicted more after it wrote this file: if it runs no longer, the same `arc-trm "
    "predict` finishes it"
)
MAX_OTHERS = 3
"""Number of other predictions in a run that are named."""


@dataclass(frozen=True)
class PredictionSummary:
    """What predictions are; a field that is not known is None or empty.

    Attributes:
        file: path of the file or folder.
        model: name of the weights, for readers elsewhere.
        weights: path of the weights on the machine that predicted, or their name on the Hub.
        checkpoint: which weights of a run: `best`, `last`, a step, or several steps with commas.
        preset: of the run that trained the weights, with its steps so far, planned steps and seed.
        changed: settings of that run that differ from the preset's, as for --set.
        parameters: of the network, without the puzzle embedding.
        train_data: names of what the weights were trained on.
        data: names of what was predicted.
        kind: of puzzle, by its name.
        tasks, test_inputs: their numbers.
        settings: by the names in SETTINGS.
        voters: number of votes per test input: mean, smallest, largest.
        guessed: test inputs without a candidate, (task id, test index from 0).
        solved_guesses: number of guessed test inputs with a right attempt, if some are scored.
        scored_guesses: number of guessed test inputs that are scored.
        scored_tasks: number of tasks that are scored, if they are.
        scored_data: names of what is scored, if that is not what was predicted.
        solutions: path of the official solutions that it is scored against, if any were named.
        started_at: when the job was started first.
        version: of arc-trm.
        code: digest of the code that predicted.
        others: folders of other predictions in the same run, newest first.
        outdated: whether the run has other weights by now.
        unfinished: whether the job predicted more after it wrote the file, and was killed or runs.
        asked: how much was asked about each test input, if it was more than once.
    """

    file: str
    model: str | None = None
    weights: str | None = None
    checkpoint: str | None = None
    preset: str | None = None
    changed: tuple[str, ...] = ()
    step: int | None = None
    total_steps: int | None = None
    seed: int | None = None
    parameters: int | None = None
    train_data: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    kind: str = DEFAULT_KIND
    tasks: int | None = None
    test_inputs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    voters: tuple[float, int, int] | None = None
    guessed: tuple[tuple[str, int], ...] | None = None
    solved_guesses: int | None = None
    scored_guesses: int | None = None
    scored_tasks: int | None = None
    scored_data: tuple[str, ...] = ()
    solutions: str | None = None
    started_at: datetime | None = None
    version: str | None = None
    code: str | None = None
    others: tuple[str, ...] = ()
    outdated: bool = False
    unfinished: bool = False
    asked: Asked | None = None

    @classmethod
    def of_log(
        cls, file: str, log: PredictionLog, data: Sequence[str], status: LogStatus | None
    ) -> PredictionSummary:
        """Return the summary of predictions that a log describes.

        Args:
            file: path to show.
            log: whose header has the facts; those that are not as written are left out.
            data: names of what was predicted.
            status: of the predictions.
        """
        key, facts = _Facts(log.header), _Facts(log.metadata)
        settings = {name: key.setting(name) for name in SETTINGS}
        if log.answers == 1 and not settings["augmentations"]:
            settings["select"] = None  # nothing to select from
        return cls(
            file,
            model=facts.text("model"),
            weights=facts.text("weights"),
            checkpoint=facts.text("checkpoint"),
            preset=facts.text("preset"),
            changed=facts.texts("changed"),
            step=facts.number("step"),
            total_steps=facts.number("total_steps"),
            seed=facts.number("seed"),
            parameters=facts.number("parameters"),
            train_data=facts.texts("train_data"),
            data=tuple(data),
            kind=facts.text("kind") or DEFAULT_KIND,
            tasks=facts.number("tasks"),
            test_inputs=facts.number("test_inputs"),
            settings={
                name: value
                for name, value in settings.items()
                if value is not None and value != USUAL.get(name)
            },
            voters=None if status is None else status.voters,
            guessed=None if status is None else status.guessed,
            started_at=facts.time("started_at"),
            version=key.text("version"),
            code=key.text("code"),
            unfinished=status is not None and not status.is_last,
        )

    @property
    def date(self) -> str:
        """When the job was started, in words: `26 November 2026, 11:24 UTC`."""
        at = self.started_at
        return "" if at is None else f"{at.day} {at:%B %Y, %H:%M} UTC"

    @property
    def preset_text(self) -> str:
        """The preset and what differs from it: `quickstart with train.lr=0.001`."""
        return format_preset(self.preset, self.changed) if self.preset else ""

    @property
    def checkpoint_text(self) -> str:
        """Which weights of a run they are: `best checkpoint`; empty for those of one step."""
        name = self.checkpoint or ""
        if "," in name:
            return f"mean of checkpoints {format_name(name)}"
        return "best checkpoint" if name == BEST else ""

    @property
    def trained(self) -> str:
        """How the weights were trained: `preset quickstart, step 9000 of 9000, seed 0`."""
        parts = [f"preset {self.preset_text}"] if self.preset else []
        parts += filter(None, [self.checkpoint_text])
        if self.step is not None:
            total = f" of {self.total_steps}" if self.total_steps is not None else ""
            parts.append(f"step {self.step}{total}")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        return ", ".join(parts)

    @property
    def settings_text(self) -> str:
        """The settings in words: `16 supervision steps, 4 augmentations, full canvas, ...`."""
        texts = []
        for key, value in self.settings.items():
            noun = SETTINGS[key]
            if value is True:
                texts.append(noun)
            elif key in ("noise", "seed"):
                texts.append(f"{noun} {value:g}")
            elif isinstance(value, int):
                texts.append(pluralise(value, noun.removesuffix("s")))
            else:
                texts.append(
                    format_name(value) if key == "dtype" else f"{noun} {format_name(value)}"
                )
        return ", ".join(texts)

    @property
    def voters_text(self) -> str:
        """The number of voters in words: `4.8 per test input (2 to 5)`, or per puzzle."""
        if self.voters is None:
            return ""
        mean, least, most = self.voters
        text = f"{mean:.1f} per {self.query_noun}"
        return text + (f" ({least} to {most})" if least < most else "")

    @property
    def query_noun(self) -> str:
        """What is answered: a test input, or a puzzle, which has one."""
        return "test input" if self._several else self._kind.noun

    @property
    def _several(self) -> bool:
        """Whether a task may have several test inputs."""
        return self._kind.theme.numbered

    @property
    def _kind(self) -> PuzzleKind:
        return KINDS.get(self.kind, KINDS[DEFAULT_KIND])

    @property
    def guesses_text(self) -> str:
        """The number of guesses in words, with the first one."""
        if self.guessed is None:
            return ""
        text = f"{len(self.guessed)}"
        if self.test_inputs and not self.scored_data:
            text += f" of {pluralise(self.test_inputs, self.query_noun)}"
        if self.guessed:
            task_id, test = self.guessed[0]
            text += f", first {format_name(task_id)}"
            text += f", test input {test + 1}" if self._several else ""
            if self.solved_guesses is not None:
                part = self.scored_guesses != len(self.guessed)
                of = f"the {self.scored_guesses} that are scored" if part else "them"
                text += f"; {self.solved_guesses} of {of} right"
        return text

    def rows(self) -> dict[str, str]:
        """Return a text for each thing that is known, the file first."""
        size = [pluralise(self.tasks, self._kind.noun)] if self.tasks is not None else []
        if self.test_inputs is not None and self._several:
            size.append(pluralise(self.test_inputs, "test input"))
        names = ", ".join(map(format_name, self.data))
        code = f", code {format_name(self.code)}" if self.code else ""
        by = f"arc-trm {format_name(self.version)}{code}"
        weights = one_line(self.weights or self.model or "")
        if os.path.isabs(weights):
            weights = str(relative_path(Path(weights)))
        more = f" and {len(self.others) - MAX_OTHERS} more" if self.others[MAX_OTHERS:] else ""
        rows = {
            "file": self.file,
            "weights": f"{weights} ({self.trained})" if self.trained else weights,
            "data": f"{names} ({', '.join(size)})" if names and size else names or ", ".join(size),
            "scored": self._scored,
            "settings": self.settings_text,
            "asked": "" if self.asked is None else self.asked.text(self.query_noun),
            "voters": self.voters_text,
            "guesses": self.guesses_text,
            "started": f"{self.date}, {by}" if self.date and self.version else self.date,
            "others": ", ".join(map(one_line, self.others[:MAX_OTHERS])) + more,
            "outdated": OUTDATED if self.outdated else "",
            "partial": UNFINISHED if self.unfinished else "",
        }
        return {name: text for name, text in rows.items() if text}

    @property
    def _scored(self) -> str:
        """What is scored, if that is not what was predicted, and against which solutions."""
        number, total = self.scored_tasks, self.tasks
        named = bool(self.scored_data or self.solutions)
        if number is None or (total in (number, None) and not named):
            return ""
        names = ", ".join(map(format_name, self.scored_data))
        noun = self._kind.noun
        text = pluralise(number, noun) + (f" of {names}" if names else "")
        text += f", against {one_line(self.solutions)}" if self.solutions else ""
        more = total is not None and number > total
        return f"{text}; without attempts, a {noun} counts as unsolved" if more else text

    def lines(self) -> list[str]:
        """Return one aligned line for each thing that is known, the file first."""
        return format_rows(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        voters = self.voters and dict(zip(("mean", "min", "max"), self.voters, strict=True))
        return {
            "file": self.file,
            "model": self.model,
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            "preset": self.preset,
            "changed": list(self.changed),
            "step": self.step,
            "total_steps": self.total_steps,
            "seed": self.seed,
            "parameters": self.parameters,
            "train_data": list(self.train_data),
            "data": list(self.data),
            "kind": self.kind,
            "tasks": self.tasks,
            "test_inputs": self.test_inputs,
            "settings": dict(self.settings),
            "voters": voters,
            "guesses": None if self.guessed is None else len(self.guessed),
            "guessed": None if self.guessed is None else [list(each) for each in self.guessed],
            "solved_guesses": self.solved_guesses,
            "scored_guesses": self.scored_guesses,
            "scored_tasks": self.scored_tasks,
            "scored_data": list(self.scored_data),
            "solutions": self.solutions,
            "started_at": None if self.started_at is None else self.started_at.isoformat(),
            "version": self.version,
            "code": self.code,
            "others": list(self.others),
            "outdated": self.outdated,
            "unfinished": self.unfinished,
            "asked": None if self.asked is None else self.asked.to_dict(),
        }


def format_rows(rows: Mapping[str, str]) -> list[str]:
    """Return one aligned line for each row."""
    return [f"{name:<9} {text}" for name, text in rows.items()]


def summarise_job(predictions: PredictionSet) -> PredictionSummary:
    """Return what the predictions of a job are that has just ended."""
    assert predictions.job is not None
    files = predictions.job.files
    log, status = PredictionLog(files["predictions"]), LogStatus.of(predictions)
    names = _Facts(log.metadata).texts("data")
    file = str(files.get("submission", log.path))
    data = [public_data_name(name) for name in names]
    summary = PredictionSummary.of_log(file, log, data, status)
    if log.is_plain:
        return summary
    return replace(summary, asked=Asked.of(predictions, predictions.selected_by))


class _Facts:
    """JSON from a file, of which only values of the expected types are used."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def number(self, name: str) -> int | None:
        value = self._values.get(name)
        valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER
        return value if valid else None

    def setting(self, name: str) -> str | int | float | bool | None:
        value = self._values.get(name)
        if isinstance(value, bool | float):
            return value if math.isfinite(value) and 0 <= value < MAX_NUMBER else None
        return self.text(name) or self.number(name)

    def time(self, name: str) -> datetime | None:
        try:
            return datetime.fromisoformat(str(self._values.get(name))).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
