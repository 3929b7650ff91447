"""What a repository holds at one commit, by the Hub's word or, without it, by the cache's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from arc_trm.hub.client import (
    LIBRARY,
    TIMEOUT,
    Note,
    Unavailable,
    no_hub,
    offline,
    reason,
    told,
    unreachable,
)
from arc_trm.hub.repo_id import Reference, is_plain_path

_COMMIT = re.compile("[0-9a-f]{40}")
_BLOB = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """A file of a repository.

    `digest` is the name of its content: the SHA-256 of a large one (64 digits), git's SHA-1 of any
    other (40), None for a cached file whose name is not known.
    """

    size: int
    digest: str | None


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, by their paths.

    `pinned` is the reference with that commit as its revision; a listing that is `cached` was read
    from the cache, so nothing that it lacks can be fetched.
    """

    pinned: Reference
    files: Mapping[str, File]
    cached: bool

    @property
    def commit(self) -> str:
        assert self.pinned.revision is not None  # that is what pinned means
        return self.pinned.revision

    def names(self, folder: str | None) -> dict[str, str]:
        """The files right in `folder`, None the top one: path by name."""
        prefix = f"{folder}/" if folder else ""
        return {
            path[len(prefix) :]: path
            for path in self.files
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        }

    def folders(self) -> list[str | None]:
        """All folders that have files, the top one first."""
        found = {path.rpartition("/")[0] or None for path in self.files}
        return sorted(found, key=lambda folder: folder or "")


def storage(reference: Reference) -> Path:
    """The repository's folder in the client's cache: `blobs`, `refs` and `snapshots`."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name: str = repo_folder_name(repo_id=reference.repository, repo_type=reference.kind)
    return Path(constants.HF_HUB_CACHE).expanduser().absolute() / name


def list_files(reference: Reference, note: Note) -> Listing:
    """The files of the commit that `reference` means now.

    Where the Hub cannot be asked, it is the commit that it meant when it was fetched last, if it
    was. Raises UserError if there is neither.
    """
    from huggingface_hub import HfApi

    with told(reference):
        try:
            info = HfApi(**LIBRARY).repo_info(
                reference.repository,
                repo_type=reference.kind,
                revision=reference.revision,
                files_metadata=True,
                timeout=TIMEOUT,
            )
        except (KeyError, TypeError, AttributeError):
            raise no_hub() from None
        except Exception as error:
            if not unreachable(error):
                raise
            listing, why = _cached(reference), reason(error)
        else:
            files = {
                sibling.rfilename: File(
                    sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
                )
                for sibling in getattr(info, "siblings", None) or ()
            }
            return _checked(reference, info.sha or "", files)
    if listing is None:
        raise Unavailable(
            f"{reference} is not in the cache and cannot be fetched: {why}; fetch it with "
            f"`{reference.again}` while the Hub can be reached"
        )
    if not offline():
        note(f"{why}: using {listing.pinned} from the cache")
    return listing


def _checked(reference: Reference, commit: str, files: Mapping[str, File]) -> Listing:
    """What the Hub says, once it is known that its names cannot lead out of the cache."""
    known = all(file.digest is not None and _BLOB.fullmatch(file.digest) for file in files.values())
    if not _COMMIT.fullmatch(commit) or not known:
        raise no_hub()
    plain = {path: file for path, file in files.items() if is_plain_path(path)}
    return Listing(replace(reference, revision=commit), plain, cached=False)


def _cached(reference: Reference) -> Listing | None:
    folder = storage(reference)
    revision = reference.revision or "main"
    if _COMMIT.fullmatch(revision):
        commit = revision
    else:
        try:
            commit = (folder / "refs" / revision).read_text("utf-8").strip()
        except OSError:
            return None
    snapshot = folder / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    files = {
        path.relative_to(snapshot).as_posix(): File(path.stat().st_size, _blob_name(path))
        for path in snapshot.rglob("*")
        if path.is_file()
    }
    return Listing(replace(reference, revision=commit), files, cached=True)


def _blob_name(path: Path) -> str | None:
    """The digest by which the cache knows a file; a file system without links has forgotten it."""
    if not path.is_symlink():
        return None
    name = path.readlink().name
    return name if _BLOB.fullmatch(name) else None
