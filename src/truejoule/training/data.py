"""Image folders to tensors: ``{train,test}_x.npy.xz`` (N x height x width) and ``{train,test}_y.npy`` (N), uint8."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from truejoule.errors import InputError


def read_split(folder: str | Path, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Images (N, height, width) uint8 and labels (N,) int64 of one split.

    Raises ``InputError`` when the folder or a file is absent, or a file does not hold what its name promises.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "the data folder does not exist",
            where=str(folder),
            fix=f"name the folder that holds {split}_x.npy.xz and {split}_y.npy",
        )
    x = _array(folder / f"{split}_x.npy.xz", dimensions=3)
    y = _array(folder / f"{split}_y.npy", dimensions=1)
    if len(x) != len(y):
        raise InputError(
            "images and labels differ in number",
            where=str(folder),
            got=f"{len(x)} images, {len(y)} labels",
            expected="one label per image",
        )
    return torch.from_numpy(x), torch.from_numpy(y).long()


def to_input(images: Tensor) -> Tensor:
    """Pixels (N, height, width) uint8 to network input (N, 1, height, width) float32: ``x / 255``, non-negative."""
    return images.unsqueeze(1).to(torch.float32) / 255.0


def augment(images: Tensor, generator: torch.Generator, shift: int = 2, flip: bool = True) -> Tensor:
    """Each image (N, height, width) moved by up to ``shift`` pixels, zeros enter; with ``flip``, half are mirrored."""
    n, height, width = images.shape
    padded = torch.nn.functional.pad(images, (shift, shift, shift, shift))
    dy, dx = torch.randint(0, 2 * shift + 1, (2, n), generator=generator)
    moved = padded.unfold(1, height, 1).unfold(2, width, 1)[torch.arange(n), dy, dx]
    if not flip:
        return moved
    mirrored = torch.rand(n, generator=generator) < 0.5
    return torch.where(mirrored[:, None, None], moved.flip(-1), moved)


def shuffled_batches(
    images: Tensor, labels: Tensor, size: int, generator: torch.Generator, shift: int = 0, flip: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order: inputs (size, 1, height, width), labels (size,); an incomplete batch is dropped."""
    order = torch.randperm(len(images), generator=generator)
    for start in range(0, len(images) - size + 1, size):
        chosen = order[start : start + size]
        batch = images[chosen]
        if shift or flip:
            batch = augment(batch, generator, shift, flip)
        yield to_input(batch), labels[chosen]


def _array(path: Path, dimensions: int) -> np.ndarray:
    if not path.is_file():
        raise InputError("a data file is missing", where=str(path), expected="a numpy array; .xz means xz-compressed")
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as stream:
            array = np.load(stream, allow_pickle=False)
    except (lzma.LZMAError, ValueError, EOFError) as error:
        raise InputError(
            "a data file cannot be read", where=str(path), got=str(error), expected="a .npy array"
        ) from error
    if array.dtype != np.uint8 or array.ndim != dimensions:
        raise InputError(
            "a data file holds the wrong array",
            where=str(path),
            got=f"{array.dtype}, shape {array.shape}",
            expected=f"uint8 with {dimensions} dimension{'s' if dimensions > 1 else ''}",
        )
    return array
