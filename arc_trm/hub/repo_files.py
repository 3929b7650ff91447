"""The files of a repository at one commit, from the Hub or, without network, from the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from arc_trm.callbacks import Note
from arc_trm.hub.client import (
    Unavailable,
    failure_reason,
    get_json,
    is_offline,
    is_unreachable,
    not_a_hub_error,
    translate_errors,
)
from arc_trm.hub.repo_id import RepoId, is_plain_path
from arc_trm.io import check_ordinary

MAX_SIZE = 2**50
"""Bytes of a file."""
_COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class RepoFile:
    """A file of a repository.

    Attributes:
        size: in bytes.
        digest: SHA-256 of the content of a large file (64 digits), git's SHA-1 of any other (40),
            None for a cached file whose digest is unknown.
    """

    size: int
    digest: str | None


@dataclass(frozen=True)
class RepoFiles:
    """The files of a repository at one commit. `list_files` makes it.

    Attributes:
        pinned: the repository, with the commit as its revision.
        files: by path.
        cached: whether they were listed from the cache, so that missing ones cannot be downloaded.
    """

    pinned: RepoId
    files: Mapping[str, RepoFile]
    cached: bool

    @property
    def commit(self) -> str:
        """The commit."""
        assert self.pinned.revision is not None  # which is what pinned means
        return self.pinned.revision

    def names(self, folder: str | None) -> dict[str, str]:
        """Map the names of the files directly in `folder`, None the top one, to their paths."""
        prefix = f"{folder}/" if folder else ""
        return {
            path[len(prefix) :]: path
            for path in self.files
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        }

    def folders(self) -> list[str | None]:
        """Return all folders with files, the top one, None, first."""
        found = {path.rpartition("/")[0] or None for path in self.files}
        return sorted(found, key=lambda folder: folder or "")


def list_files(repo_id: RepoId, note: Note) -> RepoFiles:
    """List the files of the commit that `repo_id` means now.

    If the Hub cannot be reached, it is the commit that `repo_id` meant when it was last downloaded,
    which `note` says.

    Raises:
        UserError: there is no such repository or revision, or it is neither reachable nor cached.
    """
    path = f"api/{repo_id.kind}s/{repo_id.repository}"
    if repo_id.revision is not None:
        path += f"/revision/{quote(repo_id.revision, safe='')}"
    with translate_errors(repo_id):
        try:
            listing = get_json(path, {"blobs": True})
        except Exception as error:
            if not is_unreachable(error):
                raise
            cached, reason = _list_cached(repo_id), failure_reason(error)
        else:
            return _checked(repo_id, listing)
    if cached is None:
        raise Unavailable(
            f"{repo_id} is not in the cache and cannot be downloaded ({reason}): "
            f"{repo_id.fetch_advice}"
        )
    if not is_offline():
        note(f"{reason}: using {cached.pinned} from the cache")
    return cached


def _checked(repo_id: RepoId, listing: Any) -> RepoFiles:
    """Return the files that the Hub lists, without paths that would leave the cache."""
    files = {}
    match listing:
        case {"sha": str(commit)} if _COMMIT.fullmatch(commit):
            siblings = listing.get("siblings") or []
        case _:
            raise not_a_hub_error()
    for sibling in siblings if isinstance(siblings, list) else [siblings]:
        match sibling:
            case {"rfilename": str(name), "size": int(size), "lfs": {"sha256": str(digest)}}:
                pass
            case {"rfilename": str(name), "size": int(size), "blobId": str(digest)}:
                pass
            case _:
                raise not_a_hub_error()
        if not _DIGEST.fullmatch(digest) or not 0 <= size <= MAX_SIZE:
            raise not_a_hub_error()
        if is_plain_path(name):
            files[name] = RepoFile(size, digest)
    return RepoFiles(replace(repo_id, revision=commit), files, cached=False)


def cache_folder(repo_id: RepoId) -> Path:
    """Return the repository's folder in the client's cache: `blobs`, `refs` and `snapshots`."""
    name: str = repo_folder_name(repo_id=repo_id.repository, repo_type=repo_id.kind)
    return Path(constants.HF_HUB_CACHE).expanduser().absolute() / name


def _list_cached(repo_id: RepoId) -> RepoFiles | None:
    folder = cache_folder(repo_id)
    revision = repo_id.revision or "main"
    if _COMMIT.fullmatch(revision):
        commit = revision
    else:
        try:
            check_ordinary(folder / "refs" / revision)
            commit = (folder / "refs" / revision).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
    snapshot = folder / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    files = {}
    for path in snapshot.rglob("*"):
        if path.is_file():
            name = path.readlink().name if path.is_symlink() else ""  # by which the cache knows it
            digest = name if _DIGEST.fullmatch(name) else None
            files[path.relative_to(snapshot).as_posix()] = RepoFile(path.stat().st_size, digest)
    return RepoFiles(replace(repo_id, revision=commit), files, cached=True)
