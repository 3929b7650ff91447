"""Facts about datasets and files for `arc-trm data list` and `show`, as plain JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from arc_trm.data.loader import DATA_FOLDER, DEFAULT_FOLDER, find_files, find_tasks, load_tasks
from arc_trm.data.registry import (
    GeneratedSource,
    HubSource,
    Manifest,
    Overlap,
    PackageSource,
    Source,
    Version,
    find_manifest,
    manifests,
    recognise_split,
    recorded_overlaps,
)
from arc_trm.data.versions import changed_tests
from arc_trm.errors import format_names, pluralise
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet

Facts = dict[str, Any]
GENERATED = "generated"
"""The place of puzzles that are generated when they are needed."""

BY_PATH = "named by their path"
"""The place of a dataset's tasks in files that the user named."""


def describe_datasets() -> list[Facts]:
    """Return the manifest entries of all datasets, and where their files are."""
    return [_describe_manifest(manifest) for manifest in manifests().values()]


def describe_data(data: str, skip_invalid: bool) -> Facts:
    """Return facts about DATA; of a dataset, or its tasks in any file, with those of its manifest.

    Raises:
        UserError: there is no such data, or it is invalid and not skipped.
    """
    if (found := find_manifest(data)) is not None:
        names = found[0].split_names(found[1])
        return _card(*found, {name: find_tasks(name, skip_invalid) for name in names})
    tasks = load_tasks(data, skip_invalid)
    if (known := recognise_split(tasks)) and (found := find_manifest(known)):
        facts = _card(*found, {known: tasks})
        facts["splits"][0] |= {"source": BY_PATH, "files": data, "place": BY_PATH}
        return facts
    counts = {"tasks": len(tasks), "test_outputs": tasks.test_outputs}
    split = {"name": data, **counts, **_contents(tasks)}
    return {"name": data, "splits": [split], "notes": list(tasks.notes)}


def describe_overlap(overlap: Overlap) -> str:
    """Return an overlap as a sentence."""
    details = [f"{here} is {there} there" for here, there in overlap.other_id.items()]
    details += [f"{task_id} has other demonstrations" for task_id in overlap.changed]
    if changed := _changed_tests(overlap):
        details.append(f"test pairs, or their order, differ in {len(changed)}")
    listing = f" ({', '.join(details)})" if details else ""
    number = pluralise(len(overlap.ids), "task")
    return f"{overlap.split} shares {number} with {overlap.other}{listing}."


def _changed_tests(overlap: Overlap) -> set[str]:
    """Return the ids of shared tasks whose test pairs, or their order, differ."""
    pair = [manifests()[each.partition("/")[0]].versions for each in (overlap.split, overlap.other)]
    if not all(pair):
        return set()
    return set(changed_tests(*(versions[0] for versions in pair))) & set(overlap.same_id)


def describe_versions(name: str) -> list[str]:
    """Return a sentence for each recorded version of a dataset but the first."""
    found = find_manifest(name)
    versions = found[0].versions if found else ()
    return [_describe_version(versions[0], each) for each in versions[1:]]


def _describe_version(first: Version, other: Version) -> str:
    parts = []
    if tests := changed_tests(first, other):
        parts.append(f"the test pairs of {pluralise(len(tests), 'task')} ({format_names(tests)})")
    if changed := other.demonstrations:
        number = pluralise(len(changed), "task")
        parts.append(f"the demonstrations of {number} ({format_names(changed)})")
    return f"{other.name} differs from {first.name} in {' and '.join(parts)}."


def _describe_manifest(manifest: Manifest, only: str | None = None) -> Facts:
    return {
        "name": f"{manifest.name}/{only}" if only else manifest.name,
        "title": manifest.title,
        "licence": manifest.licence,
        "homepage": manifest.homepage,
        "splits": [_describe_split(manifest, split) for split in manifest.chosen(only)],
    }


def _describe_split(manifest: Manifest, split: str) -> Facts:
    """Return the manifest entry of a split, and where its files are, None if missing."""
    source, files, place = None, None, None
    if found := find_files(manifest, split):
        source, files, place = found.source.title, str(found.path), _place(found.source)
    elif generated := [each for each in manifest.sources if isinstance(each, GeneratedSource)]:
        source, files, place = generated[0].title, "generated when needed", GENERATED
    return {
        "name": f"{manifest.name}/{split}",
        **asdict(manifest.splits[split]),
        "source": source,
        "files": files,
        "place": place,
    }


def _place(source: Source) -> str:
    """Return in a few words where the files of a source are."""
    match source:
        case PackageSource():
            return f"package {source.package}"
        case HubSource():
            return "cache of the Hub"
    return f"in {DATA_FOLDER if os.environ.get(DATA_FOLDER) else DEFAULT_FOLDER}"


def _card(manifest: Manifest, only: str | None, loaded: Mapping[str, TaskSet | None]) -> Facts:
    """Return the facts of a manifest, with those of its splits that are `loaded`, by their name."""
    facts = _describe_manifest(manifest, only)
    notes: list[str] = []
    for split in facts["splits"]:
        tasks = loaded[split["name"]]
        if tasks is not None:
            published = split["sha256"]
            split |= _contents(tasks)
            split["as_published"] = split["sha256"] == published if published else None
            notes += tasks.notes
    overlaps = recorded_overlaps(facts["name"])
    return facts | {
        "notes": notes,
        "citation": manifest.citation,
        "format": manifest.format,
        "sources": [asdict(source) for source in manifest.sources],
        "versions": [asdict(version) for version in manifest.versions],
        "overlaps": [asdict(overlap) | {"tasks": len(overlap.ids)} for overlap in overlaps],
    }


def _contents(tasks: TaskSet) -> Facts:
    return {"sha256": tasks.fingerprint(), **kind_of(tasks).describe(tasks)}
