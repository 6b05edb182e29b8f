"""Neurons whose constants are not the usual ones: a first state, heights, one value per channel or neuron, two states, signs, other dtypes."""

import math

import pytest
import torch
from nets import Spiking
from torch import nn

from truejoule.errors import InputError
from truejoule.network import UnknownNeuron, drift, predict, probe, read
from truejoule.workload import Neuron


class Cell(nn.Module):
    """Every term of the equation in ``Neuron``, in plain torch; ``options`` may be tensors of one value per channel."""

    def __init__(self, **options):
        super().__init__()
        constants = dict(v_threshold=1.0, beta=0.5, gain=1.0, start=0.0, height=1.0, synapse=None, late=False)
        constants |= dict(how="subtract", value=0.0, delay=False, signed=False, most=1, low=None, high=None, grid=None)
        for name, value in (constants | options).items():
            if isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, x):
        nothing = torch.zeros_like(x)
        v, i, s = (nothing + self.start, nothing, nothing) if self.state is None else self.state
        before, i = i, (x if self.synapse is None else self.synapse * i + x)
        v = self.beta * v + self.gain * (before if self.late else i)
        if self.delay:
            v = v - self.v_threshold * s if self.how == "subtract" else torch.where(s != 0, nothing, v)
        if self.low is not None:
            v = v.clamp(min=self.low)
        if self.high is not None:
            v = v.clamp(max=self.high)
        n = sum((v >= k * self.v_threshold).to(x.dtype) for k in range(1, self.most + 1))
        if self.signed:
            n = n - sum((v <= -k * self.v_threshold).to(x.dtype) for k in range(1, self.most + 1))
        if not self.delay and self.how == "subtract":
            v_after = v - n * self.v_threshold
        else:
            v_after = torch.where(n != 0, nothing + self.value, v) if self.how == "value" and not self.delay else v
        self.state = v_after, i, n
        return n * self.height


def cell(reset="subtract", **options):
    return Cell(how=reset, **options)


CASES = {
    "IF from half the threshold": (dict(beta=1.0, start=0.5), Neuron(1.0, start=0.5)),
    "LIF from half the threshold": (dict(beta=0.75, start=0.5), Neuron(1.0, 0.75, start=0.5)),
    "IF, hard reset, from half the threshold": (
        dict(beta=1.0, start=0.5, reset="value"),
        Neuron(1.0, 1.0, "value", start=0.5),
    ),
    "LIF, hard reset, from half the threshold": (
        dict(beta=0.75, start=1.5, v_threshold=3.0, reset="value", value=0.25),
        Neuron(3.0, 0.75, "value", 0.25, start=1.5),
    ),
    "a start below 0": (dict(beta=0.5, start=-1.0), Neuron(1.0, 0.5, start=-1.0)),
    "spikes as high as the threshold": (dict(v_threshold=0.7, height=0.7), Neuron(0.7, 0.5, height=0.7)),
    "QCFS: start and height": (
        dict(v_threshold=2.5, beta=1.0, start=1.25, height=2.5),
        Neuron(2.5, start=1.25, height=2.5),
    ),
    "several high spikes": (dict(most=3, height=0.5), Neuron(1.0, 0.5, height=0.5, max_spikes=3)),
    "an upper bound": (dict(beta=0.75, high=2.5), Neuron(1.0, 0.75, upper_bound=2.5)),
    "both bounds": (dict(beta=1.0, low=-2.0, high=1.75), Neuron(1.0, lower_bound=-2.0, upper_bound=1.75)),
    "negative spikes": (dict(beta=1.0, signed=True), Neuron(1.0, signed=True)),
    "negative spikes, hard reset": (
        dict(beta=0.5, signed=True, reset="value"),
        Neuron(1.0, 0.5, "value", signed=True),
    ),
    "several spikes of both signs": (dict(beta=1.0, signed=True, most=2), Neuron(1.0, signed=True, max_spikes=2)),
    "current": (dict(beta=0.75, synapse=0.5), Neuron(1.0, 0.75, synapse_decay=0.5)),
    "current that lasts longer": (dict(beta=0.5, synapse=0.75), Neuron(1.0, 0.5, synapse_decay=0.75)),
    "current, hard reset": (dict(beta=0.75, synapse=0.5, reset="value"), Neuron(1.0, 0.75, "value", synapse_decay=0.5)),
    "current one step late": (
        dict(beta=0.75, synapse=0.5, late=True, gain=0.25),
        Neuron(1.0, 0.75, gain=0.25, synapse_decay=0.5, synapse_delay=1),
    ),
    "current, reset late": (
        dict(beta=0.75, synapse=0.5, delay=True),
        Neuron(1.0, 0.75, reset_delay=1, synapse_decay=0.5),
    ),
    "both alike": (dict(beta=0.5, synapse=0.5), Neuron(1.0, 0.5, synapse_decay=0.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_record_is_recovered_and_predicts(case):
    options, want = CASES[case]
    module = cell(**options)
    assert probe(module) == want
    x = torch.randint(-4, 10, (30, 64), generator=torch.Generator().manual_seed(3)) / 4  # exact in binary
    if want.gain == 1.0 and want.threshold in (1.0, 2.5, 3.0):
        module.reset()
        assert torch.equal(predict(want, x)[0], torch.stack([module(row) for row in x]).double())


def different(*numbers, axes=1):
    return torch.tensor(numbers).reshape(-1, *[1] * (axes - 1))


def test_one_value_per_feature_channel_or_neuron():
    betas, levels = (0.25, 0.5, 0.75), (0.5, 1.0, 2.0)
    want = Neuron(levels, betas, start=(0.25, 0.5, 1.0))  # type: ignore[arg-type]
    for shape, axes in (((2, 3), 1), ((2, 3, 4, 4), 3), ((2, 3, 5), 2)):
        made = {k: different(*v, axes=axes) for k, v in dict(beta=betas, v_threshold=levels, start=want.start).items()}
        assert probe(cell(**made), shape=shape) == want
    every = torch.linspace(0.1, 0.9, 12).reshape(3, 2, 2)
    found = probe(cell(beta=every), shape=(2, 3, 2, 2))
    assert found is not None and found.decay == pytest.approx(tuple(every.flatten().tolist()))
    assert "decay=0.1…0.9" in found.describe() and hash(found)


def test_two_neurons_that_differ_only_far_from_the_first_one_are_told_apart():
    betas = torch.full((40,), 0.5)
    betas[37] = 0.25
    found = probe(cell(beta=betas), shape=(2, 40))
    assert found is not None and found.decay == tuple(betas.tolist())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("options", [dict(beta=0.75), dict(beta=0.5, synapse=0.25), dict(beta=0.9, v_threshold=0.7)])
def test_modules_in_other_dtypes(dtype, options):
    module = cell(**{k: torch.tensor(v) for k, v in options.items()}).to(dtype)
    found = probe(module)
    assert found is not None
    stored = {k: float(torch.tensor(v).to(dtype)) for k, v in options.items()}
    assert math.isclose(found.decay, stored["beta"], rel_tol=1e-6)  # type: ignore[arg-type]
    assert math.isclose(found.threshold, stored.get("v_threshold", 1.0), rel_tol=1e-6)  # type: ignore[arg-type]
    assert found.synapse_decay is None or math.isclose(found.synapse_decay, 0.25)  # type: ignore[arg-type]


def test_a_half_precision_module_that_is_another_one_in_float_is_refused():
    class Two(Spiking):
        def __init__(self):
            super().__init__()
            self.register_buffer("one", torch.ones(()))

        def forward(self, x):
            self.beta = 0.5 if x.dtype == torch.float32 else 0.9
            return super().forward(x)

    with pytest.raises(UnknownNeuron, match="bfloat16"):
        probe(Two().bfloat16())


class Asymmetric(Spiking):
    """Negative spikes at another level than positive ones."""

    def forward(self, x):
        s = super().forward(x)
        low = (self.v <= -2.5).float()
        self.v = self.v + 2.5 * low
        return s - low


class PerNeuronLimit(Spiking):
    """Some neurons may fire twice in a step."""

    def forward(self, x):
        self.most = 2
        s = super().forward(x)
        return torch.where(torch.arange(x.shape[-1]) % 2 == 0, s.clamp(max=1), s)


@pytest.mark.parametrize("make", [Asymmetric, PerNeuronLimit])
def test_what_the_record_cannot_say_is_refused(make):
    with pytest.raises(UnknownNeuron):
        probe(make(), shape=(2, 6))


def test_a_network_with_high_spikes_and_channels_is_read():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3, padding=1)
            self.lif = cell(beta=different(0.25, 0.5, 0.75, axes=3), v_threshold=0.7, height=0.7)
            self.fc, self.out = nn.Linear(48, 4), cell(beta=1.0, start=0.5)

        def forward(self, x):
            return sum(self.out(self.fc(self.lif(self.conv(x)).flatten(1))) for _ in range(4))

    x = torch.rand(2, 2, 4, 4) * 3
    network = read(Net(), x)
    drift(network)
    w = network.workload
    assert w["lif"].neuron.decay == (0.25, 0.5, 0.75) and w["lif"].neuron.height == pytest.approx(0.7)
    assert w["fc"].input_bits == 1 and not w["fc"].inputs_signed and w["out"].neuron == Neuron(1.0, start=0.5)
    current = network.module.conv(x).detach()
    spikes = predict(w["lif"].neuron, current.expand(4, -1, -1, -1, -1))[0]
    seen = network.measure(x).layers
    assert list(seen["lif"].nonzero_outputs) == (spikes != 0).flatten(1).sum(1).tolist()
    assert list(seen["fc"].input_ones) == list(seen["lif"].nonzero_outputs)


def test_constants_of_another_length_are_refused():
    with pytest.raises(InputError, match="different numbers"):
        Neuron((1.0, 2.0), (0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="another number of neurons"):
        predict(Neuron((1.0, 2.0)), torch.zeros(3, 2, 5))
