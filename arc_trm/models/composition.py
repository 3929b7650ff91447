"""The puzzle embedding of an augmented task, composed from one vector of the task.

An augmentation acts on the vector as it acts on the grids (docs/model.md, section 12). The vector
has three parts:

- what is the same under every augmentation, `shared` numbers;
- what depends on directions: eight chunks, one for each symmetry of the square, which a symmetry
  permutes as it permutes the symmetries (the regular representation of the group);
- what depends on colours: ten chunks, one for each colour. The image of a colour takes its chunk.

So every augmentation of a task has an embedding, trained or not, and what is learnt from one serves
them all. A linear layer, which all tasks share, maps the permuted vector to the positions.

Shape letters: B batch, A numbers of an augmentation, D hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.linear import truncated_normal
from arc_trm.puzzles.symmetry import PRODUCTS, SYMMETRIES

COLOURS = 10
CODE_SIZE = 1 + COLOURS
"""A: the id of a symmetry, then the image of each colour."""
CHUNK_SHARE = 32
"""A chunk has one number of so many in the vector of a task."""


def chunk_size(puzzle_emb_dim: int) -> int:
    """Return the numbers of a chunk; the other numbers of a vector are the same for all."""
    return puzzle_emb_dim // CHUNK_SHARE


class Composition(nn.Module):
    """Composes puzzle embeddings from vectors of tasks and augmentations.

    Args:
        config: of the model; `puzzle_emb_dim` is the size of a vector.
        generator: of the initial weights, on the CPU; None is PyTorch's global generator.
    """

    products: Tensor

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        size, width = config.puzzle_emb_dim, config.hidden_size
        self.chunk = chunk_size(size)
        self.shared = size - (SYMMETRIES + COLOURS) * self.chunk
        self.weight = nn.Parameter(truncated_normal((width, size), size**-0.5, generator))
        self.register_buffer("products", torch.tensor(PRODUCTS), persistent=False)

    def forward(self, vectors: Tensor, augmentations: Tensor) -> Tensor:
        """Compose the embeddings of augmented tasks.

        Args:
            vectors: (B, puzzle_emb_dim) float32, of the tasks.
            augmentations: (B, A) int: the id of a symmetry (`arc_trm.puzzles.symmetry`), then the
                image of each colour 0..9.

        Returns:
            (B, D) float32.
        """
        return self.permute(vectors, augmentations) @ self.weight.t()

    def permute(self, vectors: Tensor, augmentations: Tensor) -> Tensor:
        """Return the vectors under the augmentations, of the same shape."""
        codes = augmentations.long()
        end = self.shared + SYMMETRIES * self.chunk
        directed = self._move(vectors[:, self.shared : end], self.products[codes[:, 0]])
        coloured = self._move(vectors[:, end:], codes[:, 1:])
        return torch.cat([vectors[:, : self.shared], directed, coloured], dim=1)

    def _move(self, chunks: Tensor, places: Tensor) -> Tensor:
        """Move chunk n of each example to place `places[n]`; (B, N · chunk) and (B, N)."""
        sources = places.argsort(dim=1)  # of each place; a gather is deterministic everywhere
        index = sources[:, :, None].expand(-1, -1, self.chunk)
        return chunks.reshape(*places.shape, self.chunk).gather(1, index).flatten(1)


def identity_codes(batch: int) -> Tensor:
    """Return the augmentation that changes nothing, (batch, A) int32."""
    return torch.tensor([[0, *range(COLOURS)]], dtype=torch.int32).repeat(batch, 1)


def validate_augmentations(name: str, augmentations: Tensor, batch: int) -> None:
    """Check the codes of augmentations before they are used as indices.

    Raises:
        ValueError: they are not (batch, A) integers, an id is that of no symmetry, or images are no
            permutation of the colours.
    """
    if augmentations.shape != (batch, CODE_SIZE):
        raise ValueError(
            f"{name} must be of shape ({batch}, {CODE_SIZE}), got {tuple(augmentations.shape)}"
        )
    if augmentations.is_floating_point() or augmentations.is_complex():
        raise ValueError(f"{name} must be of an integer type, got {augmentations.dtype}")
    ids, images = augmentations[:, 0], augmentations[:, 1:].sort(dim=1).values
    if not ((ids >= 0) & (ids < SYMMETRIES)).all():
        raise ValueError(f"{name} must begin with the id of a symmetry, 0..{SYMMETRIES - 1}")
    if not (images == torch.arange(COLOURS, device=images.device)).all():
        raise ValueError(f"{name} must hold an image of each colour 0..{COLOURS - 1}")
