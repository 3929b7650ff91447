"""The published trainer's folders: read as data, trained on, errors where they are damaged."""

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
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from notes import Notes
from paths import GOLDEN
from puzzles import augment_pair, parse_puzzle_name
from tiny import MODEL, TRAIN, write_challenges

from arc_trm.checkpoint import read_tensors
from arc_trm.config import DataConfig, RunConfig, from_dict
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.leakage import run_leakage
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.prebuilt import open_prebuilt
from arc_trm.data.sampler import IGNORE_LABEL, BatchSampler
from arc_trm.data.splits import predicted_tasks
from arc_trm.errors import UserError
from arc_trm.puzzles import IDENTITY, PAD
from arc_trm.puzzles.arc.tokenizer import FIRST_COLOUR, encode_pair
from arc_trm.runs import TRAINING_STATE, Run
from arc_trm.tasks import Pair, Task, TaskSet
from arc_trm.training import train_run

CPU = torch.device("cpu")
ARC = GOLDEN / "arc"
FOLDER = ARC / "built"
SIDE = 4


def write_split(
    folder: Path, dataset: TaskDataset, names: int, pairs: Callable[[Task], Sequence[Pair]]
) -> None:
    """Write the arrays of `train` or `test`: `pairs` of every task, all at the canvas's corner."""
    tokens, puzzle_ids, puzzle_starts, group_starts = [], [], [0], [0]
    for group in dataset:
        for puzzle, augmentation in enumerate([IDENTITY, *group.augmentations]):
            augmented = [augment_pair(augmentation, pair) for pair in pairs(group.task)]
            tokens += [encode_pair(pair, SIDE) for pair in augmented]
            puzzle_ids.append(group.puzzle_id(puzzle))
            puzzle_starts.append(len(tokens))
        group_starts.append(len(puzzle_ids))
    folder.mkdir(parents=True)
    inputs, labels = np.array(tokens).transpose(1, 0, 2)
    np.save(folder / "all__inputs.npy", np.ascontiguousarray(inputs))
    np.save(folder / "all__labels.npy", np.ascontiguousarray(labels))
    for name, values in (
        ("puzzle_identifiers", puzzle_ids),
        ("puzzle_indices", puzzle_starts),
        ("group_indices", group_starts),
    ):
        np.save(folder / f"all__{name}.npy", np.array(values, np.int32))
    numbers = {"seq_len": SIDE**2, "vocab_size": 12, "num_puzzle_identifiers": names}
    rest = {"pad_id": 0, "ignore_label_id": 0, "sets": ["all"]}
    (folder / "dataset.json").write_text(json.dumps(numbers | rest))


def make_dataset(tasks: Sequence[Task]) -> TaskDataset:
    """The tasks with three augmentations each, at the canvas's corner."""
    return TaskDataset(TaskSet.from_tasks("made", tasks), 3, seed=0, side=SIDE, translate=False)


def build(folder: Path, tasks: Sequence[Task], train_on_tests: bool = False) -> None:
    """Write a prebuilt folder of tasks, whose test outputs are trained on only if asked for."""
    dataset = make_dataset(tasks)
    names = list(dataset.puzzle_names())
    write_split(
        folder / "train",
        dataset,
        len(names),
        lambda task: (*task.train, *task.test) if train_on_tests else task.train,
    )
    write_split(folder / "test", dataset, len(names), lambda task: task.test)
    (folder / "identifiers.json").write_text(json.dumps(names))
    (folder / "test_puzzles.json").write_text(json.dumps({t.id: t.to_json() for t in tasks}))


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return list(load_tasks(write_challenges(tmp_path)))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "copied"))


def run_config(folder: Path, **changes: object) -> RunConfig:
    values = {
        "name": "built",
        "dtype": "float32",
        "model": MODEL,
        "train": TRAIN,
        "data": {"train": [str(folder)], "test": [str(folder)]},
    }
    return from_dict(RunConfig, {**values, **changes})


def sentence(action: Callable[[], object]) -> str:
    """Return the one sentence that an action fails with."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# As data


def test_its_tasks_are_those_it_was_built_from() -> None:
    raw = load_tasks(ARC / "raw" / "made-up_evaluation_challenges.json")
    built = load_tasks(str(FOLDER))
    assert built.fingerprint() == raw.fingerprint()
    assert built.name == str(FOLDER)
    assert list(built.ids) == list(json.loads((FOLDER / "test_puzzles.json").read_text()))
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
def test_one_split_alone(copied: Path, kept: str) -> None:
    shutil.rmtree(copied / ("test" if kept == "train" else "train"))
    (copied / "test_puzzles.json").unlink()
    assert "has no test_puzzles.json" in sentence(lambda: load_tasks(copied))
    if kept == "test":
        assert "has no train/dataset.json" in sentence(lambda: open_prebuilt(copied))


def test_a_folder_without_names_is_not_one_of_task_files(copied: Path) -> None:
    (copied / "identifiers.json").unlink()
    (copied / "test_puzzles.json").unlink()
    assert "published trainer's format" in sentence(lambda: load_tasks(copied))
    assert "has no identifiers.json" in sentence(lambda: open_prebuilt(copied))


# What the arrays mean


def find_grid(tokens: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the grid on a canvas and its offset."""
    cells = np.argwhere(tokens.reshape(30, 30) >= FIRST_COLOUR)
    (top, left), (bottom, right) = cells.min(0), cells.max(0) + 1
    return tokens.reshape(30, 30)[top:bottom, left:right] - FIRST_COLOUR, (int(top), int(left))


def test_tokens_are_those_of_our_own_encoding_but_for_the_offset() -> None:
    built, tasks = open_prebuilt(FOLDER), load_tasks(FOLDER)
    moved = 0
    for group in built:
        for puzzle in range(len(group)):
            task_id, augmentation = parse_puzzle_name(built.names[group.puzzle_id(puzzle)])
            expected, seen, at_corner = Counter(), Counter(), 0
            for pair in tasks[task_id].train:
                tokens = encode_pair(augment_pair(augmentation, pair))
                expected[b"".join(each.tobytes() for each in tokens)] += 1
            for index in range(group.num_pairs):
                example = group.example(puzzle, index, None)
                (grid, offset), (output, output_offset) = map(find_grid, example)
                assert offset == output_offset
                pair = Pair(grid, output)
                assert all(map(np.array_equal, encode_pair(pair, 30, offset), example))
                seen[b"".join(tokens.tobytes() for tokens in encode_pair(pair))] += 1
                at_corner += offset == (0, 0)
            assert seen == expected
            assert at_corner >= 1, "one pair of every puzzle stays at the corner"
            moved += group.num_pairs - at_corner
    assert moved > 20


def test_the_test_split_has_the_test_pairs_at_the_corner() -> None:
    tasks, names = load_tasks(FOLDER), json.loads((FOLDER / "identifiers.json").read_text())
    arrays = {file.stem: np.load(file) for file in (FOLDER / "test").glob("*.npy")}
    starts = arrays["all__puzzle_indices"]
    for puzzle, puzzle_id in enumerate(arrays["all__puzzle_identifiers"]):
        task_id, augmentation = parse_puzzle_name(names[puzzle_id])
        encoded = [encode_pair(augment_pair(augmentation, p)) for p in tasks[task_id].test]
        ours = {tuple(tokens.tobytes() for tokens in pair) for pair in encoded}
        theirs = {
            (arrays["all__inputs"][at].tobytes(), arrays["all__labels"][at].tobytes())
            for at in range(starts[puzzle], starts[puzzle + 1])
        }
        assert theirs == ours


# Batches


def test_batches_are_those_of_the_tasks_it_was_built_from(
    tmp_path: Path, tasks: list[Task]
) -> None:
    build(tmp_path / "built", tasks)
    built = open_prebuilt(tmp_path / "built")
    assert built.names == list(make_dataset(tasks).puzzle_names())
    dataset = make_dataset([task.without_solutions() for task in tasks])
    for rank, world_size in ((0, 1), (1, 2)):
        ours, theirs = (BatchSampler(each, 8, 5, rank, world_size) for each in (dataset, built))
        for step in (7, 0, 1, 2, 30):
            expected, found = ours(step), theirs(step)
            for key, array in expected.items():
                assert found[key].dtype == array.dtype
                assert np.array_equal(found[key], array)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([1, 2, 4]))
def test_a_batch_depends_on_seed_and_step_alone(seed: int, step: int, world: int) -> None:
    built = open_prebuilt(FOLDER)
    reused = BatchSampler(built, 8, seed)
    reused(step + 3)
    whole = reused(step)
    parts = [BatchSampler(built, 8, seed, rank, world)(step) for rank in range(world)]
    for key, expected in whole.items():
        assert np.array_equal(np.concatenate([part[key] for part in parts]), expected)


def test_tokens_are_mapped_and_never_written() -> None:
    built = open_prebuilt(FOLDER)
    for tokens in (built.inputs, built.labels):
        assert isinstance(tokens, np.memmap) and not tokens.flags.writeable


def test_an_epoch_visits_every_group_once_and_takes_its_pairs_without_replacement() -> None:
    built = open_prebuilt(FOLDER)
    pairs = built.pairs_per_task()
    assert pairs == {task.id: len(task.train) for task in load_tasks(FOLDER)}
    sampler = BatchSampler(built, sum(pairs.values()), seed=0)
    assert sampler.mean_pairs == pytest.approx(22 / 7)
    examples = {array.tobytes() for array in built.inputs}
    for step in range(4):
        batch = sampler(step)
        names = [built.names[puzzle_id] for puzzle_id in batch["puzzle_ids"]]
        assert Counter(parse_puzzle_name(name)[0] for name in names) == pairs
        assert len(set(names)) == len(pairs), "one puzzle of each"
        inputs = [tokens.astype(np.uint8).tobytes() for tokens in batch["inputs"]]
        assert len(set(inputs)) == len(inputs) and set(inputs) <= examples
        assert not (batch["labels"] == PAD).any() and (batch["labels"] == IGNORE_LABEL).any()


# Training


@pytest.mark.slow
def test_training_and_resuming(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "built", tasks)
    config = run_config(tmp_path / "built", train={**TRAIN, "save_interval_s": 1e-6})
    killed, straight, notes = tmp_path / "killed", tmp_path / "straight", Notes(stop=5)
    train_run(config, CPU, straight)
    with suppress(InterruptedError):
        train_run(config, CPU, killed, callbacks=[notes])
    train_run(Run(killed).config, CPU, killed, resume=True)
    for file in (TRAINING_STATE, "model.safetensors", "puzzle_embedding.safetensors"):
        one, other = (read_tensors(run / file) for run in (straight, killed))
        assert one[1] == other[1]
        assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())
    names = json.loads((tmp_path / "built" / "identifiers.json").read_text())
    assert json.loads((straight / "puzzle_ids.json").read_text()) == names
    embedding = read_tensors(straight / "puzzle_embedding.safetensors")[0]["puzzle_embedding"]
    assert embedding.shape == (len(names), config.model.puzzle_emb_dim)
    first, last = notes.notes[0], notes.notes[-1]
    assert (
        "data.augmentations, data.random_translation, data.max_grid_size and data.train_puzzles "
        "have no effect" in first
    )
    assert f"3 tasks, {len(names) - 1} puzzles, 12 steps" in last
    assert not any("shares" in note for note in notes.notes)


def test_epochs_count_groups(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "built", tasks)
    train = {**TRAIN, "total_steps": None}
    config = run_config(tmp_path / "built", epochs=4, train=train)
    assert train_run(config, CPU, tmp_path / "run").total_steps == 4 * 3 * 2 // 4


@pytest.mark.parametrize(
    "file",
    [
        "identifiers.json",
        "train/dataset.json",
        "train/all__inputs.npy",
        "train/all__labels.npy",
        "train/all__puzzle_identifiers.npy",
    ],
)
@pytest.mark.slow
def test_changed_data_does_not_resume(tmp_path: Path, tasks: list[Task], file: str) -> None:
    folder = tmp_path / "built"
    build(folder, tasks)
    train_run(run_config(folder), CPU, tmp_path / "run")
    path = folder / file
    if path.suffix == ".json":
        path.write_text(path.read_text().replace(", ", ",", 1))
    else:
        array = np.load(path)
        array.flat[0] += 1
        np.save(path, array)
    config = Run(tmp_path / "run").config
    message = sentence(lambda: train_run(config, CPU, tmp_path / "run", resume=True))
    assert "the tasks are not those that the run" in message


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"seq_len": 36}, "a seq_len of 16, but model.seq_len is 36: add `--set model.seq_len=16`"),
        (
            {"vocab_size": 11},
            "a vocab_size of 12, but model.vocab_size is 11: add `--set model.vocab_size=12`",
        ),
    ],
)
def test_a_model_of_another_shape(
    tmp_path: Path, tasks: list[Task], model: dict[str, int], message: str
) -> None:
    build(tmp_path / "built", tasks)
    config = run_config(tmp_path / "built", model=MODEL | model)
    assert message in sentence(lambda: train_run(config, CPU, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("train", "optional_train"),
    [
        (["built", "tiny_challenges.json"], []),
        (["tiny_challenges.json", "built"], []),
        (["built"], ["concept-arc"]),
        (["tiny_challenges.json"], ["built"]),
        ([], ["built"]),
    ],
)
def test_it_must_be_the_only_training_data(
    tmp_path: Path,
    tasks: list[Task],
    train: list[str],
    optional_train: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build(tmp_path / "built", tasks)
    monkeypatch.chdir(tmp_path)
    config = run_config(tmp_path, data={"train": train, "optional_train": optional_train})
    message = sentence(lambda: train_run(config, CPU, tmp_path / "run"))
    assert "must be the only training data" in message
    alone = f"data.train=['{tmp_path / 'built'}']"
    assert f'--set "{alone}" --set "data.optional_train=[]"' in message


@pytest.mark.slow
def test_other_data_may_be_predicted_and_is_not_trained_on(
    tmp_path: Path, tasks: list[Task]
) -> None:
    build(tmp_path / "built", tasks[:2])
    data = {
        "train": [str(tmp_path / "built")],
        "test": [str(tmp_path / "tiny_challenges.json")],
    }
    train_run(run_config(tmp_path, data=data), CPU, tmp_path / "run")
    names = json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())
    assert names == json.loads((tmp_path / "built" / "identifiers.json").read_text())
    predicted = predicted_tasks(Run(tmp_path / "run").config.data)
    assert list(predicted.ids) == [task.id for task in tasks]


def test_test_outputs_that_were_trained_on_are_a_leak(tmp_path: Path, tasks: list[Task]) -> None:
    build(tmp_path / "all", tasks[:2], train_on_tests=True)
    build(tmp_path / "some", tasks)
    challenges = str(tmp_path / "tiny_challenges.json")
    data = DataConfig(train=(str(tmp_path / "all"),), test=(challenges,))
    (warning,) = run_leakage(data, load_tasks(challenges))
    assert f"shares 2 of its 3 tasks with {tmp_path / 'all'}, which was trained on" in warning
    assert warning.endswith("(task0, task1)")
    notes = Notes()
    train_run(run_config(tmp_path, data=vars(data)), CPU, tmp_path / "run", callbacks=[notes])
    assert warning in notes.notes
    assert run_leakage(replace(data, train=(str(tmp_path / "some"),)), load_tasks(FOLDER)) == []
    demonstrations = replace(data, train=(str(tmp_path / "some"),))
    assert run_leakage(demonstrations, load_tasks(challenges)) == []
    gone = replace(data, train=(str(tmp_path / "gone"), str(FOLDER)))
    assert run_leakage(gone, load_tasks(challenges)) == []


def test_it_can_be_the_tasks_of_a_run_that_trains_on_others(
    tmp_path: Path, tasks: list[Task]
) -> None:
    """In `data.test` it is like other data: its demonstrations are trained on."""
    build(tmp_path / "built", tasks)
    data = {"test": [str(tmp_path / "built")], "augmentations": 2}
    train_run(run_config(tmp_path, data=data), CPU, tmp_path / "run")
    assert len(json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())) == 1 + 3 * 3


def test_an_unknown_kind_of_puzzle_can_be_trained_on_but_not_predicted(
    tmp_path: Path, tasks: list[Task]
) -> None:
    folder = tmp_path / "built"
    build(folder, tasks)
    (folder / "test_puzzles.json").unlink()
    (folder / "identifiers.json").write_text('["<blank>"]')
    numbers = {"seq_len": 16, "vocab_size": 20, "num_puzzle_identifiers": 1}
    rest = {"ignore_label_id": 0, "sets": ["all"]}
    (folder / "train" / "dataset.json").write_text(json.dumps(numbers | rest))
    puzzle_ids = folder / "train" / "all__puzzle_identifiers.npy"
    np.save(puzzle_ids, np.zeros_like(np.load(puzzle_ids)))
    assert "has no test_puzzles.json" in sentence(lambda: load_tasks(folder))
    config = run_config(folder, model=MODEL | {"vocab_size": 20})
    message = sentence(lambda: train_run(config, CPU, tmp_path / "run"))
    assert "no ARC tasks in it to predict" in message, "data.test names it too"
    config = replace(config, data=replace(config.data, test=()))
    assert train_run(config, CPU, tmp_path / "run").step == 12


# Damaged folders


def save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Return damage to one array of the training split."""

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
    """Return damage that sets a value in train/dataset.json; None removes the key."""

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


def rename(puzzle_id: int, name: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        names = json.loads((folder / "identifiers.json").read_text())
        names[puzzle_id] = name
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


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
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
    "fewer labels": (
        save("labels", lambda a: a[:-1]),
        "labels.npy is of shape (109, 900), expected as many examples as all__inputs.npy",
    ),
    "fewer cells": (
        save("inputs", lambda a: a[:, 1:]),
        "inputs.npy is of shape (110, 899), expected as many examples as all__inputs.npy, "
        "at least one, of 900 tokens (seq_len of dataset.json)",
    ),
    "no example": (
        save("inputs", lambda a: a[:0]),
        "inputs.npy is of shape (0, 900), expected as many examples as all__inputs.npy, "
        "at least one",
    ),
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
    "fewer ids": (
        save("puzzle_identifiers", lambda a: a[:-1]),
        "has 34 puzzles, but all__puzzle_indices.npy has 35",
    ),
    "an id too high": (
        save("puzzle_identifiers", put(4, 36)),
        "gives puzzle 4 (from 0) the id 36, expected one of the 36 in identifiers.json",
    ),
    "an id below 0": (save("puzzle_identifiers", put(4, -1)), "the id -1"),
    "unequal puzzles": (
        save("puzzle_indices", put(1, 3)),
        'in the group of "11206627" (number 0 from 0) that puzzle has 3 examples, but '
        '"11206627|||t4|||0481963275" has 5',
    ),
    "names that are no list": (write("identifiers.json", {"<blank>": 0}), "is not a list of names"),
    "no names in it": (write("identifiers.json", []), "must begin with '<blank>'"),
    "no blank": (rename(0, "blank"), "must begin with '<blank>'"),
    "a number as a name": (rename(7, 7), "is not a list of names"),
    "a name twice": (rename(7, "11206627"), 'names the puzzle "11206627" more than once'),
    "names cut": (write("identifiers.json", '["<blank>", "1'), "identifiers.json: is not JSON"),
    "no JSON": (write("train/dataset.json", "seq_len: 900"), "dataset.json: is not JSON"),
    "a list": (write("train/dataset.json", []), "dataset.json is not a JSON object"),
    "no seq_len": (edit("seq_len", None), "needs a whole number above 0 under 'seq_len'"),
    "text for a number": (edit("vocab_size", "12"), "a whole number above 0 under 'vocab_size'"),
    "truth for a number": (edit("vocab_size", True), "a whole number above 0 under 'vocab_size'"),
    "labels that count": (edit("ignore_label_id", None), "needs 0 under 'ignore_label_id'"),
    "several sets": (edit("sets", ["all", "more"]), "needs ['all'] under 'sets'"),
    "another number of names": (
        edit("num_puzzle_identifiers", 37),
        "identifiers.json has 36 names, but",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_gives_one_sentence(copied: Path, name: str) -> None:
    damage, expected = DAMAGES[name]
    damage(copied)
    message = sentence(lambda: list(open_prebuilt(copied)))
    assert expected in message
    assert str(copied) in message


@pytest.mark.parametrize("name", ["inputs", "labels"])
def test_a_token_outside_the_vocabulary_is_an_error_when_it_is_read(
    copied: Path, name: str
) -> None:
    save(name, put(9, 12))(copied)
    built = open_prebuilt(copied)
    assert built[0].example(2, 0, None)
    message = sentence(lambda: built[0].example(2, 1, None))
    assert f"train/all__{name}.npy, row 9 (from 0) holds the token 12" in message
    sampler = BatchSampler(built, 64, seed=0)
    assert "row 9" in sentence(lambda: [sampler(step) for step in range(30)])


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_header_is_read_or_an_error(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(FOLDER, Path(name) / "built"))
        path = data.draw(st.sampled_from(sorted((folder / "train").glob("*.npy"))))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, 90))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            batch = BatchSampler(open_prebuilt(folder), 4, seed=0)(0)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert batch["inputs"].shape == (4, 900)
