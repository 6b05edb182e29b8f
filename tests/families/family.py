"""What is right for a network of a public family, found without the reader: torch's own counter, hooks, the module alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import truejoule as tj
from truejoule.network import read
from truejoule.network.network import Network


class Counted(nn.Module):
    """What a test network calls on the spikes that it makes in its own forward pass; counts them, and changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] | None = None

    def note(self, name: str, spikes: Tensor) -> Tensor:
        if self.seen is not None:
            self.names.append(name)
            self.seen.append(int((spikes != 0).sum()))
        return spikes

    def watch(self) -> None:
        self.seen, self.names = [], []


@dataclass(frozen=True)
class Family:
    """A small network in the manner of a public family, and how it is run.

    Attributes
    ----------
    make : builds it, with the same weights each time.
    example : one batch of ``samples`` samples.
    steps : T.
    neurons : module classes whose (first) output are spikes.
    at_once : one call of such a module holds all T steps.
    outer : one call is one step; the loop is the user's.
    options : what a user has to say to ``read``.
    weights, inputs : by layer: (bits, levels) and (bits, signed), where the family prescribes them.
    """

    make: Callable[[], nn.Module]
    example: Callable[[], Tensor]
    samples: int
    steps: int = 1
    neurons: tuple[type[nn.Module], ...] = ()
    at_once: bool = False
    outer: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    inputs: Mapping[str, tuple[int, bool]] = field(default_factory=dict)

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make().eval().requires_grad_(False)


def first(result: Any) -> Tensor:
    while not isinstance(result, Tensor):
        result = result[0]
    return result


def every(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [t for part in result for t in every(part)]


def alone(family: Family, net: nn.Module) -> Any:
    """The module without us; where the loop over time is the user's, what each step returned."""
    x, axis = family.example(), family.options.get("time_axis")
    if not family.outer:
        return net(x)
    return [net(x if axis is None else x.select(axis, t)) for t in range(family.steps)]


def macs(family: Family) -> float:
    """Multiply-accumulates of one sample, from torch's own counter."""
    net = family.build()
    with FlopCounterMode(display=False) as counter:
        alone(family, net)
    return counter.get_total_flops() / 2 / family.samples


def counted(family: Family) -> tuple[Any, list[int]]:
    """The module's output, and the spikes of every place where spikes arise, smallest first."""
    net, calls = family.build(), dict[str, list[int]]()
    for path, module in net.named_modules():
        if isinstance(module, family.neurons):
            module.register_forward_hook(
                lambda _m, _i, out, path=path: calls.setdefault(path, []).append(int((first(out) != 0).sum()))
            )
    if isinstance(net, Counted):
        net.watch()
    output = alone(family, net)
    if isinstance(net, Counted) and net.seen is not None:
        for name, spikes in zip(net.names, net.seen, strict=True):
            calls.setdefault(name, []).append(spikes)
    places = []
    for seen in calls.values():
        each = len(seen) if family.at_once else len(seen) // family.steps
        places += [sum(seen[place::each]) for place in range(each)]
    return output, sorted(places)


def check(family: Family) -> Network:
    """Reads the network and holds everything that was read against what is right."""
    output, places = counted(family)
    assert not family.neurons or (places and min(places) > 0), "the test itself is empty: a neuron layer never spikes"
    network = read(family.build(), family.example(), **family.options)
    workload = network.workload
    assert not workload.not_understood
    assert workload.time_steps == family.steps
    assert workload.macs == macs(family)
    activity = network.measure(family.example())
    spiking = [layer.name for layer in workload.layers if layer.op == "neuron"]
    assert sorted(int(sum(activity.layers[name].nonzero_outputs)) for name in spiking) == places
    ours = network.run(family.example())
    assert all(torch.equal(a, b) for a, b in zip(every(ours), every(output), strict=True))
    for name, (bits, levels) in family.weights.items():
        layer = workload[name]
        assert (name, layer.weight_bits, layer.weight_levels) == (name, bits, levels)
    for name, (bits, signed) in family.inputs.items():
        layer = workload[name]
        assert (name, layer.input_bits, layer.inputs_signed) == (name, bits, signed)
    for machine in ("sata", "spikeflow"):
        chip = tj.accelerator(machine)
        try:
            assert chip.cost(chip.map(workload), activity).energy_j > 0
        except tj.InputError as refusal:  # a machine may refuse a network by name, but never crash on it
            assert refusal.what and refusal.where
    return network


def norm(channels: int, one_dimension: bool = False) -> nn.Module:
    """A batch norm with statistics that make about a third of the neurons fire."""
    made = nn.BatchNorm1d(channels) if one_dimension else nn.BatchNorm2d(channels)
    made.running_mean.normal_(0, 0.1)
    made.running_var.uniform_(0.03, 0.15)
    nn.init.uniform_(made.weight, 0.7, 1.3)
    nn.init.uniform_(made.bias, -0.2, 0.4)
    return made


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def image(samples: int = 3, channels: int = 3, side: int = 8) -> Tensor:
    """8-bit pixels."""
    return torch.randint(0, 256, (samples, channels, side, side), generator=seeded()).float() / 255


def events(*shape: int) -> Tensor:
    return (torch.rand(shape, generator=seeded()) < 0.3).float()
