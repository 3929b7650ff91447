"""The weights of earlier steps that a run keeps: the last ones, and the best by a metric."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from arc_trm.checkpoint.safetensors_io import write_tensors
from arc_trm.checkpoint.weights_dir import weights_metadata
from arc_trm.config import ModelConfig
from arc_trm.io import remove_leftovers, write_error
from arc_trm.runs.checkpoints import (
    CHECKPOINTS_FOLDER,
    EMBEDDING_TENSOR,
    Checkpoint,
    best_checkpoint,
    checkpoint_paths,
    list_checkpoints,
)


class KeptCheckpoints:
    """The folder `checkpoints` of a run, with a file for each step that is kept.

    A file is written whole before others are removed, so that a kill leaves one more at worst,
    which the next call removes.

    Args:
        folder: of the run, which has its puzzle ids already.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self,
        step: int,
        network: Mapping[str, Tensor],
        config: ModelConfig,
        metrics: Mapping[str, float],
        best_by: str | None,
        keep_last: int,
        embedding: Tensor | None = None,
        saved_step: int | None = None,
    ) -> None:
        """Write the weights of a step, and remove those that are neither among the last nor best.

        After a kill a run resumes at its last save and removes later checkpoints. So the best one
        of the steps up to that save is kept, too.

        Args:
            step: training steps done.
            network: state dict of the averaged weights.
            config: of the model.
            metrics: of the evaluation of these weights, such as `eval/exact`; empty without one.
            best_by: the one of them of which the highest is the best; None without an evaluation.
            keep_last: number of latest checkpoints to keep; 0 keeps the best one only.
            embedding: the puzzle embedding (puzzles, size); None for a network alone. It is in the
                file if it is not larger than the network, so that the weights predict what they did
                when they were evaluated. A larger one, which may take gigabytes, is not.
            saved_step: at which the run would be resumed; None if it was not saved yet.

        Raises:
            WriteError: the file system refuses; earlier checkpoints stay.
        """
        path = self.folder / CHECKPOINTS_FOLDER / f"{step}.safetensors"
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        new = Checkpoint(path, step, finite, best_by)
        others = [each for each in self._kept() if each.step != step]
        found = sorted([*others, new], key=lambda each: each.step)
        kept = self._choose(found, keep_last, saved_step)
        if new in kept:
            self._write(new, network, config, embedding)
        _remove_all(others, kept)

    def prune(self, keep_last: int, saved_step: int) -> None:
        """Remove checkpoints that a run saved at a step no longer needs. Raises WriteError."""
        found = self._kept()
        _remove_all(found, self._choose(found, keep_last, saved_step))

    def drop_after(self, step: int) -> None:
        """Remove checkpoints of later steps, which a resumed run trains again. Raises WriteError"""
        for later, path in checkpoint_paths(self.folder).items():
            if later > step:
                _remove(path)

    def clear(self) -> None:
        """Remove all checkpoints. Raises WriteError."""
        self.drop_after(-1)

    def remove_leftovers(self) -> None:
        """Remove what killed commands left of writes."""
        remove_leftovers(self.folder / CHECKPOINTS_FOLDER)

    def _kept(self) -> Sequence[Checkpoint]:
        return list_checkpoints(self.folder, skip_damaged=True)

    @staticmethod
    def _choose(
        found: Sequence[Checkpoint], keep_last: int, saved_step: int | None
    ) -> Sequence[Checkpoint]:
        """Return those of the checkpoints, in the order of their steps, that are kept."""
        saved = [each for each in found if saved_step is not None and each.step <= saved_step]
        best = (best_checkpoint(found), best_checkpoint(saved))
        chosen = [*(found[-keep_last:] if keep_last else ()), *filter(None, best)]
        steps = {each.step for each in chosen}
        return [each for each in found if each.step in steps]

    def _write(
        self,
        new: Checkpoint,
        network: Mapping[str, Tensor],
        config: ModelConfig,
        embedding: Tensor | None,
    ) -> None:
        tensors = dict(network)
        if embedding is not None and embedding.numel() <= sum(map(Tensor.numel, network.values())):
            tensors[EMBEDDING_TENSOR] = embedding
        facts = {"metrics": new.metrics, "best_by": new.best_by}
        has_embedding = embedding is not None
        metadata = weights_metadata(self.folder, config, new.step, has_embedding, **facts)
        try:
            new.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(new.path.parent, error) from None
        write_tensors(new.path, tensors, metadata)


def _remove_all(found: Iterable[Checkpoint], kept: Collection[Checkpoint]) -> None:
    for each in found:
        if each not in kept:
            _remove(each.path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from None
