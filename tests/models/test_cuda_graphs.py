"""Functions are called, then replayed; a stand-in for CUDA's graphs runs them on the CPU."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from tiny import MODEL, TRAIN, make_batch, make_trainer

from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.models import build_model, cuda_graphs
from arc_trm.models.base import LAUNCH_BOUND_FLOPS, PuzzleModel
from arc_trm.models.cuda_graphs import MAX_GRAPHS, WARM_CALLS, CudaGraphs
from arc_trm.models.layers import BLOCKS, register_block
from arc_trm.training import Trainer


class Recorder:
    """Stands for CUDA's graphs: `fails` is why recording fails; `streams` were set."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0
        self.fails = ""
        self.pools: list[object] = []
        self.streams: list[object] = []


class StandIn:
    """A graph that repeats what a function did, at the same places."""

    replay: Callable[[], None]

    def pool(self) -> StandIn:
        return self


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    @contextmanager
    def graph(graph: StandIn, pool: object, capture_error_mode: str) -> Iterator[None]:
        recorder.recorded += 1
        recorder.pools.append(pool)
        if recorder.fails:
            raise RuntimeError(recorder.fails)
        yield

    def capture(self, function, arguments, pool) -> None:  # type: ignore[no-untyped-def]
        """Record as the real one does; a replay calls the function at the recorded places."""
        original(self, lambda *places: (), arguments, pool)  # recorded work is not done
        if self.graph is None:
            return

        def replay() -> None:
            recorder.replayed += 1
            self._result = function(*self._arguments)

        self.graph.replay = replay

    original = cuda_graphs._CapturedFunction._capture
    monkeypatch.setattr(cuda_graphs._CapturedFunction, "_capture", capture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", StandIn)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "stream")
    monkeypatch.setattr(torch.cuda, "set_stream", recorder.streams.append)
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("not permitted when stream is capturing\nmore", "not permitted when stream is capturing"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "the memory is too small to record them"),
    ],
)
def test_a_function_that_cannot_be_recorded_is_called(
    recorder: Recorder, error: str, said: str
) -> None:
    graphs, recorder.fails = CudaGraphs(), error
    with pytest.warns(UserWarning, match=rf"CUDA graph \({said}\)"):
        results = [graphs.call("f", lambda x: (x + 1,), torch.tensor(n))[0] for n in range(6)]
    assert list(map(int, results)) == [1, 2, 3, 4, 5, 6]
    assert (recorder.recorded, recorder.replayed, len(graphs)) == (1, 0, 0)
    assert recorder.streams == ["stream"]  # PyTorch would stay on that of the recording


def test_few_graphs_are_kept_and_share_the_pool_of_a_living_one(recorder: Recorder) -> None:
    graphs = CudaGraphs()
    for key in range(MAX_GRAPHS + 5):
        for _ in range(WARM_CALLS + 1):
            graphs.call(key, lambda x: (x,), torch.tensor(key))
    assert len(graphs) == MAX_GRAPHS
    assert recorder.pools[0] is None and None not in recorder.pools[1:]
    graphs.clear()
    for _ in range(WARM_CALLS + 1):
        graphs.call(0, lambda x: (x,), torch.tensor(0))
    assert recorder.pools[-1] is None


def test_a_trainer_that_is_no_longer_used_is_freed(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PuzzleModel, "is_launch_bound", lambda *arguments: True)
    trainer = make_trainer()
    trainer.step(make_batch(0))
    freed = weakref.ref(trainer)
    gc.disable()
    try:
        del trainer
        assert freed() is None
    finally:
        gc.enable()


def test_weights_that_move_are_recorded_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PuzzleModel, "is_launch_bound", lambda *arguments: True)
    model = make_trainer().model
    inputs, ids = torch.ones(2, 16, dtype=torch.int), torch.zeros(2, dtype=torch.long)
    list(model.predict_steps(inputs, ids, 4))
    Trainer(model, TrainConfig(**TRAIN))  # moves the weights into a buffer of its own
    list(model.predict_steps(inputs, ids, 4))
    assert recorder.recorded == 2
    model.free_graphs()
    assert len(model._graphs) == 0


@pytest.mark.parametrize("settings", [{}, {"separate_networks": True}, {"num_layers": 3}])
def test_small_steps_are_told_by_the_weights_of_a_block(settings: dict[str, object]) -> None:
    model = build_model(from_dict(ModelConfig, {**MODEL, **settings}), 1)
    assert not model.is_launch_bound(1, 17)  # on a CPU
    model._buffers["y_init"] = SimpleNamespace(device=torch.device("cuda"))
    per_block = sum(each.numel() for each in model.blocks[0].parameters())
    limit = int(LAUNCH_BOUND_FLOPS / 2 / per_block)
    assert model.is_launch_bound(limit - 1, 1) and not model.is_launch_bound(limit + 1, 1)


def test_blocks_of_others_are_never_recorded() -> None:
    @register_block("linear_of_others")
    def linear(config: ModelConfig, generator: torch.Generator | None) -> torch.nn.Module:
        return torch.nn.Linear(config.hidden_size, config.hidden_size)

    try:
        model = build_model(from_dict(ModelConfig, {**MODEL, "block": "linear_of_others"}), 1)
        model._buffers["y_init"] = SimpleNamespace(device=torch.device("cuda"))
        assert not model._weights_per_block and not model.is_launch_bound(1, 1)
    finally:
        del BLOCKS["linear_of_others"]


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
