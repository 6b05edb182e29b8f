"""Networks that others trained, built as plain torch modules from their published weights, and the images they are scored on.

Every function reads files of the folder ``TRUEJOULE_DATA``; nothing is unpickled and nothing of truejoule is imported here.
"""

from __future__ import annotations

import lzma
import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

DATA = Path(os.environ.get("TRUEJOULE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needs(*files: str) -> pytest.MarkDecorator:
    """Skips where one of the files is not below ``TRUEJOULE_DATA``, and says which."""
    missing = [name for name in files if not (DATA / name).is_file()]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not in {DATA}; set TRUEJOULE_DATA")


def cifar10(first: int = 0, count: int = 10_000) -> tuple[Tensor, Tensor]:
    """Images of the CIFAR-10 test set, uint8 ``(N, 3, 32, 32)``, and their classes."""
    return _images("cifar10", first, count, (0, 3, 1, 2))


def mnist(first: int = 0, count: int = 10_000) -> tuple[Tensor, Tensor]:
    """Images of the MNIST test set, uint8 ``(N, 28, 28)``, and their classes."""
    return _images("mnist", first, count, (0, 1, 2))


def _images(folder: str, first: int, count: int, order: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    part = slice(first, first + count)
    x, y = _unpacked(folder, FEW if first + count <= FEW else 10_000)
    return torch.tensor(x[part]).permute(order).contiguous(), torch.tensor(y[part]).long()


FEW = 128
"""Up to so many images the rest of the file need not be decompressed."""


@cache
def _unpacked(folder: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    with lzma.open(DATA / folder / "test_x.npy.xz") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        assert dtype == np.uint8
        x = np.frombuffer(file.read(count * math.prod(shape[1:])), dtype).reshape(count, *shape[1:])
    return x, np.load(DATA / folder / "test_y.npy", allow_pickle=False)


# ResNet-20 (akamaster/pytorch_resnet_cifar10): float weights, batch norm, ReLU, residual sums.

RESNET20 = "networks/resnet_cifar10/resnet20-12fca82f.npz"


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.pad = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else x
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + short)


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        for k, (a, b, stride) in enumerate(widths, 1):
            setattr(self, f"layer{k}", nn.Sequential(Block(a, b, stride), Block(b, b, 1), Block(b, b, 1)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        return self.linear(functional.avg_pool2d(h, 8).flatten(1))


def resnet20() -> ResNet20:
    """The network with its published weights; takes what ``normalised`` gives."""
    net, file = ResNet20(), np.load(DATA / RESNET20, allow_pickle=False)
    net.load_state_dict({name.removeprefix("module."): torch.tensor(file[name]) for name in file.files})
    return net.eval()


def normalised(images: Tensor) -> Tensor:
    """uint8 images as the ResNet was trained on them: (x/255 - mean) / standard deviation, per colour."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (images.float() / 255 - mean) / std


# BNN-PYNQ: binary weights; integer thresholds per channel instead of batch norm and activation.

CNV_W1A1, CNV_W2A2, LFC_W1A1 = (
    f"networks/bnn_pynq/{name}.npz" for name in ("cifar10_cnvW1A1", "cifar10_cnvW2A2", "mnist_lfcW1A1")
)


class Binary(nn.Module):
    """+1 above the threshold of the channel, else -1; ``thresholds`` (C,)."""

    def __init__(self, thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", thresholds)

    def forward(self, x: Tensor) -> Tensor:
        threshold = self.threshold.view(-1, *[1] * (x.dim() - 2))
        return torch.where(x > threshold, 1.0, -1.0)


class Ternary(nn.Module):
    """-1 and one more for each of the two thresholds of the channel that is passed; ``thresholds`` (C, 2)."""

    def __init__(self, thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", thresholds)

    def forward(self, x: Tensor) -> Tensor:
        low, high = (t.view(-1, *[1] * (x.dim() - 2)) for t in self.threshold.unbind(1))
        return (x > low).float() + (x > high).float() - 1


class CNV(nn.Module):
    """Six valid 3x3 convolutions, pooled after the second and the fourth, and three linear layers."""

    def __init__(self, weights: list[Tensor], activations: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_weighted(w) for w in weights)
        self.activations = nn.ModuleList(activations)

    def forward(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.layers[:-1]):
            x = self.activations[k](layer(x))
            if k in (1, 3):
                x = functional.max_pool2d(x, 2)
            if k == 5:
                x = x.flatten(1)
        return self.layers[-1](x)


def cnv(file: str) -> CNV:
    """CNV W1A1 or W2A2; takes what ``eight_bit`` gives and answers integer scores."""
    weights, thresholds = _bnn_pynq(file)
    thresholds[0] = (
        thresholds[0] / 256
    )  # the first layer sums 1/128 steps of the image, its thresholds count half steps
    if thresholds[0].shape[1] == 1:
        # Hidden thresholds count the products that are +1: (fan-in + sum) / 2.
        for k in range(1, len(thresholds)):
            thresholds[k] = 2 * thresholds[k] - weights[k][0].numel()
        return CNV(weights, [Binary(t[:, 0]) for t in thresholds]).eval()
    return CNV(weights, [Ternary(t) for t in thresholds]).eval()


def eight_bit(images: Tensor) -> Tensor:
    """uint8 images on the grid of CNV: whole multiples of 1/128 from -1 to 127/128."""
    return torch.floor((images.double() / 255 * 2 - 1) * 128).clamp(-128, 127).float() / 128


class LFC(nn.Module):
    """Four linear layers with their comparisons written in the forward pass."""

    def __init__(self, weights: list[Tensor], thresholds: list[Tensor]) -> None:
        super().__init__()
        self.fc0, self.fc1, self.fc2, self.fc3 = (_weighted(w) for w in weights)
        for k, threshold in enumerate(thresholds):
            self.register_buffer(f"threshold{k}", threshold)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.where(self.fc0(x) > self.threshold0, 1.0, -1.0)
        x = torch.where(self.fc1(x) > self.threshold1, 1.0, -1.0)
        x = torch.where(self.fc2(x) > self.threshold2, 1.0, -1.0)
        return self.fc3(x) - self.threshold3


def lfc() -> LFC:
    """LFC W1A1; takes what ``bipolar_padded`` gives."""
    weights, thresholds = _bnn_pynq(LFC_W1A1)
    return LFC(weights, [2 * t[:, 0] - w.shape[1] for w, t in zip(weights, thresholds, strict=True)]).eval()


def bipolar_padded(images: Tensor) -> Tensor:
    """uint8 images as ±1, ``(N, 832)``: +1 above half of the range, padded with -1 from 784."""
    signs = torch.where(images.flatten(1).float() / 255 * 2 - 1 >= 0, 1.0, -1.0)
    return functional.pad(signs, (0, 832 - 784), value=-1.0)


def _bnn_pynq(file: str) -> tuple[list[Tensor], list[Tensor]]:
    """Weights ±1 (or ternary) and thresholds ``(C, levels - 1)`` of every layer, as float32."""
    stored = np.load(DATA / file, allow_pickle=False)

    def every(letter: str) -> list[Tensor]:
        return [torch.tensor(stored[name]).float() for name in sorted(stored.files) if name.startswith(letter)]

    return every("w"), every("t")


def _weighted(weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> nn.Module:
    """A conv or linear layer that holds this weight."""
    layer: nn.Conv2d | nn.Linear
    if weight.dim() == 4:
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=padding, bias=bias is not None)
    else:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return layer


# TFC W1A1 (Brevitas, as QONNX): binary weights, batch norm and sign.

TFC_W1A1 = "networks/qonnx/TFC_1W1A.onnx"


class Sign(nn.Module):
    """The sign function of QONNX's BipolarQuant, for which zero is positive."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, 1.0, -1.0)


class TFC(nn.Module):
    """Four linear layers; the pixels are made binary by the network itself."""

    def __init__(self, weights: list[Tensor], norms: list[nn.BatchNorm1d], last: tuple[float, float]) -> None:
        super().__init__()
        self.encode = Sign()
        hidden = zip(weights[:-1], norms, strict=True)
        self.hidden = nn.Sequential(*(nn.Sequential(_weighted(w), norm, Sign()) for w, norm in hidden))
        self.output = _weighted(weights[-1])
        self.scale, self.offset = last

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode(2 * x.flatten(1) - 1)
        return self.output(self.hidden(x)) * self.scale + self.offset


def tfc() -> TFC:
    """TFC W1A1; takes pixels from 0 to 1."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(DATA / TFC_W1A1)).graph
    stored = {item.name: torch.tensor(onnx.numpy_helper.to_array(item).copy()) for item in graph.initializer}
    assert [node.op_type for node in graph.node].count("BipolarQuant") == 8
    weights = [
        stored[node.input[0]] for node in graph.node if node.op_type == "BipolarQuant" and node.input[0] in stored
    ]
    norms = []
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            gain, bias, mean, var = (stored[name] for name in node.input[1:])
            norm = nn.BatchNorm1d(len(gain), eps=node.attribute[0].f)
            norm.load_state_dict(
                {
                    "weight": gain,
                    "bias": bias,
                    "running_mean": mean,
                    "running_var": var,
                    "num_batches_tracked": torch.tensor(0),
                }
            )
            norms.append(norm)
    mean, gain, bias = (float(stored[f"features.15.{name}"]) for name in ("running_mean", "weight", "bias"))
    spread = float(stored["76"]) ** 0.5  # of the one number that the scores are normalised with
    return TFC(weights, norms, (gain / spread, bias - mean * gain / spread)).eval()


# The CIFAR-10 network of the SNN toolbox: a CNN with average pooling, converted to integrate-and-fire neurons.

CONVERTED = "networks/snn_toolbox/cifar10_snn_83.62_INI.h5"


class IF(nn.Module):
    """Integrate-and-fire with a starting potential: threshold 1, the threshold is subtracted after a spike."""

    def __init__(self, v0: float = 0.5) -> None:
        super().__init__()
        self.v0 = v0
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = torch.full_like(x, self.v0) if self.v is None else self.v
        v = v + x
        spike = (v >= 1.0).to(x)
        self.v = v - spike
        return spike


class Converted(nn.Module):
    """The image drives the first layer in every time step; the scores are the mean current into the last one."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor], time_steps: int, v0: float = 0.5) -> None:
        super().__init__()
        self.time_steps = time_steps
        padding = (1, 1, 0, 0, 0, 0)
        layers = [_weighted(w, b, p) for w, b, p in zip(weights, biases, padding, strict=True)]
        self.conv1, self.conv2, self.conv3, self.conv4, self.fc1, self.fc2 = layers
        self.if1, self.if2, self.if3, self.if4, self.if5 = (IF(v0) for _ in range(5))

    def step(self, x: Tensor) -> Tensor:
        x = self.if2(self.conv2(self.if1(self.conv1(x))))
        x = self.if4(self.conv4(self.if3(self.conv3(functional.avg_pool2d(x, 2)))))
        return self.fc2(self.if5(self.fc1(functional.avg_pool2d(x, 2).flatten(1))))

    def forward(self, x: Tensor) -> Tensor:
        for module in self.modules():
            if isinstance(module, IF):
                module.reset()
        return sum((self.step(x) for _ in range(self.time_steps)), torch.zeros(())) / self.time_steps


def converted(time_steps: int = 64, v0: float = 0.5) -> Converted:
    """The converted network; takes pixels from 0 to 1."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(DATA / CONVERTED) as file:
        groups = [group for _, group in sorted(file["model_weights"].items()) if len(group)]
        pairs = [
            [torch.tensor(np.asarray(group[f"{group.name.split('/')[-1]}_{x}"])) for x in "Wb"] for group in groups
        ]
    # Theano convolves: its kernels are ours turned by half a turn. Its linear layers hold (inputs, outputs).
    weights = [w.flip(2, 3) if w.dim() == 4 else w.T.contiguous() for w, _ in pairs]
    return Converted(weights, [b for _, b in pairs], time_steps, v0).eval()


def pixels(images: Tensor) -> Tensor:
    """uint8 images from 0 to 1."""
    return images.float() / 255
