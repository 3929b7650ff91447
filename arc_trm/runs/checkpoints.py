"""The weights of several training steps in a folder, and the names that choose among them.

    model.safetensors              the last weights
    checkpoints/STEP.safetensors   weights of earlier steps that a run keeps
    puzzle_embedding.safetensors   the puzzle embedding of the last weights

A small puzzle embedding is in the file of each step. A large one is in one copy, which belongs to
the last weights, and weights of earlier steps are used with it. While a run saves, the next puzzle
embedding lies beside it (`embedding_path`). Only headers are read here, so that a table of runs
needs no torch.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from arc_trm.errors import UserError
from arc_trm.io import check_ordinary, file_digest, json_value
from arc_trm.metric_keys import format_metric, metric_name, rank_evaluation
from arc_trm.runs.safetensors_header import read_header
from submission.errors import format_value

CHECKPOINTS_FOLDER = "checkpoints"
NETWORK_FILE, EMBEDDING_FILE = "model.safetensors", "puzzle_embedding.safetensors"
NEXT_EMBEDDING_FILE = "puzzle_embedding.next.safetensors"
"""The puzzle embedding of a save until it takes the place of the one before."""
EMBEDDING_TENSOR = "puzzle_embedding"
"""Name of the puzzle embedding among tensors."""
METADATA_KEY = "arc_trm"
"""Key of our JSON in the metadata of a safetensors file."""
BEST, LAST = "best", "last"
MAX_STEP = 10**15
MAX_LISTED = 10
"""Steps that a message names."""


@dataclass(frozen=True)
class Checkpoint:
    """The file of one step's weights.

    Attributes:
        step: training steps done, 0 if unknown.
        metrics: of the evaluation of these weights, empty without one.
        best_by: the metric that decides which weights are the best; None without an evaluation.
        has_embedding: whether the file also holds the puzzle embedding.
    """

    path: Path
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_by: str | None = None
    has_embedding: bool = False


@dataclass(frozen=True)
class CheckpointChoice:
    """What a name means: the weights of one step, or of several, whose mean is taken.

    Attributes:
        folder: of the weights.
        name: `best`, `last`, a step, or several of these with commas.
        checkpoints: what it names.
        last: the last weights of the folder.
    """

    folder: Path
    name: str
    checkpoints: tuple[Checkpoint, ...]
    last: Checkpoint

    @property
    def uses_shared_embedding(self) -> bool:
        """Whether EMBEDDING_FILE belongs to these weights."""
        return not all(each.has_embedding for each in self.checkpoints)

    @property
    def has_later_embedding(self) -> bool:
        """Whether weights of an earlier step have no embedding but EMBEDDING_FILE, a later one."""
        return any(not each.has_embedding and each != self.last for each in self.checkpoints)

    @property
    def steps(self) -> str:
        """The name by steps, which means the same after more training: `1000` or `1000,2000`.

        `last` stays so if its step is not known.
        """
        steps = [str(each.step) for each in self.checkpoints]
        return self.name if "0" in steps else ",".join(steps)

    @property
    def title(self) -> str:
        """The choice in words: `best by exact (93 %), step 1000`, `mean of steps 1000, 2000`."""
        steps = [each.step for each in self.checkpoints]
        if len(steps) > 1:
            return f"mean of steps {', '.join(map(str, steps))}"
        (found,) = self.checkpoints
        if self.name == BEST and found.best_by is not None:
            score = format_metric(found.best_by, found.metrics[found.best_by])
            return f"best by {metric_name(found.best_by)} ({score}), step {found.step}"
        return f"last, step {found.step}" if self.name == LAST else f"step {found.step}"

    def digest(self) -> str | None:
        """Return a digest of the files, None without a network. Takes about a second per gigabyte.

        The weights that they hold are the same as long as the digest is.
        """
        digests = self.file_digests()
        if not digests:
            return None
        return hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:16]

    def file_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by its path in the folder; none without a network.

        That of the puzzle embedding is by EMBEDDING_FILE, also if a kill left it beside its place.
        """
        paths = [each.path for each in self.checkpoints]
        found = {path.relative_to(self.folder).as_posix(): file_digest(path) for path in paths}
        if None in found.values():
            return {}
        if self.uses_shared_embedding:
            found[EMBEDDING_FILE] = file_digest(embedding_path(self.folder))
        return {name: digest for name, digest in found.items() if digest is not None}


def checkpoint_paths(folder: Path) -> dict[int, Path]:
    """Return the paths of the checkpoints in the folder of a run, whole or damaged, by steps."""
    paths = (folder / CHECKPOINTS_FOLDER).glob("*.safetensors")
    steps = {path: _parse_step(path.stem) for path in paths if not path.is_dir()}
    return {step: path for path, step in steps.items() if step is not None}


def list_checkpoints(folder: Path, skip_damaged: bool = False) -> list[Checkpoint]:
    """Return the checkpoints that are kept in the folder of a run, in the order of their steps.

    Raises:
        UserError: a file is not a whole safetensors file, unless `skip_damaged`.
    """
    found = []
    for step, path in checkpoint_paths(folder).items():
        try:
            found.append(_read_header(path, step))
        except UserError:
            # A run may have removed it after it was listed.
            if not skip_damaged and os.path.lexists(path):
                raise
    return sorted(found, key=lambda each: each.step)


def best_checkpoint(kept: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the checkpoint that ranks highest, of equal ones the first; None without one.

    The latest one says which metric decides, also if earlier ones were rated by another.
    """
    best_by = next((each.best_by for each in reversed(kept) if each.best_by), None)
    if best_by is None:
        return None
    rated = [replace(each, best_by=best_by) for each in kept if best_by in each.metrics]
    return max(
        rated,
        key=lambda each: (rank_evaluation(each.metrics, best_by), -each.step),
        default=None,
    )


def last_checkpoint(folder: Path) -> Checkpoint:
    """Return the last weights in a folder, of step 0 if their file is missing or damaged."""
    path = folder / NETWORK_FILE
    return Checkpoint(path, _step(path) or 0)


def embedding_path(folder: Path) -> Path:
    """Return the file of the puzzle embedding that belongs to the last weights in a folder.

    Network and puzzle embedding are replaced together: the next embedding is written beside the one
    before, then the network is replaced, then the next embedding takes its place. So the one that
    is of the network's step belongs to it, wherever a kill came. There may be neither.
    """
    place, following = folder / EMBEDDING_FILE, folder / NEXT_EMBEDDING_FILE
    if not os.path.lexists(following):
        return place
    step = last_checkpoint(folder).step
    return following if _step(following) == step != _step(place) else place


def choose_checkpoint(folder: Path, name: str | int | None = None) -> CheckpointChoice:
    """Return what a name means.

    Args:
        folder: a weights folder, maybe that of a run.
        name: `best`, `last`, a step, or several with commas, whose mean is taken; None is `best` if
            the run was evaluated while it was trained, and `last` otherwise.

    Raises:
        UserError: there is no such checkpoint, or one is named twice.
    """
    parts = [] if name is None else [part.strip() for part in str(name).split(",")]
    # A damaged file may have been the best.
    kept = list_checkpoints(folder, skip_damaged=bool(parts) and BEST not in parts)
    last, best = last_checkpoint(folder), best_checkpoint(kept)
    known = {str(each.step): each for each in (last, *kept) if each.step}
    known |= {BEST: best} if best is not None else {}
    known |= {LAST: last}
    parts = parts or [LAST if best is None else BEST]
    for part in parts:
        if part not in known:
            path = folder / CHECKPOINTS_FOLDER / f"{part}.safetensors"
            if _parse_step(part) is not None and os.path.lexists(path):
                _read_header(path, None)  # says what is wrong with it
            raise UserError(
                f"{folder} has no checkpoint {format_value(part)}: it has {_listing(known)}"
            )
    chosen = tuple(known[part] for part in parts)
    steps = [each.step for each in chosen]
    if len(set(steps)) < len(steps):
        raise UserError(
            f"{folder} has step {max(steps, key=steps.count)} twice in {format_value(name)}: name "
            "each step once for the mean of their weights"
        )
    return CheckpointChoice(folder, ",".join(parts), chosen, last)


def weights_digest(folder: Path, checkpoint: str | None = None) -> str | None:
    """Return the digest of the weights that a name means now; None if there are none."""
    try:
        return choose_checkpoint(folder, checkpoint).digest()
    except UserError:
        return None


def _listing(known: Mapping[str, Checkpoint]) -> str:
    """Return `best (step 1000), last (step 3000), 1000, 2000, 3000`."""
    named = [f"{name} (step {known[name].step})" for name in (BEST, LAST) if name in known]
    steps = sorted((each.step for each in known.values() if str(each.step) in known), reverse=True)
    steps = list(dict.fromkeys(steps))
    shown = [str(step) for step in reversed(steps[:MAX_LISTED])]
    more = [f"{len(steps) - MAX_LISTED} earlier ones"] if steps[MAX_LISTED:] else []
    return ", ".join([*named, *more, *shown])


def _step(path: Path) -> int | None:
    """Return the step that a file of weights names, 0 if it names none; None without a file."""
    try:
        return _read_header(path, None).step
    except UserError:
        return None


def _parse_step(text: str) -> int | None:
    """Return the step that the name of a file says, None if it is another file."""
    valid = text.isascii() and text.isdecimal() and len(text) < len(str(MAX_STEP))
    return int(text) if valid and str(int(text)) == text else None


def _read_header(path: Path, step: int | None) -> Checkpoint:
    """Return what the header of a file says; `step` None takes the step in its metadata.

    Values of other types than we write are left out. Raises UserError if it is no such file.
    """
    try:
        check_ordinary(path)
        with path.open("rb") as file:
            places, metadata = read_header(file)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({reading_reason(error)}): copy it again, or "
            "remove it"
        ) from None
    facts = _parse(metadata.get(METADATA_KEY, "{}"))
    best_by, metrics = facts.get("best_by"), facts.get("metrics")
    if step is None:
        own = facts.get("step")
        step = own if isinstance(own, int) and 0 <= own < MAX_STEP else 0
    return Checkpoint(
        path,
        step,
        {
            key: float(value)
            for key, value in (metrics if isinstance(metrics, dict) else {}).items()
            if isinstance(value, int | float) and abs(value) <= sys.float_info.max
        },
        best_by if isinstance(best_by, str) else None,
        EMBEDDING_TENSOR in places,
    )


def reading_reason(error: Exception) -> str:
    """Return why a safetensors file cannot be read."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parse(text: str) -> dict[str, Any]:
    try:
        facts = json_value(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
