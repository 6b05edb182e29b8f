"""Small networks with integer weights for the tests of machines, and an independent way to compute them."""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional

from truejoule.numerics.quantise import integer_weights


class Spike(nn.Module):
    """LIF with soft reset that fires at equality."""

    def __init__(self, threshold: float = 1.0, decay: float = 0.5) -> None:
        super().__init__()
        self.threshold, self.decay = threshold, decay
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = x if self.v is None else self.decay * self.v + x
        spikes = (v >= self.threshold).to(x.dtype)
        self.v = v - self.threshold * spikes
        return spikes


class SpikingNet(nn.Module):
    """Two convolutions and a linear layer, time loop in forward; 4-bit weights."""

    def __init__(self, steps: int = 3, channels: int = 6, groups: int = 1, stride: int = 1, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.steps = steps
        self.conv1 = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.norm1, self.spike1 = nn.BatchNorm2d(channels), Spike()
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1, stride=stride, groups=groups, bias=True)
        self.norm2, self.spike2 = nn.BatchNorm2d(2 * channels), Spike()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(2 * channels * (8 // stride // 2) ** 2, 5)
        for layer in (self.conv1, self.conv2, self.fc):
            step = layer.weight.data.abs().max() / 7
            layer.weight.data = torch.round(layer.weight.data / step) * step
        for norm in (self.norm1, self.norm2):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.05, 0.3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for _ in range(self.steps):
            h = self.spike1(self.norm1(self.conv1(x)))
            h = self.pool(self.spike2(self.norm2(self.conv2(h))))
            total = total + self.fc(h.flatten(1))
        return total / self.steps


class ReluNet(nn.Module):
    """The same shape without time: real activations, 4-bit weights."""

    def __init__(self) -> None:
        super().__init__()
        twin = SpikingNet()
        self.conv1, self.norm1, self.conv2, self.norm2, self.pool, self.fc = (
            twin.conv1,
            twin.norm1,
            twin.conv2,
            twin.norm2,
            twin.pool,
            twin.fc,
        )
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.norm1(self.conv1(x)))
        return self.fc(self.pool(self.relu2(self.norm2(self.conv2(h)))).flatten(1))


def images(n: int, seed: int = 0, channels: int = 2, side: int = 8) -> Tensor:
    """8-bit pixels as multiples of 1/255."""
    return torch.randint(0, 256, (n, channels, side, side), generator=torch.Generator().manual_seed(seed)).float() / 255


def spikes_of(run, network, x, on_call=None):
    """Output and all neuron outputs of one run."""
    seen = defaultdict(list)

    def look(name, step, steps, before, after):
        if network.workload[name].op == "neuron":
            seen[name].append(after.clone())

    out = network.run(x, on_call, on_layer=look)
    return out, {name: torch.stack(parts) for name, parts in seen.items()}


def quantised(network):
    """An independent integer reference: torch's own convolution on integers, exact in float32, then one scale."""

    def compute(call):
        scale = float(call.weight.abs().max()) / 7
        codes = torch.round(call.weight / scale)
        pixel = 1 / 255 if bool((call.input != call.input.round()).any()) else 1.0
        x = torch.round(call.input / pixel)
        scale = (
            torch.full((len(codes),), integer_weights(call.weight, 4, "signed", where=call.name).scale[0]).float()
            * pixel
        )
        if call.op == "linear":
            y = functional.linear(x, codes) * scale
            return y if call.bias is None else y + call.bias
        y = functional.conv2d(x, codes, None, call.stride, call.padding, call.dilation, call.groups) * scale.view(
            1, -1, 1, 1
        )
        return y if call.bias is None else y + call.bias.view(1, -1, 1, 1)

    return compute


def deployed_spikes(deployed, network, x):
    seen = defaultdict(list)
    original = deployed._recorder.on_layer

    def look(name, step, steps, before, after):
        if network.workload[name].op == "neuron":
            seen[name].append(after.clone())
        original(name, step, steps, before, after)

    out = network.run(x, deployed._compute, on_layer=look, module=deployed.module)
    return out, {name: torch.stack(parts) for name, parts in seen.items()}
