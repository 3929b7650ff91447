"""One training step after the other: carried state, halting, loss, both optimisers, average.

SPEC 4 to 6 in docs/model.md; TRM paper, figure 3. Under torch.distributed every rank steps on its
share of the global batch and all keep the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import torch
import torch.distributed as dist
from torch import Tensor

from arc_trm.config import TrainConfig
from arc_trm.device import on_device
from arc_trm.models.base import PuzzleModel, validate_ids
from arc_trm.training.losses import (
    HALT_WEIGHT,
    IGNORE,
    accum_dtype,
    continue_loss,
    halt_loss,
    token_cross_entropy,
)
from arc_trm.training.optim import AdamAtan2, flatten, learning_rate_factor, sign_sgd

__all__ = ["METRICS", "TrainConfig", "Trainer"]

METRICS = (
    *("loss", "lm_loss", "halt_loss", "continue_loss"),
    *("count", "accuracy", "exact_accuracy", "halt_accuracy", "steps"),
)


def _all_gather(tensor: Tensor) -> Tensor:
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


class Metrics(Mapping[str, float]):
    """`METRICS` by their names, fetched from the device when the first is read.

    Until then nobody waits for the device, which can begin the next step meanwhile.
    """

    def __init__(self, sums: Tensor) -> None:
        """`sums` (len(METRICS),) may still be in the making."""
        self._sums, self._ready = sums, None
        if sums.device.type == "cuda":
            self._sums = torch.empty_like(sums, device="cpu", pin_memory=True)
            self._sums.copy_(sums, non_blocking=True)
            self._ready = torch.cuda.current_stream(sums.device).record_event()

    @cached_property
    def _values(self) -> dict[str, float]:
        if self._ready is not None:
            self._ready.synchronize()  # with this step, not with one that was begun since
        return dict(zip(METRICS, self._sums.tolist(), strict=True))

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(METRICS)

    def __len__(self) -> int:
        return len(METRICS)


class Trainer:
    """Trains a model in place.

    Args:
        model: its parameters become views of one flat buffer.
        config: batch, rates, schedule.
        generator: CPU generator of the exploration draws, the same on all ranks.
        micro_batch: sequences of the full canvas that go through the network at once, of a smaller
            one more; None is all. Splitting saves memory and changes results by rounding only.
    """

    def __init__(
        self,
        model: PuzzleModel,
        config: TrainConfig,
        generator: torch.Generator | None = None,
        micro_batch: int | None = None,
    ) -> None:
        self.model, self.config = model, config
        self.generator = generator or torch.Generator().manual_seed(0)
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        if config.global_batch_size % self.world:
            raise ValueError(
                f"train.global_batch_size ({config.global_batch_size}) must be a multiple of the "
                f"number of processes ({self.world})"
            )
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1, got {micro_batch}")
        self.micro_batch = micro_batch or config.global_batch_size
        self.supervision_steps = config.supervision_steps or model.config.supervision_steps
        if config.total_steps is None and (
            config.embedding_only_fraction or config.lr_min_ratio != 1
        ):
            raise ValueError(
                "train.embedding_only_fraction above 0 and train.lr_min_ratio below 1 need train.total_steps, "
                "the length of the schedule"
            )
        self.rows_only_steps = round(config.embedding_only_fraction * (config.total_steps or 0))
        self.values, self.gradients = flatten(model.parameters())
        # Loaded weights keep it off the device, for prediction; here all of it is written to.
        model.puzzle_embedding = model.puzzle_embedding.to(self.values.device)
        self.average = self.values.clone()
        self.optimiser = AdamAtan2(self.values, config.betas, config.weight_decay)
        self.steps_done = 0
        self.carries: dict[int, dict[str, Tensor]] = {}
        """By the number of cells of their canvas, the slots of this rank."""

    def reserve(self, cells: Iterable[int]) -> None:
        """Make the slots of canvases before their first batch: checkpoints have their size then."""
        for each in cells:
            self._carry(each)

    @property
    def carry(self) -> dict[str, Tensor]:
        """Slots on the full canvas."""
        return self._carry(self.model.config.seq_len)

    def _carry(self, cells: int) -> dict[str, Tensor]:
        """Slots on a canvas; at first all halted, so that a batch fills them."""
        if cells not in self.carries:
            self.carries[cells] = self._empty_carry(cells)
        return self.carries[cells]

    def _empty_carry(self, cells: int) -> dict[str, Tensor]:
        model, batch = self.model, self.config.global_batch_size // self.world
        length, device = model.config.puzzle_emb_len + cells, self.values.device
        model.position_ids(length)  # raises for what is no canvas
        y, z = (state.clone() for state in model.initial_state(batch, length))
        return {
            "y": y,
            "z": z,
            "steps": torch.zeros(batch, dtype=torch.int32, device=device),
            "halted": torch.ones(batch, dtype=torch.bool, device=device),
            "inputs": torch.zeros(batch, cells, dtype=torch.int32, device=device),
            "labels": torch.zeros(batch, cells, dtype=torch.int32, device=device),
            "puzzle_ids": torch.zeros(batch, dtype=torch.int64, device=device),
        }

    def _check(self, batch: Mapping[str, Tensor]) -> None:
        """ValueError for what would otherwise be cut, wrapped around or learnt wrongly."""
        vocabulary, rows = self.model.config.vocab_size, len(self.model.puzzle_embedding)
        limits = {
            "inputs": (0, vocabulary),
            "labels": (IGNORE, vocabulary),
            "puzzle_ids": (0, rows),
        }
        if set(batch) != set(limits):
            raise ValueError(f"a batch holds {', '.join(limits)}, got {', '.join(batch)}")
        cells = batch["inputs"].shape[-1]
        for key, (low, high) in limits.items():
            validate_ids(f"batch[{key!r}]", batch[key], self._carry(cells)[key].shape, low, high)

    def _refill(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The canvas' slots: those whose sequence halted take the batch's example, in place."""
        self._check(batch)  # before it is on the device, which would have to be waited for
        carry = self._carry(batch["inputs"].shape[-1])
        halted = carry["halted"]
        y0, z0 = self.model.initial_state(*carry["y"].shape[:2])
        fresh = {"y": y0, "z": z0, "steps": torch.zeros_like(carry["steps"]), **batch}
        for key, new in fresh.items():
            old = carry[key]
            new = new.to(device=old.device, dtype=old.dtype, non_blocking=old.is_cuda)
            torch.where(halted.view(-1, *[1] * (old.dim() - 1)), new, old, out=old)
        return carry

    def _minimum_steps(self) -> Tensor:
        """(B,) int32: steps before which a sequence may not halt early, 0 for most."""
        slots = self.config.global_batch_size
        explored = torch.rand(slots, generator=self.generator) < self.config.halt_exploration_prob
        limit = max(3, self.supervision_steps + 1)
        steps = torch.randint(2, limit, (slots,), generator=self.generator, dtype=torch.int32)
        share = slots // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        return on_device((explored * steps)[mine], self.values.device)

    @contextmanager
    def _learning(self, weights: bool) -> Iterator[None]:
        """Whether the weights learn within, or nothing is computed for them."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(weights)
        try:
            yield
        finally:
            for parameter in self.model.parameters():
                parameter.requires_grad_()

    def _micro_step(
        self, slots: dict[str, Tensor], minimum_steps: Tensor, rows_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Forward and backward of some slots, whose y, z and halted are replaced in place.

        Returns the gradients of their puzzle rows and the sums of `METRICS`; the weights' gradients
        are added up unless `rows_only`.
        """
        model, config = self.model, self.config
        labels, steps = slots["labels"], slots["steps"]
        rows = model.puzzle_embedding[slots["puzzle_ids"]].requires_grad_()
        x = model.embed(slots["inputs"], rows)
        y, z = model.supervision_step(x, slots["y"], slots["z"])
        logits, halt_logits = model.token_logits(y), model.halt_logits(y)
        halt, last = halt_logits[:, 0], steps >= self.supervision_steps
        with torch.no_grad():
            labelled = labels != IGNORE
            right = ((logits.argmax(-1) == labels) & labelled).sum(-1)
            cells = labelled.sum(-1)
            exact = right == cells
        lm_loss = token_cross_entropy(logits, labels).sum()
        halting = halt_loss(halt, exact).sum()
        going_on = torch.zeros_like(halting)
        if model.has_continue_head:
            with torch.no_grad():
                next_y, _ = model.supervision_step(x, y, z)
                next_halt_logits = model.halt_logits(next_y)
            going_on = continue_loss(halt_logits[:, 1], next_halt_logits, last).sum()
        loss = (lm_loss + HALT_WEIGHT * (halting + going_on)) / config.global_batch_size
        if rows_only:
            (row_gradients,) = torch.autograd.grad(loss, rows)
        else:
            loss.backward()  # type: ignore[no-untyped-call]
            assert rows.grad is not None
            row_gradients = rows.grad
        with torch.no_grad():
            halted = last
            if config.early_halting:
                halted = last | (model.should_halt(halt_logits) & (steps >= minimum_steps))
            slots["y"].copy_(y)
            slots["z"].copy_(z)
            slots["halted"].copy_(halted)
            counted = halted & (cells > 0)
            metrics = [
                *(loss, lm_loss, halting, going_on, counted.sum()),
                torch.where(counted, right / cells.clamp(min=1), 0.0).sum(),
                (counted & exact).sum(),
                (counted & ((halt >= 0) == exact)).sum(),
                torch.where(counted, steps, 0).sum(),
            ]
            sums = torch.stack([metric.to(accum_dtype(halt.device)) for metric in metrics])
        return row_gradients, sums

    def step(self, batch: Mapping[str, Tensor]) -> Metrics:
        """One supervision step on this rank's share of a global batch.

        Args:
            batch: `inputs` and `labels` (B, S) int tokens, all on one canvas, the full one or a
                smaller square; `puzzle_ids` (B,) int.

        Returns:
            What can be read when it is needed: `loss`, which is differentiated: the sum over the
            batch divided by the global batch size; `lm_loss`, `halt_loss` and `continue_loss` (0
            unless the model learns to continue), sums over the global batch; and sums over the
            sequences that halted at this step: their `count`, `accuracy` (share of cells),
            `exact_accuracy`, `halt_accuracy` and supervision `steps`.
        """
        config, table = self.config, self.model.puzzle_embedding
        rows_only = self.steps_done < self.rows_only_steps
        slots = self._refill(batch)
        slots["steps"] += 1
        minimum_steps = self._minimum_steps()
        puzzle_ids = slots["puzzle_ids"]
        row_gradients = torch.empty(len(puzzle_ids), table.shape[1], device=table.device)
        wide = accum_dtype(table.device)
        sums = torch.zeros(len(METRICS), dtype=wide, device=table.device)
        self.gradients.zero_()
        with self.model.cache_cast_weights(), self._learning(not rows_only):
            length = slots["y"].shape[1]
            most = max(1, self.micro_batch * self.model.config.length // length)
            size = math.ceil(len(puzzle_ids) / math.ceil(len(puzzle_ids) / most))  # equal parts
            for start in range(0, len(puzzle_ids), size):
                chunk = slice(start, start + size)
                part = {name: tensor[chunk] for name, tensor in slots.items()}
                row_gradients[chunk], part_sums = self._micro_step(
                    part, minimum_steps[chunk], rows_only
                )
                sums += part_sums
        if self.world > 1:
            if not rows_only:
                dist.all_reduce(self.gradients)
            dist.all_reduce(sums)
            puzzle_ids, row_gradients = _all_gather(puzzle_ids), _all_gather(row_gradients)

        self.steps_done += 1
        factor = learning_rate_factor(
            self.steps_done, config.total_steps, config.warmup_steps, config.lr_min_ratio
        )
        if not rows_only:
            self.optimiser.step(self.gradients, config.lr * factor)
            self.average.lerp_(self.values, 1 - config.ema_decay)
        sign_sgd(
            *(table, puzzle_ids, row_gradients),
            *(config.puzzle_emb_lr * factor, config.puzzle_emb_weight_decay),
        )
        return Metrics(sums)

    def averaged_state(self) -> dict[str, Tensor]:
        """The model's state dict with the moving average in place of the trained weights."""
        state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        start = 0
        for name, parameter in self.model.named_parameters():
            stop = start + parameter.numel()
            state[name] = self.average[start:stop].view(parameter.shape).clone()
            start = stop
        return state

    def _learnt(self) -> dict[str, Tensor]:
        """What all ranks have alike, by its name in a checkpoint."""
        return {
            "values": self.values,
            "average": self.average,
            "first_moment": self.optimiser.first,
            "second_moment": self.optimiser.second,
            "y_init": self.model.y_init,
            "z_init": self.model.z_init,
            "puzzle_embedding": self.model.puzzle_embedding,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the next step depends on but the batch, the slots of all ranks.

        Under torch.distributed all ranks must call it together.
        """
        carries = {
            f"carry.{cells}.{name}": _all_gather(tensor) if self.world > 1 else tensor
            for cells, carry in sorted(self.carries.items())
            for name, tensor in carry.items()
        }
        return {
            **self._learnt(),
            "generator": self.generator.get_state(),
            "steps_done": torch.tensor(self.steps_done),
            "updates": torch.tensor(self.optimiser.steps),
            **carries,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue where `state_dict` was taken, to the last bit; each rank takes its slots.

        Raises KeyError or ValueError, and changes nothing, if it is of another model or batch.
        """
        share = self.config.global_batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        targets = self._learnt()
        sources = {name: state[name] for name in targets}
        saved = {int(name.split(".")[1]) for name in state if name.startswith("carry.")}
        carries = {cells: self._empty_carry(cells) for cells in saved}
        for cells, carry in carries.items():
            for name, tensor in carry.items():
                targets[f"carry.{cells}.{name}"] = tensor
                sources[f"carry.{cells}.{name}"] = state[f"carry.{cells}.{name}"][mine]
        for name, tensor in targets.items():
            if sources[name].shape != tensor.shape:
                shapes = f"{tuple(sources[name].shape)}, not {tuple(tensor.shape)}"
                raise ValueError(f"{name} is of shape {shapes}")
        for name, tensor in targets.items():
            tensor.copy_(sources[name])
        self.carries = carries
        self.generator.set_state(state["generator"])
        self.steps_done, self.optimiser.steps = int(state["steps_done"]), int(state["updates"])
