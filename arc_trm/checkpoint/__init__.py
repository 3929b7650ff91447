"""Weights in and out: weight folders, published files, and from one to the other."""

from arc_trm.checkpoint.convert import ConversionResult, convert, convert_back
from arc_trm.checkpoint.published import read_published
from arc_trm.checkpoint.safetensors_io import read_tensors, write_tensors
from arc_trm.checkpoint.weights_dir import (
    CONFIG,
    NETWORK,
    ORIGIN,
    PUZZLES,
    TABLE,
    Weights,
    load_weights,
    read_model_config,
    save_config,
    save_weights,
)

__all__ = [
    "CONFIG",
    "NETWORK",
    "ORIGIN",
    "PUZZLES",
    "TABLE",
    "ConversionResult",
    "Weights",
    "convert",
    "convert_back",
    "load_weights",
    "read_model_config",
    "read_published",
    "read_tensors",
    "save_config",
    "save_weights",
    "write_tensors",
]
