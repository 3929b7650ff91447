"""What each part of a step costs, measured alone on tensors of the step's shapes.

Parts are measured one by one, without `torch.compile`, so their sum is near the whole only where
nothing is fused or overlaps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arc_trm.benchmarks.timing import timed
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import Attention, Block
from arc_trm.training import Trainer
from arc_trm.training.losses import halt_loss, token_cross_entropy
from arc_trm.training.optim import sign_sgd

Parts = dict[str, float]


def _random(model: PuzzleModel, batch: int, requires_grad: bool) -> Tensor:
    shape = (batch, model.config.length, model.config.hidden_size)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator).to(model.y_init.device, model.dtype)
    return values.requires_grad_(requires_grad)


def _block(model: PuzzleModel) -> Block:
    return next(module for module in model.modules() if isinstance(module, Block))


def _seconds(
    action: Callable[[Tensor], Tensor], model: PuzzleModel, batch: int, backward: bool
) -> float:
    """Of `action` on a state of so many sequences; with the way back too, if asked."""
    state = _random(model, batch, backward)
    device = state.device
    if not backward:
        with torch.no_grad():
            return timed(lambda: action(state), device)
    slope = torch.ones_like(action(state))
    weights = [state, *_block(model).parameters()]

    def both() -> None:
        torch.autograd.grad(action(state), weights, slope, allow_unused=True)

    return timed(both, device)


def _layers(model: PuzzleModel, batch: int, backward: bool) -> Parts:
    """Seconds of the parts of one layer."""
    block = _block(model)
    token_mixer, fastest = block.token_mixer, model.select_ops(model.dtype)

    def mixed(h: Tensor) -> Tensor:
        if isinstance(token_mixer, Attention):
            return token_mixer(h, model.rope_cache, fastest)  # type: ignore[no-any-return]
        return token_mixer(h.transpose(1, 2), fastest).transpose(1, 2)  # type: ignore[no-any-return]

    name = "attention" if isinstance(token_mixer, Attention) else "mixer"
    return {
        name: _seconds(mixed, model, batch, backward),
        "swiglu": _seconds(lambda h: block.swiglu(h, fastest), model, batch, backward),
        "norms": 2 * _seconds(lambda h: fastest.residual_norm(h, h), model, batch, backward),
    }


def parts_of_prediction(model: PuzzleModel, batch: int) -> Parts:
    """Seconds of the parts of answering a batch on the full canvas."""
    steps = model.config.supervision_steps
    chunk = min(batch, model.cpu_micro_batch_size(model.config.length) or batch)
    with model.cache_cast_weights():
        layers, heads = _layers(model, chunk, False), _heads(model, chunk, False)
    parts = {name: steps * model.blocks_per_step * each for name, each in layers.items()}
    return {name: each * batch / chunk for name, each in (parts | {"heads": steps * heads}).items()}


def _heads(model: PuzzleModel, batch: int, backward: bool) -> float:
    def heads(y: Tensor) -> Tensor:
        return model.token_logits(y).float().sum() + model.halt_logits(y).sum()

    return _seconds(heads, model, batch, backward)


def parts_of_training(trainer: Trainer) -> Parts:
    """Seconds of the parts of a step on the full canvas."""
    model, carry, config = trainer.model, trainer.carry, trainer.config
    device = carry["y"].device
    share = len(carry["y"])
    chunk = min(share, trainer.micro_batch)
    chunks = share / chunk
    with_gradient = model.blocks_with_gradient
    without = model.blocks_per_step - with_gradient
    if model.has_continue_head:
        without += model.blocks_per_step
    with model.cache_cast_weights():
        forward, both = (_layers(model, chunk, backward) for backward in (False, True))
    parts = {
        name: chunks * (without * forward[name] + with_gradient * both[name]) for name in forward
    }
    parts["heads"] = chunks * _heads(model, chunk, True)
    logits = model.token_logits(_random(model, chunk, False)).detach().requires_grad_()
    labels = carry["labels"][:chunk]

    def loss() -> None:
        right = (logits.argmax(-1) == labels).all(-1)
        total = token_cross_entropy(logits, labels).sum() + halt_loss(logits[:, 0, 0], right).sum()
        torch.autograd.grad(total, logits)

    parts["loss"] = chunks * timed(loss, device)
    rows = torch.zeros(share, model.config.puzzle_emb_dim, device=device)

    def optimisers() -> None:
        trainer.gradients.zero_()
        trainer.optimiser.step(trainer.gradients, 0.0)
        trainer.average.lerp_(trainer.values, 1 - config.ema_decay)
        sign_sgd(model.puzzle_embedding, carry["puzzle_ids"], rows, 0.0, 0.0)

    parts["optimisers"] = timed(optimisers, device)
    return parts
