"""What all architectures share: embeddings, puzzle embedding, heads, initial states, prediction.

Shape letters: B batch, S cells of a canvas, P positions of the puzzle embedding, L = P + S,
D hidden size, V vocabulary size. y is the current answer (published `z_H`), z the latent reasoning
(published `z_L`); TRM paper (arXiv 2510.04871), figure 3.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property
from types import FunctionType
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models.composition import Composition, identity_codes, validate_augmentations
from arc_trm.models.cpu_kernels import HEAD_SIZE_MULTIPLE
from arc_trm.models.cuda_graphs import CudaGraphs
from arc_trm.models.embedding import canvas_position_ids
from arc_trm.models.fastest_ops import fastest_ops, keep_compiled, speed_advice
from arc_trm.models.layers import (
    BlockAdapter,
    block_class,
    build_rope_cache,
    run_blocks,
    state_length,
)
from arc_trm.models.linear import Linear, cast_aligned, truncated_normal
from arc_trm.models.noise import Noise
from arc_trm.models.ops import TORCH_OPS, Ops
from arc_trm.models.state import LatentState, Sampling
from arc_trm.registry import Registry

LAUNCH_BOUND_FLOPS = 5e11
"""FLOP of a block below which a GPU waits for Python to start its kernels: as measured on an H200
(docs/performance.md). Slower GPUs lose nothing by a graph."""
CPU_ACTIVATION_BYTES = 24 * 2**20
"""Upper bound of the largest activation on a CPU. From 32 MB on, glibc returns freed memory to the
system at once, so that every new tensor has to be paged in again."""


class PuzzleModel(nn.Module, ABC):
    """A model that maps a puzzle's input to its output, cell by cell.

    Its supervision step refines the state (y, z), which prediction and training carry from step to
    step. See `arc_trm.models.build_model` for the arguments.
    """

    title: ClassVar[str] = "puzzle model"
    """Name of the architecture in a model card."""

    carries_state: ClassVar[bool] = True
    """Whether a supervision step depends on y or z, so that noise on them has an effect."""

    has_continue_head: ClassVar[bool] = False
    """Whether the second halting logit, the value of another supervision step, is trained."""

    compiled: bool = False
    """Whether blocks run through torch.compile, which fuses what lies between matrix products."""

    rope_cache: Tensor | None
    y_init: Tensor
    z_init: Tensor
    puzzle_embedding: Tensor
    """(num_puzzles, puzzle_emb_dim) float32, of a composed one (tasks + 1, puzzle_emb_dim). A
    buffer, not a parameter: SignSGD trains only the rows of a batch (`arc_trm.training.optim`), so
    autograd never sees all of it."""
    composition: Composition | None
    """What makes the embedding of an augmented task from the vector of the task; None where
    `puzzle_embedding` is a table."""

    def __init__(
        self,
        config: ModelConfig,
        num_puzzles: int,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        self._graphs = CudaGraphs()
        width, block = config.hidden_size, block_class(config)
        self.embedding = block.embedding(config, generator)
        rotary = config.pos_encoding == "rope" and config.mixer == "attention"
        rope_cache = build_rope_cache(config.length, width // config.num_heads) if rotary else None
        self.register_buffer("rope_cache", rope_cache, persistent=False)
        self._build_networks(generator)
        self.heads = block.heads(config, generator)
        self.register_buffer("y_init", truncated_normal((width,), 1.0, generator))
        self.register_buffer("z_init", truncated_normal((width,), 1.0, generator))
        puzzle_embedding = torch.zeros(num_puzzles, config.puzzle_emb_dim)
        self.register_buffer("puzzle_embedding", puzzle_embedding, persistent=False)
        is_composed = config.puzzle_embedding == "composed"
        self.composition = Composition(config, generator) if is_composed else None

    # What an architecture defines.

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        """Raise UserError if the architecture cannot use a setting; by default it uses all."""

    @abstractmethod
    def _build_networks(self, generator: torch.Generator | None) -> None:
        """Build the networks with `_build_blocks` and set them as attributes.

        The constructor calls it between the embeddings and the heads, so that a seed always means
        the same initial weights.
        """

    @abstractmethod
    def supervision_step(
        self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the next y and z from x, y and z; all are (B, L, D).

        `noise` is that of the batch, for `_damp`; None without `config.latent_noise`.
        """

    @property
    @abstractmethod
    def blocks_per_step(self) -> int:
        """How often a supervision step runs a block."""

    @property
    def blocks_with_gradient(self) -> int:
        """How many of `blocks_per_step` carry gradient in training; by default all of them."""
        return self.blocks_per_step

    def should_halt(self, halt_logits: Tensor) -> Tensor:
        """Return whether an example may halt early in training, (B,) bool.

        `halt_logits`: (B, 2), halt and continue.
        """
        return halt_logits[:, 0] > 0

    # What an architecture is built from.

    def _build_blocks(self, num_layers: int, generator: torch.Generator | None) -> nn.ModuleList:
        """Build a network of `num_layers` blocks."""
        block = block_class(self.config)
        return nn.ModuleList(block(self.config, generator) for _ in range(num_layers))

    def _run_blocks(
        self, blocks: nn.ModuleList, h: Tensor, injection: Tensor | None = None
    ) -> Tensor:
        """Run `h` + `injection`, both (B, L, D), through a network."""
        rope_cache = self.rope_cache
        if rope_cache is not None:
            ids = canvas_position_ids(self.config, h.shape[1], rope_cache.device)
            rope_cache = rope_cache if ids is None else rope_cache[:, ids]
        if self.compiled:
            try:
                run = compiled_run_blocks(h.shape[1])
                return run(blocks, h, injection, rope_cache, TORCH_OPS)
            except compile_errors() as error:
                cause = getattr(error, "inner_exception", error)
                reason = next(iter(str(cause).splitlines()), type(cause).__name__)
                warnings.warn(f"torch.compile does not work here ({reason})", stacklevel=2)
                self.compiled = False
        return run_blocks(blocks, h, injection, rope_cache, self.select_ops(h.dtype))

    def _damp(self, z: Tensor, update: Tensor, noise: Noise | None) -> Tensor:
        """Return the next z: (1 − λ) · z + λ · update + β · ε, all (B, L, D).

        λ is `config.damping`, β `config.latent_noise` (docs/model.md, section 11).
        """
        damping, scale = self.config.damping, self.config.latent_noise
        if damping != 1:
            update = torch.lerp(z, update, damping)
        if scale:
            if noise is None:
                raise ValueError("a model with latent noise needs the noise of the batch")
            update = update + (scale * noise.normal(update.shape)).to(update.dtype)
        return update

    def select_ops(self, dtype: torch.dtype) -> Ops:
        """Return the operations that compute activations of `dtype` without torch.compile."""
        return fastest_ops(self.y_init.device, dtype, *self._heads())

    def speed_advice(self) -> str | None:
        """Return what would make this model faster on this machine, None if nothing is known."""
        return (
            None if self.compiled else speed_advice(self.y_init.device, self.dtype, *self._heads())
        )

    def _heads(self) -> tuple[int, bool]:
        """Return the size of a head, and whether its queries and keys are rotated."""
        config = self.config
        if config.mixer == "mlp":  # has no heads: any size that the kernels can take will do
            return HEAD_SIZE_MULTIPLE, False
        return config.hidden_size // config.num_heads, self.rope_cache is not None

    def block_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the blocks, those in module lists.

        Some optimisers treat them otherwise than embeddings and heads; an architecture that keeps
        its blocks elsewhere says where.
        """
        for module in self.children():
            if isinstance(module, nn.ModuleList):
                yield from module.parameters()

    # What training and prediction call.

    def state_length(self, seq_len: int | None = None) -> int:
        """See `arc_trm.models.layers.state_length`."""
        return state_length(self.config, seq_len)

    @property
    def is_random(self) -> bool:
        """Whether a state depends on random numbers, so that examples need seeds."""
        return self.config.initial_state == "random" or self.config.latent_noise > 0

    @property
    def has_trained_halting(self) -> bool:
        """Whether the halting logits depend on the answer; those of a new model do not."""
        return self.heads.has_trained_halting

    def initial_state(
        self, batch: int, length: int | None = None, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the initial y and z, (B, L, D); views if they are fixed.

        Args:
            batch: B.
            length: L; None is that of the full canvas.
            noise: of the batch, from which random starts are drawn; None returns the fixed ones.
        """
        shape = (batch, length or self.state_length(), self.config.hidden_size)
        if noise is not None and self.config.initial_state == "random":
            return self.random_state(batch, shape[1], noise)
        return self.y_init.to(self.dtype).expand(shape), self.z_init.to(self.dtype).expand(shape)

    def random_state(self, batch: int, length: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return an initial y and z, (B, L, D), drawn for each position.

        Both are from a normal distribution truncated at ±2σ, of deviation 1.
        """
        shape = (batch, length, self.config.hidden_size)
        y, z = (noise.truncated_normal(shape).to(self.dtype) for _ in range(2))
        return y, z

    def embed(
        self, inputs: Tensor, puzzle_embeddings: Tensor, augmentations: Tensor | None = None
    ) -> Tensor:
        """Embed puzzles and tokens.

        Args:
            inputs: (B, S) int tokens.
            puzzle_embeddings: (B, puzzle_emb_dim) float32, rows of the puzzle embedding.
            augmentations: (B, A) int, what a composed puzzle embedding composes them with.

        Returns:
            x (B, L, D).
        """
        if self.composition is None:
            return self._embed(inputs, puzzle_embeddings)
        if augmentations is None:
            raise ValueError("a composed puzzle embedding needs the augmentations of the examples")
        moved = self.composition.permute(puzzle_embeddings, augmentations)
        x = self._embed(inputs, self.composition.compose(moved))
        colours = self.composition.embed_colours(moved, inputs, self.dtype)
        if colours is not None:
            x[:, self.config.puzzle_emb_len :].add_(
                colours, alpha=math.sqrt(self.config.hidden_size)
            )
        return x

    def _embed(self, inputs: Tensor, puzzle_embeddings: Tensor) -> Tensor:
        x: Tensor = self.embedding(inputs, puzzle_embeddings, self.dtype)
        return x

    def colour_weights(
        self, puzzle_embeddings: Tensor, augmentations: Tensor | None
    ) -> Tensor | None:
        """Return the `colour_weights` of `token_logits`; None if colours have no roles.

        See `embed` for the arguments.
        """
        if self.composition is None or augmentations is None:
            return None
        moved = self.composition.permute(puzzle_embeddings, augmentations)
        return self.composition.head_weights(moved)

    def token_logits(self, y: Tensor, colour_weights: Tensor | None = None) -> Tensor:
        """Return logits (B, S, V) of the answer y (B, L, D), in the dtype of the activations.

        `colour_weights`: (B, 10, D) float32, what the examples add to the head's rows of the
        colours.
        """
        logits = self.heads.token_logits(y)
        if self.composition is None or colour_weights is None:
            return logits
        cells = y[:, self.config.puzzle_emb_len :]
        return self.composition.add_colour_logits(logits, cells, colour_weights)

    def halt_logits(self, y: Tensor) -> Tensor:
        """Return (B, 2) float32, halt and continue, of the answer y (B, L, D)."""
        return self.heads.halt_logits(y)

    def free_graphs(self) -> None:
        """Forget the recorded supervision steps, which hold memory of a GPU."""
        self._graphs.clear()

    @contextmanager
    def cache_cast_weights(self) -> Iterator[None]:
        """Cast the weights of linear layers once inside the context, not at every use.

        The weights must not change inside.
        """
        linears = [module for module in self.modules() if isinstance(module, Linear)]
        for linear in linears:
            if self.dtype != linear.weight.dtype:
                linear.cached_weight = cast_aligned(linear.weight, self.dtype)
        try:
            yield
        finally:
            for linear in linears:
                linear.cached_weight = None

    def cpu_micro_batch_size(self, length: int) -> int | None:
        """Return how many sequences of `length` positions a CPU computes fastest at once.

        None is all of them, on other devices. Sequences do not depend on each other, so splitting a
        batch only changes rounding.
        """
        if self.y_init.device.type != "cpu":
            return None
        numbers = block_class(self.config).largest_activation(self.config, length)
        return max(1, CPU_ACTIVATION_BYTES // (numbers * self.dtype.itemsize))

    @torch.no_grad()
    def predict_steps(
        self,
        inputs: Tensor,
        puzzle_ids: Tensor,
        supervision_steps: int | None = None,
        seeds: Sequence[int] | None = None,
        augmentations: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Predict a batch and yield the answer after every supervision step.

        Args:
            inputs: (B, S) int tokens on the full canvas or a smaller square one.
            puzzle_ids: (B,) int rows of the puzzle embedding; 0 is the blank puzzle.
            supervision_steps: number of steps; None is `config.supervision_steps`.
            seeds: of each example's random start and noise, if the model has any; None is 0 for
                all.
            augmentations: (B, A) int, for a composed puzzle embedding (`Composition`); None is the
                tasks as they are.

        Yields:
            Logits (B, S, V) float32 and halt logits (B,) float32.

        Raises:
            ValueError: tokens or puzzle ids are out of range, or of another shape or type.
        """
        config = self.config
        steps = config.supervision_steps if supervision_steps is None else supervision_steps
        if steps < 1:
            raise ValueError(f"supervision_steps must be at least 1, got {steps}")
        if seeds is not None and len(seeds) != len(inputs):
            raise ValueError(f"{len(inputs)} examples need as many seeds, got {len(seeds)}")
        sampling = [Sampling(seed) for seed in seeds or [0] * len(inputs)]
        state = self.begin(inputs, puzzle_ids, sampling, augmentations)
        for _ in range(steps):
            state = self.advance(state)
            yield self.read_logits(state), self.read_halt_logits(state)

    @torch.no_grad()
    def begin(
        self,
        inputs: Tensor,
        puzzle_ids: Tensor,
        sampling: Sequence[Sampling],
        augmentations: Tensor | None = None,
    ) -> LatentState:
        """Return the state of a batch before its first supervision step.

        Args:
            inputs, puzzle_ids, augmentations: as of `predict_steps`.
            sampling: how each of the B examples is sampled.

        Raises:
            ValueError: tokens, puzzle ids or augmentations are out of range, or of another shape or
                type.
        """
        config = self.config
        validate_ids("inputs", inputs, (None, None), 0, config.vocab_size)
        self.state_length(inputs.shape[1])  # raises if there is no such canvas
        validate_ids("puzzle_ids", puzzle_ids, inputs.shape[:1], 0, len(self.puzzle_embedding))
        embeddings = self.puzzle_embedding[puzzle_ids.to(self.puzzle_embedding.device)]
        if self.composition is None and augmentations is not None:
            raise ValueError("augmentations are for a composed puzzle embedding, not for a table")
        if self.composition is not None and augmentations is None:
            augmentations = identity_codes(len(inputs))
        if augmentations is not None:
            validate_augmentations("augmentations", augmentations, len(inputs))
            augmentations = augmentations.to(self.y_init.device)
        embeddings = embeddings.to(self.y_init.device)
        x = self.embed(inputs, embeddings, augmentations)
        noise = None
        if self.is_random or any(each.starts == "random" or each.noise for each in sampling):
            noise = Noise.from_seeds([each.seed for each in sampling], x.device)
        y, z = self.initial_state(len(x), x.shape[1])
        starts = [each.starts or config.initial_state for each in sampling]
        if noise is not None and "random" in starts:
            y, z = y.clone(), z.clone()
            drawn = [index for index, start in enumerate(starts) if start == "random"]
            y[drawn], z[drawn] = self.random_state(len(drawn), x.shape[1], noise.take(drawn))
        sigma = tuple(each.noise for each in sampling)
        return LatentState(x, y, z, noise, sigma, self.colour_weights(embeddings, augmentations))

    @torch.no_grad()
    def advance(self, state: LatentState) -> LatentState:
        """Return the state of a batch after one more supervision step."""
        size, length = state.x.shape[:2]
        if not self.is_random and self.is_launch_bound(size, length):
            y, z = self._replay(state.x, *state.with_noise())
            return replace(state, y=y, z=z)
        ys, zs = [], []
        with self.cache_cast_weights():
            for part in self._micro_batches(state):
                noise = part.noise if self.is_random else None
                y, z = self.supervision_step(part.x, *part.with_noise(), noise)
                ys.append(y)
                zs.append(z)
        return replace(state, y=join(ys), z=join(zs))

    def is_launch_bound(self, size: int, length: int) -> bool:
        """Return whether a GPU computes `size` states of `length` faster than Python starts it."""
        if self.y_init.device.type != "cuda" or not self._weights_per_block:
            return False
        return 2 * self._weights_per_block * size * length < LAUNCH_BOUND_FLOPS

    @cached_property
    def _weights_per_block(self) -> int:
        """How many weights a block has; 0 where a replay could do something else than a call.

        Modules from outside this package may count their calls, or wait for the GPU.
        """
        known = all(
            type(each).__module__.startswith(("arc_trm.", "torch.")) for each in self.modules()
        )
        if not known or block_class(self.config) is BlockAdapter:
            return 0
        blocks = sum(len(each) for each in self.children() if isinstance(each, nn.ModuleList))
        return sum(each.numel() for each in self.block_parameters()) // max(1, blocks)

    @cached_property
    def _all_parameters(self) -> tuple[nn.Parameter, ...]:
        return tuple(self.parameters())  # finding them takes longer than a small step

    def _replay(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Take a supervision step, (B, L, D), as a CUDA graph.

        B is filled up by less than an eighth, so that few graphs serve all sizes.
        """
        batch = len(x)
        step = 2 ** max(0, batch.bit_length() - 4)
        padding = -batch % step
        x, y, z = (F.pad(each, (0, 0, 0, 0, 0, padding)) for each in (x, y, z))
        # A graph computes with the weights that were at these places.
        places = tuple(each.data_ptr() for each in self._all_parameters)
        y, z = self._graphs.call((places, x.shape), self._cast_and_step, x, y, z)
        return y[:batch].clone(), z[:batch].clone()

    def _cast_and_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        with self.cache_cast_weights():
            return self.supervision_step(x, y, z)

    @torch.no_grad()
    def read_logits(self, state: LatentState) -> Tensor:
        """Return the logits (B, S, V) float32 of the current answers."""
        with self.cache_cast_weights():
            return join(
                [
                    self.token_logits(each.y, each.colour_weights).float()
                    for each in self._micro_batches(state)
                ]
            )

    @torch.no_grad()
    def read_halt_logits(self, state: LatentState) -> Tensor:
        """Return the halting logits (B,) float32 of the current answers."""
        return join([self.halt_logits(each.y)[:, 0] for each in self._micro_batches(state)])

    def _micro_batches(self, state: LatentState) -> list[LatentState]:
        return state.split(self.cpu_micro_batch_size(state.x.shape[1]) or len(state))


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate the parts of a batch; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


ARCHITECTURES: Registry[type[PuzzleModel]] = Registry("architecture", "model.architecture")


register_architecture = ARCHITECTURES.register
"""Decorator that registers a `PuzzleModel` under a name, for `model.architecture`."""


def require_defaults(config: ModelConfig, architecture: str, *settings: str) -> None:
    """Raise UserError unless `settings`, which only `architecture` uses, have their defaults."""
    if any(getattr(config, name) != getattr(ModelConfig, name) for name in settings):
        names = " and ".join(f"model.{name}" for name in settings)
        verb, pronoun = ("applies", "it") if len(settings) == 1 else ("apply", "them")
        raise UserError(
            f"{names} {verb} to the architecture {architecture} only: leave {pronoun} out"
        )


@cache
def compiled_run_blocks(length: int) -> Callable[..., Tensor]:
    """Return `run_blocks` compiled by torch.compile for states of L = `length`, for all models.

    Each L has a function of its own, so that its graphs are made for this L alone. The first batch
    size compiles a graph for that size; the second compiles it for every size.
    """
    keep_compiled("TORCHINDUCTOR_CACHE_DIR", "inductor")
    import torch._dynamo.config as dynamo
    import torch._functorch.config as functorch

    if hasattr(dynamo, "recompile_limit"):  # over sizes, networks, with and without gradient
        dynamo.recompile_limit = max(64, dynamo.recompile_limit)
    if hasattr(functorch, "force_non_lazy_backward_lowering"):
        # Compile backward together with forward, where `_run_blocks` can catch a failure.
        functorch.force_non_lazy_backward_lowering = True
    # PyTorch keeps graphs by the code of a function, so a copy of it has its own.
    code = run_blocks.__code__.replace(co_name=f"run_blocks_of_{length}")
    return torch.compile(FunctionType(code, run_blocks.__globals__))


def compile_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that mean that torch.compile does not work on this machine."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException, ImportError)


def validate_ids(name: str, ids: Tensor, shape: Sequence[int | None], low: int, high: int) -> None:
    """Check a tensor of ids before it is used as an index.

    Raises:
        ValueError: the shape differs from `shape`, where None is any length, the ids are not
            integers, or one is not low..high - 1.
    """
    sizes_fit = (size in (None, got) for size, got in zip(shape, ids.shape, strict=False))
    if len(shape) != ids.dim() or not all(sizes_fit):
        expected_shape = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be of shape ({expected_shape}), got {tuple(ids.shape)}")
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"{name} must be of an integer type, got {ids.dtype}")
    if ids.numel() and not low <= int(ids.min()) <= int(ids.max()) < high:
        raise ValueError(
            f"{name} must be {low}..{high - 1}, got {int(ids.min())}..{int(ids.max())}"
        )
