"""Hand-written networks whose workload is known by counting on paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Spiking(nn.Module):
    """LIF with every variant of our record, state kept inside; written against the equation in ``Neuron``."""

    def __init__(
        self,
        theta: float = 1.0,
        beta: float = 0.5,
        reset: str = "subtract",
        equal: bool = True,
        delay: bool = False,
        gain: float = 1.0,
        value: float = 0.0,
        floor: float | None = None,
        most: int = 1,
        swallow: bool = False,
    ) -> None:
        super().__init__()
        self.v_threshold, self.beta, self.kind, self.equal, self.delay = theta, beta, reset, equal, delay
        self.gain, self.value, self.floor, self.most, self.swallow = gain, value, floor, most, swallow
        self.v: Tensor | None = None
        self.s: Tensor | None = None

    def reset(self) -> None:
        self.v = self.s = None

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        s = torch.zeros_like(x) if self.s is None else self.s
        v = self.beta * v + self.gain * x
        if self.delay and self.kind == "subtract":
            v = v - self.v_threshold * s
        if self.swallow:
            v = v * (s == 0)
        if self.floor is not None:
            v = v.clamp(min=self.floor)
        n = torch.zeros_like(x)
        for k in range(1, self.most + 1):
            n = n + ((v >= k * self.v_threshold) if self.equal else (v > k * self.v_threshold)).float()
        self.s = n
        if not self.delay and not self.swallow:
            if self.kind == "subtract":
                v = v - n * self.v_threshold
            elif self.kind == "value":
                v = torch.where(n > 0, torch.full_like(v, self.value), v)
        self.v = v
        return n


class Plain(nn.Module):
    """conv 3→8 (8×8), pool, depthwise 8, grouped 8→16, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.dw = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.gr = nn.Conv2d(8, 16, (3, 1), stride=(2, 1), padding=(1, 0), groups=2)
        self.fc = nn.Linear(16 * 2 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.bn(self.a(x))))
        return self.fc(self.gr(self.dw(x)).flatten(1))


PLAIN_MACS = 8 * 64 * 27 + 8 * 16 * 9 + 16 * 8 * (4 * 3) + 128 * 10


class Residual(nn.Module):
    """Two branches meet; one add is in place, one activation functional."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.left = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False)
        self.right = nn.Conv2d(4, 8, 1, stride=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.left(x)
        y += self.right(x)
        return self.fc(F.relu(y).mean((2, 3)))


class Functional(nn.Module):
    """Weights as bare parameters, one-dimensional, a loop over a list of weights, a straight-through binary weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(4, 1, 5))
        self.w2 = nn.Parameter(torch.randn(6, 4, 3))
        self.more = nn.ParameterList([nn.Parameter(torch.randn(6, 6)) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv1d(x, self.w1.sign(), padding=2))
        x = F.relu(F.conv1d(F.max_pool1d(x, 2), self.w2)).mean(-1)
        for w in self.more:
            x = F.relu(x @ w)
        return x


class Looped(nn.Module):
    """The same spiking net in a Python time loop."""

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.lif1 = Spiking()
        self.mid = nn.Conv2d(6, 6, 3, padding=1)
        self.lif2 = Spiking(reset="value")
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(6 * 16, 5)

    def step(self, x: Tensor) -> Tensor:
        a = self.lif1(self.bn(self.conv(x)))
        b = self.lif2(self.mid(a)) + a
        return self.fc(self.pool(b).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape[0], 5)
        for _ in range(self.steps):
            out += self.step(x)
        return out / self.steps


class OneStep(Looped):
    """One time step per call; the user's loop is outside."""

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x)


class OverSequence(Looped):
    """Reads (T, N, ...) step by step."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.step(frame) for frame in x]).mean(0)


class OverSequenceBatchFirst(Looped):
    """Reads (N, T, ...) step by step."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.step(x[:, t]) for t in range(x.shape[1])]).mean(0)


class Sequenced(nn.Module):
    """A neuron that loops over a leading time axis by itself."""

    def __init__(self, cell: Spiking) -> None:
        super().__init__()
        self.cell, self.step_mode = cell, "m"

    def reset(self) -> None:
        self.cell.reset()

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x) if self.step_mode == "s" else torch.stack([self.cell(frame) for frame in x])


class MultiStep(Looped):
    """The same net with (T, N, ...) tensors: convolutions once per inference on T·N images."""

    def __init__(self, steps: int = 4, repeat: bool = False) -> None:
        super().__init__(steps)
        self.repeat = repeat
        self.lif1, self.lif2 = Sequenced(Spiking()), Sequenced(Spiking(reset="value"))  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        if self.repeat:
            x = x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)
        shape = x.shape[:2]
        a = self.lif1(self.bn(self.conv(x.flatten(0, 1))).unflatten(0, shape))
        b = self.lif2(self.mid(a.flatten(0, 1)).unflatten(0, shape)) + a
        return self.fc(self.pool(b.flatten(0, 1)).flatten(1)).unflatten(0, shape).mean(0)


class StaticEncoder(nn.Module):
    """The first convolution runs once, everything behind it T times; the classifier once."""

    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.encode, self.lif, self.hidden, self.head = nn.Linear(7, 9), Spiking(), nn.Linear(9, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        current, total = self.encode(x), torch.zeros(x.shape[0], 6)
        for _ in range(self.steps):
            total = total + self.hidden(self.lif(current))
        return self.head(total)


class Recurrent(nn.Module):
    """Spikes of the previous step come back."""

    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.inp, self.back, self.lif, self.out = nn.Linear(8, 6), nn.Linear(6, 6), Spiking(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h, outs = torch.zeros(x.shape[0], 6), []
        for _ in range(self.steps):
            h = self.lif(self.inp(x) + self.back(h))
            outs.append(self.out(h))
        return torch.stack(outs).mean(0)
