"""Weights to the Hub: checked, described, and in one commit."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from arc_trm.checkpoint import CONFIG, NETWORK, PUZZLES, TABLE
from arc_trm.checkpoint.weights_dir import Parts, read_parts
from arc_trm.errors import UserError
from arc_trm.hub.client import LIBRARY, Note, Progress, hub_name, silent, told
from arc_trm.hub.find_weights import README
from arc_trm.hub.model_card import model_card
from arc_trm.hub.repo_id import Reference, is_repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")


@dataclass(frozen=True)
class PushResult:
    """Where weights are now: the repository's page, and the reference that pins this commit."""

    url: str
    reference: Reference


def push(
    run: Path,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    note: Note = silent,
    progress: Progress = silent,
) -> PushResult:
    """Upload a weight folder, with a model card, to a Hub repository in one commit.

    Args:
        run: a run or another weight folder. Its own README.md is the card if it has one.
        repository: `owner/name`; it is made if there is none.
        licence: the Hub's identifier of the weights' licence.
        private: refuse a repository that everybody may read, and make a new one private.
        note: takes sentences for a person.
        progress: see `Progress`.

    Raises UserError if the folder does not read or the Hub does not take it.
    """
    from huggingface_hub import HfApi, get_token

    if not is_repository(repository):
        raise UserError(f"{repository!r} is not the name of a repository: write owner/name")
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise UserError(
            f"--licence {licence!r} is no licence of the Hub's list: write apache-2.0, for example"
        )
    if get_token() is None:
        raise UserError(
            f"uploading to {hub_name()} needs a token of an account that may write to "
            f"{repository}: set HF_TOKEN, or log in with `hf auth login`"
        )
    reference = Reference(repository)
    with ExitStack() as stack:
        parts, files = _open_whole(run, stack)
        card = _card(run, parts, repository, licence)
        with told(reference), _uploading(reference, note):
            api = HfApi(**LIBRARY)
            _make_repository(api, repository, private)
            commit = _upload(api, files, card, repository, note, progress)
    return PushResult(f"{_page()}/{repository}", Reference(repository, commit))


def _page() -> str:
    """The Hub's address, without the user name and password that it may hold."""
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def _open_whole(run: Path, stack: ExitStack) -> tuple[Parts, dict[str, _Metered]]:
    """What a folder holds, and its open files by name: of one training step, if it is a run.

    A run that is being trained replaces its files one after the other; what is open stays.
    """
    for _ in range(3):
        names = [name for name in (CONFIG, NETWORK, TABLE, PUZZLES) if (run / name).is_file()]
        files = {name: stack.enter_context(_Metered(run / name)) for name in names}
        parts = read_parts(run)
        if all(  # not replaced since they were opened, so what is open is what was read
            os.path.samestat(os.fstat(file.fileno()), (run / name).stat())
            for name, file in files.items()
        ):
            return parts, files
    raise UserError(f"{run} is being written: push it when its training has ended, or a copy of it")


def _card(run: Path, parts: Parts, repository: str, licence: str | None) -> bytes:
    own = run / README
    if not own.exists():
        return model_card(run, parts, repository, licence).encode()
    if licence is not None:
        raise UserError(f"{own} is the model card and says the licence: leave out --licence")
    try:
        return own.read_text("utf-8").encode()
    except UnicodeDecodeError:
        raise UserError(f"{own}, the model card, is not UTF-8 text: save it as that") from None


def _make_repository(api: HfApi, repository: str, private: bool) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repository, private=private or None, exist_ok=True)
    except HfHubHTTPError as error:
        if error.response.status_code not in {401, 404}:
            raise
        raise UserError(
            f"{hub_name()} does not accept the token for {repository} (error "
            f"{error.response.status_code}): set HF_TOKEN to one that may write there"
        ) from None
    if private and not api.model_info(repository).private:
        raise UserError(
            f"{repository} is there already and everybody may read it: make it private on its "
            "page, or name another one"
        )


def _upload(
    api: HfApi,
    files: dict[str, _Metered],
    card: bytes,
    repository: str,
    note: Note,
    progress: Progress,
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = {sibling.rfilename for sibling in api.model_info(repository).siblings or ()}
    if README in there:
        note(f"the model card of {repository} is replaced; its history keeps the former one")
    total = sum(os.fstat(file.fileno()).st_size for file in files.values())
    meter = _Meter(total, progress)
    for file in files.values():
        file.meter = meter
    # Given as open files rather than by path, so that what is sent can be counted.
    added = [CommitOperationAdd(name, file) for name, file in files.items()]
    meter.begin("sending")
    for operation in added:
        api.preupload_lfs_files(repository, [operation], num_threads=1)
    commit = api.create_commit(
        repository,
        [
            *added,
            CommitOperationAdd(README, card),
            # Of an earlier upload, and not of these weights.
            *(CommitOperationDelete(n) for n in {TABLE, PUZZLES} & there - set(files)),
        ],
        commit_message="Upload weights with arc-trm",
    )
    progress("sending", total, total)
    return commit.oid


class _Meter:
    """How far the files are read, of all their bytes."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self.begin("reading")

    def begin(self, what: str) -> None:
        self._what = what
        self._read: dict[str, int] = {}

    def update(self, name: str, position: int) -> None:
        self._read[name] = position
        self._progress(self._what, min(self._total, sum(self._read.values())), self._total)


class _Metered(io.BufferedReader):
    meter: _Meter | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._name = path.name

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.meter is not None:
            self.meter.update(self._name, self.tell())
        return data


@contextmanager
def _uploading(reference: Reference, note: Note) -> Iterator[None]:
    """What the client wraps into errors and warnings of Python's own."""
    from huggingface_hub.errors import HTTPError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # of the client about its own doing
        try:
            yield
        except RuntimeError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        except ValueError as error:
            if isinstance(error, HTTPError | json.JSONDecodeError | UnicodeError):
                raise
            said = " ".join(str(error).split())
            raise UserError(f"{hub_name()} refuses the files for {reference}: {said}") from None
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            note(" ".join(str(warning.message).split()))
