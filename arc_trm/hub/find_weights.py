"""Which files of a repository are weights: a weight folder's, or those of published weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from arc_trm.checkpoint import CONFIG, NETWORK, PUZZLES, TABLE
from arc_trm.checkpoint.published import SETTINGS
from arc_trm.data.readers.prebuilt import IDENTIFIERS
from arc_trm.errors import UserError
from arc_trm.hub.client import Note
from arc_trm.hub.known_weights import Known, find_known
from arc_trm.hub.repo_files import Listing
from arc_trm.hub.repo_id import Reference

README = "README.md"
_STEP = re.compile(r"step_(\d{1,15})")
_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_NAMED = 10


@dataclass(frozen=True)
class WeightFolder:
    """A weight folder of ours; `paths` are its files in the order to fetch them.

    The network is the last: without it, what is there in part is not taken for a weight folder.
    """

    pinned: Reference
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Weights that the published trainer wrote, to be converted; paths in the repository."""

    pinned: Reference
    step_file: str
    settings: str | None
    identifiers: str | None
    known: Known | None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files in the order to fetch them."""
        beside = (self.settings, self.identifiers)
        return (*(path for path in beside if path is not None), self.step_file)


def choose(listing: Listing, note: Note) -> WeightFolder | Published:
    """The weights that a reference means; in no subfolder, those at the top or the only ones.

    Raises UserError, with the choices, if there are none, several, or not those.
    """
    subfolder = listing.pinned.subfolder
    if _has_weights(listing, subfolder):
        return _weights_in(listing, subfolder, note)
    having = [folder for folder in listing.folders() if _has_weights(listing, folder)]
    choices = _some([str(replace(listing.pinned, subfolder=folder)) for folder in having])
    if subfolder is not None:
        rest = f"it has them in {choices}" if having else f"nor anywhere else, only {_all(listing)}"
        raise UserError(f"{listing.pinned} has no weights in {subfolder}: {rest}")
    if not having:
        raise UserError(
            f"{listing.pinned} has no weights that can be read here, only {_all(listing)}"
        )
    if len(having) > 1:
        raise UserError(
            f"{listing.pinned} has weights in several subfolders, so name one: {choices}"
        )
    note(f"the weights of {listing.pinned} are in its subfolder {having[0]}")
    return _weights_in(listing, having[0], note)


def _has_weights(listing: Listing, folder: str | None) -> bool:
    names = listing.names(folder)
    return {CONFIG, NETWORK} <= names.keys() or any(
        _STEP.fullmatch(name) or name.endswith(_PICKLED) for name in names
    )


def _weights_in(listing: Listing, folder: str | None, note: Note) -> WeightFolder | Published:
    names = listing.names(folder)
    pinned = replace(listing.pinned, subfolder=folder)
    if {CONFIG, NETWORK} <= names.keys():
        wanted = (CONFIG, PUZZLES, README, TABLE, NETWORK)
        return WeightFolder(pinned, tuple(names[name] for name in wanted if name in names))
    known = find_known(pinned.repository, folder)
    return Published(
        pinned,
        names[_step_file(pinned, names, known, note)],
        names.get(SETTINGS),
        names.get(IDENTIFIERS),
        known,
    )


def _step_file(pinned: Reference, names: dict[str, str], known: Known | None, note: Note) -> str:
    if known is not None and known.file in names:
        return known.file
    steps = sorted((int(match[1]), name) for name in names if (match := _STEP.fullmatch(name)))
    if steps:
        last = steps[-1][1]
        if len(steps) > 1:
            note(f"{pinned} has {len(steps)} steps of one training: taking the last, {last}")
        return last
    files = sorted(name for name in names if name.endswith(_PICKLED))
    if len(files) > 1:
        raise UserError(
            f"{pinned} has several weight files and none is called step_NUMBER ({_some(files)}): "
            "download the one you mean and convert it with `arc-trm convert FILE OUT`"
        )
    return files[0]


def _all(listing: Listing) -> str:
    return _some(sorted(listing.files)) or "nothing"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
