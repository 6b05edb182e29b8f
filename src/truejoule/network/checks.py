"""What makes an answer meaningless: arguments, weights and repeated executions that cannot be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network.execution import INPUT, Execution
from truejoule.network.network import check_input


def check_arguments(module: Any, example: Any, time_steps: int | None, time_axis: int | None) -> None:
    if not isinstance(module, nn.Module):
        raise InputError(
            "not a torch module",
            where="module",
            got=type(module).__name__,
            expected="an instance of torch.nn.Module",
            fix="create it first: MyNet()" if isinstance(module, type) and issubclass(module, nn.Module) else "",
        )
    if any(isinstance(m, torch.jit.ScriptModule) for m in module.modules()):
        raise InputError(
            "a TorchScript module cannot be observed",
            where="module",
            expected="the original Python module",
            fix="pass the module from before torch.jit.script or trace",
        )
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


def check_finite(weight: Tensor, name: str) -> None:
    bad = int((~torch.isfinite(weight)).sum())
    if bad:
        raise InputError(
            "weights with NaN or infinite values",
            where=name,
            got=f"{bad} of {weight.numel()} weights",
            expected="finite numbers",
            fix="check the training run; a diverged network cannot be evaluated",
        )


def check_executions(name: str, executions: Sequence[Execution]) -> None:
    """One name must mean one place: the same shapes every time and, for weights, data from the same layers."""
    first = executions[0]
    shapes = {(e.input_shape[1:], e.output_shape[1:]) for e in executions}
    if len(shapes) > 1:
        raise InputError(
            "a layer whose shapes change from one execution to the next",
            where=name,
            got=" and ".join(sorted(str(s[0]) for s in shapes)),
            expected="one shape: either time steps of one layer, or one layer per place",
            fix="give each place its own module, even if the weights are equal",
        )
    if first.op not in ("conv", "linear"):
        return
    start = _current(first)
    for execution in executions[1:]:
        if start and not start & _current(execution):
            raise InputError(
                "the same weights are used at two places of the network",
                where=name,
                got=f"data from {sorted(start)} first, then from {sorted(execution.sources[0]) or 'nowhere'}",
                expected="one place per layer; repeated use only over time",
                fix="give each place its own module with a copy of the weights",
            )


def _current(execution: Execution) -> set[str]:
    """Sources that are not merely left over from earlier executions."""
    return {
        s
        for s, index in execution.sources[0].items()
        if s == INPUT or index >= execution.index or (index == 0 and s != execution.name)
    }
