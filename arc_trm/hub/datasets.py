"""Datasets out of the Hub, into the client's cache, where `arc_trm.data.loader` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arc_trm.data.registry import HubSource, Manifest
from arc_trm.errors import UserError
from arc_trm.hub.client import Note, Progress, silent
from arc_trm.hub.download import fetch, remember
from arc_trm.hub.repo_files import list_files
from arc_trm.hub.repo_id import Reference


def fetch_dataset(
    manifest: Manifest, splits: Sequence[str], note: Note = silent, progress: Progress = silent
) -> list[Path]:
    """The files of some splits of a dataset, fetched and checked.

    Raises UserError if the dataset has no source on the Hub or its files cannot be had.
    """
    source = next((each for each in manifest.sources if isinstance(each, HubSource)), None)
    if source is None:
        raise UserError(
            f"{manifest.name} is not fetched from the Hugging Face Hub: `arc-trm data show "
            f"{manifest.name}` says where its files come from"
        )
    reference = Reference(source.repository, source.revision, kind="dataset")
    listing = list_files(reference, note)
    names = [source.files[split] for split in splits]
    for name in names:
        if name not in listing.files:
            raise UserError(f"{reference} has no file {name}: has its owner renamed it?")
    snapshot = fetch(listing, names, note, progress, thorough=True)
    remember(listing, source.revision)
    return [snapshot / name for name in names]
