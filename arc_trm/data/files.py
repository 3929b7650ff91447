"""Tasks from a file, an archive or a folder: every file is read by what is in it.

Folders are searched at any depth; the id of a task is the name of its file. Hidden files are left
out. Files without tasks are skipped, and a note names them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.data.readers import find_reader
from arc_trm.errors import UserError, format_names, pluralise
from arc_trm.file_kind import wrong_file
from arc_trm.puzzles import KINDS
from arc_trm.tasks import PuzzleArray, Task, TaskSet
from submission import FormatError, Solutions, parse_json, recognise, solutions_problems
from submission.content import (
    Content,
    archive_kind,
    contents,
    file_content,
    looks_like,
    text_encoding,
    text_looks_like,
)
from submission.errors import format_value

EXPECTED = "a challenges file, a task file or a dataset"
PACKED = ("bzip2", "xz", "a 7z archive", "a RAR archive")
"""What is not unpacked here, because it may ask for any amount of memory."""


def read_path(path: Path, invalid: InvalidItems) -> TaskSet:
    """Read the tasks at a path, named after it.

    Args:
        path: a file, an archive, a folder, or a file or folder in an archive.
        invalid: gets the tasks and rows that are invalid.

    Raises:
        UserError: nothing there holds tasks, or something is invalid, which is not skipped.
    """
    found = _Found(str(path), invalid)
    if (inside := _find_inside(path)) is not None:
        archive, name = inside
        found.add_all(each for each in contents(archive) if _is_below(each.member, name))
        if not (found.tasks or found.puzzles or found.without or found.invalid.reasons):
            raise UserError(f"{archive} has nothing at {name}: name a file or folder in it")
        return found.task_set()
    if os.path.isdir(path):
        for file in walk(path):
            found.add_all(contents(file))
        return found.task_set()
    content = file_content(path)
    if archive_kind(content) is not None:
        found.add_all(contents(path))
        return found.task_set()
    try:
        found.add(content)
        if found.tasks and (beside := solutions_beside(path)):
            found.add_solutions(file_content(beside))
        return found.task_set()
    except NoTasks as error:
        raise (wrong_file(path, "tasks", EXPECTED) or error) from None


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is anything at a path, which may lead into an archive."""
    # Path.exists raises for names that are too long.
    return os.path.exists(path) or _find_inside(Path(path)) is not None


def _find_inside(path: Path) -> tuple[Path, str] | None:
    """Return the archive that a path leads into, and the path in it; None for other paths."""
    if os.path.exists(path):
        return None
    parent = next((each for each in path.parents if os.path.exists(each)), None)
    if parent is None or not os.path.isfile(parent) or archive_kind(file_content(parent)) is None:
        return None
    return parent, path.relative_to(parent).as_posix()


def _is_below(member: str, name: str) -> bool:
    """Return whether a file in an archive is the named one, its solutions, or in that folder."""
    wanted = (_folded(name), _solutions_name(name))
    return _folded(member) in wanted or member.startswith(f"{name}/")


def read_files(paths: Iterable[Path], name: str, invalid: InvalidItems) -> TaskSet:
    """Read the tasks of several files as one set with this name; arguments as in `read_path`."""
    found = _Found(name, invalid)
    for path in paths:
        found.add_all(contents(path))
    return found.task_set()


def visible_files(paths: Iterable[Path]) -> list[Path]:
    """Return paths in order without hidden ones: macOS puts a `._x.json` beside every `x.json`."""
    return sorted(path for path in paths if not path.name.startswith("."))


class _Found:
    """What was found in the files of DATA so far."""

    def __init__(self, name: str, invalid: InvalidItems) -> None:
        self.name, self.invalid = name, invalid
        self.tasks: dict[str, Task] = {}
        self.places: dict[str, str] = {}
        """Place of the file of each task, by the task's id."""
        self.files: list[tuple[str, str, str, list[str]]] = []
        """Place, folder and name of each file with tasks, and the ids of these."""
        self.puzzles: list[tuple[str, PuzzleArray]] = []
        """With the place of their file."""
        self.kind = ""
        self.solutions: list[tuple[Content, Solutions]] = []
        self.without: list[NoTasks] = []
        self.skipped: list[str] = []
        """Files without tasks."""
        self.notes: list[str] = []

    def add_all(self, found: Iterable[Content]) -> None:
        """Read files; those without tasks are skipped."""
        for content in found:
            name = self._short(content)
            try:
                tasks = self._read(content, f"{name}, ")
            except NoTasks as error:
                self.without.append(error)
                self.skipped.append(content.name)
            except UserError as error:
                if not self.invalid.skip:
                    raise
                self.invalid.total += 1
                reason = str(error)
                self.invalid.add(name, reason.removeprefix(f"{content.place}: "), reason)
            else:
                self._add(tasks, content)

    def add(self, content: Content) -> None:
        """Read a file. Raises NoTasks if it has none, UserError if it cannot be read."""
        self._add(self._read(content), content)

    def _read(self, content: Content, prefix: str = "") -> TaskSet | Solutions:
        """Return what is in a file, whose invalid tasks get names that begin with `prefix`.

        Raises NoTasks if it has none, UserError if it is invalid.
        """
        invalid = InvalidItems(self.invalid.skip)
        try:
            reader = find_reader(content)
            if reader is None:
                raise NoTasks(_unknown(content))
            return reader.read(content, invalid)
        finally:
            self.invalid.include(invalid, prefix)

    def _add(self, tasks: TaskSet | Solutions, content: Content) -> None:
        """Add what is in a file. Raises UserError if it does not go with other files."""
        if not isinstance(tasks, TaskSet):
            self.solutions.append((content, tasks))
            return
        if self.kind not in ("", tasks.kind) and len(tasks):
            raise UserError(
                f"{content.place} holds {KINDS[tasks.kind].title}, other files of {self.name} "
                f"{KINDS[self.kind].title}: name files of one kind of puzzle"
            )
        self.kind = tasks.kind
        self.notes += tasks.notes
        if isinstance(tasks, PuzzleArray):
            self._add_puzzles(tasks, content)
            return
        for task in tasks:
            if (other := self.places.get(task.id)) is not None:
                inside = f", as {content.place.replace(': ', '/')}" if content.member else ""
                raise UserError(
                    f"task {task.id} is in {other} and in {content.place}: name only one of the "
                    f"files or folders{inside}, or rename one task"
                )
            self.tasks[task.id], self.places[task.id] = task, content.place
        self.files.append((content.place, content.folder, content.name, list(tasks.ids)))

    def add_solutions(self, content: Content) -> None:
        """Read a file of solutions. Raises UserError if it holds something else."""
        solutions = parse_json(content.read(), content.place)
        if recognise(solutions) != "solutions":
            raise UserError(
                f"{content.place}: is {format_value(solutions)}, expected the solutions of the "
                "challenges beside it: correct or rename it"
            )
        self.solutions.append((content, solutions))

    def _add_puzzles(self, puzzles: PuzzleArray, content: Content) -> None:
        if self.puzzles and puzzles.side != (side := self.puzzles[0][1].side):
            raise UserError(
                f"{content.place} has puzzles with {puzzles.side} cells a side, other files of "
                f"{self.name} {side}: name files of one size"
            )
        self.puzzles.append((content.place, puzzles))

    def _short(self, content: Content) -> str:
        """Return the path of a file below DATA."""
        inside = content.place.removeprefix(f"{self.name}/").removeprefix(f"{self.name}: ")
        return content.name if inside == content.place else inside

    def task_set(self) -> TaskSet:
        """Return everything that was found, with notes on what was left out."""
        self._solve()
        if not (self.tasks or self.puzzles):
            raise self._no_tasks()
        noun = "row" if self.puzzles else "task"
        notes = [*self.notes, *self.invalid.notes(noun, self.name)]
        if self.skipped:
            number = pluralise(len(self.skipped), "file")
            named = format_names(sorted(set(self.skipped)))
            notes.append(f"skipped {number} of {self.name} without tasks: {named}")
        # The order is that of the paths, in an archive, too.
        if self.puzzles:
            self.puzzles.sort(key=lambda part: _parts(part[0]))
            puzzles = PuzzleArray.concatenate([part for _, part in self.puzzles])
            return puzzles.renamed(self.name, notes)
        self.files.sort(key=lambda file: _parts(file[0]))
        ids = (task_id for *_, ids in self.files for task_id in ids)
        return TaskSet(self.name, {each: self.tasks[each] for each in ids}, notes)

    def _no_tasks(self) -> UserError:
        if self.invalid.reasons:
            notes = "; ".join(self.invalid.notes("task", self.name))
            return UserError(f"{self.name} has no valid task, because {notes}: name another file")
        if self.solutions:
            return NoTasks(
                f"{self.solutions[0][0].place}: is a solutions file: tasks map to lists of grids, "
                "expected a challenges file beside it"
            )
        if len(self.without) == 1:
            return self.without[0]
        if self.without:
            number = pluralise(len(self.without), "file")
            return UserError(f"none of the {number} of {self.name} has tasks: {self.without[0]}")
        return UserError(f"{self.name} has no files, expected task files such as 007bbfb7.json")

    def _solve(self) -> None:
        """Give the tasks of challenges the outputs of the solutions in the same folder."""
        by_name: dict[tuple[str, str], tuple[Content, Solutions]] = {}
        for content, found in self.solutions:
            key = content.folder, _folded(content.name)
            if key in by_name:
                raise UserError(
                    f"{content.place} and {by_name[key][0].place} are solutions of the same "
                    "challenges: keep one of them"
                )
            by_name[key] = content, found
        used = set[str]()
        for _, folder, name, ids in self.files:
            wanted = _solutions_name(name)
            beside = None if wanted is None else by_name.get((folder, wanted))
            if beside is None:
                continue
            file, solutions = beside
            used.add(file.place)
            if self.invalid.skip:  # tasks that were left out have solutions, too
                solutions = {each: solutions[each] for each in ids if each in solutions}
            challenges: Any = {task_id: {"test": self.tasks[task_id].test} for task_id in ids}
            if problems := solutions_problems(solutions, challenges):
                raise FormatError(problems, file.place)
            self.tasks |= {
                task_id: self.tasks[task_id].with_solutions(solutions[task_id]) for task_id in ids
            }
        if self.tasks:
            self.skipped += [c.name for c, _ in self.solutions if c.place not in used]


def solutions_beside(path: Path) -> Path | None:
    """Return the file named with "solutions" in place of "challenges"; `-` and `_` are equal."""
    wanted = _solutions_name(file_content(path).name)
    if wanted is None:
        return None
    entries = _entries(path.parent)
    found = [entry for entry in entries if _folded(file_content(entry).name) == wanted]
    if len(found) > 1:
        names = " and ".join(entry.name for entry in found)
        raise UserError(f"{path} has several solutions files beside it: {names}; keep one of them")
    return found[0] if found else None


def _solutions_name(name: str) -> str | None:
    """Return the folded name of the solutions of a challenges file, None for other files."""
    folded = _folded(name)
    solutions = folded.replace("challenges", "solutions")
    return None if solutions == folded else solutions


def _folded(name: str) -> str:
    return name.replace("-", "_")


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder at any depth in order, without hidden ones."""
    left = [*reversed(_entries(folder))]
    while left:  # no recursion: folders may be deeper than Python recurses
        entry = left.pop()
        if entry.is_dir():
            left += () if entry.is_symlink() else reversed(_entries(entry))
        elif entry.is_file():
            yield entry


def _parts(place: str) -> list[str]:
    """Return the folders and the name in a place, by which files are in order."""
    return place.replace(": ", "/").split("/")


def _entries(folder: Path) -> list[Path]:
    try:
        return visible_files(folder.iterdir())
    except OSError as error:
        raise UserError(f"{os.fspath(folder)} cannot be read: {error.strerror}") from None


def _unknown(content: Content) -> str:
    """Return the message for a file that no reader knows."""
    what = looks_like(content.head) if content.head else "empty"
    if what is None:
        text = content.head.decode(text_encoding(content.head), "replace")
        first = next(iter(text.splitlines()), "")
        what = text_looks_like(text) or f"text that begins with {format_value(first)}"
    advice = ": unpack it, or pack it as .zip, .tar.gz, .gz or .zst" if what in PACKED else ""
    return (
        f"{content.place}: is {what}, expected tasks as JSON, JSON lines or Parquet, or Sudokus or "
        f"square mazes as CSV or text{advice}"
    )
