"""The reference of the gate: networks whose integers are known, computed with integers. Imports nothing of the machines or of their numerics.

A case draws the integers of the weights first and hands torch their product with a scale; the reference computes with the integers themselves,
in double precision, where every sum is exact. What follows the sums are the module's own operations in its own dtype.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = (
    *("binary", "ternary"),
    *(f"mid_rise {bits}" for bits in (2, 3, 4, 8)),
    *(f"signed {bits}" for bits in range(2, 9)),
    *(f"symmetric {bits}" for bits in (2, 4, 8)),
    *(f"positive {bits}" for bits in (3, 8)),
    "real",
)
SCALES = ("per layer", "per channel")
INPUTS = (
    "spikes",
    "signs",
    "counts",
    "int8",
    "-128..128",
    "9 bit",
    "10 bit",
    "12 bit",
    "signed 12 bit",
    "image",
    "real",
)
LAYERS = ("conv", "strided", "dilated", "grouped", "depthwise", "conv1d", "linear", "linear over positions")
ACTIVATIONS = ("spiking", "relu", "sign")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Case:
    """One combination of kinds."""

    weights: str
    scales: str
    inputs: str
    layer: str
    activation: str
    dtype: torch.dtype
    seed: int = 0


def whole_weights(kind: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Integers of a kind; the extremes of its range occur in every channel."""

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=generator).double()

    name, _, width = kind.partition(" ")
    if name == "binary":
        return 2 * draw(0, 1) - 1
    if name == "ternary":
        found = draw(-1, 1)
        found.flatten(1)[:, 0] = 0
        found.flatten(1)[:, 1] = 1
        return found
    bits = int(width)
    if name == "mid_rise":
        found = 2 * draw(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) + 1
        found.flatten(1)[:, 0] = 2**bits - 1
        found.flatten(1)[:, 1] = 1
        return found
    low, high = -(2 ** (bits - 1)) + (name == "symmetric"), 2 ** (bits - 1) - 1
    low = 0 if name == "positive" else low
    found = draw(low, high)
    found.flatten(1)[:, :3] = torch.tensor([float(low), 0.0, float(high)])
    found.flatten(1)[:, 3] = 1
    return found


def inputs(kind: str, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    """Samples of a kind; the extremes occur in the first sample."""
    generator = torch.Generator().manual_seed(seed)
    ranges = {"spikes": (0, 1), "counts": (0, 5), "int8": (-128, 127), "-128..128": (-128, 128), "9 bit": (0, 511)}
    ranges |= {"10 bit": (0, 1023), "12 bit": (0, 4095), "signed 12 bit": (-2048, 2047), "image": (0, 255)}
    if kind == "real":
        return torch.randn(shape, generator=generator).to(dtype)
    if kind == "signs":
        return (2.0 * torch.randint(0, 2, shape, generator=generator) - 1).to(dtype)
    low, high = ranges[kind]
    x = torch.randint(low, high + 1, shape, generator=generator).double()
    x[0].flatten()[:4] = torch.tensor([low, high, min(1, high), 0], dtype=torch.float64)
    return (x / 255 if kind == "image" else x).to(dtype)


class Fire(nn.Module):
    """Integrate and fire, reset by subtraction."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = x if self.v is None else self.v + x
        spikes = (v >= self.threshold).to(x.dtype)
        self.v = v - self.threshold * spikes
        return spikes


class Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class GateNet(nn.Module):
    """A layer of the kind under test, an activation, a linear layer of the same kind of weights.

    ``whole`` holds the integers of both layers and ``steps`` their scales, or nothing for real weights.
    """

    def __init__(self, case: Case, channels: int = 4, side: int = 6) -> None:
        super().__init__()
        self.case, self.time_steps = case, 3 if case.activation == "spiking" else 1
        generator = torch.Generator().manual_seed(case.seed)
        out = 2 * channels
        flat = case.layer.startswith("linear")
        geometry = {
            "conv": dict(kernel_size=3, padding=1),
            "strided": dict(kernel_size=3, stride=2, padding=1),
            "dilated": dict(kernel_size=3, padding=2, dilation=2),
            "grouped": dict(kernel_size=3, padding=1, groups=2),
            "depthwise": dict(kernel_size=3, padding=1, groups=channels),
            "conv1d": dict(kernel_size=3, padding=1),
        }.get(case.layer, {})
        if flat:
            self.shape = (12,) if case.layer == "linear" else (5, 12)
            self.first = nn.Linear(12, out, bias=case.seed % 2 == 0)
        elif case.layer == "conv1d":
            self.shape = (channels, side)
            self.first = nn.Conv1d(channels, out, bias=case.seed % 2 == 0, **geometry)
        else:
            self.shape = (channels, side, side)
            self.first = nn.Conv2d(channels, out, bias=case.seed % 2 == 0, **geometry)
        with torch.no_grad():
            features = self.first(torch.zeros(1, *self.shape)).flatten(1).shape[1]
        self.second = nn.Linear(features, 5)
        self.whole, self.steps = {}, {}
        for name in ("first", "second"):
            self._draw(name, generator)
        self.act = {"spiking": Fire(self._typical()), "relu": nn.ReLU(), "sign": Sign()}[case.activation]
        self.to(case.dtype).eval()

    def _draw(self, name: str, generator: torch.Generator) -> None:
        layer = getattr(self, name)
        shape = tuple(layer.weight.shape)
        if self.case.weights == "real":
            layer.weight.data = torch.randn(shape, generator=generator)
            return
        whole = whole_weights(self.case.weights, shape, generator)
        # Powers of two times a few bits: exact in every dtype, so that the reference knows the scale as well as the machine.
        steps = torch.full((shape[0],), 0.25)
        if self.case.scales == "per channel":
            steps = 0.25 * 2.0 ** torch.randint(0, 3, (shape[0],), generator=generator)
        self.whole[name], self.steps[name] = whole, steps.double()
        layer.weight.data = (whole * steps.view(-1, *[1] * (len(shape) - 1))).float()

    def _typical(self) -> float:
        """A threshold near the size of the first layer's sums."""
        x = inputs(self.case.inputs, (4, *self.shape), 7, torch.float64)
        with torch.no_grad():
            size = float(self.first.double()(x).std())
        self.first.float()
        return 2.0 ** round(math.log2(size))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=x.dtype)
        for _ in range(self.time_steps):
            total = total + self.second(self.act(self.first(x)).flatten(1))
        return total


def rounded_weights(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Real weights on symmetric levels, one scale per channel."""
    flat = weight.double().flatten(1)
    steps = flat.abs().amax(1) / (2 ** (bits - 1) - 1)
    return torch.round(flat / steps[:, None]).view(weight.shape), steps


class Reference:
    """Computes each layer with integers; give ``compute`` to ``Network.run``.

    Parameters
    ----------
    ranges : per layer, the step of its inputs where they are integers, or None; and (low, high) of real-valued ones over the calibration samples.
    weight_bits, input_bits : to which real values are rounded.
    """

    def __init__(self, net: GateNet, ranges: dict, weight_bits: int, input_bits: int, image_bits: int | None) -> None:
        self.net, self.ranges, self.weight_bits, self.input_bits = net, ranges, weight_bits, input_bits
        self.image_bits = image_bits or input_bits
        self.sums: dict[str, list[Tensor]] = {"first": [], "second": []}
        self.seen: dict[str, list[Tensor]] = {"first": [], "second": []}
        self.values: dict[str, list[Tensor]] = {"first": [], "second": []}
        self.steps: dict[str, list[Tensor]] = {"first": [], "second": []}

    def codes(self, name: str, x: Tensor) -> tuple[Tensor, float]:
        step, low, high = self.ranges[name]
        if step is not None:
            return torch.round(x.double() / step), step
        bits = self.image_bits if name == "first" else self.input_bits
        top = 2 ** (bits - (low < 0)) - 1
        step = max(high, -low) / top
        return torch.round((x if x.dtype == torch.float64 else x.float()) / step).clamp(
            -top if low < 0 else 0, top
        ).double(), step

    def compute(self, call) -> Tensor:
        name, x = call.name, call.input
        if name in self.net.whole:
            whole, steps = self.net.whole[name], self.net.steps[name]
        else:
            whole, steps = rounded_weights(getattr(self.net, name).weight.data, self.weight_bits)
        codes, step = self.codes(name, x)
        if call.op == "linear":
            sums, shape = functional.linear(codes, whole), (-1,)
        else:
            kernel = whole if whole.dim() == 4 else whole[:, :, None]
            sums = functional.conv2d(codes, kernel, None, call.stride, call.padding, call.dilation, call.groups)
            shape = (-1, 1, 1)
        self.seen[name].append(x.clone())
        self.sums[name].append(sums)
        self.steps[name].append((steps * step).view(shape))
        self.values[name].append(sums * self.steps[name][-1])
        wide = torch.promote_types(x.dtype, torch.float32)
        out = (sums.to(wide) * (steps * step).view(shape).to(wide)).to(x.dtype)
        return out if call.bias is None else out + call.bias.view(shape)
