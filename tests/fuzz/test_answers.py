"""Files in the official formats and in other forms of answers, and archives that hold them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import zstandard
from fuzzing import fuzz, mutations, reads_or_refuses
from hypothesis import example, given
from packing import tarred, zipped

import submission as sub
from arc_trm.file_kind import file_kind
from submission.answers import read_ranked

GRID = [[1, 0], [0, 1]]
TASK = {"train": [{"input": GRID, "output": GRID}], "test": [{"input": GRID}]}
CHALLENGES = {"007bbfb7": TASK}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


FILES = [
    dump(TASK),
    dump(CHALLENGES),
    dump({"007bbfb7": [GRID]}),
    dump({"007bbfb7": [{"attempt_1": GRID, "attempt_2": GRID}]}),
    b"[" * 100_000,
    b"[" + b"9" * 5000 + b"]",
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": [NaN, 1e999]}',
    "\u202e".encode("utf-16"),
]


@fuzz
@given(mutations(*FILES))
@example(b"[" * 100_000)
@example(dump(CHALLENGES).replace(b"007bbfb7", b"\\u001b]0;x\\u0007\\ud800"))
def test_official_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    for read in (sub.read_task, sub.read_challenges, sub.read_solutions, sub.read_any):
        reads_or_refuses(lambda read=read: read(path))  # type: ignore[misc]
    reads_or_refuses(lambda: sub.read_submission(path, CHALLENGES))
    reads_or_refuses(lambda: sub.check_path(path))
    file_kind(path)


OTHER_FORMS = [
    b"output_id,output\n007bbfb7_0,|10|01| |10|01|\n",
    dump([{"task_id": "007bbfb7", "attempt_1": GRID, "attempt_2": GRID}]),
    b'{"task_id": "007bbfb7", "answer": [[1]]}\n{"task_id": "007bbfb7_1", "answer": "[[1]]"}\n',
    dump({"007bbfb7": [GRID, GRID]}),
    dump({"007bbfb7": {"0": [GRID], "1": GRID}}),
    dump({"007bbfb7": {"attempt_1": "|1|", "attempt_2": "1 0\n0 1"}}),
    *FILES,
]


@fuzz
@given(mutations(*OTHER_FORMS))
def test_other_forms(tmp_path: Path, content: bytes) -> None:
    for name in ("answers.csv", "answers.json"):
        path = tmp_path / name
        path.write_bytes(content)
        reads_or_refuses(lambda path=path: read_ranked(path, CHALLENGES))  # type: ignore[misc]
        file_kind(path)


ARCPRIZE = [{"attempt_1": {"answer": GRID, "metadata": {"pair_index": 0}}, "attempt_2": None}]


@fuzz
@given(mutations(dump(ARCPRIZE), dump([{"attempt_1": "[[1]]"}]), dump([[GRID]])))
def test_folders_of_attempts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "007bbfb7.json").write_bytes(content)
    reads_or_refuses(lambda: sub.read_arcprize(tmp_path))


INSIDE: dict[str, Any] = {"a/b.json": dump(TASK), "../c.json": dump(CHALLENGES)}
ONE = {"tasks.json": dump(CHALLENGES)}
PACKED = [
    zipped(INSIDE),
    zipped(ONE),
    tarred(INSIDE),
    gzip.compress(tarred(ONE), mtime=0),
    gzip.compress(dump(CHALLENGES), mtime=0),
    zstandard.compress(tarred(ONE)),
    zstandard.compress(dump(CHALLENGES)),
    zipped({"x": b"\0" * 10**6, "tasks\x1b[2J.json": b"[" * 1000}),
]


@fuzz
@given(mutations(*PACKED))
def test_archives(tmp_path: Path, content: bytes) -> None:
    from arc_trm.data.loader import load_tasks

    path = tmp_path / "tasks"
    path.write_bytes(content)
    reads_or_refuses(lambda: load_tasks(path))
    reads_or_refuses(lambda: load_tasks(path, skip_invalid=True))
    reads_or_refuses(lambda: sub.read_challenges(path))
