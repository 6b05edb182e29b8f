"""Values that leave torch and come back: the edge stays where nothing was changed, else the network is refused."""

import numpy as np
import pytest
import torch
from test_refusals import Inlined

from truejoule.errors import InputError
from truejoule.network import drift, observe, read


def outcome(expression):
    workload = observe(Inlined(expression), torch.rand(3, 4))
    return [(e.source, e.target) for e in workload.edges], [n.operation for n in workload.not_understood]


CHAIN = [("input", "a"), ("a", "b")]


@pytest.mark.parametrize(
    "expression",
    [
        lambda v: torch.from_numpy(v.numpy()),
        lambda v: torch.as_tensor(np.asarray(v)),
        lambda v: torch.tensor(v.tolist()),
        lambda v: torch.FloatTensor(v.tolist()),
        lambda v: v.new_tensor(v.tolist()),
        lambda v: torch.from_dlpack(v),
        lambda v: torch.from_numpy(v.numpy().T.copy()).T,
        lambda v: torch.stack([torch.tensor(row) for row in v.tolist()]),
        lambda v: torch.tensor([float(x) for x in v.flatten()]).view(v.shape),
        lambda v: torch.zeros_like(v).copy_(torch.tensor(v.tolist())),
        lambda v: torch.full_like(v, v.mean().item()),
    ],
)
def test_unchanged_values_keep_their_edge(expression):
    assert outcome(expression) == (CHAIN, [])


@pytest.mark.parametrize(
    "expression",
    [
        lambda v: (v.numpy().mean(), v)[1],
        lambda v: (v.mean().item(), v * torch.tensor([1.0, 2.0, 3.0, 4.0]))[1],
        lambda v: v[:, torch.tensor([1, 0, 2, 3])],
        lambda v: v if v.sum().item() < 1e9 else -v,
    ],
)
def test_looking_at_values_is_harmless(expression):
    assert outcome(expression) == (CHAIN, [])


@pytest.mark.parametrize(
    "expression",
    [
        lambda v: torch.from_numpy(np.maximum(v.numpy(), 0)),
        lambda v: torch.from_numpy(v.numpy() > 0).float(),
        lambda v: v + torch.from_numpy(np.tanh(v.numpy())),
        lambda v: torch.tensor([[max(x, 0.0) for x in row] for row in v.tolist()]),
        lambda v: torch.cat([torch.from_numpy(np.abs(row.numpy()) + 1).unsqueeze(0) for row in v]),
    ],
)
def test_what_was_changed_outside_is_refused_and_stays_in_the_graph(expression):
    edges, refused = outcome(expression)
    assert refused == ["outside torch"] and ("a", "outside torch") in edges


def test_a_layer_that_nobody_feeds_is_an_error():
    with pytest.raises(InputError, match="no other layer and no input feeds") as caught:
        read(Inlined(lambda v: torch.ones(3, 4)), torch.rand(3, 4))
    assert caught.value.where == "b" and "numpy" in caught.value.fix


def test_a_trip_in_every_time_step():
    class Loop(Inlined):
        def forward(self, x):
            return sum(self.b(self.expression(self.a(x * t))) for t in (1.0, 2.0, 3.0))

    network = read(Loop(lambda v: torch.tensor(v.tolist())), torch.rand(2, 4))
    drift(network)
    assert network.workload["b"].steps == 3 and network.workload.sources("b") == ("a",)
