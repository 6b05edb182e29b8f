"""Neurons with a layer inside that reads their own last spikes (recurrent all-to-all): the neuron, and the layer apart from it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from truejoule.network.calling import Caller, NotElementwise
from truejoule.network.forms import Form, find_form
from truejoule.network.lanes import Lanes
from truejoule.network.probe import Probed, UnknownNeuron, measured_neuron
from truejoule.network.recognise import recognise
from truejoule.network.verify import CLOSE, compare
from truejoule.workload import Neuron
from truejoule.workload.neuron import values

STEPS, SAMPLES = 12, 24


def examine_recurrent(module: nn.Module, *, where: str, shape: tuple[int, ...]) -> Probed | None:
    """A neuron whose input is joined by what a layer of its own makes of its last spikes; ``None`` for any other module.

    The neuron is measured with the products inside it set to zero. With them, its spikes must be those of the record for the sum of both
    inputs, and every product must have read the spikes of the step before.
    """
    try:
        muted = Caller(module, within=Muted)
        form = find_form(module, shape, muted)
        if form is None:
            return None
        neuron = measured_neuron(Lanes(muted, form), module, where)
        whole = _own_size(form, shape)
        return Probed(neuron, form) if neuron is not None and _holds(neuron, module, whole, shape) else None
    except (NotElementwise, UnknownNeuron):
        return None


class Muted(TorchFunctionMode):
    """Every product with weights answers zeros."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        return torch.zeros_like(output) if _multiplies(func, args, kwargs or {}) else output


class Watched(TorchFunctionMode):
    """Keeps inputs and outputs of every product with weights, by its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: defaultdict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        operation = _multiplies(func, args, kwargs or {})
        if operation is not None:
            with torch._C.DisableTorchFunction():
                key = (operation.op, tuple(operation.weight.shape), operation.weight.data_ptr())
                self.seen[key].append((args[0].detach().clone(), output.detach().clone()))
        return output


def _multiplies(func: Any, args: Any, kwargs: Any) -> Any:
    with torch._C.DisableTorchFunction():
        operation = recognise(getattr(func, "__name__", ""), args, kwargs)
    return operation if operation is not None and operation.multiplies else None


def _own_size(form: Form, shape: tuple[int, ...]) -> Form:
    """The form for real samples: products need all neurons at once."""
    behind = 1 if form.time is None or form.flat else 2
    return Form(form.time, form.flat, form.steps, form.samples, tuple(shape[behind:]))


def _holds(neuron: Neuron, module: nn.Module, form: Form, shape: tuple[int, ...]) -> bool:
    steps, neurons = min(STEPS, form.steps or STEPS), form.different
    samples = form.samples or SAMPLES
    generator = torch.Generator().manual_seed(0)
    level = max(values(neuron.threshold)) / max(values(neuron.gain))
    x = torch.randn(steps, samples, neurons, generator=generator) * level * 0.8
    watch = Watched()
    caller = Caller(module, within=lambda: watch)
    caller.answers(form.arrange(x))  # finds out how it wants to be called
    watch.seen.clear()
    outputs = caller.answers(form.arrange(x))
    spikes = form.collect(outputs, steps, samples).double()
    last = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
    total = x.double()
    if not watch.seen:
        return False
    for calls in watch.seen.values():
        late = steps - len(calls)
        if late not in (0, 1):
            return False
        for step, (entered, left) in enumerate(calls, start=late):
            if entered.numel() != last[step].numel() or left.numel() != last[step].numel():
                return False
            if not torch.equal(entered.double().reshape(samples, -1), last[step]):
                return False
            total[step] += left.double().reshape(samples, -1)
    sample = form.neurons
    return not compare(
        neuron,
        total.reshape(steps, samples, *sample).float(),
        spikes.reshape(steps, samples, *sample),
        CLOSE,
        samples,
    )
