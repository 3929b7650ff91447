"""The cost of each component of a step, measured alone on tensors of the step's shapes.

Components are measured one by one without torch.compile, so their sum is close to the cost of the
whole step only where nothing is fused or overlaps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arc_trm.benchmarks.timing import median_seconds
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import Attention, Block, PostNormBlock
from arc_trm.training import Trainer
from arc_trm.training.losses import halt_loss
from arc_trm.training.optim import sign_sgd, update_ema

Breakdown = dict[str, float]


def prediction_breakdown(model: PuzzleModel, batch_size: int) -> Breakdown:
    """Return the seconds of each component of predicting a batch on the full canvas."""
    steps = model.config.supervision_steps
    size = min(batch_size, model.cpu_micro_batch_size(model.state_length()) or batch_size)
    with model.cache_cast_weights():
        block = _block_breakdown(model, size, backward=False)
        heads = _head_seconds(model, size, backward=False)
    blocks = steps * model.blocks_per_step
    breakdown = {name: blocks * seconds for name, seconds in block.items()}
    breakdown["heads"] = steps * heads
    return {name: seconds * batch_size / size for name, seconds in breakdown.items()}


def training_breakdown(trainer: Trainer) -> Breakdown:
    """Return the seconds of each component of a training step on the full canvas."""
    model, batch_size = trainer.model, trainer.batch_size
    size = min(batch_size, trainer.micro_batch_size)
    with_gradient = model.blocks_with_gradient
    without_gradient = model.blocks_per_step - with_gradient
    if model.has_continue_head:
        without_gradient += model.blocks_per_step
    with model.cache_cast_weights():
        forward = _block_breakdown(model, size, backward=False)
        both = _block_breakdown(model, size, backward=True)
    breakdown = {
        name: without_gradient * forward[name] + with_gradient * both[name] for name in forward
    }
    breakdown["heads"] = _head_seconds(model, size, backward=True)
    breakdown["loss"] = _loss_seconds(trainer, size)
    breakdown = {name: seconds * batch_size / size for name, seconds in breakdown.items()}
    breakdown["optimisers"] = _optimiser_seconds(trainer)
    return breakdown


def _random_state(model: PuzzleModel, batch_size: int, requires_grad: bool) -> Tensor:
    """Return random numbers (B, L, D) in the dtype of the activations."""
    shape = (batch_size, model.state_length(), model.config.hidden_size)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(shape, generator=generator).to(model.y_init.device, model.dtype)
    return state.requires_grad_(requires_grad)


def _first_block(model: PuzzleModel) -> Block:
    return next(module for module in model.modules() if isinstance(module, Block))


def _module_seconds(
    action: Callable[[Tensor], Tensor], model: PuzzleModel, batch_size: int, backward: bool
) -> float:
    """Return the seconds of `action` on a state, with its backward pass if `backward`."""
    state = _random_state(model, batch_size, backward)
    if not backward:
        with torch.no_grad():
            return median_seconds(lambda: action(state), state.device)
    gradient = torch.ones_like(action(state))
    inputs = [state, *_first_block(model).parameters()]
    return median_seconds(
        lambda: torch.autograd.grad(action(state), inputs, gradient, allow_unused=True),
        state.device,
    )


def _block_breakdown(model: PuzzleModel, batch_size: int, backward: bool) -> Breakdown:
    """Return the seconds of each component of one block, of the whole where they are not known."""
    block, ops = _first_block(model), model.select_ops(model.dtype)
    if not isinstance(block, PostNormBlock):
        whole = _module_seconds(
            lambda h: block.forward(h, model.rope_cache, ops), model, batch_size, backward
        )
        return {"block": whole}
    token_mixer = block.token_mixer

    def mix(h: Tensor) -> Tensor:
        if isinstance(token_mixer, Attention):
            return token_mixer.fork(h, model.rope_cache, ops)[1]
        return token_mixer.forward(h.transpose(1, 2), ops).transpose(1, 2)

    actions: dict[str, Callable[[Tensor], Tensor]] = {
        "attention" if isinstance(token_mixer, Attention) else "mixer": mix,
        "swiglu": lambda h: block.swiglu.forward(h, ops),
        "norms": lambda h: ops.residual_norm(h, h),
    }
    breakdown = {
        name: _module_seconds(action, model, batch_size, backward)
        for name, action in actions.items()
    }
    breakdown["norms"] *= 2  # a block has two
    return breakdown


def _head_seconds(model: PuzzleModel, batch_size: int, backward: bool) -> float:
    def heads(y: Tensor) -> Tensor:
        return model.token_logits(y).float().sum() + model.halt_logits(y).sum()

    return _module_seconds(heads, model, batch_size, backward)


def _loss_seconds(trainer: Trainer, batch_size: int) -> float:
    model = trainer.model
    state = _random_state(model, batch_size, requires_grad=False)
    logits = model.token_logits(state).detach().requires_grad_()
    labels = trainer.carry["labels"][:batch_size]

    def losses() -> None:
        correct = (logits.argmax(-1) == labels).all(-1)
        token_loss = trainer.token_loss(logits, labels).sum()
        torch.autograd.grad(token_loss + halt_loss(logits[:, 0, 0], correct).sum(), logits)

    return median_seconds(losses, logits.device)


def _optimiser_seconds(trainer: Trainer) -> float:
    """Return the seconds of both optimisers and the weight average; the weights stay."""
    embedding, carry = trainer.model.puzzle_embedding, trainer.carry
    gradients = torch.zeros(trainer.batch_size, embedding.shape[1], device=embedding.device)

    def update() -> None:
        trainer.gradients.zero_()
        trainer.optimiser.step(0.0)
        update_ema(trainer.ema, trainer.flat_params, trainer.config.ema_decay)
        sign_sgd(embedding, carry["puzzle_ids"], gradients, 0.0, 0.0)

    return median_seconds(update, embedding.device)
