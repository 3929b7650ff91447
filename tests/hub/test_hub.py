"""Weights from and to the Hub: the real client against a server of its protocol."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import paths
import pytest
import torch
from click.testing import CliRunner, Result
from hub_server import Hub, serve
from huggingface_hub import constants
from tiny import run_config, write_challenges, write_predictions, write_weights

from arc_trm import load_model, runs
from arc_trm.callbacks import ignore
from arc_trm.checkpoint import (
    KeptCheckpoints,
    TrainingFacts,
    WeightsDir,
    load_weights,
    save_config,
    save_inference,
    save_weights,
)
from arc_trm.checkpoint.published_ids import published_ids
from arc_trm.checkpoint.weights_dir import WeightsParts
from arc_trm.cli import main
from arc_trm.config import InferenceChoice, InferenceConfig
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError
from arc_trm.hub import RepoId, parse_repo_id, pull_weights, push_weights, resolve_weights
from arc_trm.hub.known_weights import KnownWeights, known_weights
from arc_trm.hub.model_card import model_card
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.run_inputs import resolve_folder
from submission import write_json

GOLDEN = paths.GOLDEN / "trm_attention"
NAMES = ["<blank>", *(f"task{n}" for n in range(39))]
VERIFICATION = "arcprize/trm_arc_prize_verification"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server, and a client that knows no other server, no token and no cache of the user."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    home = tmp_path / "hf"
    with serve() as served:
        path = "/{repo_id}/resolve/{revision}/{filename}"
        for constant, value in {
            "ENDPOINT": served.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": served.url + path,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_ASSETS_CACHE": str(home / "assets"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_OFFLINE": False,
            "DOWNLOAD_CHUNK_SIZE": 500,  # what is less than a chunk is lost when it breaks off
        }.items():
            monkeypatch.setattr(constants, constant, value)
        monkeypatch.setattr("arc_trm.hub.download.PAUSE", 0.0)
        for module in ("file_download", "utils._http"):  # the client's own pauses
            monkeypatch.setattr(f"huggingface_hub.{module}.time", SimpleNamespace(sleep=ignore))
        try:
            yield served
        finally:
            huggingface_hub.close_session()


def csv_of(count: int, seed: int = 0) -> bytes:
    """A file of Sudokus, as published."""
    puzzles = generate_puzzles(GeneratorConfig("sudoku", count, seed, 4), "sudoku").puzzles
    lines = ["source,question,answer,rating"]
    for question, answer in zip(puzzles.questions, puzzles.answers, strict=True):
        texts = ("".join(map(str, grid.reshape(-1).tolist())) for grid in (question, answer))
        lines.append(",".join(["made", *texts, "0"]))
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "weights", "abcde")


def files_of(folder: Path, under: str = "") -> dict[str, bytes]:
    return {under + p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def published(under: str = "", step: str = "step_0") -> dict[str, bytes]:
    """A published repository's files."""
    return {
        f"{under}{step}": (GOLDEN / "step_0").read_bytes(),
        f"{under}all_config.yaml": (GOLDEN / "all_config.yaml").read_bytes(),
        f"{under}identifiers.json": json.dumps(NAMES).encode(),
    }


def repo(text: str) -> RepoId:
    parsed = parse_repo_id(text)
    assert parsed is not None
    return parsed


def fails(text: str, out: Path | None = None) -> str:
    """The sentence with which a pull fails."""
    with pytest.raises(UserError) as caught:
        pull_weights(repo(text), out)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(home: Path) -> list[Path]:
    return [p for p in home.rglob("*") if p.name.endswith((".tmp", ".incomplete"))]


@pytest.mark.parametrize(
    "text",
    [
        "a/b",
        "a/b@main",
        "a/b@refs/pr/1",
        "a/b:x",
        "a/b:x/y",
        "a.c/b-d_e@v1.0+x:x",
        "a/b@" + "0" * 40,
    ],
)
def test_repo_ids_return_their_text(text: str) -> None:
    assert str(repo(text)) == text


@pytest.mark.parametrize(
    "text", ["a", "a/b/c", "./a/b", "/a/b", "a/", "a/..", "../b", "a/b--c", ""]
)
def test_paths_are_no_repo_ids(text: str) -> None:
    assert parse_repo_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a/b:..",
        "a/b:/x",
        "a/b:x//y",
        "a/b:x/../y",
        "a/b:",
        "a/b:x\\y",
        "a/b:x/",
        "a/b:C:x",
        "a/b@",
        "a/b@..",
        "a/b@/x",
        "a/b@x/../../y",
        "a/b@-x",
        "a/b@x y",
        "a/b@x\n",
        "a/b@.x",
    ],
)
def test_hostile_repo_ids_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_repo_id(text)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_pull_pins_one_commit_and_downloads_nothing_twice(hub: Hub, weights: Path) -> None:
    extra = {"README.md": b"hello", "evil.py": b"1/0", "optimizer.bin": b"x", "../up": b"x"}
    repository = hub.repository("o/n", {**files_of(weights), **extra})
    commit = repository.refs["main"]
    stages: list[tuple[str, int, int]] = []
    pulled = pull_weights(repo("o/n"), progress=lambda *step: stages.append(step))
    assert str(pulled.repo_id) == f"o/n@{commit}"
    assert files_of(pulled.folder) == {**files_of(weights), "README.md": b"hello"}
    size = sum(map(len, files_of(pulled.folder).values()))
    assert stages[-1] == (
        "downloading",
        size - (weights / "config.json").stat().st_size,
        stages[-1][2],
    )
    fetched = len(hub.fetched())
    assert fetched == 5
    assert pull_weights(repo("o/n")).folder == pulled.folder
    assert len(hub.fetched()) == fetched

    (weights / "config.json").write_text((weights / "config.json").read_text() + " ")
    later = repository.commit(files_of(weights))
    newer = pull_weights(repo("o/n"))
    assert newer.repo_id.revision == later
    assert len(hub.fetched()) == fetched + 1  # what is the same is not fetched again
    old = pull_weights(repo(f"o/n@{commit}"))
    assert old.folder == pulled.folder
    repository.refs["refs/pr/1"] = commit
    assert pull_weights(repo("o/n@refs/pr/1")).folder == pulled.folder
    model = load_model("o/n")
    assert model.puzzle_embedding.shape == (6, 32)


def test_a_commit_is_not_mixed_with_one_made_meanwhile(hub: Hub, weights: Path) -> None:
    repository = hub.repository("o/n", files_of(weights))
    first = repository.refs["main"]

    def meanwhile(what: str, done: int, total: int) -> None:
        if len(repository.commits) == 1:
            repository.commit({name: b"other" for name in files_of(weights)})

    pulled = pull_weights(repo("o/n"), progress=meanwhile)
    assert len(repository.commits) == 2
    assert pulled.repo_id.revision == first
    assert files_of(pulled.folder) == files_of(weights)


def test_a_dropped_connection_is_resumed(hub: Hub, weights: Path) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.drop, hub.faults.drops = 1000, 2
    assert files_of(pull_weights(repo("o/n")).folder) == files_of(weights)
    assert any(asked == "bytes=1000-" for _, _, asked in hub.requests)


def test_downloaded_bytes_are_kept_when_the_connection_is_lost_for_good(
    hub: Hub, weights: Path, tmp_path: Path
) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.drop, hub.faults.drops = 3000, 10**6
    drops = hub.faults

    def stop(what: str, done: int, total: int) -> None:
        if done > 3000:
            drops.drop = 0  # nothing more arrives

    with pytest.raises(UserError, match=r"the connection to 127\.0\.0\.1 was lost; try again"):
        pull_weights(repo("o/n"), tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path / "hf")
    drops.drop = None
    before = len(hub.requests)
    pull_weights(repo("o/n"))
    assert any(asked.startswith("bytes=") for _, _, asked in hub.requests[before:])
    assert not leftovers(tmp_path / "hf")


@pytest.mark.slow
def test_wrong_content_is_reported_and_removed(hub: Hub, weights: Path, tmp_path: Path) -> None:
    files = files_of(weights)
    for name in ("model.safetensors", "puzzle_ids.json"):
        hub.repositories.clear()
        hub.repository("o/n", files)
        right = files[name]
        for wrong in (bytes(len(right)), right[:-1], right + b"x"):
            hub.faults.content = {name: wrong}
            message = fails("o/n", tmp_path / "out")
            assert f"{name} of o/n@" in message and "removed" in message
            assert not (tmp_path / "out").exists() and not leftovers(tmp_path / "hf")
        hub.faults.content = {}
        shutil.rmtree(tmp_path / "hf")
    assert files_of(pull_weights(repo("o/n")).folder) == files


def test_a_damaged_cache_is_repaired(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repository("o/n", files_of(weights))
    folder = pull_weights(repo("o/n")).folder
    network = (folder / "model.safetensors").resolve()
    network.write_bytes(bytes(network.stat().st_size))
    notes: list[str] = []
    pull_weights(repo("o/n"), note=notes.append)
    assert any("damaged" in note for note in notes)
    assert files_of(folder) == files_of(weights)
    network.write_bytes(bytes(network.stat().st_size))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "model.safetensors" in fails("o/n") and not network.exists()


def test_offline_and_unreachable(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repository("o/n", files_of(weights))
    hub.repository("p/n", published())
    folders = [pull_weights(repo(name)).folder for name in ("o/n", "p/n")]
    hub.faults.status = 503
    notes: list[str] = []
    assert pull_weights(repo("o/n"), note=notes.append).folder == folders[0]
    assert "error 503" in notes[0] and "from the cache" in notes[0]
    assert "error 503" in fails("o/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    before = len(hub.requests)
    assert [pull_weights(repo(name)).folder for name in ("o/n", "p/n")] == folders
    assert "HF_HUB_OFFLINE" in fails("o/other")
    assert "HF_HUB_OFFLINE" in fails("o/n@v1")
    assert len(hub.requests) == before
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    huggingface_hub.close_session()
    assert pull_weights(repo("o/n")).folder == folders[0]
    assert "cannot be reached" in fails("o/other")


@pytest.mark.parametrize("answer", ["/api/models", "model.safetensors"])
def test_an_answer_that_trickles_ends(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    for module in ("client", "download"):
        monkeypatch.setattr(f"arc_trm.hub.{module}.ANSWER_TIME", 0.5)
    monkeypatch.setattr("arc_trm.hub.download.RETRIES", 1)
    hub.repository("o/n", files_of(weights))
    hub.faults.trickle = answer
    assert "does not answer in time" in fails("o/n")


def test_an_answer_that_is_too_long_is_none_of_a_hub(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arc_trm.hub.client.MAX_ANSWER", 100)
    hub.repository("o/n", files_of(weights))
    assert "does not answer like a Hugging Face Hub" in fails("o/n")


def test_a_slow_or_failing_hub_and_a_full_disk(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.seconds = 0.5
    with monkeypatch.context() as patched:
        patched.setattr("arc_trm.hub.client.TIMEOUT", 0.1)
        assert "does not answer in time" in fails("o/n")
    hub.faults.seconds = 0.0

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "blob")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
        assert "GB left: make room" in fails("o/n")
    with monkeypatch.context() as patched:
        patched.setattr("arc_trm.hub.download.get_session", fail)
        assert "blob: the disk is full" in fails("o/n")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", fail)
        assert "the disk is full" in fails("o/n", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    def break_down(what: str, done: int, total: int) -> None:
        hub.faults.status = 500

    hub.repository("o/new", {**files_of(weights), "puzzle_ids.json": b"[]"})
    with pytest.raises(UserError, match="error 500; try again later"):
        pull_weights(repo("o/new"), progress=break_down)


def test_refused_access(hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("o/n", files_of(weights), token="hf_reader")
    assert "HF_TOKEN" in fails("o/n") and "no repository o/none" in fails("o/none")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    message = fails("o/n")
    assert "private" in message and "hf_wrong" not in message
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert pull_weights(repo("o/n")).folder.is_dir()
    hub.repository("o/gated", files_of(weights), gated=True)
    assert "gated" in fails("o/gated")
    assert 'no revision "v2"' in fails("o/n@v2")
    hub.repository("o/lacking", {**files_of(weights), "README.md": b"other"})
    hub.faults.missing = {"README.md"}
    assert "cannot be found" in fails("o/lacking")


def test_repositories_and_folders_without_weights(hub: Hub, weights: Path, tmp_path: Path) -> None:
    hub.repository("o/empty", {"notes.txt": b"x"})
    assert "only notes.txt" in fails("o/empty")
    hub.repository("o/foreign", {"config.json": b'{"a": 1}', "model.safetensors": b"x"})
    assert "does not say" in fails("o/foreign")
    assert not hub.fetched("model.safetensors")
    broken = {**files_of(weights), "model.safetensors": b"x" * 100}
    hub.repository("o/broken", broken)
    assert "model.safetensors" in fails("o/broken", tmp_path / "out")
    hub.repository("o/two", {"a.pt": b"x", "b.pt": b"x"})
    assert "a.pt, b.pt" in fails("o/two")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "already exists" in fails("o/empty", tmp_path / "full")
    with pytest.raises(UserError, match=r"no folder runs/typo here, and on the Hub: .* no repo"):
        resolve_weights("runs/typo")
    with pytest.raises(UserError, match="no folder some/where/else, and it is not"):
        resolve_weights("some/where/else")
    assert resolve_folder(tmp_path) == tmp_path


def test_published_weights_are_converted_once(hub: Hub, tmp_path: Path) -> None:
    hub.repository("p/n", {**published(), "step_00": b"old", "code.py": b"1/0"})
    hub.repositories["p/n"].commit({**published(), **published(step="step_10"), "step_9": b"x"})
    notes: list[str] = []
    pulled = pull_weights(repo("p/n"), tmp_path / "out", note=notes.append)
    assert any("3 steps" in note and "step_10" in note for note in notes)
    assert not hub.fetched("step_9") and not hub.fetched("code.py")
    loaded = load_weights(pulled.folder)
    assert list(loaded.puzzle_ids) == NAMES
    assert (loaded.model.config.num_heads, loaded.model.config.inner_cycles) == (4, 4)
    origin = json.loads((tmp_path / "out" / "origin.json").read_text())
    commit = hub.repositories["p/n"].refs["main"]
    assert (origin["repository"], origin["revision"], origin["subfolder"]) == ("p/n", commit, None)
    fetched = len(hub.fetched())
    folder = pull_weights(repo("p/n")).folder
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert pull_weights(repo("p/n")).folder == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert len(hub.fetched()) == fetched
    assert not leftovers(tmp_path / "hf")


def test_subfolders_are_chosen(hub: Hub, weights: Path) -> None:
    hub.repository("p/n", {**published("one/"), **files_of(weights, "two/deep/"), "README.md": b""})
    message = fails("p/n")
    commit = hub.repositories["p/n"].refs["main"]
    assert f"p/n@{commit}:one, p/n@{commit}:two/deep" in message
    assert "two/deep" in fails("p/n:three")
    pulled = pull_weights(repo("p/n:two/deep"))
    assert files_of(pulled.folder) == files_of(weights)
    assert str(pulled.repo_id) == f"p/n@{commit}:two/deep"
    hub.repository("p/single", published("only/"))
    assert pull_weights(repo("p/single")).repo_id.subfolder == "only"


def test_known_weights_get_their_settings_and_names(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under = "arc_v1_public/"
    files = published(under, "step_518071")
    bare = {f"{under}step_518071": files[f"{under}step_518071"]}
    hub.repository(VERIFICATION, {**bare, "arc_v2_public/step_723914": b"x"})
    text = f"{VERIFICATION}:arc_v1_public"
    known = KnownWeights(
        VERIFICATION,
        "arc_v1_public",
        "step_518071",
        None,
        {"num_heads": 2, "L_cycles": 3, "H_cycles": 3},
        ("sudoku-extreme/train",),
    )
    monkeypatch.setattr("arc_trm.hub.known_weights.known_weights", lambda: (known,))
    notes: list[str] = []
    folder = pull_weights(repo(text), note=notes.append).folder
    config = load_weights(folder).model.config
    assert (config.num_heads, config.inner_cycles) == (2, 3)
    assert WeightsDir(folder).training.trained_on == ("sudoku-extreme/train",)
    assert any("H_cycles 3 and L_cycles 3" in note for note in notes)
    assert any("arc-trm convert" in note for note in notes)
    assert list(load_weights(folder).puzzle_ids) == ["<blank>"]
    hub.repositories[VERIFICATION].commit(files)
    folder = pull_weights(repo(text)).folder  # what lies in the repository beats what is known
    loaded = load_weights(folder)
    assert loaded.model.config.num_heads == 4 and list(loaded.puzzle_ids) == NAMES


@pytest.mark.slow
def test_a_published_set_names_the_puzzle_ids(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownWeights("p/n", None, None, "arc1-aug10", known_weights()[0].settings)
    monkeypatch.setattr("arc_trm.hub.known_weights.known_weights", lambda: (known,))
    files = published()
    del files["identifiers.json"]
    state = torch.load(io.BytesIO(files["step_0"]), weights_only=True)
    name = "_orig_mod.model.inner.puzzle_emb.weights"
    rows = torch.arange(8799.0)[:, None].expand(8799, state[name].shape[1])
    with io.BytesIO() as step:
        torch.save({**state, name: rows.clone()}, step)
        files["step_0"] = step.getvalue()
    hub.repository("p/n", files)
    notes: list[str] = []
    weights = load_weights(pull_weights(repo("p/n"), note=notes.append).folder, tasks={"00576224"})
    assert any("the published set arc1-aug10" in note for note in notes)
    assert len(weights.puzzle_ids) == 1 + 11
    assert WeightsDir(pull_weights(repo("p/n")).folder).training.trained_on == (
        "arc-agi-1/training",
        "arc-agi-1/evaluation (demonstrations)",
    )
    listed = published_ids("arc1-aug10").names
    for name, row in weights.puzzle_ids.items():
        assert weights.model.puzzle_embedding[row, 0] == listed.index(name)


def test_the_known_weights_are_valid() -> None:
    from arc_trm.checkpoint.published_ids import published_sets

    assert len({(k.repository, k.subfolder) for k in known_weights()}) == len(known_weights()) == 11
    for known in known_weights():
        assert parse_repo_id(str(RepoId(known.repository, None, known.subfolder))) is not None
        assert known.identifiers is None or known.identifiers in published_sets()
        assert known.score is not None or known.recipe is None  # both are of the leaderboard


def test_known_weights_are_listed() -> None:
    done = CliRunner().invoke(main, ["pull", "--list"])
    assert done.exit_code == 0
    blocks = done.stdout.split("\n\n")
    assert len(blocks) == len(known_weights()) + 1  # and the advice
    assert [block.splitlines()[0] for block in blocks[:2]] == [
        f"{VERIFICATION}:arc_v1_public",
        f"{VERIFICATION}:arc_v2_public",
    ]
    second = blocks[1]
    for fact in (
        "30×30, for ARC",
        "arc-agi-2/training, arc-agi-2/evaluation (demonstrations), concept-arc",
        "7M parameters, 1,191,730 puzzle embeddings, about 2.5 GB",
        "2 layers, 3 × 4 cycles, 16 supervision steps",
        "licence    unknown: see the page of",
        "recipe     7.8 % per task of arc-agi-2/evaluation for TRM (7M parameters) "
        "(arXiv 2510.04871); this file was not measured",
    ):
        assert fact in second
    assert f"Kaggle: `arc-trm pull {VERIFICATION}:arc_v2_public`" in blocks[-1]
    done = CliRunner().invoke(main, ["pull", "--list", "--json"])
    listed = json.loads(done.stdout)["weights"]
    assert [each["weights"] for each in listed] == [known.name for known in known_weights()]
    assert (listed[1]["puzzle_embeddings"], listed[1]["licence"]) == (1191730, None)
    assert listed[1]["published_score_of_recipe"]["percent"] == [7.8]
    unknown = listed[-1]
    for key in ("parameters", "download_bytes", "layers", "published_score_of_recipe"):
        assert unknown[key] is None
    assert unknown["trained_on"] == [] and "trained on unknown" in blocks[-2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the WEIGHTS to download: `arc-trm pull --list` shows known ones"),
        (["--list", "o/n"], "leave out WEIGHTS and --out"),
        (["arc_v2_public"], "`arc-trm pull --list` shows known ones"),
        (
            [VERIFICATION],
            f"name one: {VERIFICATION}:arc_v1_public (trained on arc-agi-1/training, arc-agi-1/"
            f"evaluation (demonstrations), concept-arc) or {VERIFICATION}:arc_v2_public (trained",
        ),
        ([f"{VERIFICATION}@v1"], f"name one: {VERIFICATION}@v1:arc_v1_public (trained on"),
    ],
)
def test_what_to_pull_is_said_without_the_network(
    hub: Hub, arguments: list[str], message: str
) -> None:
    done = CliRunner().invoke(main, ["pull", *arguments])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr and not hub.requests


def test_pulled_weights_say_what_they_are_for(hub: Hub, tmp_path: Path) -> None:
    ids = {**published(), "identifiers.json": json.dumps(["<blank>", "a", "b"]).encode()}
    state = torch.load(io.BytesIO(ids["step_0"]), weights_only=True)
    name = "_orig_mod.model.inner.puzzle_emb.weights"
    with io.BytesIO() as step:
        torch.save({**state, name: state[name][:3].clone()}, step)
        ids["step_9"] = step.getvalue()
    del ids["step_0"]
    hub.repository("p/n", ids)
    done = CliRunner().invoke(main, ["pull", "p/n", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.stderr
    commit = hub.repositories["p/n"].refs["main"]
    about = WeightsDir(tmp_path / "out").description
    assert done.stdout.splitlines()[2:] == about.lines()
    assert (about.step, about.tasks, about.source) == (9, 2, f"p/n@{commit}")
    done = CliRunner().invoke(main, ["pull", "p/n", "--json"])
    assert json.loads(done.stdout)["about"] == json.loads(json.dumps(about.to_dict()))


def make_run(tmp_path: Path) -> Path:
    config = run_config(write_challenges(tmp_path))
    run = runs.create_run(config, tmp_path / "secret-place" / "run")
    write_weights(run, "abcde")
    solutions = json.loads((tmp_path / "tiny_solutions.json").read_text())
    submission = {
        task: [
            {"attempt_1": [[0]], "attempt_2": grid if task == "task0" else [[1]]} for grid in grids
        ]
        for task, grids in solutions.items()
    }
    write_predictions(run / "predictions" / "tiny", load_tasks(config.data.test[0]), submission)
    return run


@pytest.mark.slow
def test_pushed_weights_are_pulled_unchanged(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    with pytest.raises(UserError, match="needs a token"):
        push_weights(run, "o/n")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(UserError, match="does not accept the token") as caught:
        push_weights(run, "o/n")
    assert "hf_reader" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    stages: list[tuple[str, int, int]] = []
    pushed = push_weights(run, "o/n", licence="mit", progress=lambda *step: stages.append(step))
    assert pushed.url == f"{hub.url}/o/n"
    size = sum((run / n).stat().st_size for n in WEIGHTS)
    assert stages[-1] == ("sending", size, size)
    pulled = pull_weights(repo("o/n"))
    assert pulled.repo_id == pushed.repo_id
    assert {n: d for n, d in files_of(pulled.folder).items() if n != "README.md"} == {
        n: d for n, d in files_of(run).items() if n in WEIGHTS
    }
    everything = hub.repositories["o/n"].commits[pushed.repo_id.revision or ""]
    assert set(everything) == {*WEIGHTS, "README.md", ".gitattributes"}
    assert not any(str(tmp_path).encode() in content for content in everything.values())

    card = everything["README.md"].decode()
    assert card.startswith("---\nlicense: mit\nlibrary_name: arc-trm\n")
    for line in (
        "pass@2  per task    1/3  33.3 %",
        "pass@2  per output  1/3  33.3 %",
        "pass@2  strict      1/3  33.3 %",
        "| steps done | 7 |",
        "| lr_schedule | constant |",
        "tiny_challenges.json",
        "arc-trm predict o/n --data DATA",
    ):
        assert line in card
    assert "secret-place" not in card

    (run / "puzzle_embedding.safetensors").unlink()
    (run / "puzzle_ids.json").unlink()
    (run / "README.md").write_text("---\nlibrary_name: arc-trm\n---\nMy own words.")
    pushed = push_weights(run, "o/n")  # the former embedding is removed
    everything = hub.repositories["o/n"].commits[pushed.repo_id.revision or ""]
    assert set(everything) == {"config.json", "model.safetensors", "README.md", ".gitattributes"}
    assert b"My own words." in everything["README.md"]
    with pytest.raises(UserError, match="leave out --licence"):
        push_weights(run, "o/n", licence="mit")


def test_the_chosen_checkpoint_is_pushed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    last = WeightsDir(run).parts
    network = {name: tensor + 1 for name, tensor in last.network.items()}
    metrics, kept = {"eval/exact": 0.5}, KeptCheckpoints(run)
    kept.keep(3, network, WeightsDir(run).config, metrics, "eval/exact", 3, last.embedding)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    notes: list[str] = []
    for name, checkpoint, step in (
        ("o/best", None, 3),
        ("o/last", "last", 7),
        ("o/mean", "3,7", 7),
    ):
        pushed = push_weights(run, name, checkpoint=checkpoint, note=notes.append)
        everything = hub.repositories[name].commits[pushed.repo_id.revision or ""]
        assert set(everything) == {*WEIGHTS, "README.md", ".gitattributes"}
        assert f"| steps done | {step} |" in everything["README.md"].decode()
        pulled, chosen = pull_weights(RepoId(name)).folder, WeightsDir(run, checkpoint).parts
        assert_same_weights(WeightsDir(pulled).parts, chosen)
    card = hub.repositories["o/best"].commits[hub.repositories["o/best"].refs["main"]]["README.md"]
    assert b"| checkpoint | best by exact (50 %), step 3 |" in card
    assert [note for note in notes if "best by exact (50 %), step 3" in note]


def test_how_weights_are_asked_goes_with_them(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    last = WeightsDir(run).parts
    network = {name: tensor + 1 for name, tensor in last.network.items()}
    KeptCheckpoints(run).keep(
        3, network, WeightsDir(run).config, {"eval/exact": 0.5}, "eval/exact", 3, last.embedding
    )
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    config = InferenceConfig(samples=4, noise=0.3)
    for tuned, pushed in (("last", "last"), ("3", "best"), ("last", "best"), ("best", "last")):
        digest = WeightsDir(run, tuned).choice.digest()
        assert digest is not None
        choice = InferenceChoice(config, digest, "x.csv", 1, ("0" * 16,), "it is best")
        save_inference(run, choice)
        notes: list[str] = []
        push_weights(run, "o/n", checkpoint=pushed, note=notes.append)
        pulled = WeightsDir(pull_weights(RepoId("o/n"), tmp_path / f"{tuned}-{pushed}").folder)
        if (tuned == "last") == (pushed == "last"):
            assert pulled.inference is not None and pulled.inference_fits
            assert pulled.inference.inference == config
        else:  # also removed from the repository
            assert pulled.inference is None
            assert any(note.startswith("inference.json is left out") for note in notes)
    (run / "inference.json").write_text("{")
    with pytest.raises(UserError, match=r"inference\.json"):
        push_weights(run, "o/n", checkpoint="last")


def assert_same_weights(one: WeightsParts, other: WeightsParts) -> None:
    assert (one.step, one.puzzle_names) == (other.step, other.puzzle_names)
    assert one.embedding is not None and other.embedding is not None
    assert torch.equal(one.embedding, other.embedding)
    assert all(torch.equal(tensor, other.network[name]) for name, tensor in one.network.items())


WEIGHTS = {"config.json", "model.safetensors", "puzzle_embedding.safetensors", "puzzle_ids.json"}


@pytest.mark.slow
def test_invalid_pushes_are_refused(
    hub: Hub, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    with pytest.raises(UserError, match="must be one of the known"):
        push_weights(weights, "o/n", licence="nonsense")
    with pytest.raises(UserError, match="is public"):
        push_weights(weights, "o/n", private=True)
    assert push_weights(weights, "o/private", private=True).repo_id.repository == "o/private"
    assert hub.repositories["o/private"].token == "hf_writer"
    with pytest.raises(UserError, match="write owner/name"):
        push_weights(weights, "o/n@main")
    before = len(hub.requests)
    network = (weights / "model.safetensors").read_bytes()
    (weights / "model.safetensors").write_bytes(network[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        push_weights(weights, "o/n")
    assert len(hub.requests) == before


@pytest.mark.slow
def test_the_card_without_a_run_or_without_a_score(
    hub: Hub, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    config = WeightsDir(weights)
    facts = TrainingFacts(("arc-agi-1/training", "x\n# y"), ("tasks.json",))
    save_config(weights, config.config, config.parts.puzzle_names, facts)
    origin = {"repository": "p/n", "revision": "0" * 40, "file": "/home/me/step_1", "x": "/home/me"}
    write_json(weights / "origin.json", origin)
    push_weights(weights, "o/n")
    card = hub.repositories["o/n"].commits[hub.repositories["o/n"].refs["main"]]["README.md"]
    assert b"- repository: p/n" in card and b"- file: step_1" in card and b"/home" not in card
    assert b"\n- trained on: arc-agi-1/training, `x\\n# y`\n- adapted to: tasks.json\n" in card
    run = make_run(tmp_path)
    (tmp_path / "tiny_challenges.json").unlink()
    push_weights(run, "o/m")
    card = hub.repositories["o/m"].commits[hub.repositories["o/m"].refs["main"]]["README.md"]
    assert b"Not scored: when the weights were uploaded" in card


@pytest.mark.slow
def test_the_card_of_a_named_dataset(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    config = runs.Run(run).config
    data = replace(config.data, test=("arc-agi-1/evaluation",), train=("arc-agi-2/training",))
    runs.write_run_config(run, replace(config, data=data))
    pair = {"attempt_1": [[0]], "attempt_2": [[1]]}
    job = run / "predictions" / "tiny"
    shutil.rmtree(job)
    write_predictions(job, load_tasks(data.test[0]), {"00576224": [pair]})
    card = model_card(WeightsDir(run), "o/n", None)
    assert "arc-agi-1/evaluation, ARC-AGI-1 (Apache-2.0" in card
    assert "400 tasks, 419 test outputs" in card
    assert "0/419" in card and "not in the submission" in card
    assert "shares" not in card  # of tasks in both sets only demonstrations are trained on
    assert "--data arc-agi-1/evaluation" in card


def test_the_card_says_of_what_its_score_is(
    cli: Callable[..., Result], tiny_run: Path, tmp_path: Path
) -> None:
    assert cli("predict", tiny_run, "--attempts", 1).exit_code == 0
    card = model_card(WeightsDir(tiny_run), "o/n", None)
    assert "2 augmentations, canvas full" in card and " 1 attempt, selected by votes" in card
    assert "\nvoters    3.0 per test input\nguesses   0\n" in card
    assert "pass@2  per task " in card and str(tmp_path) not in card
    parts, config = WeightsDir(tiny_run).parts, WeightsDir(tiny_run).config
    network = {name: tensor + 1 for name, tensor in parts.network.items()}
    save_weights(tiny_run, config, network, parts.embedding, parts.step)
    card = model_card(WeightsDir(tiny_run), "o/n", None)
    assert "Not scored: the run's predictions are of other weights than these." in card
    (job,) = runs.predictions_of(tiny_run)
    write_json(job / "submission.json", {"task0": [{"attempt_1": [[7]], "attempt_2": [[7]]}]})
    card = model_card(WeightsDir(tiny_run), "o/n", None)
    assert "Not scored: nothing says that these weights" in card and "pass@" not in card
    assert "pass@2" not in card


def test_warnings_in_the_card_name_no_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    config = runs.Run(run).config
    (challenges,) = config.data.test
    tasks = json.loads(Path(challenges).read_text())
    other = tmp_path / "other_challenges.json"  # the same tasks under other ids
    other.write_text(json.dumps({f"{task_id}x": task for task_id, task in tasks.items()}))
    data = replace(config.data, train=(str(other),))
    runs.write_run_config(run, replace(config, data=data))
    card = model_card(WeightsDir(run), "o/n", None)
    assert "**tiny_challenges.json shares 3 of its 3 tasks with other_challenges.json" in card
    assert str(tmp_path) not in card


def run_command(hub: Hub, home: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING"))}
    environment = {**kept, "HF_HOME": str(home), "HF_ENDPOINT": hub.url, **environment}
    done = subprocess.run(
        [sys.executable, "-m", "arc_trm", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_commands(hub: Hub, weights: Path, tmp_path: Path) -> None:
    hub.repository("o/n", files_of(weights))
    home = tmp_path / "home"
    home.mkdir()
    status, printed, _ = run_command(hub, home, "pull", "o/n", "--out", "copy", "--json")
    commit = hub.repositories["o/n"].refs["main"]
    about = json.loads(printed)
    assert (status, about["folder"], about["weights"]) == (0, "copy", f"o/n@{commit}")
    assert about["about"]["tasks"] == 5
    assert files_of(home / "copy").keys() == {*WEIGHTS, "origin.json"}
    challenges = str(write_challenges(tmp_path))
    arguments = ("predict", "o/n", "--data", challenges, "--device", "cpu")
    status, printed, message = run_command(hub, home, *arguments, HF_HUB_OFFLINE="1")
    assert status == 3 and f"weights: o/n@{commit}" in message  # weights without these tasks
    (folder,) = (home / "predictions").iterdir()
    assert folder.name.startswith("o-n-tiny-challenges-")
    assert (folder / "submission.json").is_file()


def test_a_mistake_is_one_line(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    for arguments in (
        ("pull", "o/none", "--out", str(tmp_path / "none")),
        ("pull", "none"),
        ("pull", "o/none:.."),
        ("predict", "runs/typo", "--data", "x"),
        ("push", str(tmp_path), "o/n"),
    ):
        result = CliRunner().invoke(main, arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        assert "hf_s3cret" not in result.output
    assert not (tmp_path / "none").exists()


def test_damaged_converted_weights_are_converted_again(hub: Hub) -> None:
    hub.repository("p/n", published())
    folder = pull_weights(repo("p/n")).folder
    expected = files_of(folder)
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes(expected[name][:-9])
        notes: list[str] = []
        assert files_of(pull_weights(repo("p/n"), note=notes.append).folder) == expected
        assert any("was damaged and is converted again" in note for note in notes)
        (folder / name).unlink()
        assert files_of(resolve_weights("p/n")) == expected


def test_pulls_at_the_same_time_succeed(hub: Hub) -> None:
    hub.repository("p/n", published())
    hub.faults.seconds = 0.05
    with ThreadPoolExecutor(3) as pool:
        pulled = list(pool.map(lambda _: pull_weights(repo("p/n")), range(3)))
    assert len({each.folder for each in pulled}) == 1


def test_a_run_is_pushed_at_one_step(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    before = files_of(weights)

    def trained_on(what: str, done: int, total: int) -> None:
        (weights / "new").write_bytes(before["model.safetensors"][:-4] + b"over")
        (weights / "new").replace(weights / "model.safetensors")

    push_weights(weights, "o/race", progress=trained_on)
    (commit,) = hub.repositories["o/race"].refs.values()
    sent = hub.repositories["o/race"].commits[commit]
    assert sent["model.safetensors"] == before["model.safetensors"]


def test_an_invalid_card_makes_no_repository(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    with pytest.raises(UserError, match="not a licence in the Hub's list"):
        push_weights(weights, "o/new", licence="mit\nx: y")
    (weights / "README.md").write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        push_weights(weights, "o/new")
    assert "o/new" not in hub.repositories


# Datasets

SUDOKU = "sapientinc/sudoku-extreme"


def test_a_dataset_is_downloaded_and_found_by_its_name(hub: Hub) -> None:
    hub.repository(SUDOKU, {"train.csv": csv_of(9), "test.csv": csv_of(5, 1), "other": b""})
    missing = CliRunner().invoke(main, ["data", "show", "sudoku-extreme/train"])
    assert "run `arc-trm data fetch sudoku-extreme/train`" in missing.output
    result = CliRunner().invoke(main, ["data", "fetch", "sudoku-extreme/test"])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("test.csv\n") and len(hub.fetched()) == 1
    assert len(load_tasks("sudoku-extreme/test")) == 5
    with pytest.raises(UserError, match="run `arc-trm data fetch sudoku-extreme/train`"):
        load_tasks("sudoku-extreme/train")
    result = CliRunner().invoke(main, ["data", "fetch", "sudoku-extreme"])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2 and len(hub.fetched("test.csv")) == 1
    hub.faults.status = 503  # found without a network
    tasks = load_tasks("sudoku-extreme/train")
    assert (tasks.name, tasks.kind, len(tasks)) == ("sudoku-extreme/train", "sudoku", 9)
    shown = CliRunner().invoke(main, ["data", "show", "sudoku-extreme"])
    assert "sudoku-extreme/train: " in shown.stdout


def test_an_interrupted_dataset_is_resumed(hub: Hub) -> None:
    content = csv_of(100)
    hub.repository(SUDOKU, {"train.csv": content, "test.csv": content})
    hub.faults.drop, hub.faults.drops = 1200, 2
    assert CliRunner().invoke(main, ["data", "fetch", "sudoku-extreme/train"]).exit_code == 0
    ranges = [r for m, p, r in hub.requests if m == "GET" and "/resolve/" in p]
    assert len(ranges) == 3 and ranges[0] == "" and ranges[-1].startswith("bytes=")
    assert len(load_tasks("sudoku-extreme/train")) == 100


def test_damaged_and_missing_datasets_are_reported(hub: Hub) -> None:
    def refused(name: str) -> str:
        result = CliRunner().invoke(main, ["data", "fetch", name])
        assert result.exit_code == 2
        return result.stderr

    assert "has no repository sapientinc/sudoku-extreme" in refused("sudoku-extreme/test")
    hub.repository(SUDOKU, {"train.csv": csv_of(3)})
    assert "has no file test.csv" in refused("sudoku-extreme/test")
    hub.faults.content["train.csv"] = csv_of(3)[:-1] + b"x"
    assert "is not what the repository says" in refused("sudoku-extreme/train")
    assert "is not downloaded from the Hugging Face Hub" in refused("arc-agi-1")
    assert 'did you mean "maze-hard"' in refused("maze-hrad")
    hub.faults.content.clear()
    hub.faults.status = 503
    assert "run the command again while" in refused("sudoku-extreme/train")


def test_a_dataset_of_another_kind_is_refused(hub: Hub) -> None:
    hub.repository("sapientinc/maze-30x30-hard-1k", {"train.csv": csv_of(3), "test.csv": b""})
    assert CliRunner().invoke(main, ["data", "fetch", "maze-hard/train"]).exit_code == 0
    with pytest.raises(UserError, match="holds Sudoku, expected Maze"):
        load_tasks("maze-hard/train")
