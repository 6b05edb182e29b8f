"""What a processing element is made of: accumulate, neuron unit and scratchpads, each with an un-gated and a gated part.

Composition of SATA_Sim (inference): the un-gated part is clocked in every cycle, whether or not there is work; the gated part only for an
operation. A register file of n bytes is n 8-bit registers, all clocked together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from truejoule.accelerators.sata.design import Structure
from truejoule.components import logic, neuron_unit
from truejoule.components.coefficient import Coefficient
from truejoule.components.neuron_unit import Unit
from truejoule.components.technology import Node

Kernels = list[tuple[logic.Kernel, float, float]]
"""Kernel, width, how many."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The units of one PE: ``accumulate`` (or multiply-accumulate), ``neuron`` (LIF or ReLU), ``scratchpads``."""

    accumulate: Unit
    neuron: Unit
    scratchpads: Unit


def parts_of(s: Structure, node: Node) -> Parts:
    """The units of a PE at a node, J per cycle or operation, W, m2."""
    word, wide = s.operand_bits, s.accumulator_bits
    if s.pe == "spike":
        always: Kernels = [("and", word, 1), ("adder", s.adder_bits, 1)]
        accumulate = unit("spike accumulate", always, [("register", wide, 1)], node)
        neuron = neuron_unit.lif_unit(
            node,
            datapath_bits=s.neuron_bits,
            threshold_bits=s.threshold_bits,
            membrane_bits=s.membrane_bits,
            leak=s.leak,
        )
    else:
        always = [
            ("register", word, 1),
            ("register", s.input_bits, 1),
            ("register", wide, 1),
            ("adder", s.adder_bits, 1),
        ]
        # Operands of unequal width: the geometric mean is looked up, as in components.logic.multiply.
        on_operation: Kernels = [("multiplier", math.sqrt(word * s.input_bits), 1), ("register", wide, 1)]
        accumulate = unit("multiply-accumulate", always, on_operation, node)
        neuron = neuron_unit.relu_unit(node, datapath_bits=s.neuron_bits)
    free, gated = _bytes(s.input_scratchpad + s.partial_scratchpad), _bytes(s.weight_scratchpad)
    return Parts(accumulate, neuron, unit("scratchpads", [("register", 8, free)], [("register", 8, gated)], node))


def unit(name: str, always: Kernels, on_operation: Kernels, node: Node) -> Unit:
    """A unit of kernels that are clocked always, and of others clocked for operations only."""

    def total(label: str, of: Callable[..., Coefficient], parts: Kernels) -> Coefficient:
        found = []
        for kernel, bits, count in parts:
            one = of(kernel, bits, node)
            found.append(one if count == 1 else one.scaled(count, f"x {count:g}"))
        return logic.together(label, found)

    both = always + on_operation
    return Unit(
        ungated=total(f"{name}, every cycle", logic.kernel_energy, always),
        gated=total(f"{name}, operation", logic.kernel_energy, on_operation),
        leakage=total(f"{name} leakage", logic.kernel_leakage, both),
        area=total(f"{name} area", logic.kernel_area, both),
    )


def _bytes(bits: float) -> float:
    return math.ceil(bits / 8)
