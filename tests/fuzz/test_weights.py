"""Weights folders, published weight files and training states from anywhere."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from fuzzing import fuzz, mutations, reads_or_refuses
from hypothesis import given
from hypothesis import strategies as st
from tiny import MODEL, TRAIN, write_weights

from arc_trm.checkpoint import convert_to_published, load_weights, read_tensors, write_tensors
from arc_trm.checkpoint.published import open_published
from arc_trm.checkpoint.published_ids import read_published_ids
from arc_trm.checkpoint.weights_dir import WeightsDir
from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.models import build_model
from arc_trm.runs import TRAINING_STATE
from arc_trm.training import Trainer
from arc_trm.training.run_dir import RunWriter

SMALL = {**MODEL, "seq_len": 4, "hidden_size": 4, "puzzle_emb_dim": 4, "num_layers": 1}
FINGERPRINTS = {"data": "d", "config": "{}"}


def trainer() -> Trainer:
    model = build_model(from_dict(ModelConfig, SMALL), 4, generator=torch.Generator())
    return Trainer(model, TrainConfig(**{**TRAIN, "global_batch_size": 2}))


@cache
def files() -> dict[str, bytes]:
    """The files of a weights folder, of the same weights as published, and a training state."""
    with TemporaryDirectory() as name:
        root = Path(name)
        folder = write_weights(root / "weights", **SMALL)
        (folder / "origin.json").write_text('{"file": "step_1", "repository": "a/b", "notes": []}')
        convert_to_published(folder, root / "published")
        writer = RunWriter(root, trainer(), 3, dict(FINGERPRINTS))
        writer.trainer.get_carry(4)
        (root / "puzzle_ids.json").write_bytes((folder / "puzzle_ids.json").read_bytes())
        writer.save(1.0)
        found = [*folder.iterdir(), *(root / "published").iterdir(), root / TRAINING_STATE]
        return {path.name: path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    for name, content in files().items():
        (path / name).write_bytes(content)
    return path


def tensors_of(header: dict[str, object], data: bytes) -> bytes:
    """A safetensors file with this header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


HEADERS = [
    tensors_of({"puzzle_embedding": entry("F4", [4, 4], 8)}, bytes(8)),
    tensors_of({"puzzle_embedding": entry("F8_E4M3", [4, 4], 16)}, bytes(16)),
    tensors_of({"puzzle_embedding": entry("C64", [4, 4], 128)}, bytes(128)),
    tensors_of({"puzzle_embedding": entry("F16", [4, 4], 32)}, bytes(32)),
    tensors_of({"puzzle_embedding": entry("F32", [4, 4], 64)}, b"\0\0\xc0\x7f" * 16),
    tensors_of({"puzzle_embedding": entry("F32", [0, 2**62], 0)}, b""),
    tensors_of({"puzzle_embedding": entry("F32", [2**31] * 8, 64)}, bytes(64)),
    b"\xff" * 8,
    b"[" * 5000,
]


@fuzz
@given(st.data())
def test_files_of_a_weights_folder(folder: Path, data: st.DataObject) -> None:
    changed = (
        *("model.safetensors", "puzzle_embedding.safetensors"),
        *("config.json", "puzzle_ids.json", "origin.json"),
    )
    name = data.draw(st.sampled_from(changed))
    seeds = HEADERS if name.endswith("safetensors") else [CONFIG_BOMB]
    (folder / name).write_bytes(data.draw(mutations(files()[name], *seeds)))
    try:
        reads_or_refuses(lambda: WeightsDir(folder).description)
        reads_or_refuses(lambda: load_weights(folder, tasks=["a", "b"]))
    finally:
        (folder / name).write_bytes(files()[name])


HUGE = {"hidden_size": 2**31 - 2, "seq_len": 46340**2, "num_heads": 2**30 - 1}
CONFIG_BOMB = json.dumps(
    {
        "format": "arc-trm weights 3",
        "model": {**HUGE, "mixer": "mlp", "outer_cycles": 2**31 - 1, "supervision_steps": 2**31},
    }
).encode()


def zipped(pickle: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The published file with another data.pkl; the numbers are aligned, as by torch.save."""
    out = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(files()["step_7"]))
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name in sorted(good.namelist(), key=lambda name: name.endswith("data.pkl")):
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            padding = -(out.tell() + 30 + len(name) + 4) % 64
            info.extra = struct.pack("<HH", 0x4246, padding) + bytes(padding)
            archive.writestr(info, pickle if name.endswith("data.pkl") else good.read(name))
    return out.getvalue()


def good_pickle() -> bytes:
    return zipfile.ZipFile(io.BytesIO(files()["step_7"])).read("step_7/data.pkl")


NESTED = b"\x80\x02}K\x01\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\x01s."
"""A dict whose key is a tuple of tuples that takes 2^60 steps to hash."""
PICKLES = [
    NESTED,
    b"\x80\x02cos\nsystem\n(X\4\0\0\0truetR.",
    b"\x80\x02" + b"(" * 50_000,
    b"I" * 99,
    b"\x80\x02}X\1\0\0\0ac\\ud800torch\nx\ns.",  # Python warns of the escape
]


def test_the_published_file_with_its_own_pickle_is_read(folder: Path) -> None:
    (folder / "step_7").write_bytes(zipped(good_pickle()))
    assert reads_or_refuses(lambda: open_published(folder / "step_7"))


@fuzz
@given(st.data())
def test_published_weights(folder: Path, data: st.DataObject) -> None:
    step = folder / "step_7"
    if data.draw(st.booleans()):
        pickle = data.draw(mutations(good_pickle(), *PICKLES))
        compression = data.draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        step.write_bytes(zipped(pickle, compression))
    else:
        step.write_bytes(data.draw(mutations(files()["step_7"], zipped(NESTED))))
    reads_or_refuses(lambda: open_published(step))


ALIASES = "a0: &a0 [lol]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9)
)
VALUES = ["!!int ''", "!!float ''", "!!timestamp x", "2001-01-01", "[1]", "0x" + "f" * 9999, "*a8"]
SETTINGS = [
    ALIASES.encode() + b"arch:\n  name: *a8\n",
    MERGES.encode() + b"arch:\n  H_cycles: 1\n",
    b"arch:\n  H_cycles: " + b"1:" * 20_000 + b"1\n",
    b"arch: " + b"[" * 60_000,
    b"x" * 100_000,
]


@fuzz
@given(st.data())
def test_published_settings(folder: Path, data: st.DataObject) -> None:
    good = files()["all_config.yaml"]
    for key in ("num_heads", "H_cycles", "pos_encodings", "name"):
        value = data.draw(st.sampled_from(["", *VALUES]))
        if value:
            good += f"  {key}: {value}\n".encode()  # after the table arch, which is the last one
    step, settings, shapes = (folder / name for name in ("step_7", SETTINGS_NAME, "shapes.json"))
    step.write_bytes(files()["step_7"])
    if data.draw(st.booleans()):
        settings.write_bytes(data.draw(mutations(good, *SETTINGS)))
    else:
        shapes.write_bytes(data.draw(mutations(files()["shapes.json"], b'{"seq_len": [2]}')))
    try:
        reads_or_refuses(lambda: open_published(step))
    finally:
        settings.write_bytes(files()[SETTINGS_NAME])
        shapes.write_bytes(files()["shapes.json"])


SETTINGS_NAME = "all_config.yaml"


@fuzz
@given(st.data())
def test_published_names(folder: Path, data: st.DataObject) -> None:
    path = folder / "identifiers.json"
    path.write_bytes(data.draw(mutations(files()["identifiers.json"])))
    reads_or_refuses(lambda: read_published_ids(path))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunWriter]:
    folder = tmp_path_factory.mktemp("run")
    yield RunWriter(folder, trainer(), 3, dict(FINGERPRINTS))
    shutil.rmtree(folder)


@fuzz
@given(st.data())
def test_training_states(writer: RunWriter, data: st.DataObject) -> None:
    path = writer.folder / TRAINING_STATE
    path.write_bytes(files()[TRAINING_STATE])
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(mutations(files()[TRAINING_STATE])))
    else:
        tensors, metadata = read_tensors(path)
        name = data.draw(st.sampled_from(sorted(tensors)))
        good = tensors.pop(name)
        shape = data.draw(st.sampled_from([(), (0,), (1,), (5,), (2, 4), tuple(good.shape)]))
        dtype = data.draw(st.sampled_from([torch.uint8, torch.int64, torch.float32, good.dtype]))
        number = data.draw(st.sampled_from([0, 1, 255, -1, 2**62, float("nan"), float("inf")]))
        tensors[name] = torch.full(shape, 1, dtype=torch.float64).mul(number).to(dtype)
        renamed = data.draw(st.sampled_from([name, "carry.x.y", "carry.2147483647.y"]))
        write_tensors(path, {**tensors, renamed: tensors[name].clone()}, metadata)
    if reads_or_refuses(writer.load):
        batch = {
            "inputs": torch.ones(2, 4, dtype=torch.int32),
            "labels": torch.ones(2, 4, dtype=torch.int32),
            "puzzle_ids": torch.ones(2, dtype=torch.int64),
        }
        writer.trainer.step(batch)
