"""Weights out of the Hub: fetched once, checked, converted if need be."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arc_trm.checkpoint import (
    CONFIG,
    ORIGIN,
    convert,
    read_model_config,
)
from arc_trm.checkpoint.published import SETTINGS
from arc_trm.checkpoint.published_ids import (
    PublishedIds,
    available_subsets,
    naming_option,
    published_ids,
    read_published_ids,
)
from arc_trm.checkpoint.weights_dir import read_parts
from arc_trm.errors import UserError
from arc_trm.hub.client import Note, Progress, Unavailable, silent, told
from arc_trm.hub.download import fetch, remember
from arc_trm.hub.find_weights import Published, WeightFolder, choose
from arc_trm.hub.repo_files import Listing, list_files
from arc_trm.hub.repo_id import Reference, parse
from arc_trm.io import check_new, new_folder
from submission import write_json


@dataclass(frozen=True)
class PullResult:
    """A weight folder and the reference that means it for good: its revision is a full commit."""

    folder: Path
    reference: Reference


def resolve(weights: str | Path, note: Note = silent, progress: Progress = silent) -> Path:
    """The local folder of WEIGHTS: an existing one, else that of a Hub reference, pulled.

    Args:
        weights: a folder, or `owner/name[@revision][:subfolder]`.
        note: takes sentences for a person, among them the pinned reference.
        progress: see `Progress`.

    Raises UserError if it is neither, or the weights cannot be had.
    """
    folder = Path(weights)
    reference = None if folder.exists() else parse(str(weights))
    if folder.exists():
        return folder
    if reference is None:
        raise UserError(
            f"there is no folder {weights}, and it is not the name of a repository on the Hugging "
            "Face Hub either (owner/name[@revision][:subfolder])"
        )
    try:
        pulled = pull(reference, note=note, progress=progress, thorough=False)
    except Unavailable as error:
        if (reference.revision, reference.subfolder) != (None, None):
            raise  # nobody means a folder by that
        raise UserError(f"there is no folder {weights} here, and on the Hub: {error}") from None
    note(f"weights: {pulled.reference}")
    return pulled.folder


def pull(
    reference: Reference,
    out: Path | None = None,
    note: Note = silent,
    progress: Progress = silent,
    thorough: bool = True,
) -> PullResult:
    """Fetch the weights that a reference means now, all from one commit.

    A weight folder of ours is used where the client's cache has it; published weights are converted
    into a folder beside that cache, once.

    Args:
        reference: what to fetch.
        out: a new folder to copy the result into, with an origin.json, whole or not at all.
        note: takes sentences for a person.
        progress: see `Progress`.
        thorough: read files that are in the cache already once more, to check them.

    Raises UserError if they cannot be had, are not what the repository says, or do not read.
    """
    if out is not None:
        check_new(out)
    listing = list_files(reference, note)
    chosen = choose(listing, note)
    if isinstance(chosen, WeightFolder):
        folder = _fetch_folder(listing, chosen, note, progress, thorough)
        names = [path.rpartition("/")[2] for path in chosen.paths]
    else:
        folder = _fetch_published(listing, chosen, note, progress)
        names = sorted(path.name for path in folder.iterdir())
    remember(listing, reference.revision)
    if out is not None:
        _copy(folder, names, out, chosen.pinned, progress)
        folder = out
    return PullResult(folder, chosen.pinned)


def _fetch_folder(
    listing: Listing, chosen: WeightFolder, note: Note, progress: Progress, thorough: bool
) -> Path:
    def folder_of(snapshot: Path) -> Path:
        return snapshot / (chosen.pinned.subfolder or "")

    # Its config first and alone: it tells whether the rest is worth fetching.
    config = next(path for path in chosen.paths if path.rpartition("/")[2] == CONFIG)
    read_model_config(folder_of(fetch(listing, [config], note, silent, thorough)))
    folder = folder_of(fetch(listing, chosen.paths, note, progress, thorough))
    read_parts(folder)  # whether it reads
    return folder


def _fetch_published(listing: Listing, chosen: Published, note: Note, progress: Progress) -> Path:
    from huggingface_hub.utils import WeakFileLock

    target = _converted_folder(listing, chosen)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(target.with_name(f"{target.name}.lock")):  # another process may convert it
        if target.exists():
            try:
                read_parts(target)
            except UserError:
                note(f"{target} was damaged and is converted again")
                shutil.rmtree(target)
        if not target.exists():
            snapshot = fetch(listing, chosen.paths, note, progress, thorough=True)
            _convert(snapshot, chosen, target, note, progress)
            read_parts(target)  # whether it reads
    return target


def _convert(
    snapshot: Path, chosen: Published, target: Path, note: Note, progress: Progress
) -> None:
    settings = chosen.known.settings if chosen.known is not None else None
    if chosen.settings is not None:
        note(f"depth and heads are those of {chosen.settings}")
    elif settings is not None:
        note(
            f"{chosen.pinned.repository} has no {SETTINGS}: depth and heads are the published "
            f"ones, H_cycles {settings['H_cycles']} and L_cycles {settings['L_cycles']}"
        )
    step_file = snapshot / chosen.step_file
    converted = convert(
        step_file,
        target,
        config=snapshot / chosen.settings if chosen.settings is not None else None,
        settings=settings,
        identifiers=_identifiers(snapshot, chosen, note, progress),
        origin=_origin(chosen.pinned),
    )
    for sentence in converted.notes:
        note(sentence)
    if not converted.named:
        note(f"for that: `arc-trm convert {step_file} OUT {naming_option(converted.rows)}`")


def _identifiers(
    snapshot: Path, chosen: Published, note: Note, progress: Progress
) -> PublishedIds | None:
    if chosen.identifiers is not None:
        return read_published_ids(snapshot / chosen.identifiers)
    if chosen.known is None or chosen.known.identifiers is None:
        return None
    identifiers = published_ids(
        chosen.known.identifiers, lambda done, total: progress("naming rows", done, total)
    )
    note(f"the rows of its table are those of the published set {chosen.known.identifiers}")
    return identifiers


def _converted_folder(listing: Listing, chosen: Published) -> Path:
    """Where the converted weights lie: one folder for each thing that they may be made of."""
    from huggingface_hub import cached_assets_path, constants

    made_of = {
        "subfolder": chosen.pinned.subfolder,
        "files": {path: listing.files[path].digest for path in chosen.paths},
        "known": asdict(chosen.known) if chosen.known is not None else None,
        # With the files of another subset more rows get names.
        "subsets": available_subsets(chosen.known.identifiers)
        if chosen.known is not None and chosen.known.identifiers is not None
        else None,
    }
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
    with told(chosen.pinned):
        parent: Path = cached_assets_path(
            library_name="arc-trm",
            namespace=chosen.pinned.repository,
            subfolder=listing.commit,
            assets_dir=constants.HF_ASSETS_CACHE,
        )
    return parent / key


def _origin(pinned: Reference) -> dict[str, Any]:
    return {
        "repository": pinned.repository,
        "revision": pinned.revision,
        "subfolder": pinned.subfolder,
    }


def _copy(
    source: Path, names: Sequence[str], out: Path, pinned: Reference, progress: Progress
) -> None:
    """Whole or not at all; what was converted has an origin.json already."""
    total = sum((source / name).stat().st_size for name in names)
    done = 0
    with told(pinned), new_folder(out) as folder:
        for name in names:
            shutil.copyfile(source / name, folder / name)
            done += (folder / name).stat().st_size
            progress("copying", done, total)
        if ORIGIN not in names:
            write_json(folder / ORIGIN, _origin(pinned))
