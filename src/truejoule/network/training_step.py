"""What one training step of the user's network does: where its activations, gradients and surrogate derivatives are zero."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from truejoule.errors import InputError, some
from truejoule.network.interpret import interpret
from truejoule.network.network import Network, check_input
from truejoule.network.recognise import first_tensor
from truejoule.workload import TrainingSparsity

Loss = Callable[[Tensor, Tensor], Tensor]


def training_step(
    network: Network, x: Tensor, y: Tensor, loss: Loss, readout: Callable[[Any], Tensor | None] = first_tensor
) -> TrainingSparsity:
    """Run one forward and backward pass on a copy in training mode and count zeros, per layer and time step.

    Parameters
    ----------
    x, y : a batch like the example, and its targets.
    loss : takes the scores and the targets, gives a scalar.
    readout : gives the scores from what the network returns.

    Raises
    ------
    InputError : the loss is not a finite scalar, or no gradient reaches a layer (neurons without a surrogate gradient).
    """
    if network.timing.outer:
        raise InputError(
            "a training step needs the whole sequence",
            where="forward",
            got="a module that computes one time step per call",
            fix="put the loop over time into forward",
        )
    check_input(x, network.example, network.timing.time_axis)
    module = copy.deepcopy(network.module).train()
    network.restart(module)
    zeros = _Zeros(network)
    with torch.enable_grad():
        output = interpret(
            module,
            (x,),
            names=network.names,
            on_layer=zeros.on_layer,
            steps_per_call=network.steps_per_call,
            samples=network.samples(x),
        )
        scores = readout(output)
        try:
            value = loss(scores, y) if scores is not None else None
        except Exception as error:
            raise InputError(
                "the loss failed",
                where="loss",
                got=f"{type(error).__name__}: {error}",
                expected="a function of the network's scores and the labels",
            ) from error
        if not isinstance(value, Tensor) or value.numel() != 1 or not bool(torch.isfinite(value)):
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) and value.numel() != 1 else repr(value)
            raise InputError(
                "the loss is not a finite number",
                where="loss",
                got=got,
                expected="a scalar tensor",
                fix='average over the batch (reduction="mean")',
            )
        if not value.requires_grad:
            raise InputError(
                "the loss has no gradient",
                where="loss",
                fix="compute it from the network's output, with parameters that require gradients",
            )
        value.backward()
    return zeros.sparsity(f"measured on a training step of {network.samples(x)} samples")


class _Zeros:
    """Shares of zeros by kind, layer and time step."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ops = {layer.name: layer.op for layer in network.workload.layers}
        self._counts: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))

    def on_layer(self, name: str, step: int, steps: int, before: Tensor, after: Tensor) -> None:
        op = self._ops.get(name)
        if op in ("conv", "linear"):
            self._count("spike", name, step, before)
            if after.requires_grad:
                after.register_hook(lambda g: self._count("membrane_gradient", name, step, g))
        elif op == "neuron" and before.requires_grad and after.requires_grad:
            # The derivative of this step's spikes by this step's input: the surrogate alone, without what flows back through time.
            (derivative,) = torch.autograd.grad(after.sum(), before, retain_graph=True, allow_unused=True)
            if derivative is not None:
                self._count("surrogate", name, step, derivative)

    def _count(self, kind: str, name: str, step: int, values: Tensor) -> None:
        for offset, part in enumerate(self._network.split(name, values.detach())):
            found = self._counts[kind][name].setdefault(step + offset, [0.0, 0.0])
            found[0] += float((part == 0).sum())
            found[1] += part.numel()

    def sparsity(self, origin: str) -> TrainingSparsity:
        def shares(kind: str) -> dict[str, tuple[float, ...]]:
            return {
                name: tuple(steps[t][0] / steps[t][1] for t in sorted(steps))
                for name, steps in self._counts[kind].items()
            }

        multiplying = [layer.name for layer in self._network.workload.multiplying]
        missing = [name for name in multiplying if name not in self._counts["membrane_gradient"]]
        if missing:
            raise InputError(
                "no gradient reaches every layer",
                where=some(missing),
                got="outputs that the loss does not depend on differentiably",
                fix="use neurons with a surrogate gradient, as in training",
            )
        return TrainingSparsity(shares("spike"), shares("membrane_gradient"), shares("surrogate"), origin)
