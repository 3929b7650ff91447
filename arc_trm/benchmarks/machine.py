"""The names of the processor and of the GPU that are measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from arc_trm.environment import processor_name


def machine_names(device: torch.device) -> dict[str, str]:
    """Return the names of what computes, `device`, and of the `processor`.

    Without a GPU of its own, and on a Mac, both are the processor's.
    """
    processor = processor_name()
    is_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else processor,
        "processor": processor,
    }


def machine_text(values: Mapping[str, Any]) -> str:
    """Return the two names in the values of a benchmark as text, once if they are the same."""
    return ", ".join(dict.fromkeys((values["device"], values["processor"])))
