"""Files of one commit into the client's cache: resumed where they broke off, checked when whole."""

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
from arc_trm.hub.client import LIBRARY, Note, Progress, told
from arc_trm.hub.repo_files import File, Listing, storage

_TRIES = 3  # that get nothing, beside those of the client itself
_PAUSE = 1.0  # seconds between them
_CHUNK = 1 << 20
Advance = Callable[[int], None]


def fetch(
    listing: Listing, paths: Sequence[str], note: Note, progress: Progress, thorough: bool
) -> Path:
    """The snapshot folder of the commit, with these files of it whole and checked.

    They are fetched in the order given. What was fetched earlier, and checked then, is read again
    if `thorough`; else its size is looked at. Raises UserError if a file cannot be had or is not
    what the repository says that it is; then it is no longer in the cache either.
    """
    total = sum(listing.files[path].size for path in paths)
    snapshot = storage(listing.pinned) / "snapshots" / listing.commit
    done = 0

    def checking(more: int) -> None:
        nonlocal done
        done += more
        progress("checking", done, total)

    missing = []
    for path in paths:
        before = done
        if not (snapshot / path).exists():
            missing.append(path)
        elif not _fits(snapshot / path, listing.files[path], checking, thorough):
            _remove(snapshot / path)
            if listing.cached:
                raise UserError(_damaged(listing, path))
            note(f"{path} was damaged in the cache and is fetched again")
            missing.append(path)
        done = before + listing.files[path].size
    if missing and listing.cached:
        raise UserError(
            f"{listing.pinned} is not whole in the cache, {missing[0]} is missing: fetch it with "
            f"`{listing.pinned.again}` while the Hub can be reached"
        )
    if missing:
        _fetch_missing(listing, missing, progress)
    return snapshot


def remember(listing: Listing, revision: str | None) -> None:
    """Note in the cache that this commit is what `revision` means, for when there is no network.

    Only when all is fetched, so that a commit which is there in part never takes a whole one's
    place.
    """
    if listing.cached or revision == listing.commit:
        return
    path = storage(listing.pinned) / "refs" / (revision or "main")
    with suppress(OSError):  # a cache that cannot be written to is still one to read
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(listing.commit, "utf-8")
        temporary.replace(path)


def _fetch_missing(listing: Listing, paths: Sequence[str], progress: Progress) -> None:
    from huggingface_hub import hf_hub_download

    folder = storage(listing.pinned) / "blobs"
    total = sum(listing.files[path].size for path in paths)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress("downloading", done, total)

    with told(listing.pinned):
        folder.mkdir(parents=True, exist_ok=True)
        left = total - sum(_partial(folder, listing.files[path]) for path in paths)
        free = shutil.disk_usage(folder).free
        if left > free:
            raise UserError(
                f"{listing.pinned} needs {left / 1e9:.1f} GB more, but {folder} has "
                f"{free / 1e9:.1f} GB left: make room, or set HF_HOME to a folder with more of it"
            )
        for path in paths:
            _fetch_blob(listing, path, folder, advance)
            # The content is there, so this only gives it its place in the snapshot: a link, or a
            # copy where there are no links.
            placed = hf_hub_download(
                listing.pinned.repository,
                path,
                repo_type=listing.pinned.kind,
                revision=listing.commit,
                **LIBRARY,
            )
            linked = Path(placed).resolve() == _places(folder, listing.files[path])[0].resolve()
            if not linked and not _fits(Path(placed), listing.files[path], lambda more: None):
                _remove(Path(placed))
                raise UserError(_wrong(listing, path))


def _partial(folder: Path, file: File) -> int:
    """How much of a file is there, from an attempt that broke off."""
    whole, partial = _places(folder, file)
    if whole.exists():
        return file.size
    return partial.stat().st_size if partial.exists() else 0


def _places(folder: Path, file: File) -> tuple[Path, Path]:
    assert file.digest is not None  # a listing by the Hub has all of them
    return folder / file.digest, folder / f"{file.digest}.arc-trm.incomplete"


def _fetch_blob(listing: Listing, path: str, folder: Path, advance: Advance) -> None:
    """The client's own download drops what it has when it gives up or is stopped; this one goes on
    with it the next time.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    file = listing.files[path]
    whole, partial = _places(folder, file)
    lock = folder.parent.parent / ".locks" / folder.parent.name / f"{partial.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # another process may want the same file
        if whole.exists():
            advance(file.size)
            return
        pinned, commit = listing.pinned, listing.commit
        url = hf_hub_url(pinned.repository, path, repo_type=pinned.kind, revision=commit)
        # Sizes and ranges are those of the file itself, not of a packed form.
        headers = {**build_hf_headers(**LIBRARY), "Accept-Encoding": "identity"}
        with partial.open("ab") as output:
            if output.tell() > file.size:
                output.truncate(0)
            advance(output.tell())
            _download(url, headers, output, file.size, advance)
        if not _fits(partial, file, lambda more: None):
            partial.unlink()
            raise UserError(_wrong(listing, path))
        partial.replace(whole)


def _download(
    url: str, headers: dict[str, str], output: BinaryIO, size: int, advance: Advance
) -> None:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError
    from huggingface_hub.file_download import http_get

    in_vain = 0
    while True:
        start = output.tell()
        try:
            http_get(
                url,
                output,
                resume_size=start,
                headers=headers,
                expected_size=size,
                tqdm_class=_bar_class(advance),
            )
            return
        except HTTPError as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            in_vain = 0 if output.tell() > start else in_vain + 1
            if in_vain == _TRIES:
                raise
            time.sleep(_PAUSE)
        except OSError as error:
            if error.errno is not None:
                raise
            return  # the client found another size than it should be, as the caller will


def _bar_class(advance: Advance) -> type:
    """What the client takes for a class of progress bars."""

    class Told:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> Told:
            return self

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

        def update(self, more: int) -> None:
            advance(more)

    return Told


def _fits(path: Path, file: File, advance: Advance, thorough: bool = True) -> bool:
    """Whether a file's content is what its digest says, or its size at least."""
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
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest() == file.digest


def _remove(path: Path) -> None:
    """A file of a snapshot with the content that it points to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _wrong(listing: Listing, path: str) -> str:
    return (
        f"{path} of {listing.pinned} is not what the repository says that it is, and was removed "
        "from the cache: fetch it again, and if it stays so, do not use it and tell its owner"
    )


def _damaged(listing: Listing, path: str) -> str:
    return (
        f"{path} of {listing.pinned} was damaged in the cache and is removed: fetch it again with "
        f"`{listing.pinned.again}` while the Hub can be reached"
    )
