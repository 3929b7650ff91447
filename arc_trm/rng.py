"""Random generators and seeds that depend on a key alone."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(*key: int | str) -> np.random.Generator:
    """Return a random generator that depends on `key` alone, the same on every machine."""
    return np.random.default_rng(np.frombuffer(_digest(*key), np.uint32))


def seed_for(*key: int | str) -> int:
    """Return a seed, 0..2^63 - 1, that depends on `key` alone, the same on every machine."""
    return int.from_bytes(_digest(*key)[:8], "little") >> 1


def _digest(*key: int | str) -> bytes:
    text = "\x00".join(map(str, key))
    # An id from a JSON file can hold half a surrogate pair.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
