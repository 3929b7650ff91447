"""A reader of files from outside the package plugs in."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from paths import ROOT
from tiny import MODEL, TRAIN

from arc_trm import pipeline
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers import READERS, Reader, find_reader, register_reader
from arc_trm.errors import UserError
from submission.content import file_content

TEXT = """\
mirror 12/30>21/03 45/06>54/60 ? 70/08>07/80
fill 1/1>2/2 3/3>2/2 ? 4/4
"""


@pytest.fixture
def text_reader() -> Iterator[Reader]:
    """The reader of the page, registered for one test."""
    page = (ROOT / "docs/how-to/add-a-file-format.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"__name__": "grids_reader", "__annotations__": {}}
    exec(compile(code, "grids_reader.py", "exec"), names)
    yield READERS["grids"]
    del READERS["grids"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.grids"
    path.write_text(TEXT)
    return path


def test_its_files_are_data(text_reader: Reader, file: Path, cli: Callable[..., Result]) -> None:
    tasks = load_tasks(file)
    assert find_reader(file_content(file)) is text_reader
    assert (tasks.name, tasks.ids, tasks.kind) == (str(file), ["mirror", "fill"], "arc")
    assert tasks["mirror"].train[1].input.tolist() == [[4, 5], [0, 6]]
    solutions = tasks["mirror"].solutions
    assert solutions is not None and solutions[0].tolist() == [[0, 7], [8, 0]]
    assert tasks["fill"].solutions is None
    shown = json.loads(cli("data", "show", file, "--json").stdout)
    assert (shown["splits"][0]["tasks"], shown["splits"][0]["test_outputs"]) == (2, 2)
    assert cli("show", "fill", "--data", file).stdout.startswith("Task fill")


def test_invalid_lines_are_errors_or_skipped(text_reader: Reader, file: Path) -> None:
    file.write_text(f"{TEXT}bad 1>2\n")
    with pytest.raises(UserError, match="line 3: it has no test input; correct it, or leave out"):
        load_tasks(file)
    tasks = load_tasks(file, skip_invalid=True)
    assert tasks.ids == ["mirror", "fill"]
    assert tasks.notes == (f"1 of 3 tasks of {file} is skipped: line 3: it has no test input",)


def test_its_tasks_are_trained_on_and_predicted(
    text_reader: Reader, file: Path, tmp_path: Path
) -> None:
    sections = {"model": MODEL, "train": {**TRAIN, "total_steps": 2}}
    overrides = ["dtype='float32'", "data.augmentations=1"]
    for section, values in sections.items():
        overrides += [f"{section}.{key}={value}" for key, value in values.items()]
    run = pipeline.train(data=file, overrides=overrides, out=tmp_path / "run", device="cpu")
    assert run.config.data.test == (str(file),)
    predictions = pipeline.predict(run.path, device="cpu")
    assert predictions.tasks.ids == ["mirror", "fill"] and predictions.job is not None
    assert list(json.loads(predictions.job.files["submission"].read_text())) == ["mirror", "fill"]
    assert pipeline.score(run.path).to_dict() == predictions.score().to_dict()


def test_other_files_keep_their_readers(text_reader: Reader, challenges: Path) -> None:
    assert find_reader(file_content(challenges)) is READERS["json"]
    table = challenges.with_name("x.csv")
    table.touch()
    assert find_reader(file_content(table)) is READERS["puzzle_text"]
    assert load_tasks(challenges).ids == ["task0", "task1", "task2"]
    with pytest.raises(ValueError, match="the reader 'grids' is registered already"):
        register_reader("grids")(text_reader)


def test_without_its_reader_a_file_is_an_error(file: Path) -> None:
    assert "grids" not in READERS
    with pytest.raises(UserError, match='is text that begins with "mirror 12/30>21'):
        load_tasks(file)


def test_it_reads_packed_files_too(text_reader: Reader, file: Path) -> None:
    packed = file.with_name("packed.grids.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert load_tasks(packed).ids == ["mirror", "fill"]
