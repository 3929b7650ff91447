"""Weights from and to the Hub: the real client against a server of its protocol."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import paths
import pytest
import torch
from click.testing import CliRunner
from hub_server import Hub, serving
from huggingface_hub import constants
from tiny import MODEL, run_config, write_challenges

from arc_trm import load_model, runs
from arc_trm.checkpoint import load_weights, save_config, save_weights
from arc_trm.checkpoint.published_ids import published_ids
from arc_trm.cli import main
from arc_trm.config import ModelConfig, from_dict
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError
from arc_trm.hub import Reference, parse, pull, push, resolve
from arc_trm.hub import known_weights as known_module
from arc_trm.hub.known_weights import Known, known_weights
from arc_trm.models import build_model
from arc_trm.puzzles.generate import Recipe, generated
from submission import write_json

GOLDEN = paths.GOLDEN / "trm_attention"
NAMES = ["<blank>", *(f"task{n}" for n in range(39))]
VERIFICATION = "arcprize/trm_arc_prize_verification"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server, and a client that knows no other, no token and no cache of this machine's user."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    home = tmp_path / "hf"
    with serving() as served:
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
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        try:
            yield served
        finally:
            huggingface_hub.close_session()


def csv_of(count: int, seed: int = 0) -> bytes:
    """A file of Sudokus, as published."""
    boards = generated(Recipe("sudoku", count, seed, 4)).boards
    lines = ["source,question,answer,rating"]
    for question, answer in zip(boards.questions, boards.answers, strict=True):
        texts = ("".join(map(str, grid.reshape(-1).tolist())) for grid in (question, answer))
        lines.append(",".join(["made", *texts, "0"]))
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A tiny weight folder."""
    return weight_folder(tmp_path / "weights")


def weight_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    config = from_dict(ModelConfig, MODEL)
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    state = {n: t for n, t in model.state_dict().items() if n != "puzzle_embedding"}
    save_config(folder, config, ["<blank>", *"abcde"])
    save_weights(folder, config, state, model.puzzle_embedding, 12)
    return folder


def files_of(folder: Path, under: str = "") -> dict[str, bytes]:
    return {under + p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def published(under: str = "", step: str = "step_0") -> dict[str, bytes]:
    """A published repository's files."""
    return {
        f"{under}{step}": (GOLDEN / "step_0").read_bytes(),
        f"{under}all_config.yaml": (GOLDEN / "all_config.yaml").read_bytes(),
        f"{under}identifiers.json": json.dumps(NAMES).encode(),
    }


def reference(text: str) -> Reference:
    parsed = parse(text)
    assert parsed is not None
    return parsed


def fails(text: str, out: Path | None = None) -> str:
    """The sentence with which a pull fails."""
    with pytest.raises(UserError) as caught:
        pull(reference(text), out)
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
def test_references_give_their_text_back(text: str) -> None:
    assert str(reference(text)) == text


@pytest.mark.parametrize(
    "text", ["a", "a/b/c", "./a/b", "/a/b", "a/", "a/..", "../b", "a/b--c", ""]
)
def test_paths_are_no_references(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("a/b:..", "a/b:/x", "a/b:x//y", "a/b:x/../y", "a/b:", "a/b:x\\y", "a/b:x/", "a/b:C:x"),
        *("a/b@", "a/b@..", "a/b@/x", "a/b@x/../../y", "a/b@-x", "a/b@x y", "a/b@x\n", "a/b@.x"),
    ],
)
def test_hostile_references_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_pull_pins_one_commit_and_needs_nothing_twice(hub: Hub, weights: Path) -> None:
    extra = {"README.md": b"hello", "evil.py": b"1/0", "optimizer.bin": b"x", "../up": b"x"}
    repository = hub.repository("o/n", {**files_of(weights), **extra})
    commit = repository.refs["main"]
    told: list[tuple[str, int, int]] = []
    pulled = pull(reference("o/n"), progress=lambda *step: told.append(step))
    assert str(pulled.reference) == f"o/n@{commit}"
    assert files_of(pulled.folder) == {**files_of(weights), "README.md": b"hello"}
    size = sum(map(len, files_of(pulled.folder).values()))
    assert told[-1] == ("downloading", size - (weights / "config.json").stat().st_size, told[-1][2])
    fetched = len(hub.fetched())
    assert fetched == 5
    assert pull(reference("o/n")).folder == pulled.folder
    assert len(hub.fetched()) == fetched

    (weights / "config.json").write_text((weights / "config.json").read_text() + " ")
    later = repository.commit(files_of(weights))
    newer = pull(reference("o/n"))
    assert newer.reference.revision == later
    assert len(hub.fetched()) == fetched + 1  # what is the same is not fetched again
    old = pull(reference(f"o/n@{commit}"))
    assert old.folder == pulled.folder
    repository.refs["refs/pr/1"] = commit
    assert pull(reference("o/n@refs/pr/1")).folder == pulled.folder
    model = load_model("o/n")
    assert model.puzzle_embedding.shape == (6, 32)


def test_a_commit_is_not_mixed_with_one_made_meanwhile(hub: Hub, weights: Path) -> None:
    repository = hub.repository("o/n", files_of(weights))
    first = repository.refs["main"]

    def meanwhile(what: str, done: int, total: int) -> None:
        if len(repository.commits) == 1:
            repository.commit({name: b"other" for name in files_of(weights)})

    pulled = pull(reference("o/n"), progress=meanwhile)
    assert len(repository.commits) == 2
    assert pulled.reference.revision == first
    assert files_of(pulled.folder) == files_of(weights)


def test_a_dropped_connection_is_resumed(hub: Hub, weights: Path) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.drop, hub.faults.drops = 1000, 2
    assert files_of(pull(reference("o/n")).folder) == files_of(weights)
    assert any(asked == "bytes=1000-" for _, _, asked in hub.requests)


def test_what_was_fetched_before_it_broke_off_for_good_is_kept(
    hub: Hub, weights: Path, tmp_path: Path
) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.drop, hub.faults.drops = 3000, 10**6
    drops = hub.faults

    def stop(what: str, done: int, total: int) -> None:
        if done > 3000:
            drops.drop = 0  # nothing more arrives

    with pytest.raises(UserError, match=r"the connection to 127\.0\.0\.1 broke off; try again"):
        pull(reference("o/n"), tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path / "hf")
    drops.drop = None
    before = len(hub.requests)
    pull(reference("o/n"))
    assert any(asked.startswith("bytes=") for _, _, asked in hub.requests[before:])
    assert not leftovers(tmp_path / "hf")


def test_wrong_content_is_told_and_removed(hub: Hub, weights: Path, tmp_path: Path) -> None:
    files = files_of(weights)
    for name in ("model.safetensors", "puzzles.json"):
        hub.repositories.clear()
        hub.repository("o/n", files)
        right = files[name]
        for wrong in (bytes(len(right)), right[:-1], right + b"x"):
            hub.faults.content = {name: wrong}
            said = fails("o/n", tmp_path / "out")
            assert f"{name} of o/n@" in said and "removed" in said
            assert not (tmp_path / "out").exists() and not leftovers(tmp_path / "hf")
        hub.faults.content = {}
        shutil.rmtree(tmp_path / "hf")
    assert files_of(pull(reference("o/n")).folder) == files


def test_a_damaged_cache_is_mended(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repository("o/n", files_of(weights))
    folder = pull(reference("o/n")).folder
    network = (folder / "model.safetensors").resolve()
    network.write_bytes(bytes(network.stat().st_size))
    notes: list[str] = []
    pull(reference("o/n"), note=notes.append)
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
    folders = [pull(reference(name)).folder for name in ("o/n", "p/n")]
    hub.faults.status = 503
    notes: list[str] = []
    assert pull(reference("o/n"), note=notes.append).folder == folders[0]
    assert "error 503" in notes[0] and "from the cache" in notes[0]
    assert "error 503" in fails("o/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    before = len(hub.requests)
    assert [pull(reference(name)).folder for name in ("o/n", "p/n")] == folders
    assert "HF_HUB_OFFLINE" in fails("o/other")
    assert "HF_HUB_OFFLINE" in fails("o/n@v1")
    assert len(hub.requests) == before
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    huggingface_hub.close_session()
    assert pull(reference("o/n")).folder == folders[0]
    assert "cannot be reached" in fails("o/other")


def test_a_slow_or_failing_hub_and_a_full_disk(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repository("o/n", files_of(weights))
    hub.faults.seconds = 0.5
    with monkeypatch.context() as patched:
        patched.setattr("arc_trm.hub.repo_files.TIMEOUT", 0.1)
        assert "does not answer in time" in fails("o/n")
    hub.faults.seconds = 0.0

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "blob")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
        assert "GB left: make room" in fails("o/n")
    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.file_download.http_get", fail)
        assert "blob: the disk is full" in fails("o/n")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", fail)
        assert "the disk is full" in fails("o/n", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    def break_down(what: str, done: int, total: int) -> None:
        hub.faults.status = 500

    hub.repository("o/new", {**files_of(weights), "puzzles.json": b"[]"})
    with pytest.raises(UserError, match="error 500; try again later"):
        pull(reference("o/new"), progress=break_down)


def test_who_may_not(hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("o/n", files_of(weights), token="hf_reader")
    assert "HF_TOKEN" in fails("o/n") and "no repository o/none" in fails("o/none")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = fails("o/n")
    assert "private" in said and "hf_wrong" not in said
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert pull(reference("o/n")).folder.is_dir()
    hub.repository("o/gated", files_of(weights), gated=True)
    assert "gated" in fails("o/gated")
    assert "no revision 'v2'" in fails("o/n@v2")
    hub.repository("o/lacking", {**files_of(weights), "README.md": b"other"})
    hub.faults.missing = {"README.md"}
    assert "cannot be found" in fails("o/lacking")


def test_what_is_no_hub_or_no_weights(hub: Hub, weights: Path, tmp_path: Path) -> None:
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
        resolve("runs/typo")
    with pytest.raises(UserError, match="no folder some/where/else, and it is not"):
        resolve("some/where/else")
    assert resolve(tmp_path) == tmp_path


def test_published_weights_are_converted_once(hub: Hub, tmp_path: Path) -> None:
    hub.repository("p/n", {**published(), "step_00": b"old", "code.py": b"1/0"})
    hub.repositories["p/n"].commit({**published(), **published(step="step_10"), "step_9": b"x"})
    notes: list[str] = []
    pulled = pull(reference("p/n"), tmp_path / "out", note=notes.append)
    assert any("3 steps" in note and "step_10" in note for note in notes)
    assert not hub.fetched("step_9") and not hub.fetched("code.py")
    loaded = load_weights(pulled.folder)
    assert list(loaded.rows) == NAMES
    assert (loaded.model.config.num_heads, loaded.model.config.inner_cycles) == (4, 4)
    origin = json.loads((tmp_path / "out" / "origin.json").read_text())
    commit = hub.repositories["p/n"].refs["main"]
    assert (origin["repository"], origin["revision"], origin["subfolder"]) == ("p/n", commit, None)
    fetched = len(hub.fetched())
    folder = pull(reference("p/n")).folder
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert pull(reference("p/n")).folder == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert len(hub.fetched()) == fetched
    assert not leftovers(tmp_path / "hf")


def test_subfolders_are_chosen(hub: Hub, weights: Path) -> None:
    hub.repository("p/n", {**published("one/"), **files_of(weights, "two/deep/"), "README.md": b""})
    said = fails("p/n")
    commit = hub.repositories["p/n"].refs["main"]
    assert f"p/n@{commit}:one, p/n@{commit}:two/deep" in said
    assert "two/deep" in fails("p/n:three")
    pulled = pull(reference("p/n:two/deep"))
    assert files_of(pulled.folder) == files_of(weights)
    assert str(pulled.reference) == f"p/n@{commit}:two/deep"
    hub.repository("p/single", published("only/"))
    assert pull(reference("p/single")).reference.subfolder == "only"


def test_known_weights_get_their_depth_and_names(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under = "arc_v1_public/"
    files = published(under, "step_518071")
    bare = {f"{under}step_518071": files[f"{under}step_518071"]}
    hub.repository(VERIFICATION, {**bare, "arc_v2_public/step_723914": b"x"})
    text = f"{VERIFICATION}:arc_v1_public"
    known = Known(
        VERIFICATION,
        "arc_v1_public",
        "step_518071",
        None,
        {"num_heads": 2, "L_cycles": 3, "H_cycles": 3},
    )
    monkeypatch.setattr(known_module, "known_weights", lambda: (known,))
    notes: list[str] = []
    folder = pull(reference(text), note=notes.append).folder
    config = load_weights(folder).model.config
    assert (config.num_heads, config.inner_cycles) == (2, 3)
    assert any("H_cycles 3 and L_cycles 3" in note for note in notes)
    assert any("arc-trm convert" in note for note in notes)
    assert list(load_weights(folder).rows) == ["<blank>"]
    hub.repositories[VERIFICATION].commit(files)
    folder = pull(reference(text)).folder  # what lies in the repository beats what is known
    loaded = load_weights(folder)
    assert loaded.model.config.num_heads == 4 and list(loaded.rows) == NAMES


@pytest.mark.slow
def test_a_published_set_names_the_rows(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known("p/n", None, None, "arc1-aug10", known_weights()[0].settings)
    monkeypatch.setattr(known_module, "known_weights", lambda: (known,))
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
    weights = load_weights(pull(reference("p/n"), note=notes.append).folder, tasks={"00576224"})
    assert any("the published set arc1-aug10" in note for note in notes)
    assert len(weights.rows) == 1 + 11
    listed = published_ids("arc1-aug10").names
    for name, row in weights.rows.items():
        assert weights.model.puzzle_embedding[row, 0] == listed.index(name)


def test_the_known_table_reads() -> None:
    from arc_trm.checkpoint.published_ids import published_sets

    assert len({(k.repository, k.subfolder) for k in known_weights()}) == len(known_weights()) == 11
    for known in known_weights():
        assert parse(str(Reference(known.repository, None, known.subfolder))) is not None
        assert known.identifiers is None or known.identifiers in published_sets()


def make_run(tmp_path: Path) -> Path:
    config = run_config(write_challenges(tmp_path))
    run = runs.create_run(config, tmp_path / "secret-place" / "run")
    weight_folder(run)
    solutions = json.loads((tmp_path / "tiny_solutions.json").read_text())
    submission = {
        task: [
            {"attempt_1": [[0]], "attempt_2": grid if task == "task0" else [[1]]} for grid in grids
        ]
        for task, grids in solutions.items()
    }
    write_json(run / runs.SUBMISSION, submission)
    return run


def test_push_then_pull_gives_the_same(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    with pytest.raises(UserError, match="needs a token"):
        push(run, "o/n")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(UserError, match="does not accept the token") as caught:
        push(run, "o/n")
    assert "hf_reader" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    told: list[tuple[str, int, int]] = []
    pushed = push(run, "o/n", licence="mit", progress=lambda *step: told.append(step))
    assert pushed.url == f"{hub.url}/o/n"
    size = sum((run / n).stat().st_size for n in WEIGHTS)
    assert told[-1] == ("sending", size, size)
    pulled = pull(reference("o/n"))
    assert pulled.reference == pushed.reference
    assert {n: d for n, d in files_of(pulled.folder).items() if n != "README.md"} == {
        n: d for n, d in files_of(run).items() if n in WEIGHTS
    }
    everything = hub.repositories["o/n"].commits[pushed.reference.revision or ""]
    assert set(everything) == {*WEIGHTS, "README.md", ".gitattributes"}
    assert not any(str(tmp_path).encode() in content for content in everything.values())

    card = everything["README.md"].decode()
    assert card.startswith("---\nlicense: mit\nlibrary_name: arc-trm\n")
    for line in (
        "pass@2  per output          1/3   33.3 %",
        "pass@2  per task            1/3   33.3 %",
        "pass@2  strict              1/3   33.3 %",
        "| steps done | 12 |",
        "tiny_challenges.json",
        "arc-trm predict o/n --data DATA",
    ):
        assert line in card
    assert "secret-place" not in card

    (run / "puzzle_embedding.safetensors").unlink()
    (run / "puzzles.json").unlink()
    (run / "README.md").write_text("---\nlibrary_name: arc-trm\n---\nMy own words.")
    pushed = push(run, "o/n")  # no table of before is left beside another network
    everything = hub.repositories["o/n"].commits[pushed.reference.revision or ""]
    assert set(everything) == {"config.json", "model.safetensors", "README.md", ".gitattributes"}
    assert b"My own words." in everything["README.md"]
    with pytest.raises(UserError, match="leave out --licence"):
        push(run, "o/n", licence="mit")


WEIGHTS = {"config.json", "model.safetensors", "puzzle_embedding.safetensors", "puzzles.json"}


def test_what_is_not_pushed(
    hub: Hub, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    with pytest.raises(UserError, match="must be one of the known"):
        push(weights, "o/n", licence="nonsense")
    with pytest.raises(UserError, match="everybody may read it"):
        push(weights, "o/n", private=True)
    assert push(weights, "o/private", private=True).reference.repository == "o/private"
    assert hub.repositories["o/private"].token == "hf_writer"
    with pytest.raises(UserError, match="write owner/name"):
        push(weights, "o/n@main")
    before = len(hub.requests)
    network = (weights / "model.safetensors").read_bytes()
    (weights / "model.safetensors").write_bytes(network[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        push(weights, "o/n")
    assert len(hub.requests) == before


def test_the_card_of_what_is_no_run_or_not_scored(
    hub: Hub, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    origin = {"repository": "p/n", "revision": "0" * 40, "file": "/home/me/step_1", "x": "/home/me"}
    write_json(weights / "origin.json", origin)
    push(weights, "o/n")
    card = hub.repositories["o/n"].commits[hub.repositories["o/n"].refs["main"]]["README.md"]
    assert b"- repository: p/n" in card and b"- file: step_1" in card and b"/home" not in card
    run = make_run(tmp_path)
    (tmp_path / "tiny_challenges.json").unlink()
    push(run, "o/m")
    card = hub.repositories["o/m"].commits[hub.repositories["o/m"].refs["main"]]["README.md"]
    assert b"Not scored: its submission or its data could not be read" in card


def test_the_card_of_a_named_dataset(tmp_path: Path) -> None:
    from arc_trm.checkpoint.weights_dir import read_parts
    from arc_trm.hub.model_card import model_card

    run = make_run(tmp_path)
    config = runs.run_config(run)
    data = replace(config.data, test=("arc-agi-1/evaluation",), train=("arc-agi-2/training",))
    write_json(run / "run.json", runs.to_dict(replace(config, data=data)))
    pair = {"attempt_1": [[0]], "attempt_2": [[1]]}
    write_json(run / runs.SUBMISSION, {"00576224": [pair]})
    card = model_card(run, read_parts(run), "o/n", None)
    assert "arc-agi-1/evaluation, ARC-AGI-1 (Apache-2.0" in card
    assert "400 tasks, 419 test outputs" in card
    assert "0/419" in card and "not in the submission" in card
    assert "shares" in card  # the training set of ARC-AGI-2 holds most of these tasks
    assert "--data arc-agi-1/evaluation" in card


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
    assert (status, json.loads(printed)) == (0, {"folder": "copy", "weights": f"o/n@{commit}"})
    assert files_of(home / "copy").keys() == {*WEIGHTS, "origin.json"}
    challenges = str(write_challenges(tmp_path))
    arguments = ("predict", "o/n", "--data", challenges, "--device", "cpu")
    status, printed, said = run_command(hub, home, *arguments, HF_HUB_OFFLINE="1")
    assert status == 0 and f"weights: o/n@{commit}" in said
    assert (home / "submission.json").is_file()


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


def test_damaged_converted_weights_are_made_again(hub: Hub) -> None:
    hub.repository("p/n", published())
    folder = pull(reference("p/n")).folder
    expected = files_of(folder)
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes(expected[name][:-9])
        notes: list[str] = []
        assert files_of(pull(reference("p/n"), note=notes.append).folder) == expected
        assert any("was damaged and is converted again" in note for note in notes)
        (folder / name).unlink()
        assert files_of(resolve("p/n")) == expected


def test_two_pulls_at_once_both_end_well(hub: Hub) -> None:
    hub.repository("p/n", published())
    hub.faults.seconds = 0.05
    with ThreadPoolExecutor(3) as pool:
        pulled = list(pool.map(lambda _: pull(reference("p/n")), range(3)))
    assert len({each.folder for each in pulled}) == 1


def test_a_run_is_pushed_as_of_one_step(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    before = files_of(weights)

    def trained_on(what: str, done: int, total: int) -> None:
        (weights / "new").write_bytes(before["model.safetensors"][:-4] + b"over")
        (weights / "new").replace(weights / "model.safetensors")

    push(weights, "o/race", progress=trained_on)
    (commit,) = hub.repositories["o/race"].refs.values()
    sent = hub.repositories["o/race"].commits[commit]
    assert sent["model.safetensors"] == before["model.safetensors"]


def test_what_cannot_be_a_card_makes_no_repository(
    hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writers.add("hf_writer")
    with pytest.raises(UserError, match="no licence of the Hub's list"):
        push(weights, "o/new", licence="mit\nx: y")
    (weights / "README.md").write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        push(weights, "o/new")
    assert "o/new" not in hub.repositories


# Datasets

SUDOKU = "sapientinc/sudoku-extreme"


def test_a_dataset_is_fetched_and_then_found_by_its_name(hub: Hub) -> None:
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
    assert (tasks.name, tasks.domain, len(tasks)) == ("sudoku-extreme/train", "sudoku", 9)
    shown = CliRunner().invoke(main, ["data", "show", "sudoku-extreme"])
    assert "Files of sudoku-extreme/train: " in shown.stdout


def test_a_dataset_that_broke_off_goes_on_where_it_was(hub: Hub) -> None:
    content = csv_of(100)
    hub.repository(SUDOKU, {"train.csv": content, "test.csv": content})
    hub.faults.drop, hub.faults.drops = 1200, 2
    assert CliRunner().invoke(main, ["data", "fetch", "sudoku-extreme/train"]).exit_code == 0
    ranges = [r for m, p, r in hub.requests if m == "GET" and "/resolve/" in p]
    assert len(ranges) == 3 and ranges[0] == "" and ranges[-1].startswith("bytes=")
    assert len(load_tasks("sudoku-extreme/train")) == 100


def test_a_dataset_that_is_damaged_or_not_there(hub: Hub) -> None:
    def refused(name: str) -> str:
        result = CliRunner().invoke(main, ["data", "fetch", name])
        assert result.exit_code == 2
        return result.stderr

    assert "has no repository sapientinc/sudoku-extreme" in refused("sudoku-extreme/test")
    hub.repository(SUDOKU, {"train.csv": csv_of(3)})
    assert "has no file test.csv" in refused("sudoku-extreme/test")
    hub.faults.content["train.csv"] = csv_of(3)[:-1] + b"x"
    assert "is not what the repository says" in refused("sudoku-extreme/train")
    assert "is not fetched from the Hugging Face Hub" in refused("arc-agi-1")
    assert "did you mean 'maze-hard'" in refused("maze-hrad")
    hub.faults.content.clear()
    hub.faults.status = 503
    assert "`arc-trm data fetch`" in refused("sudoku-extreme/train")


def test_a_dataset_of_another_kind_is_refused(hub: Hub) -> None:
    hub.repository("sapientinc/maze-30x30-hard-1k", {"train.csv": csv_of(3), "test.csv": b""})
    assert CliRunner().invoke(main, ["data", "fetch", "maze-hard/train"]).exit_code == 0
    with pytest.raises(UserError, match="holds Sudoku, expected Maze"):
        load_tasks("maze-hard/train")
