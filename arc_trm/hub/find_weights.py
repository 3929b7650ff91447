"""Find the weights in a repository: those of a weights folder, or of the published trainer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from arc_trm.callbacks import Note
from arc_trm.checkpoint import (
    CONFIG_FILE,
    EMBEDDING_FILE,
    INFERENCE_FILE,
    NETWORK_FILE,
    PUZZLE_IDS_FILE,
)
from arc_trm.checkpoint.published import SETTINGS_FILE
from arc_trm.data.readers.prebuilt import IDENTIFIERS
from arc_trm.errors import UserError
from arc_trm.hub.known_weights import KnownWeights, find_known_weights
from arc_trm.hub.repo_files import RepoFiles
from arc_trm.hub.repo_id import RepoId

MODEL_CARD_FILE = "README.md"
_STEP_FILE = re.compile(r"step_(\d{1,15})")
_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_MAX_LISTED = 10
# In the order of their download. The network is the last: without it a folder is not complete.
_WEIGHTS_FILES = (
    CONFIG_FILE,
    PUZZLE_IDS_FILE,
    MODEL_CARD_FILE,
    INFERENCE_FILE,
    EMBEDDING_FILE,
    NETWORK_FILE,
)


@dataclass(frozen=True)
class WeightsFiles:
    """A weights folder in a repository.

    Attributes:
        pinned: the commit and the subfolder.
        files: paths in the repository by their names, in the order of their download.
    """

    pinned: RepoId
    files: Mapping[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths in the order of their download."""
        return tuple(self.files.values())


@dataclass(frozen=True)
class PublishedFiles:
    """Weights that the published trainer wrote, to be converted; paths are in the repository.

    Attributes:
        pinned: the commit and the subfolder.
        step_file: the weight file.
        settings: an all_config.yaml; None if the repository has none.
        identifiers: an identifiers.json; None if the repository has none.
        known: what is known about these weights.
    """

    pinned: RepoId
    step_file: str
    settings: str | None
    identifiers: str | None
    known: KnownWeights

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths in the order of their download."""
        paths = (self.settings, self.identifiers, self.step_file)
        return tuple(path for path in paths if path is not None)


def find_weights(repo: RepoFiles, note: Note) -> WeightsFiles | PublishedFiles:
    """Find the weights in the subfolder; without one, in the top folder or the only other one.

    Raises:
        UserError: there are no weights, or several; it lists the choices.
    """
    subfolder = repo.pinned.subfolder
    if _has_weights(repo, subfolder):
        return _weights_in(repo, subfolder, note)
    folders = [folder for folder in repo.folders() if _has_weights(repo, folder)]
    choices = _listing([str(replace(repo.pinned, subfolder=folder)) for folder in folders])
    only = f"only {_listing(sorted(repo.files)) or 'no files'}"
    if subfolder is not None:
        rest = f"it has them in {choices}" if folders else f"nor elsewhere, {only}"
        raise UserError(f"{repo.pinned} has no weights in {subfolder}: {rest}")
    if not folders:
        raise UserError(f"{repo.pinned} has no weights that can be read here, {only}")
    if len(folders) > 1:
        raise UserError(f"{repo.pinned} has weights in several subfolders, name one: {choices}")
    note(f"the weights of {repo.pinned} are in its subfolder {folders[0]}")
    return _weights_in(repo, folders[0], note)


def _has_weights(repo: RepoFiles, folder: str | None) -> bool:
    names = repo.names(folder)
    return {CONFIG_FILE, NETWORK_FILE} <= names.keys() or any(
        _STEP_FILE.fullmatch(name) or name.endswith(_PICKLED) for name in names
    )


def _weights_in(repo: RepoFiles, folder: str | None, note: Note) -> WeightsFiles | PublishedFiles:
    names = repo.names(folder)
    pinned = replace(repo.pinned, subfolder=folder)
    if {CONFIG_FILE, NETWORK_FILE} <= names.keys():
        return WeightsFiles(pinned, {n: names[n] for n in _WEIGHTS_FILES if n in names})
    known = find_known_weights(pinned.repository, folder)
    name = known.file if known.file in names else _step_file(pinned, names, note)
    return PublishedFiles(
        pinned, names[name], names.get(SETTINGS_FILE), names.get(IDENTIFIERS), known
    )


def _step_file(pinned: RepoId, names: Iterable[str], note: Note) -> str:
    """Return the name of the weight file: that of the last step, or the only one."""
    steps = sorted((int(match[1]), name) for name in names if (match := _STEP_FILE.fullmatch(name)))
    if steps:
        last = steps[-1][1]
        if len(steps) > 1:
            note(f"{pinned} has {len(steps)} steps of a training run: using the last one, {last}")
        return last
    files = sorted(name for name in names if name.endswith(_PICKLED))
    if len(files) > 1:
        raise UserError(
            f"{pinned} has several weight files and none is called step_NUMBER "
            f"({_listing(files)}): download one and convert it with `arc-trm convert FILE OUT`"
        )
    return files[0]


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more
