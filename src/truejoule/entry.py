"""What the user brings, brought together: the network is read on the samples, and its outputs become scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from truejoule.accelerators.accelerator import Accelerator
from truejoule.errors import InputError
from truejoule.gathering import DEFAULT_SAMPLES, Samples, samples
from truejoule.readout import SIZES, Readout, readout_for
from truejoule.scoring import Asked

if TYPE_CHECKING:
    from torch import Tensor, nn

    from truejoule.network import Network


def module_of(net: Any) -> nn.Module:
    """A module that can run, before anything is asked of it."""
    from truejoule.network import check_module

    check_module(net)
    return net


def read_with(
    net: nn.Module, gathered: Samples, place: Any, time_steps: int | None, time_axis: int | None, name: str | None
) -> tuple[Network, Samples]:
    """The network, and the samples on the axis where it takes them; the labels are evidence of that axis."""
    from truejoule.network import read

    def attempt(data: Samples, axis: int | None) -> Network:
        return read(net, data.example(time_steps).to(place), time_steps=time_steps, time_axis=axis, name=name)

    other = gathered.swapped
    try:
        network = attempt(gathered, time_axis)
    except InputError as error:
        if other is None:
            raise
        try:
            return attempt(other, 1 - other.axis), other
        except InputError:
            raise error from None
    if (network.timing.time_axis == 0) == (gathered.axis == 1):
        return network, gathered
    right = other or gathered
    return attempt(right, 1 - right.axis), right


def readout_of(
    network: Network, gathered: Samples, place: Any, asked: str | Callable[[Any], Any] | None, score: Asked
) -> Readout:
    """How its outputs become scores, seen at two batch sizes."""
    import torch

    few = gathered.x[torch.arange(max(SIZES)) % len(gathered)]
    outputs = [network.run(Samples(few[:n], None, gathered.axis, "").batch(0, n).to(place)) for n in SIZES]
    classes = not callable(score) and score != "regression"
    return readout_for(
        outputs,
        network.time_steps,
        asked,
        spiking=network.workload.spiking,
        classes=classes,
        time_axis=network.timing.time_axis,
    )


def ends_in_sigmoid(network: Network) -> bool:
    """Whether its single score would be a probability."""
    return any(layer.op == "host" and layer.note == "sigmoid" for layer in network.workload.layers)


def check_ann(
    net: nn.Module,
    ann: nn.Module,
    data: Iterable[tuple[Tensor, Tensor]],
    twins: Sequence[Accelerator],
    *,
    time_steps: int | None = None,
    time_axis: int | None = None,
) -> None:
    """See before anything runs that there is a spiking network and an ANN to compare, and that the ANN's machines take it.

    Raises
    ------
    InputError : no spikes in ``net``, spikes in ``ann``, or an ANN that cannot be read or placed.
    """
    from truejoule.network import read, require_supported

    gathered = samples(data, None if isinstance(data, Samples) else DEFAULT_SAMPLES, time_axis=time_axis)
    network, gathered = read_with(module_of(net), gathered, "cpu", time_steps, time_axis, None)
    if not network.workload.spiking:
        raise InputError(
            "no spiking network to hold against an ANN",
            where="the network",
            got="no spiking neurons",
            fix="leave the ANN out, or evaluate the two one by one",
        )
    try:
        workload = read(ann, gathered.example()).workload
        require_supported(workload)
        if workload.spiking:
            raise InputError("spiking neurons", where=workload.name, expected="a network without time")
        for twin in twins:
            twin.map(workload)
    except InputError as e:
        raise InputError(e.what, where=f"the ANN, {e.where}", got=e.got, expected=e.expected, fix=e.fix) from None
