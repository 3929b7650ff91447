"""The puzzle embedding of an augmented task, composed from one vector of the task.

An augmentation acts on the vector as it acts on the grids (docs/model.md, section 12). The vector
has three parts:

- what is the same under every augmentation;
- what depends on directions: eight chunks, one for each symmetry of the square, which a symmetry
  permutes as it permutes the symmetries (the regular representation of the group);
- what depends on colours: ten chunks, one for each colour. The image of a colour takes its chunk.

So every augmentation of a task has an embedding, trained or not, and training on one augmentation
updates the embeddings of all. Layers that all tasks share map the permuted chunks to the first
position of the puzzle embedding; with `model.colour_roles` the chunk of a colour goes to the cells
of this colour and to the output head instead.

Shape letters: B batch, S cells of a canvas, V vocabulary size, A numbers of an augmentation,
D hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.linear import truncated_normal
from arc_trm.puzzles.symmetry import PRODUCTS, SYMMETRIES

COLOURS = 10
CODE_SIZE = 1 + COLOURS
"""A: the id of a symmetry, then the image of each colour."""


class Composition(nn.Module):
    """Composes puzzle embeddings from vectors of tasks and augmentations.

    `permute` applies the augmentations; all other methods take its result `moved`,
    (B, puzzle_emb_dim) float32.

    Args:
        config: of the model. The last ten tokens of its vocabulary are the colours.
        generator: of the initial weights, on the CPU; None is PyTorch's global generator.
    """

    products: Tensor
    colour_tokens: Tensor

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        self.width = config.hidden_size
        self.chunk, self.shared = config.chunk_dim, config.shared_dim
        self.first_colour, self.has_roles = config.vocab_size - COLOURS, config.colour_roles
        chunks = SYMMETRIES if self.has_roles else SYMMETRIES + COLOURS
        self.position = self._weight(chunks * self.chunk, generator)
        self.cell: nn.Parameter | None = None
        self.head: nn.Parameter | None = None
        if self.has_roles:
            self.cell = self._weight(self.chunk, generator)
            self.head = nn.Parameter(torch.zeros(self.width, self.chunk))
        tokens = torch.arange(self.first_colour, config.vocab_size)
        self.register_buffer("colour_tokens", tokens, persistent=False)
        self.register_buffer("products", torch.tensor(PRODUCTS), persistent=False)

    def _weight(self, size: int, generator: torch.Generator | None) -> nn.Parameter:
        return nn.Parameter(truncated_normal((self.width, size), size**-0.5, generator))

    def compose(self, moved: Tensor) -> Tensor:
        """Return the puzzle embeddings (B, N) float32 of augmented tasks; N ≥ D.

        They are the shared numbers, to whose first D the layer adds what depends on directions and,
        without roles of the colours, on colours.
        """
        end = self.shared + self.position.shape[1]
        added = moved[:, self.shared : end] @ self.position.t()
        size = max(self.shared, self.width)
        shared = F.pad(moved[:, : self.shared], (0, size - self.shared))
        return shared + F.pad(added, (0, size - self.width))

    def embed_colours(self, moved: Tensor, inputs: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Return what the colour of each cell means in the task, (B, S, D) of type `dtype`.

        `inputs`: (B, S) int tokens; 0 for those that are no colours. None without roles.
        """
        if self.cell is None:
            return None
        embeddings = (self._colours(moved) @ self.cell.t()).to(dtype)
        is_colour = inputs[:, :, None] == self.colour_tokens
        return is_colour.to(dtype) @ embeddings

    def head_weights(self, moved: Tensor) -> Tensor | None:
        """Return what is added to the output head's rows of the colours, (B, 10, D) float32.

        None without roles.
        """
        return None if self.head is None else self._colours(moved) @ self.head.t()

    def add_colour_logits(self, logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """Add to logits (B, S, V) what `head_weights` reads from the cells of y, (B, S, D)."""
        more = y @ weights.to(y.dtype).transpose(1, 2)
        return logits + F.pad(more, (self.first_colour, 0))

    def permute(self, vectors: Tensor, augmentations: Tensor) -> Tensor:
        """Return the vectors under the augmentations, of the same shape.

        Args:
            vectors: (B, puzzle_emb_dim) float32, of the tasks.
            augmentations: (B, A) int: the id of a symmetry (`arc_trm.puzzles.symmetry`), then the
                image of each colour 0..9.
        """
        end = self.shared + SYMMETRIES * self.chunk
        places = self.products[augmentations[:, 0].long()]
        directed = self._move(vectors[:, self.shared : end], places)
        coloured = self._move(vectors[:, end:], augmentations[:, 1:].long())
        return torch.cat([vectors[:, : self.shared], directed, coloured], dim=1)

    def _colours(self, moved: Tensor) -> Tensor:
        """Return the chunk of each image, (B, 10, chunk)."""
        return moved[:, -COLOURS * self.chunk :].reshape(-1, COLOURS, self.chunk)

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
