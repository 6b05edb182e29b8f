"""Gated arrays with non-linear cells, such as saturating 8T-SRAM read stacks: exact currents with a proven error bound.

1. *Tangents.* Each cell is replaced by its tangent at the voltage it sees when a share of the inputs is on, and groups
   of rows are tabulated as in `truejoule.circuit.gated_chain`: with ``I = y v + s`` of all rows above a point,
   ``y <- b + f² y / (1 + c y)`` and ``s <- (f s + j₀ + j₁ y) / (1 + c y)``. Five numbers a group and input pattern.
2. *Shooting.* From that current ``I`` the real column is marched from the sense input to the far end, by Kirchhoff's
   laws and with derivatives in ``I``. The current left over there, ``ρ``, should be 0: one Newton step in ``I``. Repeat.
3. Columns that this does not certify (wires so bad that the march amplifies rounding) go through Newton's method on all
   voltages, `truejoule.circuit.gated_newton`.

*The bound.* A march meets every law exactly but for ``ρ``, as if ``ρ`` were drawn from the far end. In a network of
monotone cells, injecting a current changes the sensed current by at most as much and in its direction; hence the error
of the last current before correction is at most ``|ρ|``, that of the corrected one too (it is about ``ρ²``). The
relative error of the tabulated law (`truejoule.circuit.gated_law`) is added.

Source: shooting for two-point boundary value problems (H. B. Keller, 1968). Derived here, checked against ngspice in
tests/physics.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from truejoule.circuit import gated_chain as chain
from truejoule.circuit.cells import Cell, evaluate
from truejoule.circuit.gated import as_machine_bits
from truejoule.circuit.gated_inputs import Inputs, Tiles, are_bits, bit_planes, read_voltage, require_bits
from truejoule.circuit.gated_kernels_loader import kernels
from truejoule.circuit.gated_law import law_table
from truejoule.circuit.gated_newton import implicit, newton
from truejoule.circuit.topology import GATED_SAME_END, Rails, Topology, rails
from truejoule.circuit.wires import Wires
from truejoule.errors import InputError

_PASSES = 5
_GROUP = 4
_WORK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class GatedSolution:
    """Column currents and how far they can be off."""

    currents_a: Tensor
    """Out of the sense inputs, ``(..., N, columns)`` in A."""
    residual: Tensor
    """Upper bound of the relative error of each current, same shape; rounding comes on top."""
