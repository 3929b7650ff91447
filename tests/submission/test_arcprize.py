"""ARC Prize benchmarking folders: written, read, validated, and the traps of the scorer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_challenges, write_predictions

import submission as sub
from arc_trm import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog, submission_digest
from arc_trm.evaluation.predictions import Prediction, build_submission
from arc_trm.tasks import as_grid

Cli: TypeAlias = Callable[..., Result]

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
PROVENANCE = sub.Provenance("tiny", "arc-trm", NOW, NOW, {"max_grid_size": 30})
A, B, C = [[1]], [[2, 2]], [[3], [3]]


def benchmarking_score(folder: Path, solutions: dict[str, Any]) -> tuple[float, int]:
    """Score a folder by the rules of ARC Prize's scorer, traps included.

    Every file is a task. Every item of its list is compared with the output at the attempts'
    pair_index, and counts if one of two attempts equals it. The metadata of every attempt is read.
    The score is the mean over files of right items per output.
    """
    shares = []
    for file in sorted(folder.iterdir()):
        if file.name == "results.json":
            continue
        outputs, right = solutions[file.stem], 0
        for place, pair in enumerate(json.loads(file.read_text())):
            solved = False
            for name in ("attempt_1", "attempt_2"):
                attempt = pair.get(name)
                if attempt is None:
                    continue
                metadata = attempt["metadata"]
                assert metadata["choices"][-1]["message"]["role"] == "assistant"
                assert (
                    metadata["usage"]["total_tokens"] >= 0 and metadata["cost"]["total_cost"] >= 0
                )
                index = metadata["pair_index"] if metadata["pair_index"] is not None else place
                solved |= attempt["answer"] == outputs[index]
            right += solved
        shares.append(right / len(outputs))
    return sum(shares) / len(shares), len(shares)


GRIDS = st.sampled_from([A, B, C])
TASKS = st.dictionaries(
    st.sampled_from(["aa", "bb", "cc", "dd"]),
    st.lists(st.tuples(GRIDS, st.lists(GRIDS | st.just([]), max_size=3)), min_size=1, max_size=3),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(TASKS)
def test_the_scorer_gives_our_score_per_task(
    tmp_path_factory: pytest.TempPathFactory, tasks: Any
) -> None:
    solutions = {name: [truth for truth, _ in task] for name, task in tasks.items()}
    ranked = {name: [candidates for _, candidates in task] for name, task in tasks.items()}
    folder = tmp_path_factory.mktemp("out") / "answers"
    sub.write_arcprize(folder, ranked, PROVENANCE)
    challenges = {name: {"test": truths} for name, truths in solutions.items()}
    assert not sub.check_path(folder, challenges=challenges).problems
    score, files = benchmarking_score(folder, solutions)
    ours = sub.score_ranked(ranked, solutions)
    assert files == len(solutions)  # a task without a file would raise the score
    assert score == pytest.approx(ours.pass_at[2].per_task.value)
    again = sub.read_arcprize(folder)
    assert sub.score_ranked(again, solutions).pass_at == ours.pass_at
    assert again == {
        name: [[*candidates, [], []][:2] for candidates in task] for name, task in ranked.items()
    }


def test_every_attempt_has_all_metadata(tmp_path: Path) -> None:
    sub.write_arcprize(tmp_path / "out", {"t": [[A, B], []]}, PROVENANCE)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["t.json"]
    pairs = json.loads((tmp_path / "out" / "t.json").read_text())
    attempts = [(n, pair[name]) for n, pair in enumerate(pairs) for name in sorted(pair)]
    assert [attempt["answer"] for _, attempt in attempts] == [A, B, [], []]
    for index, attempt in attempts:
        metadata = attempt["metadata"]
        assert metadata["pair_index"] == index and metadata["task_id"] == "t"
        assert (metadata["model"], metadata["provider"]) == ("tiny", "arc-trm")
        assert datetime.fromisoformat(metadata["start_timestamp"]) == NOW
        assert datetime.fromisoformat(metadata["end_timestamp"]) == NOW
        assert metadata["kwargs"] == {"max_grid_size": 30}
        (choice,) = metadata["choices"]  # an empty list ends the scorer
        content = choice["message"]["content"]
        assert choice["index"] == 0
        assert (json.loads(content) if content else []) == attempt["answer"]
        counts = metadata["usage"]
        assert (
            counts["total_tokens"] == counts["completion_tokens_details"]["reasoning_tokens"] == 0
        )
        assert set(metadata["cost"].values()) == {0}


@pytest.mark.parametrize(
    "task_id",
    [
        *("a/b", "..", ".hidden", "results", "Results", "a\nb", "nul\0", "", "x" * 201, "C:\\x"),
        *("con", "NUL.x", "Lpt1", "aux .txt", "\x1b[2J", "\u202egpj"),
    ],
)
def test_ids_that_cannot_be_file_names_write_nothing(tmp_path: Path, task_id: str) -> None:
    with pytest.raises(sub.FormatError, match="cannot be a file name"):
        sub.write_arcprize(tmp_path / "out", {"good": [[A]], task_id: [[A]]}, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second"), [("Task", "tASK"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")]
)
def test_ids_of_the_same_file_on_some_systems_write_nothing(
    tmp_path: Path, first: str, second: str
) -> None:
    with pytest.raises(sub.FormatError, match="some systems take for that of task"):
        sub.write_arcprize(tmp_path / "out", {first: [[A]], second: [[A]]}, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_folder_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, data: object) -> None:
        raise sub.WriteError(path, "the disk is full")

    monkeypatch.setattr("submission.arcprize.write_json", fail)
    with pytest.raises(sub.WriteError) as error:
        sub.write_arcprize(tmp_path / "out", {"t": [[A]]}, PROVENANCE)
    assert str(error.value) == f"{tmp_path / 'out'}: cannot be written: the disk is full"
    assert not list(tmp_path.iterdir())


def test_only_a_new_or_an_empty_folder_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The benchmarking would also score the files of an earlier export."""
    (tmp_path / "empty").mkdir()
    sub.write_arcprize(tmp_path / "empty", {"t": [[A]]}, PROVENANCE)
    (tmp_path / "file").write_text("")
    with pytest.raises(sub.WriteError, match=r"the folder .*none does not exist"):
        sub.write_arcprize(tmp_path / "none" / "out", {"u": [[A]]}, PROVENANCE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(sub.WriteError, match=r"^\.: cannot be written: it is the current folder"):
        sub.write_arcprize(".", {"u": [[A]]}, PROVENANCE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rmdir()
    for name in ("empty", "file"):
        with pytest.raises(
            sub.WriteError, match="it already exists: name another, or use --overwrite"
        ):
            sub.write_arcprize(tmp_path / name, {"u": [[A]]}, PROVENANCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["t.json"]


def test_only_a_folder_of_attempts_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sub.write_arcprize(folder, {"t": [[A]]}, PROVENANCE)
    (folder / "results.json").write_text("{}")  # of the benchmarking's scorer
    sub.write_arcprize(folder, {"u": [[A]]}, PROVENANCE, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["u.json"]
    for name in ("notes.txt", ".hidden", "more"):
        (folder / name).mkdir()
        with pytest.raises(sub.FormatError, match=f"holds more than attempts .{name}"):
            sub.write_arcprize(folder, {"v": [[A]]}, PROVENANCE, overwrite=True)
        (folder / name).rmdir()
    (folder / "x.json").write_text("{}")  # in another format
    refused = (
        rf"^{folder}: is not a folder of attempts, so it is not overwritten .{folder}/x\.json: "
    )
    with pytest.raises(sub.FormatError, match=refused):
        sub.write_arcprize(folder, {"v": [[A]]}, PROVENANCE, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert sorted(path.name for path in folder.iterdir()) == ["u.json", "x.json"]


def make_folder(path: Path, **files: Any) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / f"{name}.json").write_text(json.dumps(data))
    return path


def attempt(answer: Any, **metadata: Any) -> dict[str, Any]:
    return {"answer": answer, "metadata": metadata}


def test_files_are_read_by_the_indices_in_their_metadata(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path / "theirs",
        plain=[{"attempt_1": attempt(A), "attempt_2": attempt(B, pair_index=0)}],
        turned=[
            {"attempt_1": attempt(A, pair_index=1)},
            {"attempt_1": attempt(B, pair_index=0)},
        ],
        text=[{"attempt_1": attempt("[[1]]"), "attempt_2": attempt("no idea")}],
        failed=[{"attempt_1": None, "attempt_2": attempt(A)}, {"attempt_1": attempt([])}],
        bare=[{"attempt_1": A, "attempt_2": None}],  # as early files are
        numbers=[
            {"attempt_1": attempt(A, pair_index="1")},
            {"attempt_1": attempt(B, pair_index=0.0)},
        ],
        wrong=[{"attempt_1": attempt([[1], [2, 3]]), "attempt_2": attempt([[12]])}],
        second=[{"attempt_2": attempt(A)}],
        nothing=[],
        results={"score": 1},
    )
    assert sub.read_arcprize(folder) == {
        "plain": [[A, B]],
        "turned": [[B], [A]],
        "text": [[A, []]],
        "failed": [[[], A], [[]]],
        "bare": [[A, []]],
        "numbers": [[B], [A]],
        "wrong": [[[], []]],
        "second": [[[], A]],
        "nothing": [],
    }


def test_only_ordinary_files_are_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "theirs", t=[{"attempt_1": attempt(A)}])
    os.mkfifo(folder / "pipe.json")  # reading it would wait forever
    (folder / "folder.json").mkdir()
    assert sub.read_arcprize(folder) == {"t": [[A]]}


def test_a_repeated_pair_counts_once(tmp_path: Path) -> None:
    pair = {"attempt_1": attempt(A, pair_index=0, choices=[]), "attempt_2": None}
    folder = make_folder(tmp_path / "twice", t=[pair, pair])
    solutions: sub.Solutions = {"t": [A, B], "gone": [C]}
    answers = sub.read_ranked(folder, sub.count_outputs(solutions))
    assert answers == {"t": [[A, [], A, []], []]}
    ours = sub.score_ranked(answers, solutions)
    assert ours.pass_at[2].per_task == sub.Rate(0.5, 2)
    assert ours.missing == ("gone",)  # and counts as unsolved


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no files, expected one TASK.json per task"),
        ({"t": {"attempt_1": A}}, "t.json: is an object of 1 key, expected a list with the"),
        ({"t": [A]}, 't.json: item 1: is a list of 1 item, expected an object with "attempt_1"'),
        ({"t": [{"attempts": 1}]}, 'item 1: is an object of 1 key, expected an object with "att'),
        ({"t": [{"attempt_1": attempt(A, pair_index=10**9)}]}, "item 1: has the pair_index"),
        ({"t": [{"attempt_1": attempt(A, pair_index=-1)}]}, "item 1: has the pair_index -1"),
        ({"t": [{"attempt_1": attempt(A, pair_index=True)}]}, "item 1: has the pair_index -1"),
        ({"t": [{"attempt_1": attempt(A, pair_index="x")}]}, "item 1: has the pair_index -1"),
    ],
)
def test_folders_in_another_format(tmp_path: Path, files: Any, sentence: str) -> None:
    folder = make_folder(tmp_path / "theirs", **files)
    with pytest.raises(sub.FormatError) as caught:
        sub.read_arcprize(folder)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_validate_lists_the_traps(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = {"train": [{"input": A, "output": A}], "test": [{"input": A}, {"input": A}]}
    sub.write_json("c.json", {"good": task, "twice": task, "bad": task, "gone": task})
    ranked = {name: [[A, B], [C]] for name in ("good", "twice", "bad")}
    sub.write_arcprize("theirs", ranked, PROVENANCE)
    result = cli("validate", "theirs")
    assert result.output == (
        "theirs: is an ARC Prize benchmarking folder: valid, 3 tasks with 6 test outputs\n"
    )

    twice = json.loads(Path("theirs/twice.json").read_text())
    Path("theirs/twice.json").write_text(json.dumps([twice[0], twice[0]]))
    first, second = json.loads(Path("theirs/bad.json").read_text())
    first["attempt_1"]["metadata"]["choices"] = []
    del first["attempt_2"]["metadata"]["usage"]
    first["attempt_2"]["metadata"] |= {"cost": {"total_cost": None}, "start_timestamp": "never"}
    second["attempt_1"] = {"answer": A}
    second["attempt_2"]["metadata"]["pair_index"] = 7
    Path("theirs/bad.json").write_text(json.dumps([first, second, {}]))
    Path("theirs/other.json").write_text("[]")
    Path("theirs/results.json").write_text("{}")  # the scorer's own
    result = cli("validate", "theirs", "--challenges", "c.json")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        'bad.json, item 1, attempt_1: has an empty list of "choices", which ends the scorer',
        'bad.json, item 1, attempt_2, metadata: has "start_timestamp" that is "never", expected '
        "a time",
        'bad.json, item 1, attempt_2, metadata: has no "usage"',
        'bad.json, item 1, attempt_2, metadata: has "cost" that is an object of 1 key, '
        "expected an object with numbers as prompt_cost, completion_cost, total_cost",
        'bad.json, item 2, attempt_1: has no "metadata", expected an object',
        "bad.json, item 2: has the pair_index 7, expected the index of a test input",
        'bad.json, item 3: is an empty object, expected an object with "attempt_1"',
        "bad.json: has no item for test input 2",
        "other.json: is of an unknown task, expected only the challenges",
        "twice.json, item 2: has the pair_index 0 again, which the scorer counts twice",
        "twice.json: has no item for test input 2",
        "gone.json: is missing, which the scorer leaves out of its mean",
    ]
    summary = "theirs: is not a valid ARC Prize benchmarking folder (12 problems)"
    assert result.stderr == f"Error: {summary}\n"
    record = json.loads(cli("validate", "theirs", "--challenges", "c.json", "--json").stdout)
    assert record["kind"] == "benchmarking" and len(record["problems"]) == 12


# Commands


@pytest.fixture
def predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A predictions.jsonl for two of three tasks; attempt 2 at task0 is correct."""
    monkeypatch.chdir(tmp_path)
    challenges = write_challenges(tmp_path)
    solutions = {f"task{n}": [[[5 + n]]] for n in range(3)}  # which no guess is
    sub.write_json(tmp_path / "tiny_solutions.json", solutions)
    log = PredictionLog(tmp_path / "predictions.jsonl")
    data = {"data": [str(challenges)], "max_grid_size": 30}
    log.begin({}, {"model": "tiny-model", "started_at": NOW.isoformat(), **data})
    for task, grids in {"task0": [B, B, solutions["task0"][0]], "task1": [A]}.items():
        log.append(
            Prediction(task, 0, f"p{order}", order, as_grid(grid), 0.5)
            for order, grid in enumerate(grids)
        )
    return log.path


def scores(result: Result) -> dict[str, Any]:
    """What `score --json` printed, without what the predictions are."""
    record: dict[str, Any] = json.loads(result.stdout)
    del record["about"]
    return record


def test_export_and_back(cli: Cli, predicted: Path) -> None:
    result = cli("export", "predictions.jsonl", "--format", "arcprize", "--out", "theirs")
    assert result.output == "Wrote theirs: 3 tasks with 3 test outputs\n"
    solutions = json.loads(Path("tiny_solutions.json").read_text())
    score, files = benchmarking_score(Path("theirs"), solutions)
    record = scores(cli("score", "predictions.jsonl", "--json"))
    assert score == pytest.approx(record["pass@2"]["per_task"]["value"]) == 1 / 3
    assert files == record["pass@2"]["per_task"]["total"] == 3
    metadata = json.loads(Path("theirs/task0.json").read_text())[0]["attempt_1"]["metadata"]
    assert metadata["model"] == "tiny-model" and metadata["start_timestamp"] == NOW.isoformat()
    for options in (["--solutions", "tiny_solutions.json"], ["--data", "tiny_challenges.json"]):
        assert scores(cli("score", "theirs", *options, "--json")) == record

    Path("theirs/task2.json").write_text('[{"attempt_1": null, "attempt_2": null}]')
    result = cli("export", "theirs", "--format", "submission", "--out", "submission.json")
    assert result.stdout.endswith("3 tasks with 3 test outputs, 1 of them unanswered\n")
    assert "does not say how many tasks and test outputs there are: name" in result.stderr
    challenges = sub.read_challenges("tiny_challenges.json")
    written = sub.read_submission("submission.json", challenges)
    assert written["task0"][0] == {"attempt_1": B, "attempt_2": solutions["task0"][0]}
    assert written["task2"][0] == {"attempt_1": [[0]], "attempt_2": [[0]]}


def test_two_runs_are_compared(cli: Cli, predicted: Path) -> None:
    cli("export", "predictions.jsonl", "--format", "submission", "--out", "before.json")
    right = json.loads(Path("tiny_solutions.json").read_text())
    after = sub.read_submission("before.json")
    after["task0"][0] = {"attempt_1": A, "attempt_2": A}
    for task in ("task1", "task2"):
        after[task][0]["attempt_2"] = right[task][0]
    sub.write_json("after.json", after)
    options = ("--solutions", "tiny_solutions.json")
    result = cli("score", "before.json", "after.json", *options)
    assert result.exit_code == 0, result.output
    (row,) = (line.split() for line in result.stdout.splitlines() if "pass@2  per output" in line)
    assert row[:7] == ["pass@2", "per", "output", "1/3", "33.3", "%", "2/3"]
    assert row[9] == "+33.3"
    assert "gained 2 tasks by pass@2 per task: task1, task2" in result.stdout
    assert "lost 1 task by pass@2 per task: task0" in result.stdout
    record = json.loads(cli("score", "before.json", "after.json", *options, "--json").stdout)
    assert record["difference"]["gained"] == ["task1", "task2"]
    again = cli("score", "before.json", "after.json", *options)
    assert again.stdout == result.stdout
    same = cli("score", "before.json", "before.json", *options).stdout
    assert "gained 0 tasks by pass@2 per task\nlost 0 tasks by pass@2 per task\n" in same
    assert "sign test on what changed: p = 1\n" in same
    three = cli("score", "before.json", "after.json", "before.json", *options, "--json")
    assert json.loads(three.stdout)["differences"][0] == {
        "file": "after.json",
        **record["difference"],
    }


def test_merging_takes_all_candidates_of_a_log(cli: Cli, predicted: Path) -> None:
    """Third candidates count, which a submission cannot have."""
    right = json.loads(Path("tiny_solutions.json").read_text())["task0"][0]
    cli("export", "predictions.jsonl", "--format", "submission", "--out", "a.json")
    theirs = sub.read_submission("a.json")
    theirs["task0"][0] = {"attempt_1": right, "attempt_2": C}
    sub.write_json("b.json", theirs)
    result = cli("merge", "predictions.jsonl", "b.json", "--out", "merged.json")
    *about, last = result.stdout.splitlines()
    assert last == "Wrote merged.json: 3 tasks with 3 test outputs"
    assert "weights   tiny-model" in about and "file      b.json" in about
    named = cli("merge", "predictions.jsonl", "b.json", "--out", "again.json", "--json")
    record = json.loads(named.stdout)
    assert [each["file"] for each in record["about"]] == ["predictions.jsonl", "b.json"]
    assert (record["file"], record["notes"]) == ("again.json", [])
    merged = sub.read_submission("merged.json", sub.read_challenges("tiny_challenges.json"))
    # right: 1/2 of the log and 1 of b.json; [[2, 2]]: 1 of the log.
    assert merged["task0"][0] == {"attempt_1": right, "attempt_2": B}
    for weights, first in (("1,1", right), ("3,1", B)):
        options = ("--vote-weights", weights, "--out", "merged.json", "--overwrite")
        cli("merge", "predictions.jsonl", "b.json", *options)
        assert sub.read_submission("merged.json")["task0"][0]["attempt_1"] == first


def test_a_submission_of_nothing_but_guesses_is_no_success(cli: Cli, predicted: Path) -> None:
    """Whether the log or the submission of its job is merged."""
    tasks = load_tasks("tiny_challenges.json")
    attempts = build_submission((), tasks)
    facts = {"data": ["tiny_challenges.json"], "max_grid_size": 30}
    folder = write_predictions(Path("job"), tasks, attempts, **facts)
    guessed = [[task.id, 0] for task in tasks]
    status = {"submission": submission_digest(attempts), "voters": [0, 0, 0], "guessed": guessed}
    with (folder / "predictions.jsonl").open("a") as log:
        log.write(json.dumps({"status": status}) + "\n")
    for name in ("predictions.jsonl", "submission.json"):
        result = cli("merge", folder / name, "--out", f"merged-{name}.json", "--json")
        assert (result.exit_code, json.loads(result.stdout)["guesses"]) == (3, 3)
        merged = sub.read_submission(f"merged-{name}.json")
        assert merged == attempts


def test_guesses_do_not_vote(cli: Cli, predicted: Path) -> None:
    """Three logs have one candidate each; the input, which no model predicted, cannot win."""
    names = []
    for number, grid in enumerate((A, B, C)):
        log = PredictionLog(Path(f"{number}.jsonl"))
        log.begin({}, {"data": ["tiny_challenges.json"], "max_grid_size": 30})
        log.append([Prediction("task0", 0, "task0", 0, as_grid(grid), 0.5)])
        names.append(log.path.name)
    result = cli("merge", *names, "--out", "merged.json")
    assert result.exit_code == 0
    assert "2 of 3 test inputs have no vote: guesses" in result.stdout.splitlines()
    merged = sub.read_submission("merged.json")
    assert merged["task0"][0] == {"attempt_1": A, "attempt_2": B}
    # A task without predictions gets the guesses of the first file, which also follow one vote.
    cli("export", names[0], "--format", "submission", "--out", "first.json")
    assert merged["task1"] == sub.read_submission("first.json")["task1"]
    again = cli("merge", names[0], names[0], "--out", "merged.json")
    assert again.exit_code == 2 and "merged.json already exists: name another" in again.stderr
    cli("merge", names[0], names[0], "--out", "merged.json", "--overwrite")
    assert sub.read_submission("merged.json") == sub.read_submission("first.json")


def test_only_a_submission_is_overwritten(cli: Cli, predicted: Path) -> None:
    Path("notes.txt").write_text("mine")
    Path("folder").mkdir()
    for name in ("predictions.jsonl", "tiny_challenges.json", "tiny_solutions.json", "notes.txt"):
        before = Path(name).read_bytes()
        for command in (
            ("merge", "predictions.jsonl", "predictions.jsonl"),
            ("export", "predictions.jsonl", "--format", "submission"),
        ):
            result = cli(*command, "--out", name, "--overwrite")
            assert result.exit_code == 2 and f"{name} is not a submission" in result.stderr
        assert Path(name).read_bytes() == before
    assert cli("merge", predicted, "--out", "folder", "--overwrite").exit_code == 2


def test_merging_folders_that_lack_tasks(cli: Cli, predicted: Path) -> None:
    cli("export", "predictions.jsonl", "--format", "arcprize", "--out", "theirs")
    Path("theirs/task1.json").unlink()
    result = cli("merge", "predictions.jsonl", "theirs", "--out", "merged.json")
    assert result.stderr.splitlines()[-1] == "theirs: lacks 1 task of the first"
    merged = sub.read_submission("merged.json", sub.read_challenges("tiny_challenges.json"))
    assert merged["task1"][0]["attempt_1"] == A
    result = cli("merge", "theirs", "predictions.jsonl", "--out", "other.json")
    assert result.exit_code == 2 and "has 1 task that theirs lacks (task1)" in result.output
    assert not Path("other.json").exists()


def test_folders_and_pairs_of_files_name_their_tasks(cli: Cli, predicted: Path) -> None:
    cli("export", "predictions.jsonl", "--format", "submission", "--out", "submission.json")
    score = scores(cli("score", "predictions.jsonl", "--json"))
    assert scores(cli("score", ".", "--json")) == score  # a folder that predict wrote into
    for pair in (
        ("submission.json", "predictions.jsonl"),
        ("predictions.jsonl", "submission.json"),
    ):
        both = json.loads(cli("score", *pair, "--json").stdout)
        for which in ("first", "second"):
            assert both[which]["pass@2"] == score["pass@2"]
    named = cli("score", "submission.json")  # by the log beside it, which did not write it
    assert named.exit_code == 0 and "weights   unknown: the job" in named.stdout
    Path("submission.json").rename("alone.json")
    unnamed = cli("score", "alone.json")
    assert unnamed.exit_code == 2 and "does not say which tasks it is for" in unnamed.stderr
    # A log whose tasks are gone, with solutions in a file: --data says which tasks.
    Path("tiny_challenges.json").rename("moved.json")
    gone = cli("score", "predictions.jsonl", "--solutions", "tiny_solutions.json")
    assert gone.exit_code == 2 and "name them with --data" in gone.stderr
    options = ("--solutions", "tiny_solutions.json", "--data", "moved.json")
    assert scores(cli("score", "predictions.jsonl", *options, "--json")) == score
    assert scores(cli("score", "alone.json", *options, "--json")) == score


@pytest.mark.parametrize(
    "metadata",
    [{"started_at": "0001-01-01T00:00:00+23:59"}, {"started_at": [1]}, {"data": 7, "model": {}}],
)
def test_invalid_metadata_in_a_log(cli: Cli, predicted: Path, metadata: dict[str, Any]) -> None:
    header, _, rest = predicted.read_text().partition("\n")
    record = json.loads(header)
    record["metadata"] |= metadata
    predicted.write_text(json.dumps(record) + "\n" + rest)
    arguments = ["export", "predictions.jsonl", "--format", "arcprize", "--out", "x"]
    result = cli(*arguments, "--data", "tiny_challenges.json")
    assert result.exit_code == 0, result.output
    assert cli("validate", "x").exit_code == 0
    predicted.write_text(
        header.replace('"max_grid_size": 30', '"max_grid_size": NaN') + "\n" + rest
    )
    assert "line 1 is not a prediction" in cli(*arguments[:-1], "y").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["validate", "empty"], "has no files, expected one TASK.json per task"),
        (
            ["validate", "predictions.jsonl"],
            "predictions.jsonl is a log of predictions, which is no official file: score it with "
            "`arc-trm score predictions.jsonl`, or make a submission of it with `arc-trm export "
            "predictions.jsonl --format submission --out submission.json`",
        ),
        (["validate", "."], "predictions.jsonl is a log of predictions, which is no official file"),
        (["validate", "run"], "run has no predictions yet: make them with `arc-trm predict run`"),
        (
            ["validate", "empty", "--json"],
            "is not a valid ARC Prize benchmarking folder (1 problem)",
        ),
        (["export", "short", "--format", "submission", "--out", "x"], "short: task t: is an empty"),
        (["merge", "short", "--out", "x"], "task t: is an empty list, expected a list with two"),
        (
            ["export", "short", "--format", "submission", "--model", "m", "--out", "x"],
            "--model is for the metadata of a folder",
        ),
        (
            ["export", "gone.jsonl", "--format", "arcprize", "--out", "x"],
            "gone.jsonl does not exist",
        ),
        (["export", "gone", "--format", "arcprize", "--out", "x"], "gone does not exist"),
        (["export", "predictions.jsonl", "--format", "pdf", "--out", "x"], "'pdf' is not one of"),
        (
            ["export", "predictions.jsonl", "--format", "arcprize", "--out", "."],
            "already exists",
        ),
        (["merge", "predictions.jsonl", "gone.json", "--out", "x"], "gone.json does not exist"),
        (["score", "predictions.jsonl", "gone.json"], "gone.json does not exist"),
        (["score", "empty", "--data", "tiny_challenges.json"], "empty: has no files, expected one"),
    ],
)
def test_mistakes_get_one_sentence(
    cli: Cli, predicted: Path, arguments: list[str], sentence: str
) -> None:
    Path("empty").mkdir()
    make_folder(Path("short"), t=[])
    make_folder(Path("run"), run={})
    result = cli(*arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.output and "Traceback" not in result.stderr
    assert not Path("x").exists()
