"""Names of weights on the Hugging Face Hub: `owner/name[@revision][:subfolder]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from arc_trm.errors import UserError, format_value

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_NAME}/{_NAME}")
_REPO_ID = re.compile(f"({_NAME}/{_NAME})(?:@([^:]*))?(?::(.*))?", re.DOTALL)
# Fewer characters than git allows: a colon starts the subfolder, a leading dot may leave a folder.
_REVISION_PART = re.compile(r"[\w+%@=,#][\w.+%@=,#-]*")
_MAX_LENGTH = 96
"""Of a repository's name, by the Hub's own rule."""


@dataclass(frozen=True)
class RepoId:
    """Weights or a dataset in a Hub repository. `str` returns the text that was parsed.

    Attributes:
        repository: `owner/name`.
        revision: a branch, a tag, `refs/pr/1` or a commit; None is the main branch.
        subfolder: None is the repository's top folder, or the only folder that has weights.
        kind: of the repository.
    """

    repository: str
    revision: str | None = None
    subfolder: str | None = None
    kind: Literal["model", "dataset"] = "model"

    @property
    def fetch_advice(self) -> str:
        """What to do if it is not in the cache, as a part of a sentence."""
        if self.kind == "dataset":
            return "run the command again while the Hub can be reached"
        return f"download it with `arc-trm pull {self}` while the Hub can be reached"

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision is not None else ""
        subfolder = f":{self.subfolder}" if self.subfolder is not None else ""
        return f"{self.repository}{revision}{subfolder}"


def parse_repo_id(text: str) -> RepoId | None:
    """Return the repository that a text names, None if it does not start like one.

    Raises:
        UserError: it does, but its revision or subfolder is invalid.
    """
    match = _REPO_ID.fullmatch(text)
    if match is None or not is_repository(match[1]):
        return None
    repository, revision, subfolder = match.groups()
    if revision is not None and not _is_revision(revision):
        raise UserError(
            f"{format_value(text)} names the revision {format_value(revision)}, which cannot be "
            "a branch, tag or commit: "
            f"write {repository}@main, for example"
        )
    if subfolder is not None and not is_plain_path(subfolder):
        raise UserError(
            f"{format_value(text)} names the subfolder {format_value(subfolder)}, which is not "
            "a path inside a repository: "
            f"write {repository}:folder, for example"
        )
    return RepoId(repository, revision, subfolder)


def is_repository(name: str) -> bool:
    """Return whether the Hub accepts this as the name of a repository, `owner/name`."""
    return (
        _REPOSITORY.fullmatch(name) is not None
        and len(name) <= _MAX_LENGTH
        and ".." not in name
        and "--" not in name
        and not name.endswith(".git")
    )


def is_plain_path(path: str) -> bool:
    """Return whether a path from elsewhere stays below the folder that it is joined to."""
    parts = path.split("/")
    return all(
        part.strip(" .") != "" and part.isprintable() and not set(part) & set('\\:*?"<>|')
        for part in parts
    )


def _is_revision(revision: str) -> bool:
    return ".." not in revision and all(
        _REVISION_PART.fullmatch(part) is not None and not part.endswith((".", ".lock"))
        for part in revision.split("/")
    )
