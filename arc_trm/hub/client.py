"""The Hub's client library: quiet, and its errors as one sentence each."""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

from huggingface_hub import constants, errors, get_session
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from arc_trm._version import __version__
from arc_trm.errors import UserError, format_value
from arc_trm.hub.repo_id import RepoId
from submission import FormatError, parse_json


class _Library(TypedDict):
    library_name: str
    library_version: str


LIBRARY: _Library = {"library_name": "arc-trm", "library_version": __version__}
TIMEOUT = 10.0
"""Seconds that the Hub has to send the next part of an answer."""
ANSWER_TIME = 60.0
"""Seconds that it has for the whole answer to a small request."""
MAX_ANSWER = 2**26
"""Bytes of such an answer."""
T = TypeVar("T")
MAKE_ROOM = "make room, or set HF_HOME to a folder with more of it"


class Unavailable(UserError):
    """The Hub does not know a repository, or cannot be reached."""


def hub_name() -> str:
    """Return the host of the Hub, without the user name and password that its URL may hold."""
    return urlsplit(constants.ENDPOINT).hostname or "the Hub"


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids the network."""
    return bool(constants.HF_HUB_OFFLINE)


def not_a_hub_error() -> UserError:
    """Return the error for a server that does not answer like a Hub."""
    return UserError(f"{hub_name()} does not answer like a Hugging Face Hub: check HF_ENDPOINT")


def token_error(what: str, status: int) -> UserError:
    """Return the error for a token that the Hub refuses; `what` is "" or says for what."""
    return UserError(
        f"{hub_name()} does not accept the token{what} (error {status}): set HF_TOKEN to a valid "
        "one; public repositories can be read without it"
    )


def is_unreachable(error: BaseException) -> bool:
    """Return whether the Hub could not answer, so that the request itself may be right."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, errors.HTTPError | errors.OfflineModeIsEnabled | TimeoutError)


def failure_reason(error: BaseException) -> str:
    """Return why the Hub could not answer, without an address, which may hold a signature."""
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{hub_name()} answers with error {error.response.status_code}"
    kind = type(error).__name__
    if "Timeout" in kind:
        return f"{hub_name()} does not answer in time"
    if kind == "ConnectError":
        return f"{hub_name()} cannot be reached"
    if kind == "ProxyError":
        return "the proxy refuses the connection"
    return f"the connection to {hub_name()} was lost"


@contextmanager
def translate_errors(repo_id: RepoId) -> Iterator[None]:
    """Turn the client's errors inside the context into a UserError about `repo_id`."""
    repository = repo_id.repository
    try:
        with _quiet_client():
            yield
    except errors.GatedRepoError:
        raise UserError(
            f"{repository} is gated: ask for access on its page on {hub_name()}, and set HF_TOKEN "
            "to a token of that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise Unavailable(
            f"{hub_name()} has no repository {repository}, or it is private and the account of "
            "HF_TOKEN may not read it: check the name and the token"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository} has no revision {format_value(repo_id.revision or 'main')}: name one "
            "of its "
            "branches, tags or commits"
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise UserError(
            f"a file that {repo_id} lists cannot be found: try again later, then tell the "
            "repository's owner"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        cause = error.__cause__
        reason = "it is not in the cache" if cause is None else failure_reason(cause)
        raise _unavailable(repo_id, reason) from None
    except errors.HfHubHTTPError as error:
        raise _status_error(error, error.response.status_code, repo_id) from None
    except (errors.HTTPError, errors.OfflineModeIsEnabled, TimeoutError) as error:
        raise _unavailable(repo_id, failure_reason(error)) from None
    except UnicodeError:
        raise UserError("HF_TOKEN holds characters that no token has: set it again") from None
    except ValueError:
        raise not_a_hub_error() from None
    except OSError as error:
        raise _file_error(error) from None


def in_time(seconds: float, function: Callable[[], T]) -> T:
    """Return what a function returns. Raises what it raises, and TimeoutError if it takes longer.

    The client's own limits are for each part of an answer, so that one of a byte a second never
    ends. The thread of a function that takes longer is left to itself.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast(T, result)


def get_json(path: str, parameters: Mapping[str, Any]) -> Any:
    """Return the JSON that the Hub answers to a small request.

    Raises:
        UserError: the answer is no JSON, or too long.
        TimeoutError, HTTPError, OfflineModeIsEnabled: it does not come.
    """
    url = f"{constants.ENDPOINT}/{path}"

    def read() -> bytes:
        content, headers = bytearray(), build_hf_headers(**LIBRARY)  # which asks the Hub, too
        request = get_session().stream(
            "GET", url, params=parameters, headers=headers, timeout=TIMEOUT
        )
        with request as response:
            hf_raise_for_status(response)
            for part in response.iter_bytes():
                content += part
                if len(content) > MAX_ANSWER:
                    raise not_a_hub_error()
        return bytes(content)

    try:
        return parse_json(in_time(ANSWER_TIME, read), hub_name())
    except FormatError:
        raise not_a_hub_error() from None


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Silence the client's log: our errors say the same, and its lines hold signed URLs."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _unavailable(repo_id: RepoId, reason: str) -> Unavailable:
    return Unavailable(
        f"{repo_id} cannot be transferred: {reason}; try again later, what was downloaded is kept"
    )


def _status_error(error: BaseException, status: int, repo_id: RepoId) -> UserError:
    if status == 401:
        return token_error("", status)
    if status == 403:
        return UserError(
            f"the account of HF_TOKEN may not do this with {repo_id.repository} (error 403): use a "
            "token with the right to"
        )
    if status == 429:
        return UserError(f"{hub_name()} takes no more requests for now (error 429): wait a while")
    if status >= 500:
        return _unavailable(repo_id, failure_reason(error))
    return UserError(f"{hub_name()} refuses the request for {repo_id} (error {status})")


def _file_error(error: OSError) -> UserError:
    place = f"{os.fspath(error.filename)}: " if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UserError(f"{place}the disk is full: {MAKE_ROOM}")
    return UserError(f"{place}{error.strerror or error}")
