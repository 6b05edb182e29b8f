"""Binary networks as their authors write them: where the sign is taken, what scales the weights, how shortcuts run."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from family import Family, check, image, norm
from torch import Tensor, nn

BINARY, SIGN = (1, "binary"), (1, True)


class Sign(torch.autograd.Function):
    """Its own backward makes it opaque to anyone who looks for a module."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class IrConv(nn.Conv2d):
    """IR-Net: weights balanced and standardised per channel, then their sign times a power of two; inputs signed in here."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.flatten(1)
        balanced = (flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)
        scale = 2.0 ** torch.round(torch.log(balanced.abs().mean(1, keepdim=True)) / math.log(2))
        weight = (Sign.apply(balanced) * scale).view_as(self.weight)
        return F.conv2d(Sign.apply(x), weight, self.bias, self.stride, self.padding)


class ClippedConv(nn.Module):
    """Bi-Real: one flat parameter; sign times mean magnitude per channel, straight-through by adding and taking away."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride, self.padding = (outputs, inputs, kernel, kernel), stride, kernel // 2
        self.flat = nn.Parameter(torch.randn(outputs * inputs * kernel * kernel, 1) * 0.05)

    def forward(self, x: Tensor) -> Tensor:
        real = self.flat.view(self.size)
        hard = real.abs().mean((1, 2, 3), keepdim=True).detach() * torch.sign(real)
        soft = torch.clamp(real, -1.0, 1.0)
        return F.conv2d(x, hard.detach() - soft.detach() + soft, stride=self.stride, padding=self.padding)


class ApproxSign(nn.Module):
    """The sign forwards; backwards a piecewise square, which runs forwards too and cancels to a rounding error."""

    def forward(self, x: Tensor) -> Tensor:
        inside = (x.abs() < 1).float()
        soft = inside * (2 * x - x * x * torch.sign(x)) + (1 - inside) * torch.sign(x)
        return torch.sign(x).detach() - soft.detach() + soft


class HardSign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Sign.apply(x)


class Shift(nn.Module):
    """ReActNet: a learned offset per channel in front of the sign (RSign) and around the PReLU (RPReLU)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(1, channels, 1, 1) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.expand_as(x)


class IrBlock(nn.Module):
    """Two shortcuts, both clipped; where the size changes, channels are padded with zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = IrConv(inputs, outputs, 3, outputs // inputs, 1, bias=False)
        self.conv2 = IrConv(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.grow = norm(outputs), norm(outputs), outputs > inputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        out += F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2)) if self.grow else x
        middle = F.hardtanh(out)
        out = self.bn2(self.conv2(middle))
        out += middle
        return F.hardtanh(out)


class IrNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm(8)
        self.block1, self.block2 = IrBlock(8, 8), IrBlock(8, 16)
        self.last, self.fc = norm(16, True), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(F.hardtanh(self.bn(self.stem(x)))))
        return self.fc(self.last(F.avg_pool2d(x, x.shape[3]).flatten(1)))


class BiReal(nn.Module):
    """A shortcut around every convolution; the down-sampling one is real."""

    def __init__(self, sign: type[nn.Module]) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm(8)
        self.sign1, self.conv1, self.bn1 = sign(), ClippedConv(8, 8), norm(8)
        self.sign2, self.conv2, self.bn2 = sign(), ClippedConv(8, 16, stride=2), norm(16)
        self.down = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 16, 1, bias=False), norm(16))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x))
        x = self.bn1(self.conv1(self.sign1(x))) + x
        y = self.bn2(self.conv2(self.sign2(x)))
        y += self.down(x)
        return self.fc(self.pool(y).flatten(1))


class ReAct(nn.Module):
    """A block whose channels double: two binary 1x1 convolutions side by side, each with the same shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm(8)
        self.shift1, self.sign, self.conv1, self.bn1 = Shift(8), HardSign(), ClippedConv(8, 8, stride=2), norm(8)
        self.before, self.prelu, self.after = Shift(8), nn.PReLU(8), Shift(8)
        self.pool, self.shift2 = nn.AvgPool2d(2, 2), Shift(8)
        self.left, self.right, self.bn2, self.bn3 = ClippedConv(8, 8, 1), ClippedConv(8, 8, 1), norm(8), norm(8)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x))
        y = self.bn1(self.conv1(self.sign(self.shift1(x)))) + self.pool(x)
        y = self.after(self.prelu(self.before(y)))
        z = self.sign(self.shift2(y))
        left, right = self.bn2(self.left(z)), self.bn3(self.right(z))
        left += y
        right += y
        return self.fc(torch.cat([left, right], 1).mean((2, 3)))


class Courbariaux(nn.Module):
    """BinaryNet: the sign of weights and of clipped inputs, taken inside the layer; a norm on the scores, then log-softmax."""

    class Layer(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            out = F.linear(x.sign() if x.shape[1] != 48 else x, self.weight.sign())
            out += self.bias.view(1, -1).expand_as(out)
            return out

    def __init__(self) -> None:
        super().__init__()
        wide = Courbariaux.Layer
        self.layers = nn.Sequential(
            *(wide(48, 24), norm(24, True), nn.Hardtanh(inplace=True)),
            *(wide(24, 24), norm(24, True), nn.Hardtanh(inplace=True)),
            *(wide(24, 5), nn.BatchNorm1d(5, affine=False), nn.LogSoftmax(1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


IR = ("block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2")
PAIR = dict.fromkeys(("conv1.flat", "conv2.flat"), BINARY)
TRIPLE = ("conv1.flat", "left.flat", "right.flat")
FAMILIES = {
    "IR-Net": Family(IrNet, image, 3, weights=dict.fromkeys(IR, BINARY), inputs=dict.fromkeys(IR, SIGN)),
    "Bi-Real": Family(lambda: BiReal(HardSign), image, 3, weights=PAIR, inputs=dict.fromkeys(PAIR, SIGN)),
    "Bi-Real, ApproxSign": Family(lambda: BiReal(ApproxSign), image, 3, weights=PAIR),
    "ReActNet": Family(ReAct, image, 3, weights=dict.fromkeys(TRIPLE, BINARY), inputs=dict.fromkeys(TRIPLE, SIGN)),
    "BinaryNet": Family(
        Courbariaux,
        lambda: image(4, side=4),
        4,
        weights=dict.fromkeys(("layers.0", "layers.3", "layers.6"), BINARY),
        inputs={"layers.0": (8, False), "layers.3": SIGN, "layers.6": SIGN},
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_read_right(name: str) -> None:
    check(FAMILIES[name])
