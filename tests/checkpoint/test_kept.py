"""Weights of earlier steps: which are kept, what their names mean, and what a kill leaves."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import Result
from notes import Notes
from safetensors.torch import load_file, save_file
from tiny import TRAIN, make_batch, make_trainer, run_config

import arc_trm
from arc_trm import runs
from arc_trm.checkpoint import (
    KeptCheckpoints,
    WeightsDir,
    load_weights,
    read_tensors,
    save_config,
    save_weights,
    write_tensors,
)
from arc_trm.checkpoint.weights_dir import weights_metadata
from arc_trm.errors import UserError
from arc_trm.evaluation.source import PredictionSource
from arc_trm.models import build_model
from arc_trm.runs import Run
from arc_trm.runs.checkpoints import (
    best_checkpoint,
    checkpoint_paths,
    choose_checkpoint,
    list_checkpoints,
    weights_digest,
)
from arc_trm.runs.lock import LOCK, is_locked
from arc_trm.runs.provenance import read_provenance
from arc_trm.training import train_run
from arc_trm.training.run_dir import RunWriter
from submission import WriteError

CPU = torch.device("cpu")
NAMES = ["<blank>", "a", "b"]
LARGE = 3000
"""Rows of a puzzle embedding with more numbers than the tiny network."""


class Folder:
    """A weights folder to which steps are added."""

    def __init__(self, path: Path, rows: int = 3) -> None:
        self.path, self.rows = path, rows
        path.mkdir()
        self.model = build_model(
            make_trainer().model.config, rows, generator=torch.Generator().manual_seed(0)
        )
        names = [*NAMES, *(f"p{n}" for n in range(rows - 3))]
        save_config(path, self.model.config, names)
        self.kept = KeptCheckpoints(path)

    def network(self, step: int) -> dict[str, torch.Tensor]:
        """Weights that tell their step."""
        return {name: torch.full_like(t, step) for name, t in self.model.state_dict().items()}

    def embedding(self, step: int) -> torch.Tensor:
        return torch.full((self.rows, 32), float(step))

    def save(self, step: int) -> None:
        """Save the last weights, as a run does at times."""
        save_weights(self.path, self.model.config, self.network(step), self.embedding(step), step)

    def keep(
        self,
        step: int,
        exact: float | None = None,
        keep_last: int = 3,
        cells: float | None = None,
        saved_step: int | None = None,
    ) -> None:
        metrics, best_by = ({}, None) if exact is None else ({"eval/exact": exact}, "eval/exact")
        if cells is not None:
            metrics["eval/cell_accuracy"] = cells
        self.kept.keep(
            step,
            self.network(step),
            self.model.config,
            metrics,
            best_by,
            keep_last,
            self.embedding(step),
            saved_step,
        )

    def steps(self) -> dict[int, bool]:
        """The steps that are kept, and whether each is the best."""
        found = list_checkpoints(self.path)
        assert {p.name for p in (self.path / "checkpoints").glob("*")} == {
            f"{each.step}.safetensors" for each in found
        }
        best = best_checkpoint(found)
        return {each.step: best is not None and each.step == best.step for each in found}

    def value(self, checkpoint: str | int | None = None) -> tuple[float, float]:
        """The step that network and puzzle embedding tell."""
        parts = WeightsDir(self.path, checkpoint).parts
        assert parts.embedding is not None
        weight = next(iter(parts.network.values()))
        return float(weight.flatten()[0]), float(parts.embedding[0, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "run")


def test_the_last_ones_and_the_best_are_kept(folder: Folder) -> None:
    scores = {100: 0.2, 200: 0.7, 300: 0.7, 400: 0.3, 500: 0.1, 600: 0.6}
    for step, exact in scores.items():
        folder.keep(step, exact, keep_last=2)
    assert folder.steps() == {200: True, 500: False, 600: False}  # of equal ones the first
    assert list_checkpoints(folder.path)[0].metrics == {"eval/exact": 0.7}
    folder.keep(700, 0.8, keep_last=2)  # a new best, so that the old one goes
    assert folder.steps() == {600: False, 700: True}


def test_of_equal_checkpoints_the_one_with_more_cells_right_is_the_best(folder: Folder) -> None:
    for step, cells in {100: 0.3, 200: 0.6, 300: 0.6}.items():
        folder.keep(step, 0.0, keep_last=1, cells=cells)  # as a run that solves nothing yet
    assert folder.steps() == {200: True, 300: False}
    assert choose_checkpoint(folder.path).title == "best by exact (0 %), step 200"


def test_a_kill_before_the_next_save_leaves_the_best_until_the_last_one(folder: Folder) -> None:
    for step, exact in ((100, 0.5), (120, 0.4), (200, 0.9), (220, 0.8)):
        folder.keep(step, exact, keep_last=1, saved_step=150)
    assert folder.steps() == {100: False, 200: True, 220: False}
    folder.kept.drop_after(150)  # as a run that is resumed
    assert folder.steps() == {100: True}
    folder.keep(200, 0.9, keep_last=1, saved_step=150)
    folder.keep(300, 0.7, keep_last=1, saved_step=150)
    assert folder.steps() == {100: False, 200: True, 300: False}
    folder.kept.prune(keep_last=1, saved_step=250)  # 200 is safe by now
    assert folder.steps() == {200: True, 300: False}
    folder.kept.prune(keep_last=0, saved_step=300)
    assert folder.steps() == {200: True}


def test_without_evaluation_the_last_ones_are_kept(folder: Folder) -> None:
    for step in (1, 2, 3, 4, 10):  # 10 is no text between 1 and 2
        folder.keep(step)
    assert folder.steps() == {3: False, 4: False, 10: False}


def test_none_kept_is_the_best_alone(folder: Folder) -> None:
    folder.keep(1, keep_last=0)
    assert folder.steps() == {}
    for step, exact in ((2, 0.5), (3, 0.4), (4, 0.9), (5, math.nan)):
        folder.keep(step, exact, keep_last=0)
    assert folder.steps() == {4: True}


def test_what_was_kept_without_evaluation_goes_when_evaluated_ones_come(folder: Folder) -> None:
    for step in (1, 2, 3):
        folder.keep(step)
    folder.keep(4, 0.1, keep_last=1)
    assert folder.steps() == {4: True}


@pytest.mark.parametrize("before", ["eval/exact", "x"])
def test_the_latest_checkpoint_says_which_metric_decides(folder: Folder, before: str) -> None:
    """A run may be resumed with another `train.best_metric`, and a file may come from elsewhere."""
    metrics = {"eval/exact": 0.9, "eval/valid": 0.25}
    for step, best_by, valid in ((1, before, 0.25), (2, before, 0.5), (3, "eval/valid", 0.125)):
        folder.kept.keep(
            step,
            folder.network(step),
            folder.model.config,
            {**metrics, "eval/valid": valid},
            best_by,
            3,
            folder.embedding(step),
        )
    folder.save(4)
    assert folder.steps() == {1: False, 2: True, 3: False}
    assert choose_checkpoint(folder.path).title == "best by valid (50 %), step 2"


def test_a_resumed_run_drops_what_it_trains_again(folder: Folder) -> None:
    for step, exact in ((1, 0.5), (2, 0.6), (3, 0.9)):
        folder.keep(step, exact)
    folder.kept.drop_after(2)
    assert folder.steps() == {1: False, 2: True}


@pytest.mark.parametrize("moment", ["write", "remove"])
def test_a_kill_leaves_whole_files(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    for step, exact in ((1, 0.5), (2, 0.6)):
        folder.keep(step, exact, keep_last=1)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    target = (os, "replace") if moment == "write" else (Path, "unlink")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*target, kill)
        folder.keep(3, 0.7, keep_last=1)
    for each in (folder.path / "checkpoints").iterdir():
        read_tensors(each)  # raises if it is not whole
    assert folder.steps() == ({2: True} if moment == "write" else {2: False, 3: True})
    folder.keep(4, 0.1, keep_last=1)
    assert folder.steps() == ({2: True, 4: False} if moment == "write" else {3: True, 4: False})


def test_names_choose_the_weights(folder: Folder) -> None:
    folder.save(300)
    assert folder.value() == folder.value("last") == folder.value(300) == (300, 300)
    for step, exact in ((100, 0.5), (200, 0.2)):
        folder.keep(step, exact)
    assert folder.value() == folder.value("best") == folder.value("100") == (100, 100)
    assert folder.value("last") == (300, 300)
    assert folder.value("100,200") == (150, 150)  # their mean
    assert folder.value("100, 200,last") == (200, 200)
    (note,) = WeightsDir(folder.path, "100,200,last").notes  # each has its own embedding
    assert note.endswith(": mean of steps 100, 200, 300")
    about = {name: WeightsDir(folder.path, name).description for name in ("best", "last", "200")}
    assert {name: each.step for name, each in about.items()} == {
        "best": 100,
        "last": 300,
        "200": 200,
    }
    assert about["best"].checkpoint == "best by exact (50 %), step 100"
    assert "checkpoint:        best by exact (50 %), step 100" in about["best"].lines()
    assert about["last"].checkpoint is None
    mean = WeightsDir(folder.path, "100,200").description
    assert (mean.step, mean.checkpoint) == (200, "mean of steps 100, 200")


def test_a_run_that_removes_what_was_chosen_has_another_best(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(300)
    folder.keep(100, 0.5)
    weights, listed = WeightsDir(folder.path), WeightsDir(folder.path)
    assert weights.choice.title.endswith("step 100")
    folder.keep(200, 0.7, keep_last=0)  # in the meantime
    assert folder.steps() == {200: True}
    assert weights.parts.step == 200
    # Or while the files are listed.
    paths = {100: folder.path / "checkpoints" / "100.safetensors"} | checkpoint_paths(folder.path)
    monkeypatch.setattr("arc_trm.runs.checkpoints.checkpoint_paths", lambda _: paths)
    assert listed.parts.step == WeightsDir(folder.path, "best,last").choice.checkpoints[0].step


def test_the_mean_is_that_of_the_weights(folder: Folder) -> None:
    trainer, networks = make_trainer(), []
    for step in range(3):
        trainer.step(make_batch(step))
        networks.append(trainer.averaged_state())
        folder.kept.keep(
            step + 1, networks[-1], folder.model.config, {}, None, 3, torch.zeros(3, 32)
        )
    found = WeightsDir(folder.path, "1,2,3").parts.network
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, sum(each[name] for each in networks) / 3)
    assert any(not torch.equal(tensor, networks[0][name]) for name, tensor in found.items())


def test_a_large_puzzle_embedding_is_in_one_copy(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run", LARGE)
    folder.keep(100, 0.9)
    folder.keep(200, 0.1)
    folder.save(300)
    assert not any(each.has_embedding for each in list_checkpoints(folder.path))
    assert folder.value("best") == (100, 300)
    assert folder.value("100,200") == (150, 300)
    (which, embedding) = WeightsDir(folder.path).notes
    assert which.endswith("best by exact (90 %), step 100; `--checkpoint last` is step 300")
    assert "the puzzle embedding is that of step 300" in embedding
    assert WeightsDir(folder.path, "last").notes == ()
    before = {name: weights_digest(folder.path, name) for name in ("best", "last")}
    folder.save(400)  # both have other rows now
    assert all(weights_digest(folder.path, name) != before[name] for name in before)


def test_a_small_puzzle_embedding_is_that_of_its_step(folder: Folder) -> None:
    folder.keep(100, 0.9)
    folder.save(300)
    before = weights_digest(folder.path)
    folder.save(400)
    assert weights_digest(folder.path) == before is not None
    assert len(WeightsDir(folder.path).notes) == 1


@pytest.mark.parametrize("name", ["", "bset", "99", "best,", "-1", "1e2", "../300", "100;200"])
def test_a_name_that_there_is_not(folder: Folder, name: str) -> None:
    folder.save(300)
    folder.keep(100, 0.9)
    folder.keep(200, 0.1)
    with pytest.raises(UserError) as caught:
        load_weights(folder.path, checkpoint=name)
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder.path} has no checkpoint ")
    assert sentence.endswith(": it has best (step 100), last (step 300), 100, 200, 300")


def test_few_of_many_steps_are_listed(folder: Folder) -> None:
    folder.save(40)
    for step in range(1, 21):
        folder.keep(step, keep_last=20)
    with pytest.raises(UserError, match=r"last \(step 40\), 11 earlier ones, 12, 13, .*, 20, 40$"):
        choose_checkpoint(folder.path, "best")


def test_the_same_step_twice_is_no_mean(folder: Folder) -> None:
    folder.save(300)
    folder.keep(300, 0.5)
    for name in ("300,300", "best,last"):
        with pytest.raises(UserError, match="has step 300 twice in"):
            choose_checkpoint(folder.path, name)


def test_a_folder_of_weights_has_the_last_ones_alone(weights_dir: Path) -> None:
    with pytest.raises(UserError, match=r'has no checkpoint "best": it has last \(step 7\), 7$'):
        load_weights(weights_dir, checkpoint="best")
    assert torch.equal(
        load_weights(weights_dir, checkpoint=7).model.puzzle_embedding,
        load_weights(weights_dir).model.puzzle_embedding,
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_model(path: Path) -> None:
    model = build_model(make_trainer(architecture="hrm").model.config, 3)
    config = make_trainer().model.config
    metadata = weights_metadata(path.parents[1], config, 100, True)
    write_tensors(path, model.state_dict(), metadata)


def not_finite(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    write_tensors(path, {n: t * math.nan for n, t in tensors.items()}, metadata)


def other_names(path: Path) -> None:
    (path.parents[1] / "puzzle_ids.json").write_text(json.dumps(["<blank>", "b", "a"]))


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (cut, "100.safetensors is not a whole safetensors file"),
        (other_model, "100.safetensors lacks|100.safetensors has a tensor"),
        (not_finite, "100.safetensors: tensor .* holds something else than finite numbers"),
        (other_names, "does not hold the names"),
    ],
)
def test_a_broken_checkpoint_is_refused(
    folder: Folder, mutate: Callable[[Path], None], message: str
) -> None:
    folder.save(300)
    folder.keep(100, 0.9)
    mutate(folder.path / "checkpoints" / "100.safetensors")
    with pytest.raises(UserError, match=message):
        load_weights(folder.path, checkpoint=100)
    folder.keep(400, 0.1)  # training goes on, whatever somebody did to a file


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "[" * 10_000,
        "[]",
        '{"metrics": 5, "best_by": []}',
        '{"metrics": {"eval/exact": 1e999, "x": "y"}, "best_by": "eval/exact"}',
        '{"metrics": {"eval/exact": ' + "9" * 400 + '}, "best_by": "eval/exact"}',
        '{"metrics": {"eval/exact": NaN}, "best_by": "eval/exact"}',
    ],
)
def test_strange_metadata_make_no_best_checkpoint(folder: Folder, facts: str) -> None:
    folder.save(300)
    folder.keep(100, 0.9)
    path = folder.path / "checkpoints" / "100.safetensors"
    tensors = load_file(path)
    save_file(tensors, path, {"arc_trm": facts})
    (found,) = list_checkpoints(folder.path)
    assert (found.step, found.metrics.get("eval/exact")) == (100, None)
    assert choose_checkpoint(folder.path).name == "last"


def test_a_damaged_one_is_in_the_way_only_where_it_may_be_meant(folder: Folder) -> None:
    folder.save(300)
    folder.keep(100, 0.9)
    folder.keep(200, 0.5)
    path = folder.path / "checkpoints" / "100.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    for name in (None, "best", "last,best", 100, "100,200"):
        with pytest.raises(UserError, match=r"100\.safetensors is not a whole safetensors file"):
            choose_checkpoint(folder.path, name)
    for name, value in (("last", 300), (200, 200), ("last, 200", 250)):
        assert folder.value(name)[0] == value
    folder.kept.clear()
    assert not list((folder.path / "checkpoints").iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(folder: Folder) -> None:
    def give_up(*_: object) -> None:
        raise AssertionError("reading it waits for ever")

    folder.save(300)
    folder.keep(100, 0.9)
    place = folder.path / "checkpoints"
    for path in (place / "200.safetensors", folder.path / LOCK, folder.path / runs.METRICS):
        os.mkfifo(path)
    os.mkfifo(folder.path / "provenance.json")
    handler = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    try:
        assert [each.step for each in Run(folder.path).checkpoints] == [100]
        with pytest.raises(UserError, match=r"200.safetensors .*\(it is not an ordinary file\)"):
            choose_checkpoint(folder.path)
        assert not is_locked(folder.path)
        assert read_provenance(folder.path).entries == []
        with pytest.raises(UserError, match=r"metrics.jsonl cannot be read: it is not an ordinary"):
            runs.read_metrics(folder.path)
        (folder.path / "model.safetensors").unlink()
        os.mkfifo(folder.path / "model.safetensors")
        with pytest.raises(UserError, match=r"model.safetensors .*\(it is not an ordinary file\)"):
            load_weights(folder.path, checkpoint="last")
        assert weights_digest(folder.path, "last") is None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def test_other_files_are_no_checkpoints(folder: Folder) -> None:
    folder.save(300)
    folder.keep(100, 0.9)
    place = folder.path / "checkpoints"
    for name in ("0100", "x", "١٠", "9" * 40, "-5"):
        shutil.copy(place / "100.safetensors", place / f"{name}.safetensors")
    (place / "README").write_text("")
    for name in ("7.safetensors", ".8.safetensors.tmp"):
        (place / name).mkdir()
    assert [each.step for each in list_checkpoints(folder.path)] == [100]
    folder.kept.clear()
    assert not (place / "100.safetensors").exists() and (place / "7.safetensors").is_dir()


def test_a_file_in_place_of_the_folder_is_one_sentence(folder: Folder) -> None:
    (folder.path / "checkpoints").write_text("")
    message = r"checkpoints: cannot be written: something else than a folder has this name$"
    with pytest.raises(WriteError, match=message):
        folder.keep(1, 0.5)


def test_a_full_disk_keeps_the_earlier_ones(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.keep(1, 0.5, keep_last=0)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch, pytest.raises(WriteError, match="the disk is full"):
        patch.setattr(os, "fsync", full)
        folder.keep(2, 0.9, keep_last=0)
    assert folder.steps() == {1: True}


# In a run


def test_a_run_without_evaluation_keeps_weights_at_each_save(
    tmp_path: Path, challenges: Path
) -> None:
    train = {**TRAIN, "save_interval_s": 1e-6, "keep_checkpoints": 2}
    run = train_run(run_config(challenges, train=train), CPU, tmp_path / "run")
    assert [each.step for each in run.checkpoints] == [11, 12]
    last, kept = (WeightsDir(run, name).parts for name in ("last", 12))
    assert all(torch.equal(tensor, kept.network[name]) for name, tensor in last.network.items())
    assert last.embedding is not None and kept.embedding is not None
    assert torch.equal(last.embedding, kept.embedding)


def test_a_killed_run_keeps_the_same_weights(tmp_path: Path, challenges: Path) -> None:
    train = {**TRAIN, "save_interval_s": 1e-6}
    config = run_config(challenges, train=train)
    straight = train_run(config, CPU, tmp_path / "straight")
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[Notes(stop=7)])
    killed = Run(tmp_path / "killed")
    made = killed.path / "checkpoints"
    shutil.copy(made / "6.safetensors", made / "9.safetensors")  # of a step after the checkpoint
    left = made / ".arc-trm-0123456789abcdef.tmp"  # by a write that was cut short
    left.mkdir()
    (left / "lock").touch()
    (left / "9.safetensors").write_text("half a file")
    heard: list[list[int]] = []

    class Hear(arc_trm.Callback):
        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            heard.append([each.step for each in list_checkpoints(killed.path)])

    train_run(killed.config, CPU, killed.path, resume=True, callbacks=[Hear()])
    assert heard[0] == [4, 5, 6] and not left.exists()
    for one, other in zip(straight.checkpoints, Run(killed.path).checkpoints, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_a_restart_forgets_what_was_kept(tiny_run: Path) -> None:
    (kept,) = Run(tiny_run).checkpoints
    shutil.copy(kept.path, kept.path.with_name("99.safetensors"))
    arc_trm.train(resume=tiny_run, restart=True, device="cpu")
    assert [each.step for each in Run(tiny_run).checkpoints] == [kept.step]


def evaluate(run: Path, scores: Mapping[int, float], shift: float = 0.1) -> None:
    """Keep weights as a run that is evaluated does; those of each step are others."""
    weights = WeightsDir(run, "last")
    network, embedding, *_ = weights.parts
    kept = KeptCheckpoints(run)
    kept.clear()
    for step, exact in scores.items():
        changed = {name: tensor + shift * step for name, tensor in network.items()}
        kept.keep(step, changed, weights.config, {"eval/exact": exact}, "eval/exact", 3, embedding)


def test_a_writer_keeps_what_was_evaluated(tmp_path: Path) -> None:
    trainer = make_trainer(best_metric="exact")
    save_config(tmp_path, trainer.model.config, ["<blank>", *"abcde"])
    writer = RunWriter(tmp_path, trainer, 12, {})
    writer.keeps_at_saves = False
    for step in range(3):
        trainer.step(make_batch(step))
        writer.save()
        assert not (tmp_path / "checkpoints").exists()
    writer.log_evaluation({"step": 3, "eval/exact": 0.5})
    (found,) = list_checkpoints(tmp_path)
    assert (found.step, found.metrics, found.best_by) == (3, {"eval/exact": 0.5}, "eval/exact")
    best = WeightsDir(tmp_path, "best").parts.network
    assert all(torch.equal(best[n], t) for n, t in trainer.averaged_state().items())


def test_predictions_say_which_checkpoint_made_them(
    cli: Callable[..., Result], tiny_run: Path
) -> None:
    evaluate(tiny_run, {4: 0.9, 8: 0.2})
    texts = {
        None: "best checkpoint, step 4 of 12",
        "last": "step 12 of 12",
        "8": "step 8 of 12",
        "4,8": "mean of checkpoints 4,8, step 8 of 12",
    }
    folders = {}
    for name, text in texts.items():
        option = [] if name is None else ["--checkpoint", name]
        result = cli("predict", tiny_run, "--json", *option)
        assert result.exit_code in (0, 3), result.stderr
        about = json.loads(result.stdout)["about"]
        assert about["checkpoint"] == (name or "best")
        folders[name] = Path(about["file"]).parent
        assert ("weights of " in result.stderr) == (name != "last")
        shown = cli("score", folders[name])
        assert text in shown.stdout and "other weights" not in shown.stdout
    assert len(set(folders.values())) == 4  # a folder for each
    assert cli("report", folders[None]).exit_code == 0
    page = (folders[None] / "report.html").read_text()
    assert "best checkpoint" in page and "4 of 12 steps" in page
    evaluate(tiny_run, {4: 0.9, 8: 0.2, 10: 0.95})
    outdated = {
        name: PredictionSource.open(each).summary.outdated for name, each in folders.items()
    }
    assert outdated == {None: True, "last": False, "8": False, "4,8": False}


def test_python_takes_a_checkpoint(tiny_run: Path) -> None:
    evaluate(tiny_run, {4: 0.9, 8: 0.2})
    predictions = arc_trm.predict(tiny_run, checkpoint=8, device="cpu")
    assert predictions.job is not None
    source = PredictionSource.open(predictions.job.files["predictions"])
    assert (source.summary.checkpoint, source.summary.step) == ("8", 8)
    one, other = (arc_trm.load_model(tiny_run, checkpoint=name) for name in (4, "best"))
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in one.state_dict().items())


def test_a_wrong_name_on_the_command_line_is_one_sentence(
    cli: Callable[..., Result], tiny_run: Path, challenges: Path, tmp_path: Path
) -> None:
    for command in (
        ("predict", tiny_run),
        ("adapt", tiny_run, "--data", challenges, "--out", tmp_path / "new"),
        ("push", tiny_run, "owner/name"),
        ("convert", tiny_run, tmp_path / "new", "--to-published"),
    ):
        result = cli(*command, "--checkpoint", "best")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].endswith(
            'has no checkpoint "best": it has last (step 12), 12'
        )
    assert not (tmp_path / "new").exists()
    assert not runs.predictions_of(tiny_run)


def test_the_file_of_a_checkpoint_is_named_by_run_and_step(
    cli: Callable[..., Result], tiny_run: Path
) -> None:
    (kept,) = Run(tiny_run).checkpoints
    result = cli("predict", kept.path)
    assert result.exit_code == 2
    assert f"`arc-trm predict {tiny_run} --checkpoint 12`" in result.stderr


def test_adapting_starts_from_the_chosen_checkpoint(
    cli: Callable[..., Result], tiny_run: Path, challenges: Path, tmp_path: Path
) -> None:
    evaluate(tiny_run, {4: 0.9, 8: 0.2})
    for name, step in ((None, "4"), ("8", "8"), ("last", "12")):
        out = tmp_path / f"adapted-{step}"
        option = [] if name is None else ["--checkpoint", name]
        options = ["--data", challenges, "--out", out, "--max-steps", 0, "--device", "cpu"]
        assert cli("adapt", tiny_run, *options, *option).exit_code == 0
        adapt = Run(out).config.adapt
        assert adapt is not None and adapt.checkpoint == step
        one, other = WeightsDir(tiny_run, step).parts.network, WeightsDir(out).parts.network
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
