"""Linear layers without bias, whose weights are cast to the dtype of the activations."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TRUNCATED_STD = math.sqrt(
    1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(2 / math.sqrt(2))
)
"""Standard deviation of a standard normal distribution truncated at ±2."""


ROW_MULTIPLE = 16
"""Numbers at a multiple of which a GPU reads rows fast."""


def truncated_normal(
    shape: tuple[int, ...], std: float, generator: torch.Generator | None
) -> Tensor:
    """Draw float32 numbers from a normal distribution truncated at ±2σ.

    `std` is the standard deviation after truncation; σ is chosen accordingly. `generator` is on the
    CPU; None is PyTorch's global one.
    """
    sigma = std / TRUNCATED_STD
    values = torch.empty(shape)
    return nn.init.trunc_normal_(values, 0.0, sigma, -2 * sigma, 2 * sigma, generator=generator)


class _CachedLinear(torch.autograd.Function):
    """x W^T with a cached cast of W; the gradient of W is in W's own dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cached_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, cached_weight)
        ctx.dtype = weight.dtype
        return F.linear(x, cached_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, cached_weight = ctx.saved_tensors
        grad_x = grad @ cached_weight if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        grad_rows, x_rows = grad.flatten(0, -2), x.flatten(0, -2)
        return grad_x, (grad_rows.t() @ x_rows).to(ctx.dtype), None


class _ForkedLinear(torch.autograd.Function):
    """x and x W^T; backward adds the product's gradient to that of x in the matrix product."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, cached_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, cached_weight)
        ctx.dtype = weight.dtype
        return x, F.linear(x, cached_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, cached_weight = ctx.saved_tensors
        grad_rows = grad.flatten(0, -2)
        # In place: whatever used the gradient of x has led to that of the product.
        grad_x = grad_x.contiguous()
        if grad_x.data_ptr() == grad.data_ptr():  # as of `x + product`
            grad_x = grad_x.clone()
        grad_x.view(-1, x.shape[-1]).addmm_(grad_rows, cached_weight)
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        return grad_x, (grad_rows.t() @ x.flatten(0, -2)).to(ctx.dtype), None


def cast_aligned(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a weight (n_out, n_in) to another dtype; on a GPU every row starts aligned.

    Rows there are filled up with zeros to a multiple of `ROW_MULTIPLE`, outside the view that is
    returned: matrix products of rows that start anywhere are several times slower.
    """
    n_out, n_in = weight.shape
    padding = -n_in % ROW_MULTIPLE if weight.is_cuda else 0
    if not padding:
        return weight.detach().to(dtype)
    padded = weight.new_zeros(n_out, n_in + padding, dtype=dtype)
    aligned = padded[:, :n_in]
    return aligned.copy_(weight.detach())


class Linear(nn.Module):
    """x W^T without bias, W (n_out, n_in) initialised by fan-in."""

    cached_weight: Tensor | None
    """The weight in the dtype of the activations, within `PuzzleModel.cache_cast_weights`; None
    casts the weight at every use."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.cached_weight = None
        self.weight = nn.Parameter(truncated_normal((n_out, n_in), n_in**-0.5, generator))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out `cached_weight`, for the weight of a copy may change."""
        return {**self.__dict__, "cached_weight": None}

    def cast_weight(self, dtype: torch.dtype) -> Tensor:
        """Return the weight in a dtype, without gradient."""
        if self.cached_weight is not None:
            return self.cached_weight
        return cast_aligned(self.weight, dtype)

    def fork(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x, to which what is computed from the product is added later, and x W^T.

        On a GPU this saves a sum of two gradients of x.
        """
        if self.cached_weight is None or not x.is_cuda or not torch.is_grad_enabled():
            return x, self(x)
        x, out = _ForkedLinear.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.cached_weight
        )
        return x, out

    def forward(self, x: Tensor) -> Tensor:
        if self.cached_weight is None:
            return F.linear(x, self.weight.to(x.dtype))
        if not torch.is_grad_enabled():
            return F.linear(x, self.cached_weight)
        out: Tensor = _CachedLinear.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.cached_weight
        )
        return out
