"""Download datasets from the Hub into the client's cache, where `load_tasks` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arc_trm.callbacks import Note, StageProgress, ignore
from arc_trm.data.registry import HubSource, Manifest
from arc_trm.errors import UserError
from arc_trm.hub.download import fetch, remember_revision
from arc_trm.hub.repo_files import list_files
from arc_trm.hub.repo_id import RepoId


def fetch_dataset(
    manifest: Manifest, splits: Sequence[str], note: Note = ignore, progress: StageProgress = ignore
) -> list[Path]:
    """Download and check the files of some splits of a dataset; return the file of each.

    Raises:
        UserError: the dataset is not on the Hub, or its files cannot be downloaded.
    """
    source = next((each for each in manifest.sources if isinstance(each, HubSource)), None)
    if source is None:
        raise UserError(
            f"{manifest.name} is not downloaded from the Hugging Face Hub: `arc-trm data show "
            f"{manifest.name}` says where its files come from"
        )
    repo_id = RepoId(source.repository, source.revision, kind="dataset")
    repo = list_files(repo_id, note)
    paths = [source.files[split] for split in splits]
    for path in paths:
        if path not in repo.files:
            raise UserError(f"{repo_id} has no file {path}: its owner may have renamed it")
    snapshot = fetch(repo, paths, note, progress, thorough=True)
    remember_revision(repo, source.revision)
    return [snapshot / path for path in paths]
