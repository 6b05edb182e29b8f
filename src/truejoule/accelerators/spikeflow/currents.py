"""The column currents that calibration saw, and the range that holds a stated share of them."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 1 << 16
"""Resolution: far finer than a converter's step."""


class Currents:
    """A histogram of non-negative currents: every current counts, and neither their order nor their batches matter.

    Parameters
    ----------
    most : the largest current that can be, in A; larger ones count as it.
    """

    def __init__(self, most: float, device: torch.device) -> None:
        self._bin = most / (BINS - 1)
        self._counts = torch.zeros(BINS, dtype=torch.int64, device=device)
        self._low, self._high = float("inf"), 0.0

    def add(self, current: Tensor) -> None:
        """Count all currents of a tensor of any shape, in A."""
        if not current.numel():
            return
        low, high = (float(v) for v in torch.aminmax(current))
        self._low, self._high = min(self._low, low), max(self._high, high)
        place = (current.flatten() / self._bin).to(torch.int32).clamp_(0, BINS - 1)
        self._counts += torch.bincount(place, minlength=BINS)

    def range(self, coverage: float) -> tuple[float, float]:
        """Lowest and highest current of the smallest range that leaves equal shares outside at both ends, ``coverage`` inside; (0, 0) without any."""
        total = int(self._counts.sum())
        if not total:
            return 0.0, 0.0
        outside = int(total * (1.0 - coverage) / 2)
        below = self._counts.cumsum(0)
        first = int(torch.searchsorted(below, outside, right=True))
        last = int(torch.searchsorted(below, total - outside))
        return max(first * self._bin, self._low), min((last + 1) * self._bin, self._high)
