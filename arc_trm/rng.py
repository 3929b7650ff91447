"""Random generators that depend on a key alone."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(*key: int | str) -> np.random.Generator:
    """Return a random generator that depends on `key` alone, the same on every machine."""
    text = "\x00".join(map(str, key))
    # An id from a JSON file can hold half a surrogate pair.
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))
