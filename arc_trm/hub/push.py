"""Push weights to the Hub: checked, with a model card, in one commit."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from arc_trm.callbacks import Note, StageProgress, ignore
from arc_trm.checkpoint import (
    CONFIG_FILE,
    EMBEDDING_FILE,
    INFERENCE_FILE,
    NETWORK_FILE,
    PUZZLE_IDS_FILE,
    WeightsDir,
)
from arc_trm.errors import UserError, format_value
from arc_trm.hub.client import LIBRARY, hub_name, not_a_hub_error, token_error, translate_errors
from arc_trm.hub.find_weights import MODEL_CARD_FILE
from arc_trm.hub.model_card import model_card
from arc_trm.hub.repo_id import RepoId, is_repository
from arc_trm.io import temporary_folder
from arc_trm.runs.checkpoints import LAST, embedding_path
from submission.content import decode_text, file_content
from submission.temporary import is_at

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")
_FILES = (CONFIG_FILE, NETWORK_FILE, EMBEDDING_FILE, PUZZLE_IDS_FILE, INFERENCE_FILE)
_ATTEMPTS = 3


@dataclass(frozen=True)
class PushResult:
    """The page of pushed weights, and what names them for good: its revision is the commit."""

    url: str
    repo_id: RepoId


def push_weights(
    folder: str | os.PathLike[str],
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    checkpoint: str | int | None = None,
    note: Note = ignore,
    progress: StageProgress = ignore,
) -> PushResult:
    """Upload a weights folder with a model card in one commit.

    Args:
        folder: a run or another weights folder. Its own README.md is the model card if it has one.
        repository: `owner/name`; it is created if it does not exist.
        licence: the Hub's name of the weights' licence.
        private: refuse a public repository, and make a new one private.
        checkpoint: which weights of a run, as `WeightsDir` takes it.
        note: takes sentences for the user.
        progress: takes stages, in bytes.

    Raises:
        UserError: the folder cannot be read, or the Hub refuses it.
    """
    if not is_repository(repository):
        raise UserError(
            f"{format_value(repository)} is not the name of a repository: write owner/name"
        )
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise UserError(
            f"{format_value(licence)} is not a licence in the Hub's list: write mit or "
            "apache-2.0, for example"
        )
    repo_id = RepoId(repository)
    with ExitStack() as stack:
        weights = WeightsDir(folder, checkpoint)
        weights, files = _open_files(weights, stack)  # a folder without weights is an error
        for sentence in weights.notes:
            note(sentence)
        if weights.inference is not None and not weights.inference_fits:
            note(f"{INFERENCE_FILE} is left out: it was tuned for other weights than these")
        if get_token() is None:
            raise UserError(
                f"uploading to {hub_name()} needs a token of an account that may write to "
                f"{repository}: set HF_TOKEN, or log in with `hf auth login`"
            )
        card = _model_card(weights, repository, licence)
        with translate_errors(repo_id), _translate_upload_errors(repo_id, note):
            api = HfApi(**LIBRARY)
            _make_repository(api, repository, private)
            commit = _upload(api, files, card, repository, note, progress)
    return PushResult(f"{_hub_url()}/{repository}", RepoId(repository, commit))


def _hub_url() -> str:
    """Return the Hub's URL without the user name and password that it may hold."""
    url = urlsplit(constants.ENDPOINT)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _open_files(
    weights: WeightsDir, stack: ExitStack
) -> tuple[WeightsDir, dict[str, _MeteredFile]]:
    """Read weights and open their files, all of the same training step.

    A run may save at the same time; open files keep their content. Weights that are not the last
    ones of their folder are written into a temporary one.
    """
    folder = weights.folder
    if weights.choice.name != LAST:
        temporary = stack.enter_context(temporary_folder(gettempdir()))
        weights.write(temporary)
        names = [name for name in _FILES if (temporary / name).is_file()]
        return weights, {
            name: stack.enter_context(_MeteredFile(temporary / name)) for name in names
        }
    for _ in range(_ATTEMPTS):
        paths = {name: folder / name for name in _FILES}
        paths[EMBEDDING_FILE] = embedding_path(folder)
        paths = {name: path for name, path in paths.items() if path.is_file()}
        try:
            files = {name: stack.enter_context(_MeteredFile(path)) for name, path in paths.items()}
        except FileNotFoundError:
            continue  # a save has ended in between
        weights = WeightsDir(folder, LAST)
        _ = weights.parts, weights.inference  # raises if files are damaged
        if all(is_at(file.fileno(), paths[name]) for name, file in files.items()):
            # No file was replaced between opening and reading it.
            if not weights.inference_fits:
                files.pop(INFERENCE_FILE, None)
            return weights, files
    raise UserError(f"{folder} is being trained: push it when its training has ended, or a copy")


def _model_card(weights: WeightsDir, repository: str, licence: str | None) -> bytes:
    """Return the folder's own model card, or a new one."""
    own = weights.folder / MODEL_CARD_FILE
    if not own.exists():
        return model_card(weights, repository, licence).encode(errors="replace")
    if licence is not None:
        raise UserError(f"{own} is the model card and states the licence: leave out --licence")
    return decode_text(file_content(own).read(), own).encode()


def _make_repository(api: HfApi, repository: str, private: bool) -> None:
    try:
        api.create_repo(repository, private=private or None, exist_ok=True)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status not in {401, 404}:
            raise
        raise token_error(f" for writing to {repository}", status) from None
    if private and not api.model_info(repository).private:
        raise UserError(
            f"{repository} exists and is public: make it private on its page, or name another one"
        )


def _upload(
    api: HfApi,
    files: Mapping[str, _MeteredFile],
    card: bytes,
    repository: str,
    note: Note,
    progress: StageProgress,
) -> str:
    """Upload files and model card; return the commit."""
    existing = {sibling.rfilename for sibling in api.model_info(repository).siblings or ()}
    if MODEL_CARD_FILE in existing:
        note(f"the model card of {repository} is replaced; its history keeps the former one")
    total = sum(os.fstat(file.fileno()).st_size for file in files.values())

    def report(stage: str) -> None:
        positions = dict.fromkeys(files, 0)

        def report_position(name: str, position: int) -> None:
            positions[name] = position
            progress(stage, min(total, sum(positions.values())), total)

        for file in files.values():
            file.report = report_position

    report("reading")
    # Open files in place of paths, so that their bytes can be counted.
    added = [CommitOperationAdd(name, file) for name, file in files.items()]
    report("sending")
    for operation in added:
        api.preupload_lfs_files(repository, [operation], num_threads=1)
    leftovers = {EMBEDDING_FILE, PUZZLE_IDS_FILE, INFERENCE_FILE} & existing - set(files)
    commit = api.create_commit(
        repository,
        [
            *added,
            CommitOperationAdd(MODEL_CARD_FILE, card),
            *(CommitOperationDelete(name) for name in leftovers),  # of an earlier upload
        ],
        commit_message="Upload weights with arc-trm",
    )
    progress("sending", total, total)
    return commit.oid


class _MeteredFile(io.BufferedReader):
    """A file that reports its position when it is read."""

    report: Callable[[str, int], None] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._name = path.name

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.report is not None:
            self.report(self._name, self.tell())
        return data


@contextmanager
def _translate_upload_errors(repo_id: RepoId, note: Note) -> Iterator[None]:
    """Turn Python's own errors and warnings, which the client raises, into UserErrors and notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # of the client about its own code
        try:
            yield
        except (TypeError, AttributeError, KeyError, RecursionError):
            raise not_a_hub_error() from None
        except RuntimeError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        except ValueError as error:
            if isinstance(error, HTTPError | json.JSONDecodeError | UnicodeError):
                raise
            reason = " ".join(str(error).split())
            raise UserError(f"{hub_name()} refuses the files for {repo_id}: {reason}") from None
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            note(" ".join(str(warning.message).split()))
