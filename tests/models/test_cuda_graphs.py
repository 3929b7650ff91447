"""Functions are called, then replayed; a stand-in for CUDA's graphs runs them on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from tiny import make_batch, make_trainer
from torch import Tensor

from arc_trm.models import cuda_graphs
from arc_trm.models.base import PuzzleModel
from arc_trm.models.cuda_graphs import WARM_CALLS, CudaGraphs


class Recorder:
    """Stands for CUDA's graphs: `fails` says whether recording fails."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0
        self.fails = False


class StandIn:
    """A graph that repeats what a function did, at the same places."""

    work: Callable[[], None]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    @contextmanager
    def graph(graph: StandIn, **others: object) -> Iterator[None]:
        recorder.recorded += 1
        if recorder.fails:
            raise RuntimeError("not permitted when stream is capturing\nmore")
        yield

    def capture(self, arguments: tuple[Tensor, ...]) -> None:
        """Record as the real one does; a replay calls the function at the recorded places."""
        function, self._function = self._function, lambda *places: ()  # recorded work is not done
        original(self, arguments)
        self._function = function
        if self._graph is None:
            return

        def replay() -> None:
            recorder.replayed += 1
            self._result = function(*self._arguments)

        self._graph.replay = replay

    original = cuda_graphs._CapturedFunction._capture
    monkeypatch.setattr(cuda_graphs._CapturedFunction, "_capture", capture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", StandIn)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return recorder


def test_results_are_those_of_the_arguments_of_each_call(recorder: Recorder) -> None:
    graphs = CudaGraphs()
    for number in range(6):
        x, y = torch.tensor([float(number)]), torch.tensor([2.0])
        total, product = graphs.call("f", lambda x, y: (x + y, x * y), x, y)
        assert (float(total), float(product)) == (number + 2, 2 * number)
    assert (recorder.recorded, recorder.replayed, len(graphs)) == (1, 6 - WARM_CALLS, 1)
    assert len(copy.deepcopy(graphs)) == 0
    graphs.clear()
    assert len(graphs) == 0


def test_a_function_that_cannot_be_recorded_is_called(recorder: Recorder) -> None:
    graphs, recorder.fails = CudaGraphs(), True
    with pytest.warns(UserWarning, match=r"CUDA graph \(not permitted when stream is capturing\)"):
        results = [graphs.call("f", lambda x: (x + 1,), torch.tensor(n))[0] for n in range(6)]
    assert list(map(int, results)) == [1, 2, 3, 4, 5, 6]
    assert (recorder.recorded, recorder.replayed, len(graphs)) == (1, 0, 0)


def test_replayed_training_equals_called_training(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, replayed = (make_trainer(embedding_only_fraction=0.25) for _ in range(2))
    expected = [dict(plain.step(make_batch(step))) for step in range(8)]
    monkeypatch.setattr(PuzzleModel, "is_launch_bound", lambda *arguments: True)
    got = [dict(replayed.step(make_batch(step))) for step in range(8)]
    assert got == expected
    assert torch.equal(plain.flat_params, replayed.flat_params)
    assert recorder.recorded == 2  # with the puzzle embedding alone, and with all weights
    state = replayed.state_dict()
    resumed = make_trainer(embedding_only_fraction=0.25)
    resumed.load_state_dict({name: value.clone() for name, value in state.items()})
    assert dict(resumed.step(make_batch(8))) == dict(replayed.step(make_batch(8)))
    replayed.load_state_dict(state)  # its graphs computed on other tensors
    assert len(replayed._graphs) == 0


@pytest.mark.parametrize("batch", [1, 5, 19])
def test_replayed_predictions_equal_called_ones(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    model = make_trainer().model
    inputs = torch.randint(0, 12, (batch, 16), generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(batch, dtype=torch.long)
    expected = list(model.predict_steps(inputs, ids, 6))
    monkeypatch.setattr(PuzzleModel, "is_launch_bound", lambda *arguments: True)
    got = list(model.predict_steps(inputs, ids, 6))
    for (logits, halting), (other_logits, other_halting) in zip(got, expected, strict=True):
        torch.testing.assert_close(logits, other_logits)
        torch.testing.assert_close(halting, other_halting)
    assert recorder.replayed == 6 - WARM_CALLS
