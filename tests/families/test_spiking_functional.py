"""Spiking networks whose neurons are written into the forward pass: no module ever sees the membrane."""

from __future__ import annotations

import pytest
import torch
from family import Counted, Family, check, events, image, norm
from spiking_parts import Step
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network import read, require_supported


class Shaped(torch.autograd.Function):
    """A spike function that fills a tensor of zeros by a mask."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[x > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


class SpikeSim(Counted):
    """Hybrid training's VGG: a list of membranes, leak on state and input, soft reset through a mask, average pooling,
    the first layer computed once, the last one only accumulates."""

    def __init__(self, steps: int = 4, leak: float = 0.5) -> None:
        super().__init__()
        self.steps, self.leak = steps, leak
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.pool1, self.pool2 = nn.AvgPool2d(2), nn.AvgPool2d(2)
        self.fc1, self.fc2 = nn.Linear(32, 12, bias=False), nn.Linear(12, 5, bias=False)
        for layer in (self.conv1, self.conv2, self.fc1):
            layer.weight.data *= 5
            layer.threshold = 0.8

    def fire(self, name: str, mem: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
        over = mem / layer.threshold - 1.0
        out = self.note(name, Shaped.apply(over))
        reset = torch.zeros_like(mem)
        reset[over > 0] = layer.threshold
        return out.clone(), mem - reset

    def forward(self, x: Tensor) -> Tensor:
        n, keep, take = len(x), self.leak, 1 - self.leak
        mems = [torch.zeros(n, 6, 8, 8), torch.zeros(n, 8, 4, 4), torch.zeros(n, 12)]
        total, still = torch.zeros(n, 5), self.conv1(x)
        for _ in range(self.steps):
            mems[0] = keep * mems[0] + take * still
            y, mems[0] = self.fire("a", mems[0], self.conv1)
            mems[1] = keep * mems[1] + take * self.conv2(self.pool1(y))
            y, mems[1] = self.fire("b", mems[1], self.conv2)
            mems[2] = keep * mems[2] + take * self.fc1(self.pool2(y).reshape(n, -1))
            y, mems[2] = self.fire("c", mems[2], self.fc1)
            total = total + self.fc2(y)
        return total / self.steps


class Hybrid(Counted):
    """Hybrid conversion: the spike is decided on the membrane of the step before, in dictionaries on the module."""

    def __init__(self, steps: int = 5) -> None:
        super().__init__()
        self.steps, self.leak = steps, torch.tensor(0.9)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.AvgPool2d(2))
        self.classifier = nn.Sequential(nn.Linear(96, 12, bias=False), nn.Linear(12, 5, bias=False))
        self.features[0].weight.data *= 5
        self.classifier[0].weight.data *= 5
        self.threshold = {0: torch.tensor(1.0), 2: torch.tensor(0.7)}

    def forward(self, x: Tensor) -> Tensor:
        self.mem = {0: torch.zeros(len(x), 6, 8, 8), 2: torch.zeros(len(x), 12), 3: torch.zeros(len(x), 5)}
        for _ in range(self.steps):
            out = x
            for place, layer in ((0, self.features[0]), (2, self.classifier[0])):
                over = self.mem[place] / self.threshold[place] - 1.0
                spikes = self.note(str(place), Shaped.apply(over))
                reset = self.threshold[place] * (over > 0).float()
                out = out.reshape(len(x), -1) if place else out
                self.mem[place] = self.leak * self.mem[place] + layer(out) - reset
                out = self.features[1](spikes) if not place else spikes.clone()
            self.mem[3] = self.mem[3] + self.classifier[1](out)
        return self.mem[3]


class Stbp(Counted):
    """STBP: one global function does layer, leak, reset by multiplication and spike; the read-out counts spikes."""

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 1, 1)
        self.fc1, self.fc2 = nn.Linear(96, 12), nn.Linear(12, 5)
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            layer.weight.data *= 3

    def update(self, name: str, layer: nn.Module, x: Tensor, mem: Tensor, spike: Tensor) -> tuple[Tensor, Tensor]:
        mem = mem * 0.2 * (1.0 - spike) + layer(x)
        return mem, self.note(name, Step.apply(mem - 0.5))

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        m1 = s1 = torch.zeros(n, 6, 8, 8)
        m2 = s2 = torch.zeros(n, 6, 8, 8)
        m3 = s3 = torch.zeros(n, 12)
        m4 = s4 = count = torch.zeros(n, 5)
        for _ in range(self.steps):
            m1, s1 = self.update("1", self.conv1, x, m1, s1)
            m2, s2 = self.update("2", self.conv2, s1, m2, s2)
            m3, s3 = self.update("3", self.fc1, nn.functional.avg_pool2d(s2, 2).view(n, -1), m3, s3)
            m4, s4 = self.update("4", self.fc2, s3, m4, s4)
            count = count + s4
        return count / self.steps


class Zenke(Counted):
    """SpyTorch: events (N, T, F); synaptic current and membrane; weights as bare parameters; the largest membrane wins."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.randn(20, 12) * 0.7), nn.Parameter(torch.randn(12, 5) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.einsum("abc,cd->abd", (x, self.w1))
        syn = mem = torch.zeros(len(x), 12)
        spikes = []
        for t in range(x.shape[1]):
            out = self.note("h", Step.apply(mem - 1.0))
            syn, mem = 0.6 * syn + h[:, t], (0.8 * mem + syn) * (1.0 - out.detach())
            spikes.append(out)
        h2 = torch.einsum("abc,cd->abd", (torch.stack(spikes, dim=1), self.w2))
        flt = out = torch.zeros(len(x), 5)
        record = [out]
        for t in range(x.shape[1]):
            flt, out = 0.6 * flt + h2[:, t], 0.8 * out + flt
            record.append(out)
        return torch.stack(record, dim=1).max(1).values


class Plain(Counted):
    """The shortest way: a comparison, a cast, a hard reset by ``where`` or by multiplying with what did not spike."""

    def __init__(self, kind: str, steps: int = 4) -> None:
        super().__init__()
        self.kind, self.steps = kind, steps
        self.conv, self.bn, self.fc = nn.Conv2d(3, 6, 3, padding=1, bias=False), norm(6), nn.Linear(6 * 16, 5)

    def spike(self, v: Tensor) -> tuple[Tensor, Tensor]:
        over = v >= 1.0
        if self.kind == "not":
            over = ~(v < 1.0)
        elif self.kind == "and":
            over = (v >= 1.0) & torch.isfinite(v)
        elif self.kind == "heaviside":
            return torch.heaviside(v - 1.0, torch.ones(())), torch.where(v >= 1.0, torch.zeros_like(v), v)
        elif self.kind == "sign":
            s = (torch.sign(v - 1.0) + 1) / 2
            return s, v * (1 - s)
        elif self.kind == "masked":
            return over.float(), v.masked_fill(over, 0.0)
        return over.to(v.dtype), torch.where(over, torch.zeros_like(v), v)

    def forward(self, x: Tensor) -> Tensor:
        v, total, current = 0.0, 0.0, self.bn(self.conv(x))
        for _ in range(self.steps):
            s, v = self.spike(0.7 * v + current)
            total = total + self.fc(nn.functional.max_pool2d(self.note("s", s), 2).flatten(1))
        return total


FAMILIES = {
    "SpikeSim VGG9": Family(SpikeSim, image, 3, 4),
    "hybrid conversion": Family(Hybrid, image, 3, 5),
    "STBP": Family(Stbp, image, 3, 4),
    **{
        f"written out, {kind}": Family(lambda kind=kind: Plain(kind), image, 3, 4)
        for kind in ("where", "not", "and", "heaviside", "masked")
    },
}


@pytest.mark.parametrize("name", FAMILIES)
def test_read_right(name: str) -> None:
    check(FAMILIES[name])


REFUSED = {
    "SpyTorch": (Family(Zenke, lambda: events(3, 6, 20), 3, 6), "einsum|another path"),
    "a sign moved to 0 and 1": (Family(lambda: Plain("sign"), image, 3, 4), "mul"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    """What cannot be read right is named; it never passes as a network without neurons."""
    family, operation = REFUSED[name]
    with pytest.raises(InputError, match=operation):
        require_supported(read(family.build(), family.example(), **family.options).workload)
