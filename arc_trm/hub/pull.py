"""Pull weights from the Hub: downloaded once, checked, and converted if they are published ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import cached_assets_path, constants
from huggingface_hub.utils import WeakFileLock

from arc_trm.callbacks import Note, StageProgress, ignore
from arc_trm.checkpoint import CONFIG_FILE, ORIGIN_FILE, WeightsDir, convert_from_published
from arc_trm.checkpoint.published import SETTINGS_FILE
from arc_trm.checkpoint.published_ids import (
    PublishedIds,
    available_subsets,
    naming_option,
    published_ids,
    read_published_ids,
)
from arc_trm.errors import UserError, quote_path
from arc_trm.hub.client import Unavailable, translate_errors
from arc_trm.hub.download import fetch, remember_revision
from arc_trm.hub.find_weights import PublishedFiles, WeightsFiles, find_weights
from arc_trm.hub.known_weights import known_subfolders
from arc_trm.hub.repo_files import RepoFiles, list_files
from arc_trm.hub.repo_id import RepoId, parse_repo_id
from arc_trm.io import check_new, new_folder, write_json


@dataclass(frozen=True)
class PullResult:
    """The folder of pulled weights, and what names them for good: its revision is a commit."""

    folder: Path
    repo_id: RepoId


def resolve_weights(weights: str, note: Note = ignore, progress: StageProgress = ignore) -> Path:
    """Pull the weights of a Hub repository, where no folder has this name.

    Args:
        weights: `owner/name[@revision][:subfolder]`.
        note: takes sentences for the user, among them the commit.
        progress: takes the bytes that were downloaded.

    Returns:
        The local folder.

    Raises:
        UserError: it is not the name of a repository, or the weights cannot be pulled.
    """
    repo_id = parse_repo_id(weights)
    if repo_id is None:
        raise UserError(
            f"there is no folder {weights}, and it is not the name of a repository on the Hugging "
            "Face Hub either (owner/name[@revision][:subfolder]; `arc-trm pull --list` shows some)"
        )
    try:
        pulled = pull_weights(repo_id, note=note, progress=progress, thorough=False)
    except Unavailable as error:
        if (repo_id.revision, repo_id.subfolder) != (None, None):
            raise  # such a text cannot mean a folder
        raise UserError(f"there is no folder {weights} here, and on the Hub: {error}") from None
    note(f"weights: {pulled.repo_id}")
    return pulled.folder


def pull_weights(
    repo_id: RepoId,
    out: Path | None = None,
    note: Note = ignore,
    progress: StageProgress = ignore,
    thorough: bool = True,
) -> PullResult:
    """Download the weights that `repo_id` means now, all from one commit.

    Weights folders are used where the client's cache has them. Published weights are converted
    once, into a folder beside the cache.

    Args:
        repo_id: of the weights.
        out: new folder to copy the result into, with an origin.json, whole or not at all.
        note: takes sentences for the user.
        progress: takes stages.
        thorough: compare the digests of cached files too, not only their sizes.

    Raises:
        UserError: the weights cannot be downloaded or read, or are not what the repository says.
    """
    if out is not None:
        check_new(out)
    _check_subfolder(repo_id)
    repo = list_files(repo_id, note)
    found = find_weights(repo, note)
    if isinstance(found, WeightsFiles):
        folder, names = _fetch_folder(repo, found, note, progress, thorough), list(found.files)
    else:
        folder = _fetch_published(repo, found, note, progress)
        names = sorted(path.name for path in folder.iterdir())
    remember_revision(repo, repo_id.revision)
    if out is not None:
        _copy(folder, names, out, found.pinned, progress)
        folder = out
    return PullResult(folder, found.pinned)


def _check_subfolder(repo_id: RepoId) -> None:
    """Raise UserError without a subfolder in a repository that is known to need one."""
    choices = known_subfolders(repo_id.repository)
    if repo_id.subfolder is None and len(choices) > 1:
        named = " or ".join(
            f"{replace(repo_id, subfolder=known.subfolder)} (trained on "
            f"{', '.join(known.trained_on)})"
            for known in choices
        )
        raise UserError(f"{repo_id} has weights in several subfolders, name one: {named}")


def _fetch_folder(
    repo: RepoFiles, found: WeightsFiles, note: Note, progress: StageProgress, thorough: bool
) -> Path:
    # The config is downloaded first: it tells whether the rest is worth downloading.
    snapshot = fetch(repo, [found.files[CONFIG_FILE]], note, ignore, thorough)
    weights = WeightsDir(snapshot / (found.pinned.subfolder or ""))
    _ = weights.config  # raises if it is invalid
    fetch(repo, found.paths, note, progress, thorough)
    _ = weights.parts
    return weights.folder


def _fetch_published(
    repo: RepoFiles, found: PublishedFiles, note: Note, progress: StageProgress
) -> Path:
    target = _converted_folder(repo, found)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(target.with_name(f"{target.name}.lock")):  # another process may convert it
        if target.exists():
            try:
                _ = WeightsDir(target).parts  # raises if files are damaged
            except UserError:
                note(f"{target} was damaged and is converted again")
                shutil.rmtree(target)
        if not target.exists():
            snapshot = fetch(repo, found.paths, note, progress, thorough=True)
            _convert(snapshot, found, target, note, progress)
            _ = WeightsDir(target).parts
    return target


def _convert(
    snapshot: Path, found: PublishedFiles, target: Path, note: Note, progress: StageProgress
) -> None:
    settings = found.known.settings
    if found.settings is not None:
        note(f"depth and heads are those of {found.settings}")
    elif settings:
        note(
            f"{found.pinned.repository} has no {SETTINGS_FILE}: depth and heads are the published "
            f"ones, H_cycles {settings['H_cycles']} and L_cycles {settings['L_cycles']}"
        )
    step_file = snapshot / found.step_file
    converted = convert_from_published(
        step_file,
        target,
        arch_config=snapshot / found.settings if found.settings is not None else None,
        settings=settings,
        ids=_published_ids(snapshot, found, note, progress),
        origin=_origin(found.pinned),
        trained_on=found.known.trained_on,
    )
    for sentence in converted.notes:
        note(sentence)
    if not converted.num_named:
        option = naming_option(converted.num_puzzles)
        note(f"to name them: `arc-trm convert {quote_path(step_file)} OUT {option}`")


def _published_ids(
    snapshot: Path, found: PublishedFiles, note: Note, progress: StageProgress
) -> PublishedIds | None:
    """Return the names of the puzzle ids: those in the repository, or of a known set."""
    if found.identifiers is not None:
        return read_published_ids(snapshot / found.identifiers)
    if found.known.identifiers is None:
        return None

    def advance(done: int, total: int) -> None:
        progress("naming puzzle ids", done, total, in_bytes=False)

    ids = published_ids(found.known.identifiers, advance)
    note(f"the puzzle ids are those of the published set {found.known.identifiers}")
    return ids


def _converted_folder(repo: RepoFiles, found: PublishedFiles) -> Path:
    """Return where converted weights are: a folder for everything that they depend on."""
    known = found.known
    depends_on = {
        "subfolder": found.pinned.subfolder,
        "files": {path: repo.files[path].digest for path in found.paths},
        "settings": known.settings,
        "identifiers": known.identifiers,
        "trained_on": known.trained_on,
        # With the files of another subset more puzzle ids have names.
        "subsets": available_subsets(known.identifiers) if known.identifiers else None,
    }
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:12]
    with translate_errors(found.pinned):
        parent: Path = cached_assets_path(
            library_name="arc-trm",
            namespace=found.pinned.repository,
            subfolder=repo.commit,
            assets_dir=constants.HF_ASSETS_CACHE,
        )
    return parent / key


def _origin(pinned: RepoId) -> dict[str, Any]:
    return {
        "repository": pinned.repository,
        "revision": pinned.revision,
        "subfolder": pinned.subfolder,
    }


def _copy(
    source: Path, names: Sequence[str], out: Path, pinned: RepoId, progress: StageProgress
) -> None:
    """Copy files into a new folder, and add an origin.json unless they have one."""
    total = sum((source / name).stat().st_size for name in names)
    done = 0
    with translate_errors(pinned), new_folder(out) as folder:
        for name in names:
            shutil.copyfile(source / name, folder / name)
            done += (folder / name).stat().st_size
            progress("copying", done, total)
        if ORIGIN_FILE not in names:
            write_json(folder / ORIGIN_FILE, _origin(pinned))
