"""Download files of one commit into the client's cache: resumed after breaks, checked when whole.

The client's own download drops what it has when it gives up or is stopped, and checks no digests.
This one uses the client's connection and cache, but keeps the first part of a file for the next
time.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from http.client import PARTIAL_CONTENT
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import get_session, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status

from arc_trm.callbacks import Note, StageProgress, ignore
from arc_trm.errors import UserError
from arc_trm.hub.client import (
    ANSWER_TIME,
    LIBRARY,
    MAKE_ROOM,
    TIMEOUT,
    in_time,
    is_unreachable,
    translate_errors,
)
from arc_trm.hub.repo_files import RepoFile, RepoFiles, cache_folder
from arc_trm.io import WriteError, atomic_write

RETRIES = 5
"""Attempts in a row that may receive next to nothing."""
SLOW_COPY = 2**20
"""Bytes a second at which a disk copies a file at least."""
SLOW_BYTES = 2**14
"""Bytes of a file that the Hub has to send in `ANSWER_TIME`."""
PAUSE = 1.0
"""Seconds between them."""
CHUNK = 1 << 20
Advance = Callable[[int], None]
"""Takes the number of further bytes that are done."""


def fetch(
    repo: RepoFiles, paths: Sequence[str], note: Note, progress: StageProgress, thorough: bool
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
    snapshot = cache_folder(repo.pinned) / "snapshots" / repo.commit
    present = [path for path in paths if (snapshot / path).exists()]
    advance = _byte_counter("checking", repo, present, progress)
    missing = []
    for path in paths:
        if path not in present:
            fault = "is not in the cache"
        elif not _is_intact(snapshot / path, repo.files[path], advance, thorough):
            _remove(snapshot / path)
            fault = "was damaged in the cache and is removed"
        else:
            continue
        if repo.cached:
            raise UserError(f"{path} of {repo.pinned} {fault}: {repo.pinned.fetch_advice}")
        if path in present:
            note(f"{path} was damaged in the cache and is downloaded again")
        missing.append(path)
    if missing:
        with translate_errors(repo.pinned):
            _fetch_missing(repo, missing, progress)
    return snapshot


def remember_revision(repo: RepoFiles, revision: str | None) -> None:
    """Note in the cache that `revision` means this commit, for when there is no network.

    It is called when everything is downloaded, so that an incomplete commit never replaces a
    complete one.
    """
    if repo.cached or revision == repo.commit:
        return
    path = cache_folder(repo.pinned) / "refs" / (revision or "main")
    with suppress(OSError, WriteError):  # a read-only cache can still be used
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(repo.commit)


def _byte_counter(
    stage: str, repo: RepoFiles, paths: Iterable[str], progress: StageProgress
) -> Advance:
    """Return a function that takes further bytes of the files and reports their sum."""
    total, done = sum(repo.files[path].size for path in paths), 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(stage, done, total)

    return advance


def _fetch_missing(repo: RepoFiles, paths: Sequence[str], progress: StageProgress) -> None:
    blobs = cache_folder(repo.pinned) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    _check_free_space(repo, paths, blobs)
    advance = _byte_counter("downloading", repo, paths, progress)
    for path in paths:
        blob = _fetch_blob(repo, path, blobs, advance)
        # The content is there. The client only puts it into the snapshot: as a link, or as a copy
        # on file systems without links.
        kind, name = repo.pinned.kind, repo.pinned.repository
        place = partial(
            hf_hub_download, name, path, repo_type=kind, revision=repo.commit, **LIBRARY
        )
        placed = Path(in_time(ANSWER_TIME + repo.files[path].size / SLOW_COPY, place))
        if placed.resolve() != blob.resolve() and not _is_intact(placed, repo.files[path]):
            _remove(placed)
            raise _wrong_content(repo, path)


def _check_free_space(repo: RepoFiles, paths: Sequence[str], blobs: Path) -> None:
    needed = 0
    for path in paths:
        found = (each for each in _blob_paths(blobs, repo.files[path]) if each.exists())
        needed += repo.files[path].size - next((each.stat().st_size for each in found), 0)
    free = shutil.disk_usage(blobs).free
    if needed > free:
        raise UserError(
            f"{repo.pinned} needs {needed / 1e9:.1f} GB more, but {blobs} has {free / 1e9:.1f} GB "
            f"left: {MAKE_ROOM}"
        )


def _blob_paths(blobs: Path, file: RepoFile) -> tuple[Path, Path]:
    """Return where a whole file is in the cache, and where its first part is."""
    assert file.digest is not None  # files that the Hub lists have one
    return blobs / file.digest, blobs / f"{file.digest}.arc-trm.incomplete"


def _fetch_blob(repo: RepoFiles, path: str, blobs: Path, advance: Advance) -> Path:
    """Download the rest of a file, check all of it, and return where it is."""
    file, pinned = repo.files[path], repo.pinned
    whole, partly = _blob_paths(blobs, file)
    lock = blobs.parent.parent / ".locks" / blobs.parent.name / f"{partly.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # another process may download the same file
        if whole.exists():
            advance(file.size)
            return whole
        url = hf_hub_url(pinned.repository, path, repo_type=pinned.kind, revision=repo.commit)
        with partly.open("ab") as output:
            if output.tell() > file.size:
                output.truncate(0)
            advance(output.tell())
            _download(url, output, file.size, advance)
        if not _is_intact(partly, file):
            partly.unlink()
            raise _wrong_content(repo, path)
        return partly.replace(whole)


def _download(url: str, output: BinaryIO, size: int, advance: Advance) -> None:
    """Append the rest of a file of `size` bytes to `output`, which holds the first part."""
    failures = 0
    while (start := output.tell()) < size:
        try:
            _receive(url, output, size, advance)
            return
        except (HTTPError, TimeoutError) as error:
            if not is_unreachable(error):
                raise
            failures = 0 if output.tell() - start > SLOW_BYTES else failures + 1
            if failures == RETRIES:
                raise
            time.sleep(PAUSE)


def _request(url: str, start: int) -> Any:
    """Return a request for a file from a byte on; its context has the response."""
    # Sizes and ranges should be those of the file itself, not of a compressed form.
    headers = {**build_hf_headers(**LIBRARY), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return get_session().stream("GET", url, headers=headers, timeout=TIMEOUT)


def _receive(url: str, output: BinaryIO, size: int, advance: Advance) -> None:
    """Append what the server sends, up to the size of the file."""
    start = output.tell()
    with ExitStack() as stack:
        response = in_time(ANSWER_TIME, lambda: stack.enter_context(_request(url, start)))
        hf_raise_for_status(response)
        if start and response.status_code != PARTIAL_CONTENT:  # it is sent from its beginning
            output.truncate(0)
            output.seek(0)
            advance(-start)
        began, received = time.monotonic(), 0
        for part in response.iter_raw():
            output.write(part)
            advance(len(part))
            received += len(part)
            if output.tell() > size:
                return  # it is wrong, as the caller will find
            if received > SLOW_BYTES:
                began, received = time.monotonic(), 0
            elif time.monotonic() - began > ANSWER_TIME:
                raise TimeoutError


def _is_intact(
    path: Path, file: RepoFile, advance: Advance = ignore, thorough: bool = True
) -> bool:
    """Return whether a file has the right size and, if `thorough`, the right digest."""
    if path.stat().st_size != file.size:
        return False
    if file.digest is None or not thorough:
        return True
    digest = hashlib.sha256()
    if len(file.digest) != 64:  # git's name of the content
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
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
