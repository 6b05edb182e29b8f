"""What makes an answer meaningless: arguments, weights and repeated executions that cannot be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network.execution import Execution, History
from truejoule.network.network import check_input


def check_module(module: Any) -> None:
    """Raises ``InputError`` for anything that is not a network that can be run: a class, its weights alone, TorchScript."""
    if not isinstance(module, nn.Module):
        a_class = isinstance(module, type) and issubclass(module, nn.Module)
        name = getattr(module, "__name__", "")
        weights = isinstance(module, Mapping) and any(isinstance(value, Tensor) for value in module.values())
        raise InputError(
            "not a network",
            where="the network",
            got=f"the class {name}" if a_class else "a state_dict" if weights else type(module).__name__,
            expected="an instance of torch.nn.Module",
            fix=f"create it first: {name}()"
            if a_class
            else "these are weights without a network: net = MyNet(); net.load_state_dict(...)"
            if weights
            else "",
        )
    if any(isinstance(m, torch.jit.ScriptModule) for m in module.modules()):
        raise InputError(
            "a TorchScript module cannot be observed",
            where="module",
            expected="the original Python module",
            fix="pass the module from before torch.jit.script or trace",
        )


def check_arguments(module: Any, example: Any, time_steps: int | None, time_axis: int | None) -> None:
    check_module(module)
    if not isinstance(example, Tensor):
        raise InputError(
            "the example is not a tensor",
            where="example",
            got=type(example).__name__,
            expected="one batch as a tensor, (N, ...)",
            fix="of a loader: example, _ = next(iter(loader))",
        )
    if example.dim() < 2 or example.numel() == 0:
        raise InputError(
            "an example without samples or features",
            where="example",
            got=f"shape {tuple(example.shape)}",
            expected="a batch first: (N, ...)",
            fix="example.unsqueeze(0)",
        )
    check_input(example, example, None)
    if time_axis not in (None, 0, 1):
        raise InputError(
            "an impossible time axis",
            where="time_axis",
            got=time_axis,
            expected="0 for (T, N, ...), 1 for (N, T, ...), None without time in the example",
        )
    if time_steps is not None and time_steps < 1:
        raise InputError(
            "an impossible number of time steps", where="time_steps", got=time_steps, expected="at least 1"
        )


def check_finite(values: Tensor, name: str, what: str = "weights") -> None:
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise InputError(
            f"{what} with NaN or infinite values",
            where=name,
            got=f"{bad} of {values.numel()} values",
            expected="finite numbers",
            fix="check the training run; a diverged network cannot be evaluated",
        )


def check_places(executions: Sequence[Execution]) -> None:
    """Layers with weights and neurons stand at one place each, and somebody feeds them.

    Raises
    ------
    InputError : weights without a source of data; weights, or a neuron with its own state, at two places that cannot be told apart.
    """
    by_name: dict[str, list[Execution]] = {}
    history = History()
    for execution in executions:
        by_name.setdefault(execution.name, []).append(execution)
        history.add(execution)
    for name, found in by_name.items():
        if found[0].op in ("conv", "linear", "neuron"):
            _check_sources(name, found)
            _check_place(name, found, history)


def _check_sources(name: str, executions: Sequence[Execution]) -> None:
    if not any(sources for execution in executions for sources in execution.sources):
        raise InputError(
            "a layer that no other layer and no input feeds",
            where=name,
            got="data without an origin in the network",
            expected="data that come from the input or from another layer",
            fix="a constant is no input; and values that leave torch (numpy, lists, .item()) must stay tensors",
        )


def _check_place(name: str, executions: Sequence[Execution], history: History) -> None:
    other = history.elsewhere(executions)
    if other is not None:
        neuron = executions[0].op == "neuron"
        raise InputError(
            "one neuron object is used at two places of the network, which then share its state"
            if neuron
            else "the same weights are used at two places of the network",
            where=name,
            got=f"data from {sorted(history.current(executions[0]))} first, then from {sorted(other.sources[0]) or 'nowhere'}",
            expected="every place once per time step, in the same order"
            if neuron
            else "one place per layer; repeated use only over time",
            fix="give each place its own neuron"
            if neuron
            else "give each place its own module with a copy of the weights",
        )


def check_executions(name: str, executions: Sequence[Execution]) -> None:
    """One name must mean one place: the same shapes every time."""
    shapes = {(e.input_shape[1:], e.output_shape[1:]) for e in executions}
    if len(shapes) > 1:
        raise InputError(
            "a layer whose shapes change from one execution to the next",
            where=name,
            got=" and ".join(sorted(str(s[0]) for s in shapes)),
            expected="one shape: either time steps of one layer, or one layer per place",
            fix="give each place its own module, even if the weights are equal",
        )
