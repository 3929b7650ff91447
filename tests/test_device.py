"""Which device, which type of numbers, how many processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
import torch

from arc_trm.device import memory_bytes, pick_device, pick_dtype
from arc_trm.errors import UserError

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes torch find this many GPUs of this compute capability, and an Apple GPU or none."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def imitate(gpus: int = 0, capability: tuple[int, int] = (8, 0), mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return imitate


# pick_device


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "cpu"),
        ({"gpus": 2}, "cuda:0"),
        ({"mps": True}, "mps"),
        ({"gpus": 1, "mps": True}, "cuda:0"),
    ],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(
    machine: Callable[..., None], found: dict[str, object], expected: str
) -> None:
    machine(**found)
    assert pick_device() == pick_device("auto") == torch.device(expected)


def test_a_device_is_taken_by_name(machine: Callable[..., None]) -> None:
    machine(gpus=2, mps=True)
    for name, expected in {
        "cpu": "cpu",
        "mps": "mps",
        "cuda": "cuda:0",
        "cuda:0": "cuda:0",
        "cuda:1": "cuda:1",
    }.items():
        assert pick_device(name) == torch.device(expected)


def test_a_gpu_that_is_taken_becomes_the_current_one(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton's kernels and CUDA graphs run there, whatever device their tensors are on."""
    machine(gpus=2)
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    pick_device("cuda:1")
    assert chosen == [torch.device("cuda", 1)]


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_under_torchrun_gets_a_gpu_of_its_own(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine(gpus=2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device(name) == torch.device("cuda:1")
    assert pick_device("cuda:0") == torch.device("cuda:0")  # as the user says
    assert pick_device("cpu") == CPU
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="more processes than GPUs, of which PyTorch finds 2"):
        pick_device(name)


@pytest.mark.parametrize(
    ("name", "count"), [("cuda", 0), ("cuda:0", 0), ("mps", 0), ("cuda:2", 2), ("cuda:99", 2)]
)
def test_a_missing_device_is_one_sentence(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    machine(gpus=count)
    for backend in (torch.backends.cuda, torch.backends.mps):
        monkeypatch.setattr(backend, "is_built", lambda: True)
    with pytest.raises(UserError) as caught:
        pick_device(name)
    message = str(caught.value)
    reason = "finds 2 devices of this kind, numbered from 0" if count else "finds no such device"
    assert f'"{name}" cannot be used here: PyTorch {reason}' in message
    assert "`--device cpu` always works" in message and "\n" not in message


def test_a_build_without_the_device_is_named(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    for backend, name, advice in (
        (torch.backends.cuda, "cuda", "without CUDA: install one with it, as pytorch.org says"),
        (torch.backends.mps, "mps", "without MPS, which is for Macs"),
    ):
        monkeypatch.setattr(backend, "is_built", lambda: False)
        with pytest.raises(UserError, match=f"this PyTorch was built {advice}"):
            pick_device(name)


@pytest.mark.parametrize(
    "name", ["", "gpu", "CUDA", "cuda:x", "cuda:-1", "cuda:1.0", "cuda0", "cpu cuda", "auto:1"]
)
def test_an_invalid_name_lists_the_valid_ones(machine: Callable[..., None], name: str) -> None:
    machine(gpus=2)
    with pytest.raises(UserError) as caught:
        pick_device(name)
    message = str(caught.value)
    assert f'"{name}"' in message and "\n" not in message
    assert all(valid in message for valid in ("auto", "cpu", "mps", "cuda", "cuda:NUMBER"))


# pick_dtype


@pytest.mark.parametrize("device", [CPU, CUDA, MPS], ids=str)
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_dtype_that_is_named_is_taken(
    machine: Callable[..., None], name: str, device: torch.device
) -> None:
    machine(gpus=1, capability=(8, 0))
    assert pick_dtype(name, device) == name


def test_a_gpu_without_bfloat16_is_named(machine: Callable[..., None]) -> None:
    machine(gpus=1, capability=(7, 5))
    assert pick_dtype("float32", CUDA) == "float32"
    with pytest.raises(UserError) as caught:
        pick_dtype("bfloat16", CUDA)
    assert str(caught.value) == (
        "dtype=bfloat16 needs a GPU of compute capability 8.0 or above, but cuda has 7.5: set "
        "dtype=float32, or use another device"
    )


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((7, 5), "float32"), ((8, 0), "bfloat16"), ((8, 9), "bfloat16"), ((12, 0), "bfloat16")],
)
def test_gpus_compute_in_bfloat16_from_ampere_on(
    machine: Callable[..., None], capability: tuple[int, int], expected: str
) -> None:
    machine(gpus=1, capability=capability)
    assert pick_dtype("auto", CUDA) == expected


def test_apple_gpus_compute_in_float32(machine: Callable[..., None]) -> None:
    machine(mps=True)
    assert pick_dtype("auto", MPS) == "float32"


QUESTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@pytest.mark.parametrize("answers", [(False, False), (True, False), (False, True), (True, True)])
def test_processors_compute_in_bfloat16_if_they_multiply_it(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[bool, bool]
) -> None:
    for question, answer in zip(QUESTIONS, answers, strict=True):
        monkeypatch.setattr(torch.cpu, question, lambda answer=answer: answer, raising=False)
    assert pick_dtype("auto", CPU) == ("bfloat16" if any(answers) else "float32")


def test_processors_compute_in_float32_if_torch_cannot_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for question in QUESTIONS:
        monkeypatch.delattr(torch.cpu, question, raising=False)
    assert pick_dtype("auto", CPU) == "float32"


# memory_bytes


def test_memory_is_all_that_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {1: SimpleNamespace(total_memory=24 * 2**30)}
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: properties[device.index]
    )
    assert memory_bytes(torch.device("cuda:1")) == 24 * 2**30
    sizes = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    with monkeypatch.context() as patched:
        patched.setattr(os, "sysconf", sizes.__getitem__)
        assert memory_bytes(CPU) == memory_bytes(MPS) == 4_096_000
    assert memory_bytes(CPU) == memory_bytes(CPU) > 2**26  # of this machine


# process_group

LEAVES = """
import os
import torch
from arc_trm.device import process_group

with process_group(torch.device("cpu")) as (rank, world):
    import torch._dynamo  # as looking at weights does, which are compared on the meta device
names = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
left = [name for name in names if "gloo" in name]
os.write(1, f"left {rank} {world} {left}\\n".encode())  # at once, or both lines may mix
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_a_process_group_leaves_no_thread_that_could_outlive_python(
    tmp_path: Path, torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "leaves.py").write_text(LEAVES)
    done = torchrun(tmp_path / "leaves.py")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["left 0 2 []", "left 1 2 []"]
