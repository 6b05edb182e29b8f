"""Which layers see the same input in every time step, found out by looking."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from truejoule.network.timing import Layout


class Watch:
    """Compares the inputs of every layer over the time steps of one run; pass its ``on_layer`` to ``Network.run``.

    Attributes
    ----------
    moving : layers that saw another input than in their first step.
    """

    def __init__(self, layouts: Mapping[str, Layout], batch_major: bool) -> None:
        self.moving: set[str] = set()
        self._layouts, self._batch_major = layouts, batch_major
        self._first: dict[str, Tensor] = {}

    def on_layer(self, name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None:
        """One execution of a layer."""
        if name in self.moving or name not in self._layouts:
            return
        for x in self._layouts[name].split(input.detach(), self._batch_major):
            first = self._first.get(name)
            if first is None:
                self._first[name] = x.clone()
            elif not torch.equal(first, x):
                self.moving.add(name)
                del self._first[name]
                return
