"""Random draws that depend only on what they are for, never on batch size, order or worker count."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """A counter-based generator (Philox) for one purpose, for example ``stream(seed, "conv2", "programming")``.

    The same seed and key give the same numbers on every machine; different keys give independent streams.
    """
    text = "\x1f".join(str(part) for part in (seed, *key))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def normal(shape: tuple[int, ...], seed: int, *key: str | int) -> torch.Tensor:
    """Standard normal numbers, float32, of ``shape``."""
    return torch.from_numpy(stream(seed, *key).standard_normal(shape, dtype=np.float32))


def uniform(shape: tuple[int, ...], seed: int, *key: str | int) -> torch.Tensor:
    """Uniform numbers in [0, 1), float32, of ``shape``."""
    return torch.from_numpy(stream(seed, *key).random(shape, dtype=np.float32))
