"""The Hub's client library: quiet, and its errors as one sentence each."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict
from urllib.parse import urlsplit

from huggingface_hub import constants, errors

from arc_trm._version import __version__
from arc_trm.errors import UserError
from arc_trm.hub.repo_id import RepoId


class _Library(TypedDict):
    library_name: str
    library_version: str


LIBRARY: _Library = {"library_name": "arc-trm", "library_version": __version__}
TIMEOUT = 10.0
"""Seconds that the Hub has to answer a small request."""
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
    return isinstance(error, errors.HTTPError | errors.OfflineModeIsEnabled)


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
            f"{repository} has no revision {repo_id.revision or 'main'!r}: name one of its "
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
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise _unavailable(repo_id, failure_reason(error)) from None
    except UnicodeError:
        raise UserError("HF_TOKEN holds characters that no token has: set it again") from None
    except ValueError:
        raise not_a_hub_error() from None
    except OSError as error:
        raise _file_error(error) from None


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
