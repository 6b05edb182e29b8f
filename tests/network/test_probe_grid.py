"""Quantised membranes (as in integer-only spiking networks): the state lies on a grid and is clamped."""

import pytest
import torch
from nets import Spiking
from torch import nn

from truejoule.network import UnknownNeuron, predict, probe
from truejoule.workload import Neuron


class Stored(Spiking):
    """The state is rounded after the reset."""

    def forward(self, x):
        s = super().forward(x)
        self.v = (self.v * 8).round() / 8
        return s


class Compared(nn.Module):
    """Rounded and clamped before the spike test, for a number of bits, over a whole sequence (N, T, ...)."""

    def __init__(self, bits=4, step=0.25, tau=0.5, threshold=1.0, soft=False):
        super().__init__()
        self.low, self.high = -(2 ** (bits - 1)) * step, (2 ** (bits - 1) - 1) * step
        self.step, self.tau, self.threshold, self.soft = step, tau, threshold, soft

    def forward(self, x):
        v, out = 0.0, []
        for frame in x.unbind(1):
            v = v * self.tau + frame
            v = (v / self.step).round().mul(self.step).clamp(self.low, self.high)
            s = (v >= self.threshold).to(x.dtype)
            v = v - s * self.threshold if self.soft else v * (1 - s)
            out.append(s)
        return torch.stack(out, 1)


CASES = {
    "stored": (lambda: Stored(), Neuron(1.0, 0.5, grid=0.125, grid_stage="stored")),
    "stored, hard reset": (
        lambda: Stored(beta=0.75, reset="value"),
        Neuron(1.0, 0.75, "value", grid=0.125, grid_stage="stored"),
    ),
    "compared, 4 bits": (Compared, Neuron(1.0, 0.5, "value", lower_bound=-2.0, grid=0.25)),
    "compared, soft reset": (
        lambda: Compared(5, 0.125, 0.75, soft=True),
        Neuron(1.0, 0.75, lower_bound=-2.0, upper_bound=1.875, grid=0.125),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_grid_is_found_and_predicts(case):
    make, want = CASES[case]
    assert probe(make(), shape=(2, 5, 6)) == want
    x = torch.randint(-20, 50, (40, 64), generator=torch.Generator().manual_seed(1)) / 16
    module = make()
    got = module(x.T).T if isinstance(module, Compared) else torch.stack([module(row) for row in x])
    assert torch.equal(predict(want, x)[0], got.double())


def test_a_grid_that_is_cut_instead_of_rounded_is_refused():
    class Cut(Spiking):
        def forward(self, x):
            s = super().forward(x)
            self.v = (self.v * 8).floor() / 8
            return s

    with pytest.raises(UnknownNeuron):
        probe(Cut())
