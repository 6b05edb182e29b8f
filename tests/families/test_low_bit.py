"""Low-bit networks as their authors write them: what makes the levels of weights and activations, and where it stands."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from family import Family, check, image, norm
from torch import Tensor, nn

BITS = (2, 3, 4, 8)


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


def levels(x: Tensor, bits: int) -> Tensor:
    """Numbers of 0 to 1 on 2^bits equal levels."""
    most = 2**bits - 1
    return Rounded.apply(x * most) / most


class DoReFaConv(nn.Conv2d):
    """Weights through tanh to 0..1, to levels, and back to -1..1: there is no zero among them. One bit: sign times mean."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, bits: int, largest: bool = False, **options: int
    ) -> None:
        super().__init__(inputs, outputs, kernel, bias=False, **options)
        self.bits, self.largest = bits, largest

    def forward(self, x: Tensor) -> Tensor:
        if self.bits == 1:
            mean = self.weight.abs().mean().detach()
            weight = torch.sign(self.weight / mean) * mean
        else:
            soft = torch.tanh(self.weight)
            most = soft.abs().max().detach()
            weight = 2 * levels(soft / 2 / most + 0.5, self.bits) - 1
            weight = most * weight if self.largest else weight
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class DoReFa(nn.Module):
    """Pre-activation block: quantised ReLU in front of the convolution, one activation object for all places."""

    def __init__(self, weight_bits: int, input_bits: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1, self.conv1 = norm(8), DoReFaConv(8, 16, 3, weight_bits, largest=True, stride=2, padding=1)
        self.bn2, self.conv2 = norm(16), DoReFaConv(16, 16, 3, weight_bits, largest=True, padding=1)
        self.skip, self.skip_bn = DoReFaConv(8, 16, 1, weight_bits, largest=True, stride=2), norm(16)
        self.bn, self.fc, self.bits = norm(16), nn.Linear(16, 5), input_bits

    def clip(self, x: Tensor) -> Tensor:
        return levels(torch.clamp(x, 0, 1), self.bits)

    def forward(self, x: Tensor) -> Tensor:
        x = self.clip(F.relu(self.bn1(self.stem(x))))
        y = self.conv2(self.clip(F.relu(self.bn2(self.conv1(x)))))
        y += self.skip_bn(self.skip(x))
        return self.fc(F.relu(self.bn(y)).mean((2, 3)))


class PactClip(torch.autograd.Function):
    """Clipped at a learned alpha and rounded; alpha leaves torch on its way (``item``)."""

    @staticmethod
    def forward(ctx, x: Tensor, alpha: Tensor, bits: int) -> Tensor:
        step = (2**bits - 1) / alpha
        return torch.round(torch.clamp(x, min=0, max=alpha.item()) * step) / step

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad, None, None


class Pact(nn.Module):
    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.conv1, self.bn1, self.alpha1 = DoReFaConv(3, 8, 3, 8, padding=1), norm(8), nn.Parameter(torch.tensor(3.0))
        self.conv2, self.bn2 = DoReFaConv(8, 8, 3, bits, padding=1), norm(8)
        self.alpha2 = nn.Parameter(torch.tensor(2.5))
        self.conv3 = DoReFaConv(8, 5, 4, bits)

    def forward(self, x: Tensor) -> Tensor:
        x = PactClip.apply(self.bn1(self.conv1(x)), self.alpha1, self.bits)
        y = self.bn2(self.conv2(x))
        y += x
        y = PactClip.apply(y, self.alpha2, self.bits)
        return self.conv3(F.avg_pool2d(y, 2)).flatten(1)


class PactBlocks(nn.Module):
    """Residual blocks that clip and round behind the sum; the shortcut of the second is cut in space and padded in channels."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.conv1, self.bn1, self.alpha1 = DoReFaConv(3, 4, 3, 8, padding=1), norm(4), nn.Parameter(torch.tensor(3.0))
        self.conv2, self.bn2, self.alpha2 = (
            DoReFaConv(4, 4, 3, bits, padding=1),
            norm(4),
            nn.Parameter(torch.tensor(2.5)),
        )
        self.conv3, self.bn3 = DoReFaConv(4, 8, 3, bits, padding=1, stride=2), norm(8)
        self.alpha3 = nn.Parameter(torch.tensor(2.0))
        self.conv4 = DoReFaConv(8, 5, 4, bits)

    def forward(self, x: Tensor) -> Tensor:
        x = PactClip.apply(self.bn1(self.conv1(x)), self.alpha1, self.bits)
        x = PactClip.apply(self.bn2(self.conv2(x)) + x, self.alpha2, self.bits)
        y = self.bn3(self.conv3(x))
        y += F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.conv4(PactClip.apply(y, self.alpha3, self.bits)).flatten(1)


class Lsq(nn.Module):
    """A learned step (per tensor or per output channel) whose gradient is scaled by adding and taking away."""

    def __init__(self, like: Tensor, low: int, high: int, per_channel: bool) -> None:
        super().__init__()
        most = like.abs().amax((1, 2, 3), keepdim=True) if per_channel else like.abs().max()
        self.low, self.high, self.step = low, high, nn.Parameter(0.9 * most / high)

    def forward(self, x: Tensor) -> Tensor:
        slow = self.step / (x.numel() * self.high) ** 0.5
        step = (self.step - slow).detach() + slow
        y = torch.clamp(x / step, self.low, self.high)
        return ((y.round() - y).detach() + y) * step


class LsqConv(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int, kernel: int, bits: int, per_channel: bool, **options: int) -> None:
        super().__init__(inputs, outputs, kernel, **options)
        self.weights = Lsq(self.weight.detach(), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, per_channel)
        self.inputs = Lsq(torch.tensor(1.5), 0, 2**bits - 1, False)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.inputs(x), self.weights(self.weight), self.bias)


class LsqNet(nn.Module):
    def __init__(self, bits: int, per_channel: bool) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), norm(8)
        self.conv1, self.bn1 = LsqConv(8, 8, 3, bits, per_channel, padding=1), norm(8)
        self.conv2, self.bn2 = LsqConv(8, 8, 3, bits, per_channel, stride=2, padding=1), norm(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        x = F.relu(self.bn1(self.conv1(x)) + x)
        return self.fc(F.relu(self.bn2(self.conv2(x))).mean((2, 3)))


class Staircase(nn.Module):
    """QCFS before conversion: floor of a shifted multiple, clipped, times a learned height."""

    def __init__(self, height: float, steps: int) -> None:
        super().__init__()
        self.height, self.steps = nn.Parameter(torch.tensor([height])), steps

    def forward(self, x: Tensor) -> Tensor:
        y = torch.floor(x / self.height * self.steps + 0.5) / self.steps
        return torch.clamp(y, 0, 1) * self.height


class QcfsAnn(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), norm(8), Staircase(1.7, steps), nn.Dropout(0.1), nn.AvgPool2d(2)),
            *(nn.Conv2d(8, 8, 3, padding=1), norm(8), Staircase(2.3, steps), nn.Dropout(0.1)),
            *(nn.Flatten(), nn.Linear(128, 5)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def lsq(bits: int, per_channel: bool) -> Family:
    both = ("conv1", "conv2")
    weights, inputs = dict.fromkeys(both, (bits, "signed")), dict.fromkeys(both, (bits, False))
    return Family(lambda: LsqNet(bits, per_channel), image, 3, weights=weights, inputs=inputs)


def dorefa(weight_bits: int, input_bits: int) -> Family:
    kind = (weight_bits, "binary" if weight_bits == 1 else "mid_rise")
    weights = dict.fromkeys(("conv1", "conv2", "skip"), kind)
    inputs = dict.fromkeys(("conv1", "conv2", "skip"), (input_bits, False))
    return Family(lambda: DoReFa(weight_bits, input_bits), image, 3, weights=weights, inputs=inputs)


FAMILIES = {
    **{f"DoReFa w{w}a{a}": dorefa(w, a) for w, a in ((1, 1), (1, 2), (2, 2), (4, 4), (8, 8))},
    **{
        f"PACT {b} bit": Family(
            lambda b=b: Pact(b),
            image,
            3,
            weights={"conv1": (8, "mid_rise"), "conv2": (b, "mid_rise"), "conv3": (b, "mid_rise")},
            inputs={"conv1": (8, False), "conv2": (b, False)},
        )
        for b in (2, 4)
    },
    "PACT with cut and padded shortcuts": Family(
        lambda: PactBlocks(2),
        image,
        3,
        weights={"conv1": (8, "mid_rise"), "conv3": (2, "mid_rise"), "conv4": (2, "mid_rise")},
        inputs={"conv1": (8, False), "conv2": (2, False), "conv3": (2, False), "conv4": (2, False)},
    ),
    **{f"LSQ {b} bit{' per channel' * c}": lsq(b, c) for b, c in ((2, False), (3, True), (4, False), (8, True))},
    **{
        f"QCFS with {s} steps": Family(lambda s=s: QcfsAnn(s), image, 3, inputs={"layers.0": (8, False)})
        for s in (4, 8)
    },
}


@pytest.mark.parametrize("name", FAMILIES)
def test_read_right(name: str) -> None:
    check(FAMILIES[name])


@pytest.mark.parametrize("steps", [4, 8, 16])
def test_levels_of_a_staircase_become_input_bits(steps: int) -> None:
    """0..L are L + 1 values: one bit more than log2 L; pooling of four adds two."""
    net = check(
        Family(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), Staircase(1.3, steps), nn.Conv2d(8, 5, 6)), image, 3)
    )
    assert net.workload["3"].input_bits == (steps).bit_length() and not net.workload["3"].inputs_signed


qnn = pytest.importorskip("brevitas.nn", reason="brevitas is not installed")


class Cnv(nn.Module):
    """FINN's CNV and FC topologies: quantised image, constant scales, narrow range; a learned scalar norm at the end."""

    def __init__(self, weight_bits: int, input_bits: int) -> None:
        super().__init__()
        from brevitas.quant import (
            Int8ActPerTensorFixedPoint,
            SignedBinaryActPerTensorConst,
            SignedBinaryWeightPerTensorConst,
            SignedTernaryWeightPerTensorConst,
        )

        weight = {1: SignedBinaryWeightPerTensorConst, 2: SignedTernaryWeightPerTensorConst}[weight_bits]

        def act() -> nn.Module:
            if input_bits == 1:
                return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst)
            return qnn.QuantIdentity(bit_width=input_bits, narrow_range=True, min_val=-1.0, max_val=1.0)

        self.image = qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, min_val=-1.0, max_val=1 - 2**-7)
        self.features = nn.Sequential(
            *(qnn.QuantConv2d(3, 8, 3, bias=False, weight_quant=weight), norm(8), act()),
            *(qnn.QuantConv2d(8, 8, 3, bias=False, weight_quant=weight), norm(8), act(), nn.MaxPool2d(2)),
        )
        self.fc1, self.bn, self.act = qnn.QuantLinear(32, 16, False, weight_quant=weight), norm(16, True), act()
        self.fc2 = qnn.QuantLinear(16, 5, False, weight_quant=weight)
        self.scale, self.offset = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor(0.1))
        for layer in (*self.features, self.fc1, self.fc2):
            if hasattr(layer, "weight_quant"):
                nn.init.uniform_(layer.weight, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(self.image(2.0 * x - torch.tensor([1.0])))
        x = self.act(self.bn(self.fc1(x.view(x.shape[0], -1))))
        return self.fc2(x) * self.scale + self.offset


@pytest.mark.slow
@pytest.mark.parametrize(("weight_bits", "input_bits"), [(1, 1), (1, 2), (2, 2)])
def test_brevitas_cnv(weight_bits: int, input_bits: int) -> None:
    kind = (1, "binary") if weight_bits == 1 else (2, "signed")
    places = ("features.0", "features.3", "fc1", "fc2")
    check(
        Family(
            lambda: Cnv(weight_bits, input_bits),
            image,
            3,
            weights=dict.fromkeys(places, kind),
            inputs={"features.0": (8, True)} | dict.fromkeys(places[1:], (input_bits, True)),
        )
    )
