"""Talking to the Hub: its client's own noise kept down, its errors in our sentences."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypedDict
from urllib.parse import urlsplit

from arc_trm._version import __version__
from arc_trm.errors import UserError
from arc_trm.hub.repo_id import Reference

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence that a person should see."""
Progress: TypeAlias = Callable[[str, int, int], None]
"""Takes what is being done, what is done of it, and the whole; in bytes but for "naming rows"."""


class _Library(TypedDict):
    library_name: str
    library_version: str


LIBRARY: _Library = {"library_name": "arc-trm", "library_version": __version__}
TIMEOUT = 10.0  # seconds that the Hub has for the answer to a small question


class Unavailable(UserError):
    """The Hub does not know the repository, or cannot be asked."""


def silent(*_: object) -> None:
    """A `Note` or `Progress` that nobody sees."""


def hub_name() -> str:
    """The host that is asked, without the user name and password that its URL may hold."""
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).hostname or "the Hub"


def offline() -> bool:
    """Whether the user wants no network, by HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def no_hub() -> UserError:
    """The error to raise where something else than a Hub answers."""
    return UserError(f"{hub_name()} does not answer like a Hugging Face Hub: check HF_ENDPOINT")


@contextmanager
def quiet_client() -> Iterator[None]:
    """Without the client's log lines, for ours say the same, and theirs hold signed URLs."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def unreachable(error: BaseException) -> bool:
    """Whether the Hub cannot be asked now, although the question may be right."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, HTTPError | OfflineModeIsEnabled)


def reason(error: BaseException) -> str:
    """Why the Hub could not be asked, without an address, which may hold a signature."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, HfHubHTTPError):
        return f"{hub_name()} answers with error {error.response.status_code}"
    kind = type(error).__name__
    if "Timeout" in kind:
        return f"{hub_name()} does not answer in time"
    if kind == "ConnectError":
        return f"{hub_name()} cannot be reached"
    if kind == "ProxyError":
        return "the proxy refuses the connection"
    return f"the connection to {hub_name()} broke off"


@contextmanager
def told(reference: Reference) -> Iterator[None]:
    """Turns what the client raises into a UserError of one sentence about `reference`."""
    from huggingface_hub import errors

    repository = reference.repository
    try:
        with quiet_client():
            yield
    except errors.GatedRepoError:
        raise UserError(
            f"{repository} is gated: ask for access on its page on {hub_name()}, and set HF_TOKEN "
            "to a token of that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise Unavailable(
            f"{hub_name()} has no repository {repository}, or it is private and HF_TOKEN is not "
            "that of an account which may read it: check the name and the token"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository} has no revision {reference.revision or 'main'!r}: name a branch, tag or "
            "commit of it"
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise UserError(
            f"a file that {reference} lists cannot be found: try again, and if it stays so, tell "
            "the repository's owner"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        cause = error.__cause__
        why = reason(cause) if cause is not None else "it is not in the cache"
        raise Unavailable(f"{reference} cannot be fetched: {why}; try again later") from None
    except errors.HfHubHTTPError as error:
        raise _refused(error, reference) from None
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise Unavailable(
            f"{reference} cannot be fetched or sent: {reason(error)}; try again, for what was "
            "fetched is kept"
        ) from None
    except UnicodeError:
        raise UserError("HF_TOKEN holds characters that no token has: set it anew") from None
    except ValueError:
        raise no_hub() from None
    except OSError as error:
        raise _disk(error) from None


def _refused(error: OSError, reference: Reference) -> UserError:
    status: int = error.response.status_code  # type: ignore[attr-defined]
    if status == 401:
        return UserError(
            f"{hub_name()} does not accept the token (error 401): set HF_TOKEN to a valid one, or "
            "unset it for public repositories"
        )
    if status == 403:
        return UserError(
            f"the account of HF_TOKEN may not do this with {reference.repository} (error 403): "
            "use a token with the right to"
        )
    if status == 429:
        return UserError(f"{hub_name()} takes no more requests for now (error 429): wait a while")
    if status >= 500:
        return Unavailable(f"{reference} is not to be had: {reason(error)}; try again later")
    return UserError(f"{hub_name()} refuses the request about {reference} (error {status})")


def _disk(error: OSError) -> UserError:
    place = f"{os.fspath(error.filename)}: " if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UserError(
            f"{place}the disk is full: make room, or set HF_HOME to a folder with more of it"
        )
    return UserError(f"{place}{error.strerror or error}")
