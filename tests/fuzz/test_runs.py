"""What lies in the folders of runs and predictions, and the index of them."""

from __future__ import annotations

import json
from pathlib import Path

from fuzzing import assert_sentence, fuzz, mutations, reads_or_refuses
from hypothesis import example, given

from arc_trm.evaluation.prediction_log import FORMAT, PredictionLog, read_predictions
from arc_trm.evaluation.seal import Seal, earlier_seal
from arc_trm.evaluation.source import PredictionSource
from arc_trm.runs import METRICS, PREDICTIONS, SEAL, Run, latest_run
from arc_trm.runs.history import index_path, recall
from arc_trm.runs.provenance import PROVENANCE, read_provenance
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

GRID = [[1, 2], [3, 4]]
PAIR = Pair(as_grid(GRID), as_grid(GRID))
TASKS = TaskSet("t", {"a": Task("a", (PAIR,), (PAIR,))})
HEADER = {
    "format": FORMAT,
    "tasks": TASKS.fingerprint(False),
    "attempts": 2,
    "select": "votes",
    "samples": 2,
    "metadata": {"data": ["/dev/zero", "a\0b"], "kind": "arc", "model": "m", "checkpoint": "best"},
}
RECORDS = [
    {"task": "a", "test": 0, "puzzle": "a", "halt_prob": 0.5, "grid": GRID, "runner_up": [0, 0, 5]},
    {"task": "a", "test": 0, "puzzle": "a|||t1|||0123456789", "halt_prob": 1, "grid": GRID},
    {"task": "a", "test": 0, "puzzle": "a", "trace": [[0.1, ["12", "34"]], [0.2]], "steps": 2},
    {"status": {"submission": "0" * 64, "voters": [1, 1, 1], "guessed": [["a", 0]]}},
]


def lines(*records: object) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in records).encode()


LOG = lines(HEADER, *RECORDS)
SEEDS = [LOG, lines(HEADER), LOG.replace(b'"test": 0', b'"test": ' + b"9" * 5000), b"[" * 10_000]


@fuzz
@given(mutations(*SEEDS))
@example(LOG)
def test_prediction_logs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / PREDICTIONS
    path.write_bytes(content)
    reads_or_refuses(lambda: list(PredictionLog(path).read()))
    reads_or_refuses(lambda: read_predictions(PredictionLog(path), TASKS))
    reads_or_refuses(lambda: PredictionLog(path).status_of({"a": []}))
    reads_or_refuses(lambda: PredictionLog(path).check_key({"weights": "x"}))


@fuzz
@given(mutations(*SEEDS))
@example(LOG)
def test_predictions_name_their_own_data(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / PREDICTIONS
    path.write_bytes(content)
    reads_or_refuses(lambda: PredictionSource.open(path).summary.rows())
    reads_or_refuses(lambda: PredictionSource.open(path).tasks)
    reads_or_refuses(lambda: PredictionSource.open(tmp_path).score())


RECORD = {"step": 3, "time": 1.5, "loss": 0.5, "eval/exact": 0.25, "lr": 1e-3}


@fuzz
@given(mutations(lines(RECORD, {**RECORD, "step": 4}), b'{"step": NaN}\n{"step": 1e999}\n'))
def test_metrics(tmp_path: Path, content: bytes) -> None:
    (tmp_path / METRICS).write_bytes(content)
    reads_or_refuses(lambda: Run(tmp_path).metrics)


ENTRY = {"step": 0, "command": "arc-trm train", "version": "1", "plugins": {"loss x": None}}
ENDED = {"step": 9, "complete": True}


@fuzz
@given(mutations(json.dumps({"format": "x", "entries": [ENTRY], "ended": ENDED}).encode()))
def test_provenance(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROVENANCE).write_bytes(content)
    assert isinstance(read_provenance(tmp_path).entries, list)


KEY = {"weights": "w", "tasks": "0" * 64, "version": "1", "code": "0" * 16, "samples": 2}
ABOUT = {"model": "m", "checkpoint": "best", "data": ["d"]}
SEALED = Seal.of(KEY, ABOUT, {"model.safetensors": "0" * 64}, "1" * 64, "2" * 64).to_dict()


@fuzz
@given(mutations(json.dumps(SEALED).encode(), json.dumps({**SEALED, "settings": 5}).encode()))
def test_seals(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / SEAL
    path.write_bytes(content)
    reads_or_refuses(lambda: Seal.read(path))
    reads_or_refuses(lambda: earlier_seal(tmp_path))


INDEX = lines(
    {"kind": "run", "path": "/tmp/r", "time": 1.0},
    {"kind": "run", "path": "a\0b", "time": 1e300},
    {"kind": "predictions", "path": "\ud800", "time": 2},
)


@fuzz
@given(mutations(INDEX))
def test_the_index_of_runs(content: bytes) -> None:
    path = index_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert all(isinstance(each, Path) for each in recall("run"))

    try:
        latest_run()
    except Exception as error:
        assert_sentence(str(error))
