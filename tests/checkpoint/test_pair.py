"""Network and puzzle embedding are two files, of which a kill at any moment leaves a pair."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from kills import kill_at_every_write
from tiny import MODEL

from arc_trm.checkpoint import (
    EMBEDDING_FILE,
    NETWORK_FILE,
    NEXT_EMBEDDING_FILE,
    WeightsDir,
    save_config,
    save_weights,
)
from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.hub.push import _open_files
from arc_trm.io import WriteError
from arc_trm.models import build_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills at writes")

SMALL = {**MODEL, "hidden_size": 8, "num_heads": 1, "puzzle_emb_dim": 8}


def save(folder: Path, step: int, first_value: float | None = None) -> None:
    """Save weights of which network and embedding hold the number of the step."""
    config = from_dict(ModelConfig, SMALL)
    network = build_model(config, 1, generator=torch.Generator()).state_dict()
    network["embedding.tokens"][0, 0] = step if first_value is None else first_value
    if not (folder / "config.json").exists():
        save_config(folder, config, ["<blank>", "a"])
    save_weights(folder, config, network, torch.full((2, 8), float(step)), step)


def pair_in(folder: Path) -> int | None:
    """The step of the weights in a folder, None without any; checks that both files are of it."""
    if not (folder / NETWORK_FILE).exists():
        with pytest.raises(UserError, match=r"has no model\.safetensors"):
            _ = WeightsDir(folder).parts
        return None
    parts = WeightsDir(folder).parts
    assert parts.embedding is not None
    assert parts.network["embedding.tokens"][0, 0] == parts.step == parts.embedding[0, 0]
    return parts.step


def uses(folder: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """The digests of the weights in a folder, and the files that would be pushed."""
    weights = WeightsDir(folder, "last")
    with ExitStack() as stack:
        _, files = _open_files(weights, stack)
        return weights.file_digests(), {name: file.read() for name, file in files.items()}


@pytest.mark.slow
@pytest.mark.parametrize("before", [None, 7])
def test_a_kill_at_any_write_leaves_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int | None
) -> None:
    start, work = tmp_path / "start", tmp_path / "work"
    expected = {}
    for step in (7, 8):
        whole = tmp_path / str(step)
        whole.mkdir()
        save(whole, step)
        expected[step] = uses(whole)
    start.mkdir()
    if before is None:
        shutil.copy(tmp_path / "8" / "config.json", start)
        shutil.copy(tmp_path / "8" / "puzzle_ids.json", start)
    else:
        shutil.copytree(tmp_path / str(before), start, dirs_exist_ok=True)
    work.mkdir()
    monkeypatch.chdir(work)
    found = []
    for _ in kill_at_every_write(lambda: save(work, 8), start):
        found.append(pair_in(work))
        if found[-1] is not None:
            assert uses(work) == expected[found[-1]]
        assert len(list(work.rglob("puzzle_embedding*"))) <= 2, "the disk may not hold three"
        save(work, 9)
        assert pair_in(work) == 9
        assert sorted(os.listdir(work)) == sorted(os.listdir(tmp_path / "7"))
    changed = [one for one, _ in itertools.groupby(found)]
    assert changed == [before, 8]


def test_a_save_of_the_same_step_replaces_both(tmp_path: Path) -> None:
    save(tmp_path, 7)
    config = from_dict(ModelConfig, SMALL)
    network = build_model(config, 1, generator=torch.Generator()).state_dict()
    save_weights(tmp_path, config, network, torch.full((2, 8), 5.0), 7)
    embedding = WeightsDir(tmp_path).parts.embedding
    assert embedding is not None and embedding[0, 0] == 5


def test_a_full_disk_leaves_the_pair_and_no_second_embedding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 7)
    calls = []

    def full_at_the_network(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:  # the library's file and ours, of the embedding
            raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch, pytest.raises(WriteError, match="the disk is full"):
        patch.setattr(os, "fsync", full_at_the_network)
        save(tmp_path, 8)
    assert pair_in(tmp_path) == 7 and not (tmp_path / NEXT_EMBEDDING_FILE).exists()


def test_an_embedding_beside_its_place_that_belongs_to_nothing_is_not_used(tmp_path: Path) -> None:
    save(tmp_path, 7)
    shutil.copy(tmp_path / EMBEDDING_FILE, tmp_path / NEXT_EMBEDDING_FILE)
    assert pair_in(tmp_path) == 7
    (tmp_path / NEXT_EMBEDDING_FILE).write_text("no such file")
    assert pair_in(tmp_path) == 7
    save(tmp_path, 8)
    assert pair_in(tmp_path) == 8 and not (tmp_path / NEXT_EMBEDDING_FILE).exists()


@pytest.mark.slow
def test_weights_are_read_whole_beside_a_run_that_saves_all_the_time(tmp_path: Path) -> None:
    save(tmp_path, 1)
    child = os.fork()
    if child == 0:
        os.fsync = lambda _: None  # faster than any disk
        for step in itertools.count(2):
            save(tmp_path, step)
    try:
        steps = [pair_in(tmp_path) for _ in range(100)]
        while pair_in(tmp_path) == 1:  # it has not begun yet
            steps.append(pair_in(tmp_path))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    found = [step for step in steps if step is not None]
    assert len(found) == len(steps) and found == sorted(found)
    assert pair_in(tmp_path) is not None
