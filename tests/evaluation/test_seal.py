"""Sealed evaluation: `predict --seal` and `score --seal`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from click.testing import Result
from puzzles import grid_config
from tiny import contents

import arc_trm
from arc_trm import load_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.seal import Seal
from arc_trm.runs import predictions_of
from arc_trm.training import train_run

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def out(tiny_run: Path, cli: Cli) -> Path:
    """A folder of sealed predictions of `tiny_run`."""
    result = cli("predict", tiny_run, "--out", "out", "--seal")
    assert result.exit_code == 0, result.output
    return Path("out")


def read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def canonical(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def reseal(content: dict[str, Any]) -> dict[str, Any]:
    """Return a seal with the right digest of what it holds, as a forger would write it."""
    facts = {name: value for name, value in content.items() if name != "sha256"}
    return {**facts, "sha256": canonical(facts)}


def verified(result: Result) -> dict[str, Any]:
    """Return the outcome of `score --seal --json`."""
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["seal"]
    assert isinstance(found, dict)
    return {name: found[name] for name in found if name not in ("file", "sha256", "sealed_at")}


def refused(result: Result) -> str:
    """Return the one sentence with which nothing was scored."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


ALL = ("submission", "predictions", "tasks", "settings", "weights", "code")
AS_SEALED = dict.fromkeys(ALL, True)


def test_a_seal_has_the_digests_of_everything(out: Path, tiny_run: Path, cli: Cli) -> None:
    seal = read(out / "seal.json")
    assert seal["format"] == "arc-trm seal 1"
    assert seal["submission"] == sha256(out / "submission.json")
    header, *lines = (out / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    found = b"".join(line for line in lines if line.startswith(b'{"task":'))
    assert found.count(b"\n") == 9
    assert seal["predictions"] == hashlib.sha256(found).hexdigest()
    names = ["config.json", "puzzle_ids.json", "model.safetensors", "puzzle_embedding.safetensors"]
    assert seal["weight_files"] == {name: sha256(tiny_run / name) for name in names}
    assert seal["tasks"] == load_tasks("tiny_challenges.json").fingerprint(solutions=False)
    key = json.loads(header)
    for name in ("weights", "tasks", "version", "code"):
        assert seal[name] == key.pop(name)
    del key["format"], key["metadata"]
    assert seal["settings"] == key
    assert seal["settings_sha256"] == canonical(key)
    assert (seal["model"], seal["checkpoint"]) == ("tiny", "last")
    assert seal["data"] == ["tiny_challenges.json"]
    assert seal == reseal(seal)
    assert len((out / "seal.json").read_bytes()) < 2500
    assert str(Path.cwd()) not in (out / "seal.json").read_text()  # it is published


def test_what_was_sealed_is_scored(out: Path, cli: Cli) -> None:
    result = cli("score", "out", "--seal", "out/seal.json")
    assert result.exit_code == 0, result.output
    digest = read(out / "seal.json")["sha256"]
    lines = result.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("seal: "))
    assert digest in lines[start]
    assert lines[start + 1 : start + 8] == [*(f"{name}: as sealed" for name in ALL), ""]
    assert any(line.startswith("pass@2") for line in lines[start + 8 :])
    record = json.loads(cli("score", "out", "--seal", "out/seal.json", "--json").stdout)
    assert record["seal"]["sha256"] == digest
    plain = json.loads(cli("score", "out", "--json").stdout)
    assert plain == {name: value for name, value in record.items() if name != "seal"}
    scored = arc_trm.score("out", seal="out/seal.json")
    assert scored.to_dict()["pass@2"] == record["pass@2"]
    for path in ("out/submission.json", "out/predictions.jsonl"):
        assert verified(cli("score", path, "--seal", "out/seal.json", "--json")) == AS_SEALED


def test_a_copied_submission_is_verified_by_what_is_at_hand(out: Path, cli: Cli) -> None:
    Path("else").mkdir()
    shutil.copy(out / "submission.json", "else/theirs.json")
    shutil.copy(out / "seal.json", "else/seal.json")
    score = ("score", "else/theirs.json", "--seal", "else/seal.json")
    found = verified(cli(*score, "--data", "tiny_challenges.json", "--json"))
    assert found == {**dict.fromkeys(ALL), "submission": True, "tasks": True}
    bare = cli(*score, "--solutions", "tiny_solutions.json")
    assert "submission: as sealed\npredictions: not at hand, not checked\n" in bare.stdout
    assert "tasks: not at hand, not checked\n" in bare.stdout
    Path("else/theirs.json").write_text(Path("else/theirs.json").read_text() + "\n")
    sentence = refused(cli(*score, "--data", "tiny_challenges.json"))
    assert "else/theirs.json is not the sealed submission (sealed " in sentence


def test_a_copied_log_has_no_submission_to_check(out: Path, cli: Cli) -> None:
    shutil.copy(out / "predictions.jsonl", "log.jsonl")
    found = verified(cli("score", "log.jsonl", "--seal", "out/seal.json", "--json"))
    assert found == {**AS_SEALED, "submission": None}


def test_weights_that_were_moved_or_removed(out: Path, tiny_run: Path, cli: Cli) -> None:
    score = ("score", "out", "--seal", "out/seal.json", "--data", "tiny_challenges.json", "--json")
    (tiny_run / "puzzle_embedding.safetensors").unlink()
    assert verified(cli(*score))["weights"] is None
    (tiny_run / "config.json").write_text("{}")
    assert f"{tiny_run / 'config.json'} is not the sealed file" in refused(cli(*score))
    shutil.rmtree(tiny_run)
    assert verified(cli(*score)) == {**AS_SEALED, "weights": None}


def test_a_moved_run_still_has_its_weights(tiny_run: Path, cli: Cli) -> None:
    assert cli("predict", tiny_run, "--seal").exit_code == 0
    tiny_run.rename("moved")
    (folder,) = predictions_of(Path("moved"))
    assert verified(cli("score", "moved", "--seal", folder / "seal.json", "--json")) == AS_SEALED


@pytest.mark.parametrize("name", ["model.safetensors", "puzzle_embedding.safetensors"])
def test_changed_weights_are_found(out: Path, tiny_run: Path, cli: Cli, name: str) -> None:
    content = bytearray((tiny_run / name).read_bytes())
    content[-1] ^= 1
    (tiny_run / name).write_bytes(content)
    sentence = refused(cli("score", "out", "--seal", "out/seal.json"))
    assert f"{tiny_run / name} is not the sealed file of the weights (sealed " in sentence


@pytest.mark.parametrize("part", ["train", "test"])
def test_changed_tasks_are_found(out: Path, cli: Cli, part: str) -> None:
    tasks = read(Path("tiny_challenges.json"))
    tasks["task1"][part][0]["input"][0][0] ^= 1
    Path("tiny_challenges.json").write_text(json.dumps(tasks))
    sentence = refused(cli("score", "out", "--seal", "out/seal.json"))
    assert "the tasks in " in sentence and "tiny_challenges.json differ from those" in sentence
    shutil.copy(out / "submission.json", "bare.json")
    bare = ("score", "bare.json", "--seal", "out/seal.json", "--data", "tiny_challenges.json")
    sentence = refused(cli(*bare))
    assert "the tasks of tiny_challenges.json are not the sealed ones (sealed " in sentence


def test_answers_that_become_known_change_nothing(out: Path, cli: Cli) -> None:
    solutions = read(Path("tiny_solutions.json"))
    solutions["task0"] = [[[9]]]
    Path("tiny_solutions.json").write_text(json.dumps(solutions))
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == AS_SEALED


def change_header(log: Path, **changes: object) -> None:
    header, rest = log.read_text().split("\n", 1)
    log.write_text(json.dumps({**json.loads(header), **changes}) + "\n" + rest)


HEADERS: tuple[tuple[dict[str, object], str], ...] = (
    ({"augmentations": 3}, "does not have the sealed setting augmentations (sealed 2, now 3)"),
    ({"early_exit": 0}, "does not have the sealed setting early_exit (sealed false, now 0)"),
    ({"group": "x"}, 'does not have the sealed setting group (sealed null, now "x")'),
    ({"more": 1}, 'does not have the sealed setting more (sealed "missing", now 1)'),
    ({"code": "0" * 16}, "does not have the sealed code in its header (sealed "),
    ({"version": None}, "does not have the sealed version in its header (sealed "),
    ({"weights": "0" * 64}, "does not have the sealed weights in its header (sealed "),
    ({"tasks": None}, "does not have the sealed tasks in its header (sealed "),
)


def test_a_changed_header_is_found(out: Path, cli: Cli) -> None:
    log = out / "predictions.jsonl"
    header, rest = log.read_text().split("\n", 1)
    for changes, sentence in HEADERS:
        log.write_text(json.dumps({**json.loads(header), **changes}) + "\n" + rest)
        found = refused(cli("score", "out", "--seal", "out/seal.json"))
        assert f"{log} {sentence}" in found
        assert found.endswith(": restore what was sealed, or score without --seal")


def test_changed_answers_are_found(out: Path, cli: Cli) -> None:
    log, submission = out / "predictions.jsonl", out / "submission.json"
    before = contents(out)
    answers = read(submission)
    answers["task0"][0]["attempt_1"] = [[1]]
    submission.write_text(json.dumps(answers))
    for path in (out, log):
        sentence = refused(cli("score", path, "--seal", "out/seal.json"))
        assert f"{submission} is not the sealed submission (sealed " in sentence
    submission.write_bytes(before["submission.json"])
    lines = before["predictions.jsonl"].splitlines(keepends=True)
    copied = next(line for line in lines if line.startswith(b'{"task":'))
    # A vote more, whatever the order and the spaces of its fields.
    log.write_bytes(before["predictions.jsonl"] + b" " + copied)
    sentence = refused(cli("score", log, "--seal", "out/seal.json"))
    assert f"{log} does not hold the sealed predictions (sealed " in sentence
    assert refused(cli("score", out, "--seal", "out/seal.json")) == sentence


def mutated(value: Any) -> Any:
    """Return a value of the same type that differs."""
    if isinstance(value, dict):
        name = next(iter(value))
        return {**value, name: mutated(value[name])}
    if isinstance(value, list):
        return [mutated(value[0]), *value[1:]]
    if isinstance(value, str):
        return ("1" if value[0] == "0" else "0") + value[1:]
    raise AssertionError(value)


FIELDS = """
    checkpoint code data format model predictions sealed_at settings settings_sha256 sha256
    submission tasks version weight_files weights
"""


def test_every_changed_field_of_a_seal_is_found(out: Path, cli: Cli) -> None:
    seal = read(out / "seal.json")
    assert sorted(seal) == FIELDS.split()
    for name, value in seal.items():
        Path("seal.json").write_text(json.dumps({**seal, name: mutated(value)}))
        sentence = refused(cli("score", "out", "--seal", "seal.json"))
        if name == "format":
            assert "seal.json is no seal, because it does not say 'arc-trm seal 1'" in sentence
        else:
            assert "seal.json changed since it was written (it says SHA-256 " in sentence, name
        missing = {key: value for key, value in seal.items() if key != name}
        Path("seal.json").write_text(json.dumps(missing))
        assert "seal.json is no seal" in refused(cli("score", "out", "--seal", "seal.json")), name
    Path("seal.json").write_text(json.dumps(dict(reversed(seal.items()))))
    assert verified(cli("score", "out", "--seal", "seal.json", "--json")) == AS_SEALED


FORGED = {
    "submission": "out/submission.json is not the sealed submission",
    "predictions": "out/predictions.jsonl does not hold the sealed predictions",
    "weights": "out/predictions.jsonl does not have the sealed weights in its header",
    "weight_files": "config.json is not the sealed file of the weights",
    "tasks": "out/predictions.jsonl does not have the sealed tasks in its header",
    "version": "out/predictions.jsonl does not have the sealed version in its header",
    "code": "out/predictions.jsonl does not have the sealed code in its header",
}


def test_a_forged_seal_is_not_of_these_predictions(out: Path, cli: Cli) -> None:
    seal = read(out / "seal.json")
    for name, what in FORGED.items():
        Path("seal.json").write_text(json.dumps(reseal({**seal, name: mutated(seal[name])})))
        assert what in refused(cli("score", "out", "--seal", "seal.json")), name
    settings = {**seal["settings"], "noise": 0.5}
    forged = reseal({**seal, "settings": settings, "settings_sha256": canonical(settings)})
    Path("seal.json").write_text(json.dumps(forged))
    sentence = refused(cli("score", "out", "--seal", "seal.json"))
    assert "does not have the sealed setting noise (sealed 0.5, now 0.0)" in sentence
    Path("seal.json").write_text(json.dumps(reseal({**seal, "settings": settings})))
    assert "changed since it was written" in refused(cli("score", "out", "--seal", "seal.json"))


MALFORMED: tuple[tuple[dict[str, object], str], ...] = (
    ({"sealed_at": "now"}, 'its sealed_at is "now"'),
    ({"sealed_at": "2026-01-01T00:00:00"}, "its sealed_at is "),
    ({"submission": 3}, "its submission is 3"),
    ({"model": "a\nb"}, "its model is "),
    ({"weights": "F" * 64}, "its weights is "),
    ({"weight_files": {"../config.json": "0" * 64}}, "its weight_files is an object of 1 key"),
    ({"weight_files": {"/etc/passwd": "0" * 64}}, "its weight_files is an object of 1 key"),
    ({"data": "tiny"}, 'its data is "tiny"'),
    ({"settings": {"a": [[1]]}}, "its settings is an object of 1 key"),
    ({"settings": {"a": 10**100}}, "its settings is an object of 1 key"),
    ({"settings_sha256": None}, "its settings_sha256 is null"),
    ({"more": 1}, "no seal has a field more"),
)


def test_a_malformed_seal_is_one_sentence(out: Path, cli: Cli) -> None:
    seal = read(out / "seal.json")
    for changes, reason in MALFORMED:
        Path("seal.json").write_text(json.dumps(reseal({**seal, **changes})))
        sentence = refused(cli("score", "out", "--seal", "seal.json"))
        assert f"seal.json is no seal, because {reason}" in sentence
        assert sentence.endswith(": name a seal.json that `arc-trm predict --seal` wrote")


def test_files_that_are_no_seals(tmp_path: Path) -> None:
    path = tmp_path / "seal.json"
    for content in (b"", b"[]", b"\xff", b"[" * 10**5, b'{"format": 1}', b" " * (1 << 20) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"seal\.json"):
            Seal.read(path)
    path.unlink()
    for name in ("seal.json", "x" * 300, "a\0b"):
        with pytest.raises(UserError):
            Seal.read(tmp_path / name)
    os.mkfifo(path)
    with pytest.raises(UserError, match="no ordinary small file"):
        Seal.read(path)
    with pytest.raises(UserError, match="no ordinary small file"):
        Seal.read(tmp_path)


def test_a_seal_of_one_of_several(out: Path, cli: Cli) -> None:
    result = cli("score", "out", "out", "--seal", "out/seal.json")
    assert "a seal is of one set of predictions" in refused(result)
    with pytest.raises(UserError, match="seal, data and solutions go with the path"):
        arc_trm.score(arc_trm.open_predictions("out"), seal="out/seal.json")


# Writing


def test_the_seal_is_printed_and_kept_while_nothing_changes(tiny_run: Path, cli: Cli) -> None:
    first = cli("predict", tiny_run, "--out", "out", "--seal", "--json")
    before = Path("out/seal.json").read_bytes()
    digest = read(Path("out/seal.json"))["sha256"]
    said = f"sealed: SHA-256 {digest}, publish it before the answers are known"
    assert said in first.stderr.splitlines()
    assert "next: `arc-trm score out --seal out/seal.json`" in first.stderr
    assert json.loads(first.stdout)["seal"] == "out/seal.json"
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["predictions.jsonl", "seal.json", "submission.json"]
    log = Path("out/predictions.jsonl").read_bytes()
    for options in ([], ["--seal"]):
        again = cli("predict", tiny_run, "--out", "out", *options)
        assert again.exit_code == 0
        assert (said in again.stderr) == bool(options)
    assert Path("out/seal.json").read_bytes() == before
    assert Path("out/predictions.jsonl").read_bytes() != log  # it says its status again
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == AS_SEALED


def test_a_job_that_a_time_limit_ended_is_sealed_and_sealed_again(tiny_run: Path, cli: Cli) -> None:
    ended = cli("predict", tiny_run, "--out", "out", "--seal", "--time-limit", "1s")
    assert "ended the prediction after 0 of 9 queries" in ended.stderr
    early = Seal.read(Path("out/seal.json"))
    assert early.sha256 in ended.stderr
    assert early.submission == sha256(Path("out/submission.json"))
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == AS_SEALED
    resumed = cli("predict", tiny_run, "--out", "out", "--seal")
    late = Seal.read(Path("out/seal.json"))
    assert late.submission == sha256(Path("out/submission.json")) != early.submission
    assert late.predictions != early.predictions
    note = f"the seal of {early.sealed_at}, SHA-256 {early.sha256}, no longer holds"
    assert note in resumed.stderr.splitlines()
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == AS_SEALED


@pytest.mark.parametrize("content", ["{}", '{"format": "arc-trm seal 1"}', ""])
def test_another_file_is_not_replaced(tiny_run: Path, cli: Cli, content: str) -> None:
    Path("out").mkdir()
    Path("out/seal.json").write_text(content)
    sentence = refused(cli("predict", tiny_run, "--out", "out", "--seal"))
    assert "out/seal.json is no intact seal, so it is not replaced: remove it" in sentence
    assert contents(Path("out")) == {"seal.json": content.encode()}


def test_puzzles_are_sealed_by_their_predictions(tmp_path: Path, cli: Cli) -> None:
    train_run(grid_config(tmp_path), torch.device("cpu"), Path("sudoku"))
    result = cli("predict", "sudoku", "--out", "out", "--seal")
    assert result.exit_code in (0, 3), result.output
    seal = read(Path("out/seal.json"))
    assert seal["submission"] is None
    expected = {name: True for name in ALL if name != "submission"}
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == expected
    log = Path("out/predictions.jsonl")
    log.write_text(log.read_text().replace('"halt_prob":0.', '"halt_prob":0.1', 1))
    sentence = refused(cli("score", "out", "--seal", "out/seal.json"))
    assert "out/predictions.jsonl does not hold the sealed predictions" in sentence


@pytest.mark.slow
def test_one_of_several_processes_writes_the_seal(
    tiny_run: Path, cli: Cli, torchrun: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    result = torchrun("-m", "arc_trm", "predict", tiny_run, "--out", tmp_path / "out", "--seal")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("sealed: SHA-256 ") == 1
    assert verified(cli("score", "out", "--seal", "out/seal.json", "--json")) == AS_SEALED
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]
