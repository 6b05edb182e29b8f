"""Calls fresh copies of somebody's module, whatever extra arguments it wants, and leaves the module itself alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from truejoule.network.recognise import tensors
from truejoule.network.state import fresh_copy


class NotElementwise(Exception):  # noqa: N818 - internal signal, never leaves the room
    """The module does not take independent scalars, or answers with another shape."""


class Caller:
    """A module as a function from a few inputs, one call each, to its answers; every run begins from the fresh state.

    Parameters
    ----------
    output : which of the tensors that it answers is looked at.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype | None = None, output: int = 0) -> None:
        # One copy is kept clean, so that probing can never touch the user's module.
        try:
            self._clean, self._output = fresh_copy(module), output
        except Exception as error:  # foreign code that cannot be copied
            raise NotElementwise(f"{type(error).__name__}: {error}") from error
        self.dtype = dtype or own_dtype(module)
        self._start: tuple[bool, ...] | None = None

    def answers(self, inputs: list[Tensor]) -> list[Tensor]:
        """One output for each input, in the shape of the input.

        Raises
        ------
        NotElementwise : if a call fails, or answers something else.
        """
        module, state, found = fresh_copy(self._clean), self._first_state(inputs[0]), []
        with torch.no_grad():
            for x in inputs:
                x = x.to(self.dtype).clone()
                outputs, state = self._call(module, x, state)
                if len(outputs) <= self._output or outputs[self._output].shape != x.shape:
                    shapes = [tuple(o.shape) for o in outputs]
                    raise NotElementwise(f"answers {shapes} to {tuple(x.shape)}")
                found.append(outputs[self._output].to(torch.float64 if self.dtype == torch.float64 else torch.float32))
        return found

    def repeats(self, x: Tensor) -> bool:
        """Whether two runs give the same answer."""
        return torch.equal(self.answers([x])[0], self.answers([x])[0])

    def scale(self, shape: tuple[int, ...]) -> float | None:
        """Size of a constant input at which the answer of the first step changes its value; ``None`` if it does nowhere, or everywhere."""
        sizes = torch.logspace(-3, 4, 1000)
        for row in (sizes.reshape(1, -1), sizes.reshape(-1, 1)):  # whichever of both axes is time has one step
            x = row.reshape(*row.shape, *[1] * (len(shape) - 2)).expand(*row.shape, *shape[2:])
            try:
                y, turned = (self.answers([z])[0].reshape(len(sizes), -1) for z in (x, x.flip(0, 1)))
            except NotElementwise:
                continue
            if torch.equal(turned.flip(0), y):
                return _edge(sizes, y)
        return self._scale_of_the_first(shape)

    def _scale_of_the_first(self, shape: tuple[int, ...]) -> float | None:
        """The same from the first element of inputs of one shape, which is in the first step whichever axis is time."""
        sizes, found = torch.logspace(-3, 4, 36), None
        for _ in range(2):
            y = [self.answers([torch.full(shape, float(size))])[0].flatten()[:1] for size in sizes]
            found = _edge(sizes, torch.stack(y))
            if found is None:
                return None
            sizes = torch.linspace(found / 1.6, found, 20)
        return found

    def _first_state(self, x: Tensor) -> tuple[Any, ...]:
        """Which extra arguments the first call needs: none, ``None``s, or zeros (a membrane passed by hand)."""
        if self._start is None:
            problem: Exception = NotElementwise("no way to call it was found")
            for zeros in ((), (False,), (True,), (False, False), (True, True), (True, True, True)):
                try:
                    with torch.no_grad():
                        output = fresh_copy(self._clean)(x.to(self.dtype).clone(), *_state(zeros, x, self.dtype))
                    if not tensors(output):
                        raise NotElementwise("answers no tensor")
                    self._start = zeros
                    break
                except NotElementwise:
                    raise
                except Exception as error:  # any failure of foreign code just means: not this way
                    problem = error
            else:
                raise NotElementwise(f"{type(problem).__name__}: {problem}") from problem
        return _state(self._start, x, self.dtype)

    def _call(self, module: nn.Module, x: Tensor, state: tuple[Any, ...]) -> tuple[list[Tensor], tuple[Any, ...]]:
        try:
            try:
                output = module(x, *state)
            except TypeError:
                if not state:
                    raise
                output = module(x)  # keeps its own state although it also returns it
        except Exception as error:  # any failure of foreign code
            raise NotElementwise(f"{type(error).__name__}: {error}") from error
        rest = tuple(output[1:]) if isinstance(output, (tuple, list)) and len(output) > 1 else ()
        return tensors(output), rest


def _edge(sizes: Tensor, y: Tensor) -> float | None:
    """The first of some sizes whose answer (sizes, ...) differs from the one before, if most do not."""
    steps = (y[1:] != y[:-1]).any(1).nonzero().flatten()
    return float(sizes[int(steps[0]) + 1]) if 0 < len(steps) < len(sizes) // 2 else None


def _state(zeros: tuple[bool, ...], x: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(torch.zeros_like(x, dtype=dtype) if zero else None for zero in zeros)


def own_dtype(module: nn.Module) -> torch.dtype:
    """The floating-point type of a module's constants; float32 where it has none."""
    kinds = [t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    return kinds[0] if kinds else torch.float32
