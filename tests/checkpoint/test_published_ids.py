"""The published numbering, byte for byte: recorded hashes, a recorded folder, the plain rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paths
import pytest
from commands import run_cli
from hypothesis import given, settings
from hypothesis import strategies as st

from arc_trm.checkpoint.published_ids import (
    published_ids,
    published_sets,
    read_published_ids,
    rebuild_published_ids,
    write_published_ids,
)
from arc_trm.data.loader import DATA_FOLDER, find_tasks, load_tasks
from arc_trm.data.registry import find_manifest
from arc_trm.errors import UserError
from arc_trm.puzzles.arc.augmentation import ArcAugmentation
from arc_trm.puzzles.arc.deduplication import TRIALS
from arc_trm.puzzles.base import SEPARATOR
from arc_trm.tasks import Pair, Task, as_grid

GOLDEN = paths.GOLDEN / "arc"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = run_cli(*arguments)
    return result.exit_code, result.stdout, result.stderr


def plain_numbering(subsets: list[list[Task]], augmentations: int, seed: int) -> list[str]:
    """The rule of docs/model.md, written plainly and slow."""
    rng = np.random.RandomState(seed)
    names = ["<blank>"]
    for subset in subsets:
        tasks = list(subset)
        rng.shuffle(tasks)
        for task in tasks:
            names.append(task.id)
            seen = {content(task, ArcAugmentation())}
            for _ in range(TRIALS * augmentations):
                if len(seen) > augmentations:
                    break
                dihedral = rng.randint(0, 8)
                image = bytes([0, *rng.permutation(np.arange(1, 10)).tolist()])
                augmentation = ArcAugmentation(dihedral, image)
                if content(task, augmentation) not in seen:
                    seen.add(content(task, augmentation))
                    # The identity comes as an augmentation only if it looks new, which it never is.
                    names.append(f"{task.id}{SEPARATOR}{augmentation.name}")
    return names


def content(task: Task, augmentation: ArcAugmentation) -> str:
    pairs = [
        [augmentation.apply(grid).tolist() for grid in pair.grids]
        for pair in (*task.train, *task.test)
    ]
    return json.dumps(sorted(map(json.dumps, pairs)))


grids = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 2), min_size=width, max_size=width), min_size=1, max_size=3
    )
)
pairs = st.builds(lambda i, o: Pair(as_grid(i), as_grid(o)), grids, grids)
tasks = st.builds(
    lambda train, test: (tuple(train), tuple(test)),
    st.lists(pairs, min_size=1, max_size=2),
    st.lists(pairs, min_size=1, max_size=2),
)


@settings(deadline=None)
@given(
    st.lists(st.lists(tasks, max_size=3), min_size=1, max_size=3),
    st.integers(0, 12),
    st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_the_numbering_follows_the_rule(contents: list, augmentations: int, seed: int) -> None:
    subsets = [
        [Task(f"{s}-{t}", *pairs) for t, pairs in enumerate(subset)]
        for s, subset in enumerate(contents)
    ]
    expected = plain_numbering(subsets, augmentations, seed)
    assert rebuild_published_ids(subsets, augmentations, seed) == expected


@pytest.mark.parametrize("name", ["arc1-aug10", "arc2-aug10"])
@pytest.mark.slow
def test_recorded_hashes(name: str) -> None:
    assert len(published_ids(name).names) == published_sets()[name].num_puzzles


@pytest.mark.slow
def test_a_file_with_the_names_of_a_set_says_what_was_trained_on(tmp_path: Path) -> None:
    found = published_ids("arc1-aug10")
    write_published_ids(tmp_path / "a.json", found.names)
    read = read_published_ids(tmp_path / "a.json")
    for ids in (found, read):
        assert ids.published_set is not None
        assert ids.published_set.trained_on == (
            "arc-agi-1/training",
            "arc-agi-1/evaluation (demonstrations)",
        )
    write_published_ids(tmp_path / "b.json", [*found.names[:-1], "another"])
    assert read_published_ids(tmp_path / "b.json").published_set is None


def test_without_conceptarc_its_puzzle_ids_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_FOLDER, raising=False)
    found = published_ids("arc1concept-aug1000")
    assert found.num_puzzles == 876_406 and len(found.names) == 730_515
    assert found.note is not None and "the last 145,891 of 876,406 puzzle ids" in found.note


@pytest.mark.skipif(find_tasks("concept-arc") is None, reason="needs ConceptARC in ARC_TRM_DATA")
def test_recorded_hash_with_conceptarc() -> None:
    found = published_ids("arc1concept-aug10")
    assert len(found.names) == found.num_puzzles and found.note is None


def test_published_sets_are_made_from_known_datasets() -> None:
    for each in published_sets().values():
        assert each.test in each.subsets
        assert all(find_manifest(subset) for subset in each.subsets)


def test_a_recorded_folder(tmp_path: Path) -> None:
    challenges = GOLDEN / "raw" / "made-up_evaluation_challenges.json"
    out = tmp_path / "identifiers.json"
    code, _, errors = invoke(
        "data",
        "identifiers",
        "--subset",
        f"evaluation={challenges}",
        "--augmentations",
        4,
        "--out",
        out,
    )
    assert code == 0, errors
    assert out.read_bytes() == (GOLDEN / "built" / "identifiers.json").read_bytes()
    assert len(read_published_ids(out).names) == 36


@pytest.mark.slow
def test_files_of_another_version_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = list(load_tasks("arc-agi-1/evaluation"))[1:]
    monkeypatch.setattr("arc_trm.checkpoint.published_ids.load_tasks", lambda name: fewer)
    with pytest.raises(UserError, match="differ from those that arc1-aug10 was made from"):
        published_ids("arc1-aug10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["<blank>", "a", "b", "a"]', 'names the puzzle "a" more than once'),
        ('["a", "b"]', "must begin with '<blank>'"),
        ("[]", "must begin with '<blank>'"),
        ('{"a": 1}', "is not a list of names"),
        ('["<blank>", 3]', "is not a list of names"),
        ('["<blank>"', "is not JSON"),
    ],
)
def test_invalid_identifiers_are_reported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "identifiers.json").write_text(text)
    step, out = GOLDEN.parent / "trm_attention" / "step_0", tmp_path / "out"
    code, _, errors = invoke("convert", step, out, "--identifiers", tmp_path / "identifiers.json")
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors and "identifiers.json" in errors
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--subset", "x"], '--subset takes NAME=DATA, got "x"'),
        (["--subset", "a=arc-agi-1", "--subset", "a=arc-agi-2"], '--subset names "a" twice'),
        (["--subset", "a=nowhere"], "neither a dataset nor an existing folder"),
    ],
)
def test_mistakes_are_reported(tmp_path: Path, options: list[str], message: str) -> None:
    code, _, errors = invoke("data", "identifiers", *options, "--out", tmp_path / "i.json")
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_an_unknown_set_suggests_the_right_one() -> None:
    with pytest.raises(UserError, match='did you mean "arc1concept-aug1000"'):
        published_ids("arc1concept-aug100")
