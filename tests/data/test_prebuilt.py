"""The published trainer's folders: read as data, learnt from, refused where they are broken."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paths
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import MODEL, TRAIN, write_challenges

from arc_trm import runs
from arc_trm.checkpoint import read_tensors
from arc_trm.config import DataConfig, RunConfig, from_dict
from arc_trm.data.loader import content_digest, load_tasks
from arc_trm.data.puzzle_ids import TaskGroup, TaskPuzzles, assign_puzzle_ids, row_names
from arc_trm.data.readers.prebuilt import open_built
from arc_trm.data.sampler import IGNORE, BatchSampler
from arc_trm.data.splits import overlap_notes, predicted_tasks
from arc_trm.errors import UserError
from arc_trm.puzzles.arc.kind import FIRST_COLOUR, encode_pair, parse_puzzle_name
from arc_trm.puzzles.base import PAD
from arc_trm.tasks import Pair, Task
from arc_trm.training import loop as job

CPU = torch.device("cpu")
GOLDEN = paths.GOLDEN / "arc"
FOLDER = GOLDEN / "built"
SIDE = 4


def write_part(
    folder: Path, puzzles: Sequence[TaskPuzzles], names: int, pairs: Callable[[Task], Any]
) -> None:
    """The arrays of `train` or `test`: `pairs` of every task, all at the canvas's corner."""
    tokens, rows, puzzle_starts, group_starts = [], [], [0], [0]
    for each in puzzles:
        for index in range(len(each)):
            augmented = [each.augmentation(index).apply_pair(pair) for pair in pairs(each.task)]
            tokens += [encode_pair(pair, SIDE) for pair in augmented]
            rows.append(each.first_row + index)
            puzzle_starts.append(len(tokens))
        group_starts.append(len(rows))
    folder.mkdir(parents=True)
    inputs, labels = np.array(tokens).transpose(1, 0, 2)
    np.save(folder / "all__inputs.npy", np.ascontiguousarray(inputs))
    np.save(folder / "all__labels.npy", np.ascontiguousarray(labels))
    for name, values in (
        ("puzzle_identifiers", rows),
        ("puzzle_indices", puzzle_starts),
        ("group_indices", group_starts),
    ):
        np.save(folder / f"all__{name}.npy", np.array(values, np.int32))
    numbers = {"seq_len": SIDE**2, "vocab_size": 12, "num_puzzle_identifiers": names}
    rest = {"pad_id": 0, "ignore_label_id": 0, "sets": ["all"]}
    (folder / "dataset.json").write_text(json.dumps(numbers | rest))


def build(folder: Path, tasks: Sequence[Task], learn_tests: bool = False) -> list[TaskPuzzles]:
    """A built folder out of tasks; their test outputs are learnt from only if asked for."""
    puzzles = assign_puzzle_ids(tasks, 3, seed=0)
    names = list(row_names(puzzles))
    tests = (lambda task: task.test) if learn_tests else (lambda task: ())
    write_part(folder / "train", puzzles, len(names), lambda task: (*task.train, *tests(task)))
    write_part(folder / "test", puzzles, len(names), lambda task: task.test)
    (folder / "identifiers.json").write_text(json.dumps(names))
    (folder / "test_puzzles.json").write_text(json.dumps({t.id: t.to_json() for t in tasks}))
    return puzzles


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return list(load_tasks(write_challenges(tmp_path)))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "copied"))


def run_config(folder: Path, **changes: object) -> RunConfig:
    values = {
        **{"name": "built", "dtype": "float32", "model": MODEL, "train": TRAIN},
        "data": {"train": [str(folder)], "test": [str(folder)]},
    }
    return from_dict(RunConfig, {**values, **changes})


class Notes(job.Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def sentence(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# As data


def test_its_tasks_are_those_it_was_built_from() -> None:
    raw = load_tasks(GOLDEN / "raw" / "made-up_evaluation_challenges.json")
    built = load_tasks(str(FOLDER))
    assert content_digest(built) == content_digest(raw)
    assert built.name == str(FOLDER)
    assert list(built.tasks) == list(json.loads((FOLDER / "test_puzzles.json").read_text()))
    assert all(task.solutions is not None for task in built)


def test_tasks_are_checked_and_may_lack_test_outputs(copied: Path) -> None:
    file = copied / "test_puzzles.json"
    content = json.loads(file.read_text())
    content["11206627"]["test"][0].pop("output")
    file.write_text(json.dumps(content))
    assert load_tasks(copied)["11206627"].solutions is None
    content["11206627"]["train"][0]["input"][0][0] = 10
    file.write_text(json.dumps(content))
    message = sentence(lambda: load_tasks(copied))
    assert message.startswith(f"{file}: task 11206627, train pair 1, input")
    file.unlink()
    assert "has no test_puzzles.json" in sentence(lambda: load_tasks(copied))


@pytest.mark.parametrize("kept", ["train", "test"])
def test_half_a_folder(copied: Path, kept: str) -> None:
    shutil.rmtree(copied / ("test" if kept == "train" else "train"))
    (copied / "test_puzzles.json").unlink()
    assert "has no test_puzzles.json" in sentence(lambda: load_tasks(copied))
    if kept == "test":
        assert "has no train/dataset.json" in sentence(lambda: open_built(copied))


def test_a_folder_without_names_is_told_from_one_of_task_files(copied: Path) -> None:
    (copied / "identifiers.json").unlink()
    (copied / "test_puzzles.json").unlink()
    assert "published trainer's format" in sentence(lambda: load_tasks(copied))
    assert "has no identifiers.json" in sentence(lambda: open_built(copied))


# What the arrays mean


def placed(tokens: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The colours in a canvas as a grid, and where it begins."""
    cells = np.argwhere(tokens.reshape(30, 30) >= FIRST_COLOUR)
    (top, left), (bottom, right) = cells.min(0), cells.max(0) + 1
    return tokens.reshape(30, 30)[top:bottom, left:right] - FIRST_COLOUR, (int(top), int(left))


def test_tokens_are_those_of_our_own_encoding_but_for_the_offset() -> None:
    built, tasks = open_built(FOLDER), load_tasks(FOLDER)
    moved = 0
    for group in built.groups():
        for puzzle in range(len(group)):
            task_id, augmentation = parse_puzzle_name(built.names[group.row(puzzle)])
            expected, seen, at_corner = Counter(), Counter(), 0
            for pair in map(augmentation.apply_pair, tasks[task_id].train):
                expected[b"".join(tokens.tobytes() for tokens in encode_pair(pair))] += 1
            for index in range(group.pairs):
                example = group.example(puzzle, index, None)
                (grid, offset), (output, output_offset) = map(placed, example)
                assert offset == output_offset
                pair = Pair(grid, output)
                assert all(map(np.array_equal, encode_pair(pair, 30, offset), example))
                seen[b"".join(tokens.tobytes() for tokens in encode_pair(pair))] += 1
                at_corner += offset == (0, 0)
            assert seen == expected
            assert at_corner >= 1, "one pair of every puzzle stays at the corner"
            moved += group.pairs - at_corner
    assert moved > 20


def test_the_test_half_has_the_test_pairs_at_the_corner() -> None:
    tasks, names = load_tasks(FOLDER), json.loads((FOLDER / "identifiers.json").read_text())
    arrays = {file.stem: np.load(file) for file in (FOLDER / "test").glob("*.npy")}
    starts = arrays["all__puzzle_indices"]
    for puzzle, row in enumerate(arrays["all__puzzle_identifiers"]):
        task_id, augmentation = parse_puzzle_name(names[row])
        encoded = [encode_pair(augmentation.apply_pair(pair)) for pair in tasks[task_id].test]
        ours = {tuple(tokens.tobytes() for tokens in pair) for pair in encoded}
        theirs = {
            (arrays["all__inputs"][at].tobytes(), arrays["all__labels"][at].tobytes())
            for at in range(starts[puzzle], starts[puzzle + 1])
        }
        assert theirs == ours


# BatchSampler


def test_batches_are_those_of_the_tasks_it_was_built_from(
    tmp_path: Path, tasks: list[Task]
) -> None:
    puzzles = build(tmp_path / "built", tasks)
    of_tasks = [TaskGroup(each, SIDE, shift=False) for each in map(_without_tests, puzzles)]
    built = open_built(tmp_path / "built")
    assert built.names == list(row_names(puzzles))
    for share in ((0, 1), (1, 2)):
        ours, theirs = (
            BatchSampler(groups, 8, 5, share=share) for groups in (of_tasks, built.groups())
        )
        for step in (7, 0, 1, 2, 30):
            expected, got = ours(step), theirs(step)
            for key, array in expected.items():
                assert got[key].dtype == array.dtype
                assert np.array_equal(got[key], array)


def _without_tests(puzzles: TaskPuzzles) -> TaskPuzzles:
    return replace(puzzles, task=puzzles.task.without_solutions())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([1, 2, 4]))
def test_a_batch_depends_on_seed_and_step_alone(seed: int, step: int, world: int) -> None:
    groups = open_built(FOLDER).groups()
    reused = BatchSampler(groups, 8, seed)
    reused(step + 3)
    whole = reused(step)
    parts = [BatchSampler(groups, 8, seed, (rank, world))(step) for rank in range(world)]
    for key, expected in whole.items():
        assert np.array_equal(np.concatenate([part[key] for part in parts]), expected)


def test_tokens_are_mapped_and_never_written() -> None:
    built = open_built(FOLDER)
    for tokens in (built.inputs, built.labels):
        assert isinstance(tokens, np.memmap) and not tokens.flags.writeable


def test_an_epoch_visits_every_group_once_and_takes_its_pairs_without_replacement() -> None:
    built = open_built(FOLDER)
    groups = built.groups()
    tasks = built.pairs_of_tasks()
    assert tasks == {task.id: len(task.train) for task in load_tasks(FOLDER)}
    batches = BatchSampler(groups, sum(tasks.values()), seed=0)
    assert batches.mean_pairs == pytest.approx(22 / 7)
    examples = {array.tobytes() for array in built.inputs}
    for step in range(4):
        batch = batches(step)
        visited = Counter(parse_puzzle_name(built.names[row])[0] for row in batch["puzzle_ids"])
        assert visited == tasks
        assert len(set(batch["puzzle_ids"].tolist())) == len(tasks), "one puzzle of each"
        inputs = [tokens.astype(np.uint8).tobytes() for tokens in batch["inputs"]]
        assert len(set(inputs)) == len(inputs) and set(inputs) <= examples
        assert not (batch["labels"] == PAD).any() and (batch["labels"] == IGNORE).any()


# Training


def test_training_and_resuming(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "built", tasks)
    config = run_config(tmp_path / "built", checkpoint_interval_s=1e-6)

    class Killed(Notes):
        def progress(self, progress: job.Progress) -> None:
            if progress.step == 5:
                raise InterruptedError

    killed, straight, notes = tmp_path / "killed", tmp_path / "straight", Killed()
    job.train(config, CPU, straight)
    with suppress(InterruptedError):
        job.train(config, CPU, killed, reporter=notes)
    job.train(runs.run_config(killed), CPU, killed, resume=True)
    for file in (runs.CHECKPOINT, "model.safetensors", "puzzle_embedding.safetensors"):
        one, other = (read_tensors(run / file) for run in (straight, killed))
        assert one[1] == other[1]
        assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())
    names = json.loads((tmp_path / "built" / "identifiers.json").read_text())
    assert json.loads((straight / "puzzle_ids.json").read_text()) == names
    assert read_tensors(straight / "puzzle_embedding.safetensors")[0]["puzzle_embedding"].shape == (
        *(len(names), config.model.puzzle_emb_dim),
    )
    first, last = notes.notes[0], notes.notes[-1]
    assert (
        "data.augmentations, data.random_translation and data.max_grid_size have no effect" in first
    )
    assert f"3 tasks, {len(names) - 1} puzzles, 12 steps" in last
    assert not any("shares" in note for note in notes.notes)


def test_epochs_count_groups(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "built", tasks)
    train = {**TRAIN, "total_steps": None}
    config = run_config(tmp_path / "built", epochs=4, train=train)
    assert job.train(config, CPU, tmp_path / "run").total == 4 * 3 * 2 // 4


@pytest.mark.parametrize(
    "file",
    [
        *("identifiers.json", "train/dataset.json", "train/all__inputs.npy"),
        *("train/all__labels.npy", "train/all__puzzle_identifiers.npy"),
    ],
)
def test_changed_data_does_not_resume(tmp_path: Path, tasks: list[Task], file: str) -> None:
    folder = tmp_path / "built"
    build(folder, tasks)
    job.train(run_config(folder), CPU, tmp_path / "run")
    path = folder / file
    if path.suffix == ".json":
        path.write_text(path.read_text().replace(", ", ",", 1))
    else:
        array = np.load(path)
        array.flat[0] += 1
        np.save(path, array)
    config = runs.run_config(tmp_path / "run")
    message = sentence(lambda: job.train(config, CPU, tmp_path / "run", resume=True))
    assert "the tasks are not those that the run" in message


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"seq_len": 36}, "a seq_len of 16, but model.seq_len is 36: add `--set model.seq_len=16`"),
        (
            {"vocab_size": 11},
            "a vocab_size of 12, but model.vocab_size is 11: add `--set model.vocab_size=12`",
        ),
    ],
)
def test_a_model_of_another_shape(
    tmp_path: Path, tasks: list[Task], model: dict[str, int], told: str
) -> None:
    build(tmp_path / "built", tasks)
    config = run_config(tmp_path / "built", model=MODEL | model)
    assert told in sentence(lambda: job.train(config, CPU, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("train", "extra"),
    [
        (["built", "tiny_challenges.json"], []),
        (["tiny_challenges.json", "built"], []),
        (["built"], ["concept-arc"]),
        (["tiny_challenges.json"], ["built"]),
        ([], ["built"]),
    ],
)
def test_it_is_learnt_from_alone(
    tmp_path: Path, tasks: list[Task], train: list[str], extra: list[str], monkeypatch: Any
) -> None:
    build(tmp_path / "built", tasks)
    monkeypatch.chdir(tmp_path)
    config = run_config(tmp_path, data={"train": train, "extra": extra})
    message = sentence(lambda: job.train(config, CPU, tmp_path / "run"))
    assert "can only be learnt from alone" in message
    alone = f"data.train=['{tmp_path / 'built'}']"
    assert f'--set "{alone}" --set "data.optional_train=[]"' in message


def test_other_data_may_be_predicted_and_is_not_learnt(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "built", tasks[:2])
    data = {
        "train": [str(tmp_path / "built")],
        "test": [str(tmp_path / "tiny_challenges.json")],
    }
    job.train(run_config(tmp_path, data=data), CPU, tmp_path / "run")
    names = json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())
    assert names == json.loads((tmp_path / "built" / "identifiers.json").read_text())
    predicted = predicted_tasks(runs.run_config(tmp_path / "run").data)
    assert list(predicted.tasks) == [task.id for task in tasks]


def test_learnt_test_outputs_are_told(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "all", tasks[:2], learn_tests=True)
    build(tmp_path / "some", tasks)
    challenges = str(tmp_path / "tiny_challenges.json")
    data = DataConfig(train=(str(tmp_path / "all"),), test=(challenges,))
    (told,) = overlap_notes(data, load_tasks(challenges))
    assert f"shares 2 of its 3 tasks with {tmp_path / 'all'}, which was learnt from" in told
    assert told.endswith("(task0, task1)")
    notes = Notes()
    job.train(run_config(tmp_path, data=data.__dict__), CPU, tmp_path / "run", reporter=notes)
    assert told in notes.notes
    assert overlap_notes(replace(data, train=(str(tmp_path / "some"),)), load_tasks(FOLDER)) == []
    demonstrations = replace(data, train=(str(tmp_path / "some"),))
    assert overlap_notes(demonstrations, load_tasks(challenges)) == []
    gone = replace(data, train=(str(tmp_path / "gone"), str(FOLDER)))
    assert overlap_notes(gone, load_tasks(challenges)) == []


def test_it_can_be_the_tasks_of_a_run_that_learns_from_others(
    tmp_path: Path, tasks: list[Task]
) -> None:
    """As `data.test` beside ordinary data it is what any data is: its demonstrations are learnt."""
    build(tmp_path / "built", tasks)
    data = {"test": [str(tmp_path / "built")], "augmentations": 2}
    job.train(run_config(tmp_path, data=data), CPU, tmp_path / "run")
    assert len(json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())) == 1 + 3 * 3


def test_another_kind_of_puzzle_can_be_learnt_but_not_predicted(
    tmp_path: Path, tasks: list[Task]
) -> None:
    folder = tmp_path / "built"
    build(folder, tasks)
    (folder / "test_puzzles.json").unlink()
    (folder / "identifiers.json").write_text('["<blank>"]')
    numbers = {"seq_len": 16, "vocab_size": 20, "num_puzzle_identifiers": 1}
    rest = {"ignore_label_id": 0, "sets": ["all"]}
    (folder / "train" / "dataset.json").write_text(json.dumps(numbers | rest))
    rows = folder / "train" / "all__puzzle_identifiers.npy"
    np.save(rows, np.zeros_like(np.load(rows)))
    assert "has no test_puzzles.json" in sentence(lambda: load_tasks(folder))
    config = run_config(folder, model=MODEL | {"vocab_size": 20})
    message = sentence(lambda: job.train(config, CPU, tmp_path / "run"))
    assert "no ARC tasks in it to predict" in message, "data.test names it too"
    config = replace(config, data=replace(config.data, test=()))
    assert job.train(config, CPU, tmp_path / "run").step == 12


# Broken folders


def save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Damage done to one array of the training half."""

    def damage(folder: Path) -> None:
        path = folder / "train" / f"all__{name}.npy"
        np.save(path, change(np.load(path).copy()))

    return damage


def write(name: str, content: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text)

    return damage


def edit(key: str, value: Any) -> Callable[[Path], None]:
    """Another value in train/dataset.json; None takes the key away."""

    def damage(folder: Path) -> None:
        path = folder / "train" / "dataset.json"
        content = json.loads(path.read_text()) | {key: value}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return damage


def put(index: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def rename(row: int, name: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        names = json.loads((folder / "identifiers.json").read_text())
        names[row] = name
        (folder / "identifiers.json").write_text(json.dumps(names))

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "train" / name
        path.write_bytes(path.read_bytes()[:size])

    return damage


def pickle(folder: Path) -> None:
    objects = np.array([["code"], 1, None], dtype=object)
    np.save(folder / "train" / "all__puzzle_indices.npy", objects, allow_pickle=True)


def archive(folder: Path) -> None:
    with (folder / "train" / "all__inputs.npy").open("wb") as file:
        np.savez(file, np.zeros(3))


def lone_groups(folder: Path) -> None:
    save("group_indices", lambda a: np.array([0, 0, *a[2:]], np.int32))(folder)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no array": (
        lambda folder: (folder / "train" / "all__labels.npy").unlink(),
        "has no train/all__labels.npy",
    ),
    "no names": (
        lambda folder: (folder / "identifiers.json").unlink(),
        "has no identifiers.json",
    ),
    "a pickle": (pickle, "train/all__puzzle_indices.npy is not a whole .npy file of plain numbers"),
    "an archive": (archive, "train/all__inputs.npy is not a whole .npy file"),
    "a cut array": (cut("all__inputs.npy", 5000), "train/all__inputs.npy is not a whole .npy file"),
    "a cut header": (cut("all__labels.npy", 30), "train/all__labels.npy is not a whole .npy file"),
    "an empty file": (cut("all__group_indices.npy", 0), "is not a whole .npy file"),
    "wide tokens": (
        save("inputs", lambda a: a.astype(np.int64)),
        "all__inputs.npy holds int64 of 2 dimensions, expected uint8 of 2",
    ),
    "square canvases": (
        save("labels", lambda a: a.reshape(-1, 30, 30)),
        "all__labels.npy holds uint8 of 3 dimensions, expected uint8 of 2",
    ),
    "indices of floats": (
        save("puzzle_indices", lambda a: a.astype(np.float32)),
        "all__puzzle_indices.npy holds float32 of 1 dimensions, expected int32 of 1",
    ),
    "fewer labels": (save("labels", lambda a: a[:-1]), "as many as in all__inputs.npy"),
    "fewer cells": (save("inputs", lambda a: a[:, 1:]), "of the 900 tokens"),
    "no example": (save("inputs", lambda a: a[:0]), "expected at least one example"),
    "a late start": (
        save("puzzle_indices", put(0, 1)),
        "all__puzzle_indices.npy does not start at 0",
    ),
    "no starts": (save("group_indices", lambda a: a[:0]), "group_indices.npy does not start at 0"),
    "a fall": (
        save("puzzle_indices", put(3, 2)),
        "all__puzzle_indices.npy decreases from 8 to 2 at 3",
    ),
    "an early end": (
        save("puzzle_indices", put(-1, 109)),
        "all__puzzle_indices.npy ends at 109, but there are 110 examples",
    ),
    "groups beyond the end": (
        save("group_indices", put(-1, 36)),
        "all__group_indices.npy ends at 36, but there are 35 puzzles",
    ),
    "a group of nothing": (lone_groups, "has a group without a puzzle"),
    "fewer rows": (
        save("puzzle_identifiers", lambda a: a[:-1]),
        "has 34 puzzles, but all__puzzle_indices.npy has 35",
    ),
    "a row too high": (
        save("puzzle_identifiers", put(4, 36)),
        "gives puzzle 4 (from 0) the row 36, expected one of the 36 in identifiers.json",
    ),
    "a row below 0": (save("puzzle_identifiers", put(4, -1)), "the row -1"),
    "unequal puzzles": (
        save("puzzle_indices", put(1, 3)),
        "in the group of '11206627' (number 0 from 0) that puzzle has 3 examples, but "
        "'11206627|||t4|||0481963275' has 5",
    ),
    "names that are no list": (write("identifiers.json", {"<blank>": 0}), "is not a list of names"),
    "no names in it": (write("identifiers.json", []), "must begin with '<blank>'"),
    "no blank": (rename(0, "blank"), "must begin with '<blank>'"),
    "a number as a name": (rename(7, 7), "is not a list of names"),
    "a name twice": (rename(7, "11206627"), "names the puzzle '11206627' more than once"),
    "names cut": (write("identifiers.json", '["<blank>", "1'), "identifiers.json: is not JSON"),
    "no JSON": (write("train/dataset.json", "seq_len: 900"), "dataset.json: is not JSON"),
    "a list": (write("train/dataset.json", []), "dataset.json is not a JSON object"),
    "no cells": (edit("seq_len", None), "needs a whole number above 0 under 'seq_len'"),
    "text for a number": (edit("vocab_size", "12"), "a whole number above 0 under 'vocab_size'"),
    "truth for a number": (edit("vocab_size", True), "a whole number above 0 under 'vocab_size'"),
    "labels that count": (edit("ignore_label_id", None), "needs 0 under 'ignore_label_id'"),
    "several sets": (edit("sets", ["all", "more"]), "needs ['all'] under 'sets'"),
    "another number of names": (
        edit("num_puzzle_identifiers", 37),
        "identifiers.json has 36 names, but",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_gives_one_sentence(copied: Path, kind: str) -> None:
    damage, told = BROKEN[kind]
    damage(copied)
    message = sentence(lambda: open_built(copied).groups())
    assert told in message
    assert str(copied) in message


@pytest.mark.parametrize("name", ["inputs", "labels"])
def test_a_token_outside_the_vocabulary_is_told_when_it_is_read(copied: Path, name: str) -> None:
    save(name, put(9, 12))(copied)
    groups = open_built(copied).groups()
    assert groups[0].example(2, 0, None)
    message = sentence(lambda: groups[0].example(2, 1, None))
    assert f"train/all__{name}.npy, row 9 (from 0) holds the token 12" in message
    batches = BatchSampler(groups, 64, seed=0)
    assert "row 9" in sentence(lambda: [batches(step) for step in range(30)])


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_header_is_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(FOLDER, Path(name) / "built"))
        path = data.draw(st.sampled_from(sorted((folder / "train").glob("*.npy"))))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, 90))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            batch = BatchSampler(open_built(folder).groups(), 4, seed=0)(0)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert batch["inputs"].shape == (4, 900)
