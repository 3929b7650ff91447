"""How weights on the Hugging Face Hub are named: `owner/name[@revision][:subfolder]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from arc_trm.errors import UserError

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_NAME}/{_NAME}")
_REFERENCE = re.compile(f"({_NAME}/{_NAME})(?:@([^:]*))?(?::(.*))?", re.DOTALL)
# Fewer than git allows: a colon begins the subfolder, a dot in front may lead out of a folder.
_REVISION_PART = re.compile(r"[\w+%@=,#][\w.+%@=,#-]*")
_LONGEST = 96  # of a repository's name, by the Hub's own rule


@dataclass(frozen=True)
class Reference:
    """Weights in a Hub repository, or a dataset; `str` gives the text back.

    `revision` is a branch, a tag, `refs/pr/1` or a commit, None the main branch; `subfolder` None
    is the repository's top folder, or the only subfolder that has weights.
    """

    repository: str
    revision: str | None = None
    subfolder: str | None = None
    kind: Literal["model", "dataset"] = "model"

    @property
    def again(self) -> str:
        """The command that fetches it."""
        return f"arc-trm pull {self}" if self.kind == "model" else "arc-trm data fetch"

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision is not None else ""
        subfolder = f":{self.subfolder}" if self.subfolder is not None else ""
        return f"{self.repository}{revision}{subfolder}"


def is_repository(name: str) -> bool:
    """Whether the Hub would take this as the name of a repository, `owner/name`."""
    return (
        _REPOSITORY.fullmatch(name) is not None
        and len(name) <= _LONGEST
        and ".." not in name
        and "--" not in name
        and not name.endswith(".git")
    )


def is_plain_path(path: str) -> bool:
    """Whether a path that somebody else chose stays below the folder that it is put into."""
    parts = path.split("/")
    return all(
        part.strip(" .") != "" and part.isprintable() and not set(part) & set('\\:*?"<>|')
        for part in parts
    )


def parse(text: str) -> Reference | None:
    """The reference that a text is, None if it does not begin like one.

    Raises UserError if it does, but its revision or subfolder cannot be one.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or not is_repository(match[1]):
        return None
    repository, revision, subfolder = match.groups()
    if revision is not None and not _is_revision(revision):
        raise UserError(
            f"{text!r} names the revision {revision!r}, which is no branch, tag or commit: write "
            f"{repository}@main, for example"
        )
    if subfolder is not None and not is_plain_path(subfolder):
        raise UserError(
            f"{text!r} names the subfolder {subfolder!r}, which is not a path inside of a "
            f"repository: write {repository}:folder, for example"
        )
    return Reference(repository, revision, subfolder)


def _is_revision(revision: str) -> bool:
    return ".." not in revision and all(
        _REVISION_PART.fullmatch(part) is not None and not part.endswith((".", ".lock"))
        for part in revision.split("/")
    )
