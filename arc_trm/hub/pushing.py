"""Weights to the Hub: checked, described, and in one commit."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arc_trm.checkpoint import CONFIG, NETWORK, PUZZLES, TABLE
from arc_trm.checkpoint.folder import read_parts
from arc_trm.errors import UserError
from arc_trm.hub.card import model_card
from arc_trm.hub.choice import README
from arc_trm.hub.client import LIBRARY, Note, Progress, hub_name, silent, told
from arc_trm.hub.reference import Reference, is_repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Pushed:
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
) -> Pushed:
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
    parts = read_parts(run)
    own = run / README
    if own.is_file() and licence is not None:
        raise UserError(f"{own} is the model card and says the licence: leave out --licence")
    if own.is_file():
        card = own.read_bytes()
    else:
        card = model_card(run, parts, repository, licence).encode()
    names = [CONFIG, NETWORK] + ([TABLE, PUZZLES] if parts.table is not None else [])
    if get_token() is None:
        raise UserError(
            f"uploading to {hub_name()} needs a token of an account that may write to "
            f"{repository}: set HF_TOKEN, or log in with `hf auth login`"
        )
    reference = Reference(repository)
    with told(reference), _uploading(reference, note):
        api = HfApi(**LIBRARY)
        url = _make_repository(api, repository, private)
        commit = _upload(api, run, names, card, repository, progress)
    return Pushed(url, Reference(repository, commit))


def _make_repository(api: HfApi, repository: str, private: bool) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        url = api.create_repo(repository, private=private or None, exist_ok=True)
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
    return str(url)


def _upload(
    api: HfApi, run: Path, names: list[str], card: bytes, repository: str, progress: Progress
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = {sibling.rfilename for sibling in api.model_info(repository).siblings or ()}
    total = sum((run / name).stat().st_size for name in names)
    with ExitStack() as stack:
        meter = _Meter(total, progress)
        files = [stack.enter_context(_Metered(run / name, meter)) for name in names]
        # Given as open files rather than by path, so that what is sent can be counted.
        added = [CommitOperationAdd(name, file) for name, file in zip(names, files, strict=True)]
        meter.begin("sending")
        for operation in added:
            api.preupload_lfs_files(repository, [operation], num_threads=1)
        commit = api.create_commit(
            repository,
            [
                *added,
                CommitOperationAdd(README, card),
                # Of an earlier upload, and not of these weights.
                *(CommitOperationDelete(n) for n in {TABLE, PUZZLES} & there - set(names)),
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
    def __init__(self, path: Path, meter: _Meter) -> None:
        super().__init__(io.FileIO(path))
        self._name, self._meter = path.name, meter

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._meter.update(self._name, self.tell())
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
            if isinstance(error, HTTPError | json.JSONDecodeError):
                raise
            said = " ".join(str(error).split())
            raise UserError(f"{hub_name()} refuses the files for {reference}: {said}") from None
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            note(" ".join(str(warning.message).split()))
