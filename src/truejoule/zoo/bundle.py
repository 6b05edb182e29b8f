"""The networks and images that ship with the package; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from truejoule.errors import InputError, did_you_mean
from truejoule.training.data import to_input
from truejoule.zoo.checkpoint import load_into
from truejoule.zoo.fashion_ann import FashionANN
from truejoule.zoo.fashion_snn import FashionSNN

HERE = Path(__file__).parent
NETWORKS: dict[str, Callable[..., FashionSNN | FashionANN]] = {
    "fashion_snn": FashionSNN,
    "fashion_ann": FashionANN,
    "fashion_ann_4bit": partial(FashionANN, activation_bits=4),
}
IMAGES = HERE / "fashion_mnist_1000.npz"
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def checkpoint_path(name: str) -> Path:
    """The checkpoint file of network ``name``; raises ``InputError`` for an unknown one."""
    if name not in NETWORKS:
        raise InputError("the zoo has no such network", where="name", got=name, fix=did_you_mean(name, NETWORKS))
    return HERE / f"{name}.safetensors"


def load(name: str) -> nn.Module:
    """The trained network ``name`` in eval mode, built of plain layers.

    Every weight of its convolutions and linear layers is ``scale * integer``, 4 bits, one scale per layer.
    Raises ``InputError`` for an unknown name.
    """
    path = checkpoint_path(name)
    return load_into(NETWORKS[name](), path)


def images(n: int | None = None) -> tuple[Tensor, Tensor]:
    """The first ``n`` (all 1,000 by default) Fashion-MNIST test images as network input, with their labels.

    Returns ``x`` (n, 1, 28, 28) float32, multiples of 1/255 in [0, 1], and ``y`` (n,) int64. Raises ``InputError`` when
    ``n`` is out of range.
    """
    with np.load(IMAGES, allow_pickle=False) as file:
        x, y = torch.from_numpy(file["x"]), torch.from_numpy(file["y"]).long()
    if n is not None and not 1 <= n <= len(x):
        raise InputError("the bundled excerpt has 1,000 images", where="n", got=n, expected=f"1 to {len(x)}")
    return to_input(x[:n]), y[:n]


def calibration() -> list[Tensor]:
    """The first 64 Fashion-MNIST training images as one batch of network input, without labels: for ranges, never for scores."""
    with np.load(IMAGES, allow_pickle=False) as file:
        return [to_input(torch.from_numpy(file["calibration"]))]


def loader(batch_size: int = 100, n: int | None = None) -> DataLoader[tuple[Tensor, ...]]:
    """``images(n)`` in order, in batches of (x, y); the last one may be smaller."""
    return DataLoader(TensorDataset(*images(n)), batch_size=batch_size, shuffle=False)
