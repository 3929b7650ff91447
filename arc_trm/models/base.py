"""What all models share: embeddings, puzzle table, heads, first states and how a batch is solved.

Shape letters: B batch, S cells of a canvas, P puzzle positions, L = P + S, D hidden size, V
vocabulary. y is the current answer (published `z_H`), z the latent reasoning (`z_L`); TRM paper,
figure 3.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.cpu_kernels import operations
from arc_trm.models.layers import Block, Linear, build_rope_cache, swiglu_width, truncated_normal
from arc_trm.models.ops import TORCH_OPS, Ops

HALT_BIAS = -5.0
CPU_BYTES = 24 * 2**20
"""Largest intermediate result on a CPU: glibc gives 32 MB and more back to the system at once, so
that the next one is taken page by page again."""


@cache
def _places(positions: int, side: int, full: int, device: torch.device) -> Tensor:
    """Positions of a puzzle, then of the cells of a square of `side` in one of `full`."""
    rows, columns = torch.meshgrid(*[torch.arange(side, device=device)] * 2, indexing="ij")
    cells = positions + (rows * full + columns).flatten()
    return torch.cat([torch.arange(positions, device=device), cells])


def layers(
    network: nn.ModuleList,
    h: Tensor,
    injection: Tensor | None,
    angles: Tensor | None,
    operations: Ops,
) -> Tensor:
    """`h` + `injection` (B, L, D) through blocks; `angles` as `Ops.attention` takes them."""
    if injection is not None:
        h = h + injection
    for block in network:
        h = block(h, angles, operations)
    return h


@cache
def compiled_layers() -> Callable[..., Tensor]:
    """`layers` by torch.compile: one for all models, that takes batches of any size in the end.

    It is compiled for the first size, and once more for all when another comes.
    """
    import torch._dynamo.config as dynamo
    import torch._functorch.config as functorch

    if hasattr(dynamo, "recompile_limit"):  # of sizes, networks, with gradient and without
        dynamo.recompile_limit = max(64, dynamo.recompile_limit)
    if hasattr(functorch, "force_non_lazy_backward_lowering"):
        # The way back is compiled with the way there, where a failure can be gone on from.
        functorch.force_non_lazy_backward_lowering = True
    return torch.compile(layers)


def compile_errors() -> tuple[type[Exception], ...]:
    """What torch.compile raises where it does not work: no compiler, or a fault of its own."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException, ImportError)


def validate_ids(what: str, ids: Tensor, shape: Sequence[int | None], low: int, high: int) -> None:
    """ValueError unless `ids` are integers from `low` on, below `high`, of `shape`.

    None in `shape` is any length.
    """
    fits = len(shape) == ids.dim() and all(
        want in (None, got) for want, got in zip(shape, ids.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{what} must be of shape ({wanted}), got {tuple(ids.shape)}")
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"{what} must be of an integer type, got {ids.dtype}")
    if ids.numel() and not low <= int(ids.min()) <= int(ids.max()) < high:
        span = f"{int(ids.min())}..{int(ids.max())}"
        raise ValueError(f"{what} must be {low}..{high - 1}, got {span}")


class PuzzleModel(nn.Module, ABC):
    """A model that improves a carried answer; `dtype` is the type of the activations.

    `puzzle_table` (rows, puzzle size) float32 is a plain buffer: its rows are trained by sign
    descent on the few that a batch touches (`arc_trm.training.optim`), never by autograd on the whole.
    """

    compiled: bool = False
    """Whether layers are computed by torch.compile, which fuses what is between matrix products."""

    has_continue_head: ClassVar[bool] = False
    """Whether the second halting logit is trained, on what one more supervision step says."""

    angles: Tensor | None
    y_init: Tensor
    z_init: Tensor
    puzzle_table: Tensor

    def __init__(
        self,
        config: ModelConfig,
        puzzle_rows: int,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        width = config.hidden_size
        self.token_embedding = nn.Parameter(
            truncated_normal((config.vocab_size, width), width**-0.5, generator)
        )
        self.position_embedding = (
            nn.Parameter(truncated_normal((config.length, width), width**-0.5, generator))
            if config.pos_encoding == "learned"
            else None
        )
        rotary = config.pos_encoding == "rope" and config.mixer == "attention"
        angles = build_rope_cache(config.length, width // config.num_heads) if rotary else None
        self.register_buffer("angles", angles, persistent=False)
        self._add_networks(generator)
        self.token_head = Linear(width, config.vocab_size, generator)
        # Without first weights of PyTorch's own choice, which would take its numbers for nothing.
        self.halt_head = nn.utils.skip_init(nn.Linear, width, 2)  # type: ignore[no-untyped-call]
        nn.init.zeros_(self.halt_head.weight)
        nn.init.constant_(self.halt_head.bias, HALT_BIAS)
        self.register_buffer("y_init", truncated_normal((width,), 1.0, generator))
        self.register_buffer("z_init", truncated_normal((width,), 1.0, generator))
        table = torch.zeros(puzzle_rows, config.puzzle_emb_dim)
        self.register_buffer("puzzle_table", table, persistent=False)

    @abstractmethod
    def _add_networks(self, generator: torch.Generator | None) -> None:
        """Sets the networks as attributes; called between the embeddings and the heads, so that a
        seed means the same weights in every version."""

    @abstractmethod
    def supervision_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The next y and z of x, y and z, all (B, L, D)."""

    @property
    @abstractmethod
    def layers_per_step(self) -> int:
        """How many layers a supervision step goes through, repeats counted."""

    @property
    @abstractmethod
    def layers_with_gradient(self) -> int:
        """How many of `layers_per_step` carry gradient in training."""

    def halts(self, halt_logits: Tensor) -> Tensor:
        """(B,) bool: whether a sequence may stop early in training, of `halt_logits` (B, 2)."""
        return halt_logits[:, 0] > 0

    def _network(self, generator: torch.Generator | None) -> nn.ModuleList:
        config = self.config
        shape = (config.length, config.hidden_size, config.num_heads, config.expansion)
        return nn.ModuleList(
            Block(config.mixer, *shape, generator) for _ in range(config.num_layers)
        )

    def places(self, length: int) -> Tensor | None:
        """(length,) int64: the full canvas' positions of a smaller square one; None of the full.

        Raises ValueError if the rest after the puzzle's positions is no such square.
        """
        config = self.config
        if length == config.length:
            return None
        side, full = math.isqrt(max(0, length - config.puzzle_emb_len)), math.isqrt(config.seq_len)
        square = config.puzzle_emb_len + side * side == length and full * full == config.seq_len
        if not square or not 0 < side < full or config.mixer != "attention":
            raise ValueError(
                f"{length - config.puzzle_emb_len} cells are neither the canvas of "
                f"{config.seq_len} nor a smaller square of it that a model with attention can take"
            )
        return _places(config.puzzle_emb_len, side, full, self.y_init.device)

    def select_ops(self, dtype: torch.dtype) -> Ops:
        """What computes layers of such activations where torch.compile does not."""
        head_size, rotary = (
            self.config.hidden_size // self.config.num_heads,
            self.angles is not None,
        )
        return operations(self.y_init.device, dtype, head_size, rotary)

    def _through(
        self, network: nn.ModuleList, h: Tensor, injection: Tensor | None = None
    ) -> Tensor:
        """`h` + `injection` (B, L, D) through the blocks of a network."""
        angles = self.angles
        if angles is not None and (places := self.places(h.shape[1])) is not None:
            angles = angles[:, places]
        if self.compiled:
            try:
                return compiled_layers()(network, h, injection, angles, TORCH_OPS)
            except compile_errors() as error:
                cause = getattr(error, "inner_exception", error)
                reason = next(iter(str(cause).splitlines()), type(cause).__name__)
                warnings.warn(f"torch.compile does not work here ({reason})", stacklevel=2)
                self.compiled = False
        return layers(network, h, injection, angles, self.select_ops(h.dtype))

    @contextmanager
    def cache_cast_weights(self) -> Iterator[None]:
        """Within, the weights of linear layers are cast once instead of at every use.

        They must not change meanwhile.
        """
        linear = [module for module in self.modules() if isinstance(module, Linear)]
        for layer in linear:
            if self.dtype != layer.weight.dtype:
                layer.cast = layer.weight.detach().to(self.dtype)
        try:
            yield
        finally:
            for layer in linear:
                layer.cast = None

    def cpu_micro_batch_size(self, length: int) -> int | None:
        """How many sequences of `length` positions go through fastest together; None is all.

        Sequences do not depend on each other; splitting a batch changes rounding only.
        """
        if self.y_init.device.type != "cpu":
            return None
        config = self.config
        hidden = 2 * swiglu_width(config.hidden_size, config.expansion)
        return max(1, CPU_BYTES // (length * hidden * self.dtype.itemsize))

    def initial_state(self, batch: int, length: int | None = None) -> tuple[Tensor, Tensor]:
        """y0 and z0, (B, L, D) views; L is the full canvas' unless a `length` is given."""
        shape = (batch, length or self.config.length, self.config.hidden_size)
        return self.y_init.to(self.dtype).expand(shape), self.z_init.to(self.dtype).expand(shape)

    def embed(self, inputs: Tensor, puzzle_rows: Tensor) -> Tensor:
        """x (B, L, D): tokens (B, S) int behind the puzzle's row (B, puzzle size) as P positions,
        plus learned positions where there are any, times sqrt(D)."""
        config = self.config
        padding = config.puzzle_emb_len * config.hidden_size - config.puzzle_emb_dim
        puzzle = F.pad(puzzle_rows.to(self.dtype), (0, padding))
        puzzle = puzzle.view(-1, config.puzzle_emb_len, config.hidden_size)
        tokens = F.embedding(inputs.int(), self.token_embedding.to(self.dtype))
        x = torch.cat([puzzle, tokens], dim=1)
        if self.position_embedding is not None:
            positions, places = self.position_embedding.to(self.dtype), self.places(x.shape[1])
            x = math.sqrt(0.5) * (x + (positions if places is None else positions[places]))
        return math.sqrt(config.hidden_size) * x

    def token_logits(self, y: Tensor) -> Tensor:
        """(B, S, V) logits of the answer, in the type of the activations."""
        logits: Tensor = self.token_head(y)[:, self.config.puzzle_emb_len :]
        return logits

    def halt_logits(self, y: Tensor) -> Tensor:
        """(B, 2) float32: halt and continue, read at the first position."""
        logits: Tensor = self.halt_head(y[:, 0].float())
        return logits

    @torch.no_grad()
    def solve(
        self, inputs: Tensor, puzzle_ids: Tensor, supervision_steps: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Answer a batch, one refinement after the other.

        Args:
            inputs: (B, S) int tokens, of the full canvas or a smaller square one.
            puzzle_ids: (B,) int rows of the puzzle table; 0 is the blank one.
            supervision_steps: how many; None is the model's own number.

        Yields:
            After every supervision step logits (B, S, V) float32 and halt logits (B,) float32.

        Raises:
            ValueError: tokens or rows of another shape or type, or out of range.
        """
        config = self.config
        steps = config.supervision_steps if supervision_steps is None else supervision_steps
        if steps < 1:
            raise ValueError(f"supervision_steps must be at least 1, got {steps}")
        validate_ids("inputs", inputs, (None, None), 0, config.vocab_size)
        self.places(config.puzzle_emb_len + inputs.shape[1])  # raises for other numbers of cells
        validate_ids("puzzle_ids", puzzle_ids, inputs.shape[:1], 0, len(self.puzzle_table))
        rows = self.puzzle_table[puzzle_ids.to(self.puzzle_table.device)]
        x = self.embed(inputs, rows.to(self.y_init.device))
        chunks = -(-len(x) // (self.cpu_micro_batch_size(x.shape[1]) or max(1, len(x)))) or 1
        parts = [(part, *self.initial_state(*part.shape[:2])) for part in x.chunk(chunks)]
        for _ in range(steps):
            # A generator's frame outlives both between its steps, so they are set again inside.
            with torch.no_grad(), self.cache_cast_weights():
                parts = [(x, *self.supervision_step(x, y, z)) for x, y, z in parts]
                logits = torch.cat([self.token_logits(y).float() for _, y, _ in parts])
                halt = torch.cat([self.halt_logits(y)[:, 0] for _, y, _ in parts])
            yield logits, halt
