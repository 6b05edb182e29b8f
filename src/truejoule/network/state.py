"""What a module remembers between calls, whoever wrote it: reset, capture, restore."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.errors import InputError

_SKIP = frozenset({"_parameters", "_modules", "_hooks", "training"})
_PLAIN = (int, float, bool, str, type(None))


METHODS = ("reset", "reset_mem", "reset_hidden_state", "reset_states", "reset_state")


def reset(module: nn.Module) -> None:
    """Put all neurons back to their start: calls ``reset()``, ``reset_mem()``, … of every module that has one.

    Instance lists kept on framework classes are left alone, as they also hold other networks.

    Raises
    ------
    InputError : if such a method changes parameters (it is then not a reset of state).
    """
    for path, child in module.named_modules():
        action = next((a for a in (getattr(child, name, None) for name in METHODS) if callable(a)), None)
        if action is None:
            continue
        versions = [p._version for p in child.parameters()]
        with torch.no_grad():
            try:
                action()
            except TypeError:  # wants arguments: not a plain reset
                continue
        if versions != [p._version for p in child.parameters()]:
            raise InputError(
                "a reset method that changes parameters",
                where=f"{path or 'the network'}.{action.__name__}()",
                expected="a method that only clears state",
                fix="rename the method; reset() is called before every run",
            )


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a forward pass may change, of every module: buffers and plain attributes (by module path)."""

    attributes: dict[str, dict[str, Any]]
    buffers: dict[str, dict[str, Tensor | None]]

    @staticmethod
    def of(module: nn.Module, only: frozenset[str] | None = None) -> State:
        attributes, buffers = {}, {}
        for path, child in module.named_modules():
            if only is not None and not any(path == p or path.startswith(p + ".") for p in only):
                continue
            attributes[path] = {k: _copied(v) for k, v in vars(child).items() if k not in _SKIP and _rememberable(v, k)}
            buffers[path] = {k: None if v is None else v.detach().clone() for k, v in child._buffers.items()}
        return State(attributes, buffers)

    def differing(self, other: State) -> frozenset[str]:
        """Paths of the modules that remember something else."""
        pools = ((self.attributes, other.attributes), (self.buffers, other.buffers))
        return frozenset(
            path for mine, theirs in pools for path in theirs if not _equal(mine.get(path, {}), theirs[path])
        )

    def restore(self, module: nn.Module) -> None:
        modules = dict(module.named_modules())
        for path, saved in self.attributes.items():
            child = modules[path]
            for key in [
                k for k, v in vars(child).items() if k not in saved and k not in _SKIP and isinstance(v, Tensor)
            ]:
                del child.__dict__[key]
            for key, value in saved.items():
                child.__dict__[key] = _copied(value)
            for key, value in self.buffers[path].items():
                now = child._buffers.get(key)
                if value is None or now is None or now.shape != value.shape:
                    child._buffers[key] = None if value is None else value.clone()
                elif not torch.equal(now, value) or value.isnan().any():
                    with torch.no_grad():
                        now.copy_(value)


def _rememberable(value: Any, key: str) -> bool:
    if isinstance(value, (Tensor, *_PLAIN)):
        return True
    if key.startswith("_") and key != "_memories":
        return False
    if isinstance(value, (list, tuple)):
        return all(isinstance(v, (Tensor, *_PLAIN)) for v in value)
    return isinstance(value, dict) and all(isinstance(v, (Tensor, *_PLAIN)) for v in value.values())


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    return a == b


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone() if not isinstance(value, nn.Parameter) else value
    if isinstance(value, list):
        return [_copied(v) for v in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_copied(v) for v in value)
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return value


def fresh_copy(module: nn.Module) -> nn.Module:
    """A deep copy, also when states hang in an autograd graph, put into eval mode and reset."""
    memo: dict[int, Any] = {}
    for child in module.modules():
        for holder in (vars(child), child._buffers, vars(child).get("_memories", {})):
            for value in list(holder.values()) if isinstance(holder, dict) else []:
                if isinstance(value, Tensor) and value.grad_fn is not None:
                    memo[id(value)] = value.detach().clone()
    twin = copy.deepcopy(module, memo).eval()
    reset(twin)
    return twin
