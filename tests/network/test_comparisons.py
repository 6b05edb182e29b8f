"""A comparison is followed through every operation until it becomes data; where the trail is lost, it is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from truejoule.network import read


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = torch.zeros_like(x)
        out[x > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx, grad):
        return grad


class Between(nn.Module):
    """linear → an expression in the forward pass → linear."""

    def __init__(self, expression, dtype=torch.float32):
        super().__init__()
        self.a, self.b, self.expression = nn.Linear(4, 4), nn.Linear(4, 2), expression
        self.to(dtype)

    def forward(self, x):
        return self.b(self.expression(self.a(x)))


def filled(v):
    y = torch.zeros_like(v)
    y[v > 0] = 1.0
    return y


def filled_in_place(v):
    y = torch.full_like(v, -1.0)
    return y.masked_fill_(v.gt(0), 1.0)


def copied(v):
    y = torch.empty_like(v)
    y.copy_(v > 0)
    return y


def with_detach(v):
    hard, soft = torch.sign(v), torch.tanh(v)
    return (hard - soft).detach() + soft


STEPS = {
    "float": lambda v: (v > 0).float(),
    "to": lambda v: (v > 0).to(v.dtype),
    "to tensor": lambda v: (v > 0).to(v),
    "type": lambda v: v.gt(0).type(v.dtype),
    "type_as": lambda v: torch.gt(v, 0).type_as(v),
    "times one": lambda v: (v > 0) * 1.0,
    "plus zero": lambda v: 0.0 + (v > 0),
    "int": lambda v: (v > 0).int().float(),
    "long": lambda v: (v > 0).long() * 1.0,
    "bool": lambda v: v.clamp(min=0).bool().float(),
    "and": lambda v: ((v > 0) & (v > -1)).float(),
    "or": lambda v: ((v > 0) | (v > 1)).float(),
    "xor": lambda v: ((v > 0) ^ (v > 1e9)).float(),
    "not": lambda v: (~(v <= 0)).float(),
    "logical_not": lambda v: torch.logical_not(v <= 0).float(),
    "logical_and": lambda v: torch.logical_and(v > 0, v > -1).float(),
    "logical_or": lambda v: torch.logical_or(v > 0, v > 1).float(),
    "signbit": lambda v: 1.0 - torch.signbit(-v).logical_not().float().logical_not().logical_not().float(),
    "where": lambda v: torch.where(v > 0, 1.0, 0.0),
    "where tensors": lambda v: torch.where(v > 0, torch.ones_like(v), torch.zeros_like(v)),
    "masked_fill": lambda v: torch.zeros_like(v).masked_fill(v > 0, 1.0),
    "index": filled,
    "copy": copied,
    "function": Surrogate.apply,
    "heaviside": lambda v: torch.heaviside(v, torch.zeros(())),
    "sign and clamp": lambda v: torch.sign(v).clamp(0),
    "sign and relu": lambda v: F.relu(v.sign()),
    "comparison of a comparison": lambda v: ((v > 0).float() > 0.5).float(),
    "views": lambda v: (v.view(-1, 2, 2) > 0).float().flatten(1),
    "ne": lambda v: (v.clamp(min=0) != 0).float(),
    "per channel": lambda v: (v > torch.linspace(-1, 1, 4)).float(),
    "two ways": lambda v: (v > 0).float() * (v > 0),
}
SIGNS = {
    "scaled": lambda v: (v > 0).float() * 2 - 1,
    "where": lambda v: torch.where(v >= 0, 1.0, -1.0),
    "filled": filled_in_place,
    "sign": torch.sign,
    "power": lambda v: 1 - 2 * (v < 0).float(),
    "detach": with_detach,
    "difference": lambda v: (v > 0).float() - (v <= 0).float(),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps(name):
    network = read(Between(STEPS[name]), torch.randn(5, 4))
    workload = network.workload
    assert not workload.not_understood
    found = [layer for layer in workload.layers if layer.op in ("sign", "relu")]
    step = found[-1]
    assert (step.op, step.note) == ("sign", "0 or 1") and len(found) == 1
    assert {(e.source, e.target) for e in workload.edges} >= {("input", "a"), (step.name, "b")}
    assert workload["b"].input_bits == 1 and not workload["b"].inputs_signed
    x = torch.randn(9, 4)
    spikes = network.module.expression(network.module.a(x))
    got = network.measure(x).layers
    assert got[step.name].nonzero_outputs == got["b"].nonzero_inputs == (int((spikes != 0).sum()),)


@pytest.mark.parametrize("name", SIGNS)
def test_signs(name):
    network = read(Between(SIGNS[name]), torch.randn(5, 4))
    workload = network.workload
    assert not workload.not_understood
    assert [(layer.op, layer.note) for layer in workload.layers[1:-1]] == [("sign", "")]
    sign = workload.layers[1].name
    assert {(e.source, e.target) for e in workload.edges} == {("input", "a"), ("a", sign), (sign, "b")}
    assert network.measure(torch.randn(9, 4)).layers[sign].nonzero_outputs == (36,)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["float", "index", "heaviside", "sign and clamp"])
def test_steps_in_other_dtypes(name, dtype):
    if name == "heaviside":
        expression = lambda v: torch.heaviside(v, torch.zeros((), dtype=dtype))  # noqa: E731
    else:
        expression = (lambda v: (v > 0).to(v.dtype)) if name == "float" else STEPS[name]
    workload = read(Between(expression, dtype), torch.randn(5, 4).to(dtype)).workload
    assert [layer.op for layer in workload.layers] == ["linear", "sign", "linear"] and not workload.not_understood


OTHERS = {
    "relu by product": (lambda v: v * (v > 0), "relu", ""),
    "relu by filling": (lambda v: v.masked_fill(v < 0, 0.0), "relu", ""),
    "relu in place": (lambda v: v.clone().masked_fill_(v < 0, 0.0), "relu", ""),
    "relu by choice": (lambda v: torch.where(v > 0, v, torch.zeros_like(v)), "relu", ""),
    "half a step": (lambda v: (v > 0.25).float() * 0.5, "sign", "0 or 0.5"),
    "inverted": (lambda v: (v < 0.25).float(), "sign", "0 or 1"),
    "high sign": (lambda v: torch.where(v > 0, 0.5, -0.5), "sign", "times 0.5"),
    "levels": (lambda v: (v > 0).float() + (v > 1).float(), "relu", "quantised to 3 levels"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_activations(name):
    expression, op, note = OTHERS[name]
    workload = read(Between(expression), torch.randn(5, 4)).workload
    assert not workload.not_understood
    assert [(layer.op, layer.note) for layer in workload.layers] == [("linear", ""), (op, note), ("linear", "")]


def product_with_other(v):
    return v * (v.roll(1, 1) > 0)


REFUSED = {
    "window": lambda v: ((v > 0) & (v < 1)).float(),
    "leaky": lambda v: torch.where(v > 0, v, 0.1 * v),
    "a choice of rows": lambda v: v[(v > 0).any(1)].sum() + v,
    "selected": lambda v: v + v.masked_select(v > 0).sum(),
    "nonzero": lambda v: v.new_zeros(v.shape).index_put_(tuple((v > 0).nonzero().T), torch.ones(())),
    "winner": lambda v: F.one_hot(v.argmax(1), 4).float(),
    "buckets": lambda v: torch.bucketize(v, torch.tensor([-0.5, 0.0, 0.5])).float(),
    "per sample": lambda v: (v > torch.linspace(-1, 1, 5)[:, None]).float(),
    "against its mean": lambda v: (v > v.mean(1, keepdim=True)).float(),
    "against another": lambda v: (v > v.roll(1, 1)).float(),
    "gate": product_with_other,
    "sorted": lambda v: (v > v.sort(1)[0]).float(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lost_trails_are_refused(name):
    workload = read(Between(REFUSED[name]), torch.randn(5, 4)).workload
    assert any(n.operation == "threshold" or n.operation in ("mul", "sort") for n in workload.not_understood)
    reached = {e.source for e in workload.edges} | {e.target for e in workload.edges}
    assert {"input", "a"} <= reached


HARMLESS = {
    "a check": lambda v: v if not bool((v > 1e9).any()) else -v,
    "an assertion": lambda v: v if (v < 1e9).all() and not (v != v).any() else v * 0,
    "a quantiser": lambda v: (v * 4).round().clamp(-8, 7) / 4,
    "statistics": lambda v: (v, (v > 0).sum().item())[0],
    "unused": lambda v: (v, (v > 0).float())[0],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_bookkeeping_is_not_refused(name):
    workload = read(Between(HARMLESS[name]), torch.randn(5, 4)).workload
    assert not workload.not_understood and [layer.op for layer in workload.layers] == ["linear", "linear"]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        return self.a((x > 0.5).float()) + self.b(torch.heaviside(x - 0.25, torch.zeros(())))


class PreparedWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return F.linear(x, (self.w > 0).float() * 2 - 1)


@pytest.mark.parametrize("make", [Encoder, PreparedWeights])
def test_comparisons_with_the_input_or_with_weights_are_no_layers(make):
    workload = read(make(), torch.rand(5, 4)).workload
    assert not workload.not_understood and {layer.op for layer in workload.layers} <= {"linear", "add"}


class Shared(nn.Module):
    """A binary network with a real-valued path around every sign: no state, although values are read again."""

    def __init__(self, binarise):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))
        self.head, self.binarise = nn.Linear(3, 2), binarise

    def forward(self, x):
        x = self.norms[0](self.convs[0](x))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            x = norm(conv(self.binarise(x))) + x
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("name", SIGNS)
def test_real_valued_shortcuts_are_no_memory(name):
    workload = read(Shared(SIGNS[name]), torch.randn(2, 3, 5, 5)).workload
    assert not workload.not_understood
    assert [layer.op for layer in workload.layers].count("sign") == 2
    assert [layer.op for layer in workload.layers].count("add") == 2


def test_the_answer_may_be_a_count_of_spikes():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            v, count = torch.zeros(len(x), 3), torch.zeros(len(x), 3)
            for _ in range(5):
                v = v + self.fc(x)
                fired = (v >= 1.0).float()
                v = v - fired
                count = count + fired
            return count

    network = read(Counting(), torch.randn(4, 4) * 2)
    assert [(layer.name, layer.op) for layer in network.workload.layers] == [("fc", "linear"), ("fc.neuron", "neuron")]
    x = torch.randn(4, 4) * 3
    assert sum(network.measure(x).layers["fc.neuron"].nonzero_outputs) == int(network.module(x).sum())
