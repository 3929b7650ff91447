"""Seals: digests of predictions and of all that they depend on, made before answers are known.

The SHA-256 of a seal is short enough to publish. Anybody who has the seal and the predictions later
can verify that nothing has changed since.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from arc_trm.callbacks import Note, ignore
from arc_trm.data.loader import public_data_name
from arc_trm.errors import UserError, format_name, one_line
from arc_trm.evaluation.finding import kind_of_log
from arc_trm.evaluation.prediction_log import NO_KEY, PredictionLog
from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import atomic_write, file_digest, read_json
from arc_trm.runs import PREDICTIONS, SEAL, SUBMISSION, is_run
from submission.errors import format_value

FORMAT = "arc-trm seal 1"
NO_SETTINGS = (*NO_KEY, "weights", "tasks", "version", "code")
"""Fields of a log's header that say what was asked and by which code, but not how."""
MAX_BYTES = 1 << 20
"""Size of the largest seal that is read."""
MAX_TEXT = 500
"""Characters of a text in a seal."""
MAX_INT = 1 << 63
MISSING = "missing"
"""Stands for a setting that there is not."""
SHOWN_DIGITS = 12
"""Hexadecimal digits of a digest in a message."""
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Seal:
    """What predictions are and what they depend on.

    Attributes:
        sealed_at: when, in ISO 8601 with the time zone.
        submission: SHA-256 of the submission file; None without a submission.
        predictions: SHA-256 as of `PredictionLog.digest`; None if there is no log.
        model, checkpoint: names of the weights, for readers.
        weights: SHA-256 of the tensors in use, as in the header of the log.
        weight_files: SHA-256 of each file of the weights, by its path in their folder.
        data: names of the tasks, for readers.
        tasks: SHA-256 of the tasks without their test outputs, as of `TaskSet.fingerprint`.
        settings: everything else in the header of the log on which predictions depend.
        version: of arc-trm.
        code: digest of the code that predicts.
    """

    sealed_at: str
    submission: str | None
    predictions: str | None
    model: str
    checkpoint: str
    weights: str
    weight_files: Mapping[str, str]
    data: Sequence[str]
    tasks: str
    settings: Mapping[str, Any]
    version: str
    code: str

    @classmethod
    def of(
        cls,
        key: Mapping[str, Any],
        metadata: Mapping[str, Any],
        weight_files: Mapping[str, str],
        submission: str | None = None,
        predictions: str | None = None,
    ) -> Seal:
        """Seal what a job depends on, and its predictions if there are any.

        Args:
            key: of the job, as `PredictionPlan.key`; the header of a log has it, too.
            metadata: `model`, `checkpoint` and `data`, as in a log.
            weight_files, submission, predictions: as the attributes.
        """
        return cls(
            datetime.now(UTC).isoformat(timespec="seconds"),
            submission,
            predictions,
            _text(metadata["model"]),
            _text(metadata["checkpoint"]),
            key["weights"],
            dict(weight_files),
            [_text(public_data_name(name)) for name in metadata["data"]],
            key["tasks"],
            _settings(key),
            key["version"],
            key["code"],
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of all other fields of the file as canonical JSON, which is to be published."""
        return _canonical_digest(self._facts())

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the file."""
        return {**self._facts(), "sha256": self.sha256}

    def _facts(self) -> dict[str, Any]:
        digest = _canonical_digest(self.settings)
        return {"format": FORMAT, **asdict(self), "settings_sha256": digest}

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises WriteError."""
        with atomic_write(path) as file:
            file.write(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Seal:
        """Read a seal. Raises UserError if the file is not a seal, or has changed since."""
        content = _read_object(path)
        if content.get("format") != FORMAT:
            raise _no_seal(path, f"it does not say {FORMAT!r}")
        for name in dict.fromkeys([*_VALID, *content]):
            if name not in content:
                raise _no_seal(path, f"it has no {name}")
            if name not in _VALID:
                raise _no_seal(path, f"no seal has a field {format_name(name)}")
            if not _VALID[name](content[name]):
                raise _no_seal(path, f"its {name} is {format_value(content[name])}")
        seal = cls(**{each.name: content[each.name] for each in fields(cls)})
        if content != seal.to_dict():
            raise UserError(
                f"{path} changed since it was written (it says SHA-256 "
                f"{_short(content['sha256'])}, but has {_short(seal.sha256)}): restore the "
                "original file"
            )
        return seal

    def verify(self, source: PredictionSource) -> dict[str, bool | None]:
        """Check that predictions, and what they depend on as far as it is at hand, are as sealed.

        Returns:
            For submission, predictions, tasks, settings, weights and code: True if it is as sealed,
            None if it is not at hand. Puzzles without submissions have no `submission`.

        Raises:
            UserError: something has changed, or a file cannot be read.
        """
        checked: dict[str, bool | None] = {}
        if source.kind.writes_submission:
            checked["submission"] = self._verify_submission(source)
        log = source.made_by
        if log is not None:
            self._verify_log(log)
        if source.names_tasks:
            tasks = source.tasks
            what = f"the tasks of {format_name(tasks.name)} are not the sealed ones"
            _require_same(what, self.tasks, tasks.fingerprint(solutions=False))
        folder = _weights_folder(source)
        logged = None if log is None else True
        return {
            **checked,
            "predictions": logged,
            "tasks": source.names_tasks or None,
            "settings": logged,
            "weights": None if folder is None else self._verify_weights(folder),
            "code": logged,
        }

    def _verify_submission(self, source: PredictionSource) -> bool | None:
        path = source.path
        if source.log is not None:  # its attempts are those of the submission beside it
            path = path.with_name(SUBMISSION)
            if source.path.name != PREDICTIONS or not path.is_file():
                return None
        digest = file_digest(path)
        if digest is None:
            raise UserError(f"{path} is not a file that a seal is for: name the submission itself")
        _require_same(f"{path} is not the sealed submission", self.submission, digest)
        return True

    def _verify_log(self, log: PredictionLog) -> None:
        what = f"{log.path} does not hold the sealed predictions"
        _require_same(what, self.predictions, log.digest())
        for name in ("weights", "tasks", "version", "code"):
            what = f"{log.path} does not have the sealed {name} in its header"
            _require_same(what, getattr(self, name), log.header.get(name))
        for name in ("model", "checkpoint"):
            what = f"{log.path} does not have the sealed {name} in its header"
            _require_same(what, getattr(self, name), _text(str(log.metadata.get(name))))
        settings = _settings(log.header)
        for name in dict.fromkeys([*self.settings, *settings]):
            what = f"{log.path} does not have the sealed setting {format_name(name)}"
            _require_same(what, self.settings.get(name, MISSING), settings.get(name, MISSING))

    def _verify_weights(self, folder: Path) -> bool | None:
        """Compare the files in the folder; None if not all are there."""
        found = {name: file_digest(folder / name) for name in self.weight_files}
        for name, digest in found.items():
            if digest is not None:
                what = f"{folder / name} is not the sealed file of the weights"
                _require_same(what, self.weight_files[name], digest)
        return True if found and None not in found.values() else None


def seal_folder(folder: Path, weight_files: Mapping[str, str], note: Note = ignore) -> None:
    """Write the seal of the predictions in a folder of `arc-trm predict`.

    A seal of the same predictions is kept, with its time.

    Args:
        folder: with a predictions.jsonl, for ARC also a submission.json.
        weight_files: as the attribute of `Seal`.
        note: hears what to publish, and which earlier seal is replaced.

    Raises:
        UserError: another file is in the place of the seal; a file cannot be read.
        WriteError: the file system refuses.
    """
    log, path = PredictionLog(folder / PREDICTIONS), folder / SEAL
    submits = kind_of_log(log).writes_submission
    submission = file_digest(folder / SUBMISSION) if submits else None
    seal = Seal.of(log.header, log.metadata, weight_files, submission, log.digest())
    earlier = earlier_seal(folder)
    if earlier is not None and replace(earlier, sealed_at=seal.sealed_at) == seal:
        seal = earlier
    else:
        seal.write(path)
        if earlier is not None:
            note(f"the seal of {earlier.sealed_at}, SHA-256 {earlier.sha256}, no longer holds")
    note(f"sealed: SHA-256 {seal.sha256}, publish it before the answers are known")


def earlier_seal(folder: Path) -> Seal | None:
    """Return the seal in a folder, None without one. Raises UserError if its place is taken."""
    path = folder / SEAL
    if not os.path.lexists(path):
        return None
    try:
        return Seal.read(path)
    except UserError:
        raise UserError(
            f"{path} is no intact seal, so it is not replaced: remove it, or name another folder "
            "with --out"
        ) from None


def describe_verification(path: Path, source: PredictionSource) -> tuple[dict[str, Any], list[str]]:
    """Verify that predictions are as in a seal, and return the outcome as JSON and as lines.

    Raises UserError as `Seal.read` and `Seal.verify` do.
    """
    seal = Seal.read(path)
    checked = seal.verify(source)
    facts = {"file": str(path), "sha256": seal.sha256, "sealed_at": seal.sealed_at}
    lines = [f"seal: SHA-256 {seal.sha256}, made {seal.sealed_at}"]
    for name, found in checked.items():
        lines.append(f"{name}: {'as sealed' if found else 'not at hand, not checked'}")
    return {"seal": facts | checked}, [*lines, ""]


def _canonical_digest(value: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON: sorted keys, no spaces, only ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _settings(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in NO_SETTINGS}


def _weights_folder(source: PredictionSource) -> Path | None:
    """Return the folder of the weights where the log says it is; None if it is not there."""
    if source.made_by is None:
        return None
    name = source.metadata.get("weights")
    named = Path(name) if isinstance(name, str) and os.path.isabs(name) else None
    if named is not None and os.path.isdir(named) and not is_run(named):
        return named
    return None if source.run is None else source.run.path  # it may have been moved


def _require_same(what: str, sealed: object, now: object) -> None:
    """Raise UserError, which begins with `what`, unless a value is as sealed."""
    if type(now) is not type(sealed) or now != sealed:
        raise UserError(
            f"{what} (sealed {_short(sealed)}, now {_short(now)}): restore what was sealed, or "
            "score without --seal"
        )


def _short(value: object) -> str:
    """Return a value for a message, a digest by its first digits."""
    if isinstance(value, str) and _is_digest(value):
        return f"{value[:SHOWN_DIGITS]}..."
    return format_value(value)


# Reading


def _no_seal(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is no seal, because {why}: name a seal.json that `arc-trm predict --seal` wrote"
    )


def _read_object(path: Path) -> dict[str, Any]:
    if os.path.exists(path) and not (path.is_file() and path.stat().st_size <= MAX_BYTES):
        raise _no_seal(path, "it is no ordinary small file")
    content = read_json(path)
    if not isinstance(content, dict):
        raise _no_seal(path, "it is not a JSON object")
    return content


def _text(text: str) -> str:
    """Return a text as one short line."""
    return one_line(text)[:MAX_TEXT]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_digest_or_none(value: object) -> bool:
    return value is None or _is_digest(value)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _are_files(value: object) -> bool:
    """Return whether a value has digests of files by their paths below a folder."""
    return isinstance(value, dict) and all(
        _is_text(name)
        and _is_digest(digest)
        and not PurePosixPath(name).is_absolute()
        and ".." not in PurePosixPath(name).parts
        for name, digest in value.items()
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_settings(value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and all(map(_is_plain, each if isinstance(each, list) else [each]))
        for name, each in value.items()
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) < MAX_INT
    return value is None or isinstance(value, float) or _is_text(value)


_VALID: Mapping[str, Callable[[object], bool]] = {
    "format": _is_text,
    "sealed_at": _is_time,
    "submission": _is_digest_or_none,
    "predictions": _is_digest_or_none,
    "model": _is_text,
    "checkpoint": _is_text,
    "weights": _is_digest,
    "weight_files": _are_files,
    "data": _are_texts,
    "tasks": _is_digest,
    "settings": _are_settings,
    "settings_sha256": _is_digest,
    "version": _is_text,
    "code": _is_text,
    "sha256": _is_digest,
}
"""What the fields of a file must be."""
