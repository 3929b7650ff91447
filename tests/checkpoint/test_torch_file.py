"""State dicts of torch.save are read as PyTorch reads them, or refused."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from arc_trm.checkpoint.safetensors_io import read_tensors
from arc_trm.checkpoint.torch_file import NotTensors, read_state_dict

PLAIN = torch.arange(12, dtype=torch.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "state",
    [
        {"a": PLAIN, "b": PLAIN.double()[1:], "é": PLAIN.half().T, "0": torch.tensor(1.5)},
        OrderedDict(x=PLAIN.bfloat16()[:, ::2], empty=torch.empty(0, 3)),
        {"parameter": torch.nn.Parameter(PLAIN)},
        torch.nn.Linear(3, 2).state_dict(),
    ],
)
def test_tensors_are_equal_to_the_bit(tmp_path: Path, state: Any) -> None:
    torch.save(state, path := tmp_path / "step_1")
    ours, theirs = read_state_dict(path), torch.load(path, weights_only=True)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"a": torch._neg_view(PLAIN)}, "a view of a special kind"),
        ({"a": PLAIN.long()}, "not floating-point"),
        ({"a": PLAIN.expand(5, 3, 4)}, "larger than its numbers"),
        ([PLAIN], "no dict of tensors|instruction"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path: Path, state: Any, reason: str) -> None:
    torch.save(state, path := tmp_path / "step_1")
    with pytest.raises(NotTensors, match=reason):
        read_state_dict(path)


def write(path: Path, header: bytes, content: bytes) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return path


@pytest.mark.parametrize("padding", [b"", b" ", b"   "])
@pytest.mark.parametrize("more", ["", '"__metadata__": null,'])
def test_safetensors_of_other_programs_are_read(tmp_path: Path, padding: bytes, more: str) -> None:
    """Their numbers need not be aligned."""
    entry = '"a": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48], "note": 1}'
    header = f"{{{more}{entry}}}".encode() + padding
    path = write(tmp_path / "a.safetensors", header, PLAIN.numpy().tobytes())
    tensors, metadata = read_tensors(path)
    assert torch.equal(tensors["a"], PLAIN) and metadata == {}
