"""Download files of one commit into the client's cache: resumed after breaks, checked when whole.

The client's own download drops what it has when it gives up or is stopped; this one keeps it and
resumes the next time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from arc_trm.errors import UserError
from arc_trm.hub.client import LIBRARY, MAKE_ROOM, Note, Progress, ignore, translate_errors
from arc_trm.hub.repo_files import RepoFile, RepoFiles

RETRIES = 3
"""Attempts in a row that may receive nothing, besides the client's own."""
PAUSE = 1.0
"""Seconds between them."""
CHUNK = 1 << 20
Advance = Callable[[int], None]
"""Takes the number of further bytes that are done."""


def fetch(
    repo: RepoFiles, paths: Sequence[str], note: Note, progress: Progress, thorough: bool
) -> Path:
    """Download files that are not in the cache, in the order given, and check all.

    Args:
        repo: the repository at one commit.
        paths: of the files.
        note: takes sentences for the user.
        progress: takes the stages "checking" and "downloading".
        thorough: compare the digests of cached files too, not only their sizes.

    Returns:
        The commit's snapshot folder, which has the files at their paths.

    Raises:
        UserError: a file cannot be downloaded, or is not what the repository says. Then it is not
            in the cache either.
    """
    snapshot = repo.cache_folder / "snapshots" / repo.commit
    missing = _missing(repo, paths, snapshot, note, progress, thorough)
    if missing and repo.cached:
        raise UserError(
            f"{missing[0]} of {repo.pinned} is not in the cache: {repo.pinned.fetch_advice}"
        )
    if missing:
        _fetch_missing(repo, missing, progress)
    return snapshot


def remember_revision(repo: RepoFiles, revision: str | None) -> None:
    """Note in the cache that `revision` means this commit, for when there is no network.

    It is called when everything is downloaded, so that an incomplete commit never replaces a
    complete one.
    """
    if repo.cached or revision == repo.commit:
        return
    path = repo.cache_folder / "refs" / (revision or "main")
    with suppress(OSError):  # a read-only cache can still be used
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(repo.commit, "utf-8")
        temporary.replace(path)


def _missing(
    repo: RepoFiles,
    paths: Sequence[str],
    snapshot: Path,
    note: Note,
    progress: Progress,
    thorough: bool,
) -> list[str]:
    """Return the paths that are not in the snapshot; damaged files are removed from the cache."""
    total = sum(repo.files[path].size for path in paths)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress("checking", done, total)

    missing = []
    for path in paths:
        before = done
        if not (snapshot / path).exists():
            missing.append(path)
        elif not _is_intact(snapshot / path, repo.files[path], advance, thorough):
            _remove(snapshot / path)
            if repo.cached:
                raise UserError(
                    f"{path} of {repo.pinned} was damaged in the cache and is removed: "
                    f"{repo.pinned.fetch_advice}"
                )
            note(f"{path} was damaged in the cache and is downloaded again")
            missing.append(path)
        done = before + repo.files[path].size
    return missing


def _fetch_missing(repo: RepoFiles, paths: Sequence[str], progress: Progress) -> None:
    from huggingface_hub import hf_hub_download

    blobs = repo.cache_folder / "blobs"
    total = sum(repo.files[path].size for path in paths)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress("downloading", done, total)

    with translate_errors(repo.pinned):
        blobs.mkdir(parents=True, exist_ok=True)
        _check_free_space(repo, paths, blobs)
        for path in paths:
            _fetch_blob(repo, path, blobs, advance)
            # The content is there. The client only puts it into the snapshot: as a link, or as a
            # copy on file systems without links.
            placed = Path(
                hf_hub_download(
                    repo.pinned.repository,
                    path,
                    repo_type=repo.pinned.kind,
                    revision=repo.commit,
                    **LIBRARY,
                )
            )
            file = repo.files[path]
            is_link = placed.resolve() == _blob_paths(blobs, file)[0].resolve()
            if not is_link and not _is_intact(placed, file):
                _remove(placed)
                raise _wrong_content(repo, path)


def _check_free_space(repo: RepoFiles, paths: Sequence[str], blobs: Path) -> None:
    needed = sum(
        repo.files[path].size - _downloaded_bytes(blobs, repo.files[path]) for path in paths
    )
    free = shutil.disk_usage(blobs).free
    if needed > free:
        raise UserError(
            f"{repo.pinned} needs {needed / 1e9:.1f} GB more, but {blobs} has {free / 1e9:.1f} GB "
            f"left: {MAKE_ROOM}"
        )


def _downloaded_bytes(blobs: Path, file: RepoFile) -> int:
    whole, partial = _blob_paths(blobs, file)
    if whole.exists():
        return file.size
    return partial.stat().st_size if partial.exists() else 0


def _blob_paths(blobs: Path, file: RepoFile) -> tuple[Path, Path]:
    """Return where a whole file is in the cache, and where its first part is."""
    assert file.digest is not None  # files that the Hub lists have one
    return blobs / file.digest, blobs / f"{file.digest}.arc-trm.incomplete"


def _fetch_blob(repo: RepoFiles, path: str, blobs: Path, advance: Advance) -> None:
    """Download the rest of a file and check all of it."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    file = repo.files[path]
    whole, partial = _blob_paths(blobs, file)
    lock = blobs.parent.parent / ".locks" / blobs.parent.name / f"{partial.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # another process may download the same file
        if whole.exists():
            advance(file.size)
            return
        url = hf_hub_url(
            repo.pinned.repository, path, repo_type=repo.pinned.kind, revision=repo.commit
        )
        # Sizes and ranges should be those of the file itself, not of a compressed form.
        headers = {**build_hf_headers(**LIBRARY), "Accept-Encoding": "identity"}
        with partial.open("ab") as output:
            if output.tell() > file.size:
                output.truncate(0)
            advance(output.tell())
            _download(url, headers, output, file.size, advance)
        if not _is_intact(partial, file):
            partial.unlink()
            raise _wrong_content(repo, path)
        partial.replace(whole)


def _download(
    url: str, headers: dict[str, str], output: BinaryIO, size: int, advance: Advance
) -> None:
    """Append the rest of a file of `size` bytes to `output`, which holds the first part."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError
    from huggingface_hub.file_download import http_get

    failures = 0
    while True:
        start = output.tell()
        try:
            http_get(
                url,
                output,
                resume_size=start,
                headers=headers,
                expected_size=size,
                tqdm_class=_progress_bar_class(advance),
            )
            return
        except HTTPError as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            failures = 0 if output.tell() > start else failures + 1
            if failures == RETRIES:
                raise
            time.sleep(PAUSE)
        except OSError as error:
            if error.errno is not None:
                raise
            return  # the client found a wrong size, as the caller will


def _progress_bar_class(advance: Advance) -> type:
    """Return a class that the client uses like `tqdm` and that calls `advance`."""

    class ProgressBar:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> ProgressBar:
            return self

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

        def update(self, more: int) -> None:
            advance(more)

    return ProgressBar


def _is_intact(
    path: Path, file: RepoFile, advance: Advance = ignore, thorough: bool = True
) -> bool:
    """Return whether a file has the right size and, if `thorough`, the right digest."""
    size = path.stat().st_size
    if size != file.size:
        return False
    if file.digest is None or not thorough:
        return True
    if len(file.digest) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)  # as git names it
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest() == file.digest


def _remove(path: Path) -> None:
    """Remove a file of a snapshot and the content that it links to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _wrong_content(repo: RepoFiles, path: str) -> UserError:
    return UserError(
        f"{path} of {repo.pinned} is not what the repository says, and was removed from the cache: "
        "download it again; if it stays wrong, do not use it and tell its owner"
    )
