"""Training steps: carried state, halting, losses, both optimisers and the weight average.

docs/model.md, sections 4 to 6; TRM paper (arXiv 2510.04871), figure 3. Under torch.distributed
every rank takes its part of the global batch, and all ranks keep the same weights.

Shape letters: B batch of this rank, S cells of a canvas, P positions of the puzzle embedding,
L = P + S, D hidden size, N weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial

import torch
import torch.distributed as dist
from torch import Tensor

from arc_trm.callbacks import Note, ignore
from arc_trm.config import TrainConfig
from arc_trm.data.sampler import IGNORE_LABEL
from arc_trm.device import describe_memory, free_memory, is_out_of_memory, on_device
from arc_trm.errors import UserError, pluralise
from arc_trm.models.base import PuzzleModel, validate_ids
from arc_trm.models.composition import identity_codes, validate_augmentations
from arc_trm.models.cuda_graphs import WARM_CALLS, CudaGraphs
from arc_trm.models.noise import Noise
from arc_trm.training import losses
from arc_trm.training.losses import HALT_WEIGHT, LOSSES, accum_dtype, build_loss
from arc_trm.training.optim import (
    OPTIMISERS,
    FlatParams,
    clip_gradients,
    learning_rate_factor,
    sign_sgd,
    unflatten,
    update_ema,
)

LOSS_NAMES = ("lm_loss", "halt_loss", "continue_loss")
HALTED_NAMES = ("accuracy", "exact_accuracy", "halt_accuracy", "steps")
"""Metrics that are sums over the examples that halted."""
METRICS = ("loss", *LOSS_NAMES, "count", *HALTED_NAMES, "grad_norm")
"""Names of what `Trainer.step` returns, in this order."""


def rank_batch_size(config: TrainConfig, world_size: int) -> int:
    """Return B. Raises UserError if the processes cannot have equal parts of a batch."""
    if config.global_batch_size % world_size:
        raise UserError(
            f"train.global_batch_size ({config.global_batch_size}) must be a multiple of the "
            f"number of processes ({world_size})"
        )
    return config.global_batch_size // world_size


def _all_gather(tensor: Tensor) -> Tensor:
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


class Metrics(Mapping[str, float]):
    """`METRICS` by name, fetched from the device when the first one is read.

    Until then nothing waits for the device, which can compute the next step meanwhile.
    """

    def __init__(self, sums: Tensor) -> None:
        self._sums, self._ready = sums, None
        if sums.device.type == "cuda":
            self._sums = torch.empty_like(sums, device="cpu", pin_memory=True)
            self._sums.copy_(sums, non_blocking=True)
            self._ready = torch.cuda.current_stream(sums.device).record_event()

    @cached_property
    def _values(self) -> dict[str, float]:
        if self._ready is not None:
            self._ready.synchronize()  # waits for this step, not for later ones
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
        config: batch size, loss, optimiser, learning rates and schedule.
        generator: CPU generator of the exploration draws and of the seeds of random starts and
            noise, in the same state on all ranks.
        micro_batch_size: examples on the full canvas that go through the network together, more
            on a smaller canvas; None is all. Splitting a batch saves memory and changes results by
            rounding only. The first step for which the memory is too small halves it.
        note: called with a sentence for the user when that happens.

    Attributes:
        batch_size: B.
        flat_params, gradients, ema: the weights, their gradients at the last step (clipped; 0 where
            it trained the puzzle embedding alone) and their exponential moving average, (N,) each.
        embedding_ema: the moving average of a composed puzzle embedding; None of a table.
        carries: carry of this rank by S. A carry holds the state of every example of the batch
            between steps; an example stays in it until it halts.

    Raises:
        UserError: the loss or the optimiser does not exist, the optimiser cannot train the model,
            or settings contradict each other.
    """

    def __init__(
        self,
        model: PuzzleModel,
        config: TrainConfig,
        generator: torch.Generator | None = None,
        micro_batch_size: int | None = None,
        note: Note = ignore,
    ) -> None:
        self.model, self.config, self._note = model, config, note
        self.generator = generator or torch.Generator().manual_seed(0)
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.batch_size = rank_batch_size(config, self.world_size)
        self._slice = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        if micro_batch_size is not None and micro_batch_size < 1:
            raise UserError(f"micro_batch_size must be at least 1, got {micro_batch_size}")
        self.micro_batch_size = micro_batch_size or config.global_batch_size
        self._chosen_micro_batch_size, self._has_halved = self.micro_batch_size, False
        self.supervision_steps = config.supervision_steps or model.config.supervision_steps
        if config.total_steps is None and (
            config.embedding_only_fraction or config.lr_schedule != "constant"
        ):
            raise UserError(
                "train.embedding_only_fraction above 0 and a falling train.lr_schedule need "
                "train.total_steps, the length of the schedule"
            )
        self.embedding_only_steps = round(
            config.embedding_only_fraction * (config.total_steps or 0)
        )
        self.token_loss = build_loss(config)
        # Another loss may wait for the GPU, which a recorded step cannot.
        self._has_own_loss = LOSSES[config.loss].__module__ == losses.__name__
        OPTIMISERS[config.optimiser].check_model(model)
        params = FlatParams(model)
        self.flat_params, self.gradients = params.values, params.gradients
        # Loading keeps the embedding off the device, which suits prediction; training updates it.
        model.puzzle_embedding = model.puzzle_embedding.to(self.flat_params.device)
        self.ema = self.flat_params.clone()
        self.embedding_ema: Tensor | None = None
        if model.composition is not None:
            self.embedding_ema = model.puzzle_embedding.clone()
        self.optimiser = OPTIMISERS[config.optimiser](params, config)
        self.steps_done = 0
        self.carries: dict[int, dict[str, Tensor]] = {}
        self._graphs = CudaGraphs()

    @property
    def slow_steps(self) -> int:
        """How many of the first steps of a kind on a canvas take longer than those after them."""
        if self.flat_params.is_cuda:  # it compiles kernels and records small steps
            return WARM_CALLS + 1
        return 2 if self.model.compiled else 1

    # Carried state

    @property
    def carry(self) -> dict[str, Tensor]:
        """The carry of the full canvas."""
        return self.get_carry(self.model.config.seq_len)

    def get_carry(self, seq_len: int) -> dict[str, Tensor]:
        """Return the carry of the canvas of S cells, a new one at the first call."""
        if seq_len not in self.carries:
            with self._described_memory():
                self.carries[seq_len] = self._new_carry(seq_len)
        return self.carries[seq_len]

    def _new_carry(self, seq_len: int) -> dict[str, Tensor]:
        """Make a carry in which all examples have halted, so that the next batch fills it."""
        model, batch = self.model, self.batch_size
        device = self.flat_params.device
        y, z = (state.clone() for state in model.initial_state(batch, model.state_length(seq_len)))
        augmentations = {}
        if model.composition is not None:
            augmentations["augmentations"] = identity_codes(batch).to(device)
        return {
            "y": y,
            "z": z,
            "steps": torch.zeros(batch, dtype=torch.int32, device=device),
            "halted": torch.ones(batch, dtype=torch.bool, device=device),
            "inputs": torch.zeros(batch, seq_len, dtype=torch.int32, device=device),
            "labels": torch.zeros(batch, seq_len, dtype=torch.int32, device=device),
            "puzzle_ids": torch.zeros(batch, dtype=torch.int64, device=device),
            **augmentations,
        }

    def _limits(self) -> dict[str, tuple[int, int]]:
        """Return the least value of what a batch holds, and what all values are below."""
        vocab_size = self.model.config.vocab_size
        return {
            "inputs": (0, vocab_size),
            "labels": (IGNORE_LABEL, vocab_size),
            "puzzle_ids": (0, len(self.model.puzzle_embedding)),
        }

    def _check_batch(self, batch: Mapping[str, Tensor]) -> None:
        """Raise ValueError if a batch would be cut, wrapped around or trained on wrongly."""
        limits = self._limits()
        names = [*limits, *([] if self.model.composition is None else ["augmentations"])]
        if set(batch) != set(names):
            raise ValueError(f"a batch holds {', '.join(names)}, got {', '.join(batch)}")
        carry = self.get_carry(batch["inputs"].shape[-1])
        for key, (low, high) in limits.items():
            validate_ids(f"batch[{key!r}]", batch[key], carry[key].shape, low, high)
        if "augmentations" in batch:
            codes = batch["augmentations"]
            validate_augmentations("batch['augmentations']", codes, self.batch_size)

    def _refill_carry(self, batch: Mapping[str, Tensor], noise: Noise | None) -> dict[str, Tensor]:
        """Replace the examples of a carry that have halted by those of a batch, in place."""
        self._check_batch(batch)  # on the CPU: a check on the device would have to wait for it
        carry = self.get_carry(batch["inputs"].shape[-1])
        halted = carry["halted"]
        y0, z0 = self.model.initial_state(self.batch_size, carry["y"].shape[1], noise)
        fresh = {"y": y0, "z": z0, "steps": torch.zeros_like(carry["steps"]), **batch}
        for key, new in fresh.items():
            old = carry[key]
            new = new.to(device=old.device, dtype=old.dtype, non_blocking=old.is_cuda)
            torch.where(halted.view(-1, *[1] * (old.dim() - 1)), new, old, out=old)
        return carry

    def _draw_minimum_steps(self) -> Tensor:
        """Draw the steps before which examples may not halt early, 0 for most; (B,) int32."""
        size = self.config.global_batch_size
        explored = torch.rand(size, generator=self.generator) < self.config.halt_exploration_prob
        high = max(3, self.supervision_steps + 1)
        steps = torch.randint(2, high, (size,), generator=self.generator, dtype=torch.int32)
        return on_device((explored * steps)[self._slice], self.flat_params.device)

    def _draw_noise(self) -> Noise | None:
        """Return the random numbers of this step, from a seed for each example; None needs none."""
        if not self.model.is_random:
            return None
        size = (self.config.global_batch_size,)
        seeds = torch.randint(2**63 - 1, size, generator=self.generator)
        return Noise.from_seeds(seeds[self._slice].tolist(), self.flat_params.device)

    # Steps

    def step(self, batch: Mapping[str, Tensor]) -> Metrics:
        """Take one supervision step on this rank's part of a global batch.

        Args:
            batch: `inputs` and `labels` (B, S) int tokens, all on one canvas, the full one or a
                smaller square; `puzzle_ids` (B,) int; `augmentations` (B, A) int if the model's
                puzzle embedding is composed.

        Returns:
            `loss`, which is differentiated: the sum over the batch divided by the global batch
            size. `lm_loss`, `halt_loss` and `continue_loss` (0 unless the model has a continue
            head): sums over the global batch. Sums over the examples that halted at this step:
            their `count`, `accuracy` (fraction of correct cells), `exact_accuracy`,
            `halt_accuracy` and supervision `steps`. And `grad_norm`, the norm of the gradient of
            all weights before clipping, 0 where only the puzzle embedding is trained.

        Raises:
            ValueError: the batch is invalid.
            UserError: the memory is too small, also for half the micro-batch.
        """
        with self._described_memory():
            return self._step(batch)

    def _step(self, batch: Mapping[str, Tensor]) -> Metrics:
        embedding_only = self.steps_done < self.embedding_only_steps
        noise, minimum_steps = self._draw_noise(), self._draw_minimum_steps()
        carry = self._refill_carry(batch, noise)
        carry["steps"] += 1
        backward = partial(self._backward_or_replay, carry, minimum_steps, noise, embedding_only)
        embedding_gradients, sums = self._fit_into_memory(carry, backward)
        puzzle_ids = carry["puzzle_ids"]
        if self.world_size > 1:
            if not embedding_only:
                dist.all_reduce(self.gradients)
            dist.all_reduce(sums)
            puzzle_ids = _all_gather(puzzle_ids)
            embedding_gradients = _all_gather(embedding_gradients)
        grad_norm = clip_gradients(self.gradients, self.config.grad_clip)
        self.steps_done += 1
        self._update(puzzle_ids, embedding_gradients, embedding_only)
        return Metrics(torch.cat([sums, grad_norm.to(sums.dtype).view(1)]))

    @contextmanager
    def _requires_grad(self, required: bool) -> Iterator[None]:
        """Compute gradients of the weights inside the context, or none."""
        self.model.requires_grad_(required)
        try:
            yield
        finally:
            self.model.requires_grad_()

    def part_size(self, length: int) -> int:
        """Return how many examples of `length` positions go through the network together.

        The parts of a batch of this rank are equal but for the last one.
        """
        limit = max(1, self.micro_batch_size * self.model.state_length() // length)
        return math.ceil(self.batch_size / math.ceil(self.batch_size / limit))

    def _fit_into_memory(
        self, carry: dict[str, Tensor], backward: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Call `backward`, and if the memory is too small, once more with half the micro-batch.

        Under torch.distributed each rank does so for itself; the others wait for its gradients.
        """
        length, before = carry["y"].shape[1], dict[str, Tensor]()
        if not self._has_halved and self.part_size(length) < self.batch_size:
            # A part that fails leaves its part of the carry as it was, but those before changed it.
            before = {name: carry[name].clone() for name in ("y", "z", "halted")}
        try:
            return backward()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self._has_halved or not self._halve_micro_batch(length):
                raise UserError(self._describe_lack_of_memory(length)) from error
        free_memory(self.flat_params.device)
        for name, tensor in before.items():
            carry[name].copy_(tensor)
        self._note(
            "the memory is too small for a step, so batches go through the network in parts of "
            f"{self.part_size(length)} from now on"
        )
        return self._fit_into_memory(carry, backward)

    def _backward_or_replay(
        self,
        carry: dict[str, Tensor],
        minimum_steps: Tensor,
        noise: Noise | None,
        embedding_only: bool,
    ) -> tuple[Tensor, Tensor]:
        """Do `_backward`, on a GPU by replaying it as a CUDA graph if it is small."""
        length = carry["y"].shape[1]
        is_small = self.model.is_launch_bound(self.part_size(length), length)
        if noise is not None or not is_small or not self._has_own_loss:
            return self._backward(carry, minimum_steps, noise, embedding_only)
        embedding_gradients, sums = self._graphs.call(
            (length, embedding_only),
            lambda minimum_steps: self._backward(carry, minimum_steps, None, embedding_only),
            minimum_steps,
        )
        return embedding_gradients, sums

    def _halve_micro_batch(self, length: int) -> bool:
        """Halve the parts of a batch with `length` positions; return False if they cannot be."""
        size = self.part_size(length)
        self.micro_batch_size = max(1, size // 2 * length // self.model.state_length())
        self._has_halved = True
        self._graphs.clear()  # they compute with the old parts
        self.model.free_graphs()
        return self.part_size(length) < size

    @contextmanager
    def _described_memory(self) -> Iterator[None]:
        """Turn the error of a memory that is too small into a UserError."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            length = self.model.state_length()
            raise UserError(self._describe_lack_of_memory(length)) from error

    def _describe_lack_of_memory(self, length: int) -> str:
        config, size, advice = self.model.config, self.part_size(length), list[str]()
        if size > 1:
            advice.append("a lower train.global_batch_size")
        if config.canvas == "full" and config.mixer == "attention":
            advice.append("model.canvas=bucketed")
        advice.append("a smaller model, such as a lower model.hidden_size")
        return (
            f"training on {pluralise(size, 'example')} at once takes more memory than is left on "
            f"{describe_memory(self.flat_params.device)}: start a new run with "
            f"{' or '.join(advice)}"
        )

    def _backward(
        self,
        carry: dict[str, Tensor],
        minimum_steps: Tensor,
        noise: Noise | None,
        embedding_only: bool,
    ) -> tuple[Tensor, Tensor]:
        """Run forward and backward through a carry, one micro-batch after the other.

        Returns:
            The gradients of the puzzle embeddings (B, size), and the sums of `METRICS`, which
            are all but the last.
        """
        model, puzzle_embedding = self.model, self.model.puzzle_embedding
        device, batch = puzzle_embedding.device, self.batch_size
        embedding_gradients = torch.empty(batch, puzzle_embedding.shape[1], device=device)
        sums = torch.zeros(len(METRICS) - 1, dtype=accum_dtype(device), device=device)
        self.gradients.zero_()
        size = self.part_size(carry["y"].shape[1])
        with model.cache_cast_weights(), self._requires_grad(not embedding_only):
            for start in range(0, batch, size):
                part = slice(start, start + size)
                micro_batch = {name: tensor[part] for name, tensor in carry.items()}
                embedding_gradients[part], part_sums = self._micro_step(
                    micro_batch, minimum_steps[part], noise and noise[part], embedding_only
                )
                sums += part_sums
        return embedding_gradients, sums

    def _micro_step(
        self,
        carry: dict[str, Tensor],
        minimum_steps: Tensor,
        noise: Noise | None,
        embedding_only: bool,
    ) -> tuple[Tensor, Tensor]:
        """Do a part of `_backward`: update the carry's state, accumulate gradients of weights."""
        model, config, labels = self.model, self.config, carry["labels"]
        embeddings = model.puzzle_embedding[carry["puzzle_ids"]].requires_grad_()
        augmentations = carry.get("augmentations")
        x = model.embed(carry["inputs"], embeddings, augmentations)
        y, z = model.supervision_step(x, carry["y"], carry["z"], noise)
        colour_weights = model.colour_weights(embeddings, augmentations)
        logits, halt_logits = model.token_logits(y, colour_weights), model.halt_logits(y)
        last = carry["steps"] >= self.supervision_steps
        with torch.no_grad():
            labelled = labels != IGNORE_LABEL
            correct = ((logits.argmax(-1) == labels) & labelled).sum(-1)
            cells = labelled.sum(-1)
        lm_loss = self.token_loss(logits, labels).sum()
        halt_loss = losses.halt_loss(halt_logits[:, 0], correct == cells).sum()
        continue_loss = torch.zeros_like(halt_loss)
        if model.has_continue_head:
            with torch.no_grad():
                next_y, _ = model.supervision_step(x, y, z, noise)
                next_halt_logits = model.halt_logits(next_y)
            continue_loss = losses.continue_loss(halt_logits[:, 1], next_halt_logits, last).sum()
        loss = (lm_loss + HALT_WEIGHT * (halt_loss + continue_loss)) / config.global_batch_size
        embedding_gradients = torch.zeros_like(embeddings)  # empty without a puzzle embedding
        if embedding_only and embeddings.numel():
            (embedding_gradients,) = torch.autograd.grad(loss, embeddings)
        elif not embedding_only:
            loss.backward()  # type: ignore[no-untyped-call]
            if embeddings.grad is not None:
                embedding_gradients = embeddings.grad
        with torch.no_grad():
            halted = last
            if config.early_halting:
                may_halt = carry["steps"] >= minimum_steps
                halted = last | (model.should_halt(halt_logits) & may_halt)
            counted = _halted_sums(halted, carry["steps"], correct, cells, halt_logits[:, 0])
            sums = (loss, lm_loss, halt_loss, continue_loss, *counted)
            dtype = accum_dtype(loss.device)
            stacked = torch.stack([value.to(dtype) for value in sums])
            # Nothing after this needs memory, so that a part either fails or changes the carry.
            carry["y"].copy_(y)
            carry["z"].copy_(z)
            carry["halted"].copy_(halted)
            return embedding_gradients, stacked

    def _update(
        self, puzzle_ids: Tensor, embedding_gradients: Tensor, embedding_only: bool
    ) -> None:
        """Update the puzzle embedding and, unless `embedding_only`, the weights."""
        config = self.config
        factor = learning_rate_factor(self.steps_done, config)
        if not embedding_only:
            self.optimiser.step(factor)
            update_ema(self.ema, self.flat_params, config.ema_decay)
        sign_sgd(
            self.model.puzzle_embedding,
            puzzle_ids,
            embedding_gradients,
            config.puzzle_emb_lr * factor,
            config.puzzle_emb_weight_decay,
        )
        if self.embedding_ema is not None:
            update_ema(self.embedding_ema, self.model.puzzle_embedding, config.ema_decay)

    def learning_rates(self, step: int | None = None) -> dict[str, float]:
        """Return the learning rates of a step, the first being 1, by their names in `TrainConfig`.

        None is the last step.
        """
        factor = learning_rate_factor(self.steps_done if step is None else step, self.config)
        names = (*self.optimiser.rates, "puzzle_emb_lr")
        return {name: getattr(self.config, name) * factor for name in names}

    # State

    @property
    def is_finite(self) -> bool:
        """Whether all weights and their averages are finite numbers."""
        embedding = self.model.puzzle_embedding
        tensors = (self.flat_params, self.ema, embedding, self.embedding_ema)
        sums = [each.sum(dtype=torch.float64) for each in tensors if each is not None]
        return bool(torch.stack(sums).isfinite().all())

    @property
    def averaged_embedding(self) -> Tensor:
        """The puzzle embedding that belongs to the averaged weights.

        It is the average of composed vectors, which most steps update, and a table as it is: the
        published model averages none, and a row is updated rarely.
        """
        average = self.embedding_ema
        return self.model.puzzle_embedding if average is None else average

    def averaged_state(self) -> dict[str, Tensor]:
        """Return the model's state dict with the moving average in place of the weights."""
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        average = dict(zip(names, unflatten(self.ema, parameters), strict=True))
        state = {**self.model.state_dict(), **average}
        return {name: tensor.clone() for name, tensor in state.items()}

    def _shared_state(self) -> dict[str, Tensor]:
        """Return the tensors that are the same on all ranks, by their name in a training state."""
        optimiser, average = self.optimiser.state_dict(), dict[str, Tensor]()
        if self.embedding_ema is not None:
            average["embedding_ema"] = self.embedding_ema
        return {
            "flat_params": self.flat_params,
            "ema": self.ema,
            "y_init": self.model.y_init,
            "z_init": self.model.z_init,
            "puzzle_embedding": self.model.puzzle_embedding,
            **average,
            **{f"optimiser.{name}": tensor for name, tensor in optimiser.items()},
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on but its batch, carries of all ranks.

        Under torch.distributed all ranks must call it together.
        """
        carries = {
            f"carry.{seq_len}.{name}": _all_gather(tensor) if self.world_size > 1 else tensor
            for seq_len, carry in sorted(self.carries.items())
            for name, tensor in carry.items()
        }
        micro_batch = {}
        if self.micro_batch_size < self._chosen_micro_batch_size:
            # Otherwise it is chosen anew where the run is resumed, by the memory there.
            micro_batch["micro_batch_size"] = torch.tensor(self.micro_batch_size)
        return {
            **self._shared_state(),
            "generator": self.generator.get_state(),
            "steps_done": torch.tensor(self.steps_done),
            **micro_batch,
            **carries,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned, to the last bit; each rank takes its part of carries.

        Raises:
            KeyError: it lacks a tensor. Nothing is changed.
            ValueError: a tensor is of another model or batch size, or of another type, or a number
                in it is impossible. Nothing is changed.
        """
        targets = self._shared_state()
        sources = {name: state[name] for name in targets}
        seq_lens = {int(name.split(".")[1]) for name in state if name.startswith("carry.")}
        for seq_len in seq_lens:
            self.model.state_length(seq_len)  # raises if the model cannot take such a canvas
        carries = {seq_len: self._new_carry(seq_len) for seq_len in seq_lens}
        for seq_len, carry in carries.items():
            for name, tensor in carry.items():
                key = f"carry.{seq_len}.{name}"
                shape = (self.config.global_batch_size, *tensor.shape[1:])
                check_like(key, state[key], tensor.new_empty(shape, device="meta"))
                targets[key], sources[key] = tensor, state[key][self._slice]
        for name, tensor in self._shared_state().items():
            check_like(name, sources[name], tensor)
        for seq_len in seq_lens:
            for name, (low, high) in self._limits().items():
                key = f"carry.{seq_len}.{name}"
                validate_ids(key, sources[key], targets[key].shape, low, high)
            if (key := f"carry.{seq_len}.augmentations") in targets:
                validate_augmentations(key, sources[key], self.batch_size)
        check_like("generator", state["generator"], self.generator.get_state())
        check_like("steps_done", state["steps_done"], torch.tensor(0))
        steps_done = int(state["steps_done"])
        optimiser_steps = sources.get("optimiser.steps")  # some optimisers keep none
        if steps_done < 0 or (optimiser_steps is not None and int(optimiser_steps) < 0):
            raise ValueError("its number of steps is negative")
        micro_batch_size = state.get("micro_batch_size", torch.tensor(self.micro_batch_size))
        check_like("micro_batch_size", micro_batch_size, torch.tensor(0))
        if micro_batch_size < 1:
            raise ValueError(f"micro_batch_size is {int(micro_batch_size)}")
        try:
            torch.Generator().set_state(state["generator"])
        except RuntimeError:
            raise ValueError("generator is not the state of a random generator") from None
        for name, tensor in targets.items():
            tensor.copy_(sources[name])
        self.carries = carries
        self._graphs.clear()  # they compute on the old carries
        self.micro_batch_size = min(self.micro_batch_size, int(micro_batch_size))
        self.generator.set_state(state["generator"])
        self.steps_done = steps_done


def check_like(name: str, found: Tensor, expected: Tensor) -> None:
    """Raise ValueError unless a tensor of a training state has this shape and type."""
    if found.shape != expected.shape:
        raise ValueError(f"{name} is of shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    if found.dtype != expected.dtype:
        raise ValueError(f"{name} holds {found.dtype}, not {expected.dtype}")


def _halted_sums(
    halted: Tensor, steps: Tensor, correct: Tensor, cells: Tensor, halt_logits: Tensor
) -> tuple[Tensor, ...]:
    """Sum the metrics of halted examples, `count` to `steps` of `METRICS`.

    `correct` and `cells` count labelled cells; examples without any are left out.
    """
    counted = halted & (cells > 0)
    exact = correct == cells
    return (
        counted.sum(),
        torch.where(counted, correct / cells.clamp(min=1), 0.0).sum(),
        (counted & exact).sum(),
        (counted & ((halt_logits >= 0) == exact)).sum(),
        torch.where(counted, steps, 0).sum(),
    )
