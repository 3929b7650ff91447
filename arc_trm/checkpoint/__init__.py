"""Weights folders, and published weight files to and from them."""

from arc_trm.checkpoint.convert import (
    check_published_file,
    convert_from_published,
    convert_to_published,
)
from arc_trm.checkpoint.description import TrainingFacts, WeightsDescription
from arc_trm.checkpoint.kept import KeptCheckpoints
from arc_trm.checkpoint.published import read_published
from arc_trm.checkpoint.safetensors_io import read_tensors, write_tensors
from arc_trm.checkpoint.weights_dir import (
    CONFIG_FILE,
    INFERENCE_FILE,
    ORIGIN_FILE,
    PUZZLE_IDS_FILE,
    Weights,
    WeightsDir,
    load_weights,
    save_config,
    save_inference,
    save_weights,
)
from arc_trm.runs.checkpoints import EMBEDDING_FILE, NETWORK_FILE, NEXT_EMBEDDING_FILE

__all__ = [
    "CONFIG_FILE",
    "EMBEDDING_FILE",
    "INFERENCE_FILE",
    "NETWORK_FILE",
    "NEXT_EMBEDDING_FILE",
    "ORIGIN_FILE",
    "PUZZLE_IDS_FILE",
    "KeptCheckpoints",
    "TrainingFacts",
    "Weights",
    "WeightsDescription",
    "WeightsDir",
    "check_published_file",
    "convert_from_published",
    "convert_to_published",
    "load_weights",
    "read_published",
    "read_tensors",
    "save_config",
    "save_inference",
    "save_weights",
    "write_tensors",
]
