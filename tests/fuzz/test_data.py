"""Files of tasks and puzzles: JSON, tables, grids, Parquet, the published trainer's folders."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fuzzing import fuzz, mutations, reads_or_refuses
from hypothesis import example, given
from hypothesis import strategies as st
from paths import GOLDEN
from pyarrow import parquet

from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.prebuilt import open_prebuilt

QUESTION, ANSWER = "1.3.3.1..1.34.2.", "1234341221434321"
PAIR = {"input": [[1]], "output": [[2]]}
TASK = {"id": "a", "train": [PAIR], "test": [PAIR]}


def read(path: Path) -> None:
    reads_or_refuses(lambda: load_tasks(path))
    reads_or_refuses(lambda: load_tasks(path, skip_invalid=True))


TABLES = [
    f"source,question,answer,rating\nx,{QUESTION},{ANSWER},1\nx,{QUESTION},,2\n".encode(),
    f"puzzle\tsolution\n{QUESTION}\t{ANSWER}\n".encode(),
    f"{QUESTION}\n{QUESTION.replace('.', '0')}\n".encode(),
    b"1.3.\n3.1.\n.1.3\n4.2.\n\n1234\n3412\n2143\n4321\n",
    b"S  #\n #  \n # G\n    \n",
    b'question,answer\n"' + QUESTION.encode() + b'","\n',
    f"hash,{QUESTION},{ANSWER}".encode("utf-16"),
]


@fuzz
@given(mutations(*TABLES), st.sampled_from((".csv", ".tsv", ".sdm", ".txt")))
def test_tables_and_grids(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    path.write_bytes(content)
    read(path)


LINES = [
    (json.dumps(TASK) + "\n" + json.dumps({**TASK, "id": "b"}) + "\n").encode(),
    (json.dumps({"task_id": "a", **PAIR}) + "\n").encode() * 2,
    (json.dumps({"id": "a", "train": json.dumps([PAIR]), "test": "[[["}) + "\n").encode() * 2,
    b"[" * 5000 + b"\n{}\n",
    b'{"format": "arc-trm predictions 4"}\n{}\n',
]


@fuzz
@given(mutations(*LINES))
def test_json_lines(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    read(path)


SETS = [
    {"a": TASK, "b": TASK},
    {"train": {"a": TASK}, "eval": {"b": TASK}},
    [TASK, {"id": "c", "examples": [PAIR]}],
    {"a": [PAIR, [[[1]], [[2]]]]},
    {"train": [PAIR], "test": [PAIR], "arc-gen": [PAIR]},
    {"a": [[[1]]]},
]


@fuzz
@given(mutations(*(json.dumps(each).encode() for each in SETS)))
def test_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    read(path)


def table(**columns: list[object]) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pa.table(columns), packed)
    return packed.getvalue()


PARQUET = [
    table(question=[QUESTION, QUESTION], answer=[ANSWER, None]),
    table(id=["a"], train=[json.dumps([PAIR])], test=[json.dumps([PAIR])]),
    table(id=["a"], train=[[PAIR]], test=[[PAIR]]),
]


@fuzz
@given(mutations(*PARQUET))
def test_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    read(path)


BUILT = GOLDEN / "arc/built"
PARTS = sorted(path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*.*"))


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(BUILT, tmp_path_factory.mktemp("built") / "data"))


@fuzz
@given(
    st.sampled_from(PARTS).flatmap(
        lambda name: st.tuples(st.just(name), mutations((BUILT / name).read_bytes()))
    )
)
@example(("train/all__inputs.npy", header("{'descr': '|u1', 'fortran_order': False, 'shape': (")))
@example(
    (
        "train/all__inputs.npy",
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 900)}\n"),
    )
)
@example(
    (
        "train/all__puzzle_indices.npy",
        header("{'descr': '<i4', 'fortran_order': False, 'shape': (1" + "0" * 5000 + ",)}\n"),
    )
)
def test_prebuilt_folders(built: Path, damaged: tuple[str, bytes]) -> None:
    name, content = damaged
    path = built / name
    path.write_bytes(content)
    try:
        reads_or_refuses(lambda: len(open_prebuilt(built)))
        reads_or_refuses(lambda: load_tasks(built))
    finally:
        shutil.copyfile(BUILT / name, path)


def test_the_parts_of_a_folder_are_all_tried() -> None:
    arrays = [name for name in PARTS if name.endswith(".npy")]
    assert len(arrays) >= 5
    assert np.load(BUILT / arrays[0]).size
