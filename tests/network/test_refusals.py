"""Unsupported things are listed with their place; wrong input is refused with one clear message."""

import pytest
import torch
import torch.nn.functional as F
from nets import Looped, Plain, Spiking
from test_probe import Adaptive
from torch import nn

from truejoule.errors import InputError
from truejoule.network import observe, read, require_supported


def refused(net, *shape):
    workload = observe(net, torch.rand(*shape))
    with pytest.raises(InputError, match="no accelerator runs"):
        require_supported(workload)
    return {(n.where, n.operation) for n in workload.not_understood}, workload


class Between(nn.Module):
    """linear → something → linear, with the something on vectors."""

    def __init__(self, middle, size=8):
        super().__init__()
        self.a, self.middle, self.b = nn.Linear(size, size), middle, nn.Linear(size, 3)

    def forward(self, x):
        return self.b(self.middle(self.a(x)))


@pytest.mark.parametrize(
    ("middle", "operation"),
    [
        (nn.Sigmoid(), "sigmoid"),
        (nn.Tanh(), "tanh"),
        (nn.GELU(), "gelu"),
        (nn.LayerNorm(8), "layer_norm"),
    ],
)
def test_activations_in_the_middle(middle, operation):
    items, workload = refused(Between(middle), 2, 8)
    assert items == {("middle", operation)}
    assert workload["middle"].op == "host"
    assert [(e.source, e.target) for e in workload.edges] == [("input", "a"), ("a", "middle"), ("middle", "b")]


def test_softmax_is_harmless_at_the_end_only():
    workload = observe(nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), torch.rand(2, 4))
    assert not workload.not_understood and workload["1"].op == "host"
    items, _ = refused(Between(nn.Softmax(1)), 2, 8)
    assert items == {("middle", "softmax")}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


class ByHand(Attention):
    def forward(self, x):
        return (self.q(x) @ self.k(x).transpose(1, 2)) @ self.v(x)


class Gate(Attention):
    def forward(self, x):
        return self.v(self.q(x) * self.k(x))


class Inline(nn.Module):
    """A neuron written into the forward pass."""

    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        v, total = 0.0, 0.0
        for _ in range(3):
            v = 0.5 * v + self.fc(x)
            s = (v > 0.2).float()
            v = v - s
            total = total + self.out(s)
        return total


class Cell(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.out = kind(8, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize(
    ("net", "shape", "operation"),
    [
        (Attention(), (2, 5, 8), "scaled_dot_product_attention"),
        (ByHand(), (2, 5, 8), "matmul"),
        (Gate(), (2, 8), "mul"),
        (Inline(), (2, 8), "threshold"),
        (Cell(nn.LSTM), (2, 5, 8), "lstm"),
        (Cell(nn.GRU), (2, 5, 8), "gru"),
        (Cell(nn.RNN), (2, 5, 8), "rnn_tanh"),
        (nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 8, 2)), (2, 1, 4, 4, 4), "conv3d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3)), (2, 1, 6, 6), "conv_transpose2d"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)), (2, 1, 6, 6), "group_norm"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Upsample(scale_factor=2)), (2, 1, 6, 6), "interpolate"),
    ],
)
def test_operations_are_listed(net, shape, operation):
    items, _workload = refused(net, *shape)
    assert operation in {o for _, o in items}
    assert all(where for where, _ in items)


def test_unknown_neurons_are_listed_and_stay_in_the_graph():
    items, workload = refused(nn.Sequential(nn.Linear(4, 4), Adaptive(), nn.Linear(4, 2)), 2, 4)
    assert items == {("1", "Adaptive")} and workload["1"].op == "host"
    assert [(e.source, e.target) for e in workload.edges] == [("input", "0"), ("0", "1"), ("1", "2")]


def test_a_container_of_neurons_is_looked_into():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Spiking(beta=0.5), Spiking(beta=0.75)

        def forward(self, x):
            return self.b(self.a(x))

    workload = observe(nn.Sequential(nn.Linear(4, 4), Two()), torch.rand(2, 4), time_steps=1)
    assert [(x.name, x.op) for x in workload.layers] == [("0", "linear"), ("1.a", "neuron"), ("1.b", "neuron")]


class Broken(Plain):
    def forward(self, x):
        return self.fc(self.gr(self.dw(self.a(x))))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.b(F.relu(self.a(F.relu(self.a(x)))))


class SharedShapes(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.a(self.a(x))


class Leaking(nn.Module):
    """State in a list that nobody resets."""

    seen: list = []  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        self.seen.append(1)
        return self.a(x) + len(self.seen)


class Resets(Plain):
    def reset(self):
        nn.init.zeros_(self.a.weight)


def diverged():
    net = Plain()
    with torch.no_grad():
        net.dw.weight[0] = torch.nan
    return net


GOOD = torch.rand(2, 3, 8, 8)
WRONG = {
    "not a module": (lambda: Plain, GOOD, {}, "not a network", "Plain()"),
    "not a tensor": (Plain, [1, 2], {}, "not a tensor", "list"),
    "empty batch": (Plain, GOOD[:0], {}, "without samples", "(0, 3, 8, 8)"),
    "NaN input": (Plain, GOOD * torch.nan, {}, "NaN", "384 of 384"),
    "NaN weights": (diverged, GOOD, {}, "weights with NaN", "dw"),
    "failing forward": (Broken, GOOD, {}, "forward pass failed: RuntimeError", "fc (Linear)"),
    "no weights": (lambda: nn.Sequential(nn.ReLU()), GOOD, {}, "without a layer that multiplies", "relu"),
    "shared weights": (Shared, torch.rand(2, 4), {}, "two places", "'input'"),
    "shared with other shapes": (SharedShapes, torch.rand(2, 1, 9, 9), {}, "two places", "a"),
    "leaking state": (Leaking, torch.rand(2, 4), {}, "two runs from the same start differ", "reset"),
    "a reset that is none": (Resets, GOOD, {}, "changes parameters", "reset()"),
    "wrong T": (Looped, GOOD, {"time_steps": 3}, "as many time steps", "4"),
    "wrong axis": (Plain, GOOD, {"time_axis": 2}, "time axis", "2"),
    "no time steps": (Plain, GOOD, {"time_steps": 0}, "number of time steps", "0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_clearly(case):
    make, example, options, what, detail = WRONG[case]
    net = make()
    with pytest.raises(InputError) as caught:
        read(net, example, **options)
    assert what in str(caught.value) and detail in str(caught.value), str(caught.value)


def test_time_in_a_three_axis_example_must_be_said():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.lif = nn.Linear(4, 4), Spiking()

        def forward(self, x):
            return self.lif(self.a(x))

    with pytest.raises(InputError, match="runs a single time step"):
        read(Tokens(), torch.rand(3, 2, 4))


def test_script_modules_are_refused():
    with pytest.warns(Warning):
        scripted = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(InputError, match="TorchScript"):
        read(scripted, torch.rand(1, 3))


class Inlined(nn.Module):
    """linear → an expression in the forward pass → linear."""

    def __init__(self, expression):
        super().__init__()
        self.a, self.b, self.expression = nn.Linear(4, 4), nn.Linear(4, 2), expression

    def forward(self, x):
        return self.b(self.expression(self.a(x)))


@pytest.mark.parametrize(
    ("expression", "operation"),
    [
        (lambda v: torch.maximum(v, torch.zeros(())), "maximum"),
        (lambda v: v.abs(), "abs"),
        (lambda v: v.exp(), "exp"),
        (lambda v: v**2, "pow"),
        (lambda v: v * v, "mul"),
    ],
)
def test_no_expression_is_silently_dropped(expression, operation):
    items, workload = refused(Inlined(expression), 3, 4)
    assert operation in {o for _, o in items}
    reached = {e.source for e in workload.edges} | {e.target for e in workload.edges}
    assert {"input", "a", "b"} <= reached


@pytest.mark.parametrize(
    "expression",
    [
        lambda v: torch.where(v >= 0, 1.0, -1.0),
        lambda v: v.sign(),
        lambda v: v.clamp(min=0),
        lambda v: (v * 4).round().clamp(-8, 7) / 4,
        lambda v: v * 0.5 + 1,
        lambda v: v if not bool((v > 1e9).any()) else -v,
    ],
)
def test_understood_expressions(expression):
    workload = observe(Inlined(expression), torch.rand(3, 4))
    assert not workload.not_understood
