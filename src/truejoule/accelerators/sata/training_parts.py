"""What a processing element needs beyond inference to train: a multiplier of gradients, a wider spike gate, a gradient unit.

The composition is that of ``parts``: un-gated parts are clocked in every cycle of the phase that uses the unit, gated parts for operations only.
Scratchpads stay as they are and hold fewer of the wider words. All of this is switched off in the forward pass, as in an inference, and leaks in
the backward pass and the weight update, whether or not it is clocked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.parts import parts_of
from truejoule.accelerators.sata.training_loops import GRADIENT_BITS
from truejoule.components import logic
from truejoule.components.coefficient import Coefficient
from truejoule.components.neuron_unit import Unit


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """Units of a training PE, and prices of what happens beside the array.

    Attributes
    ----------
    mac : multiplies 16-bit gradients with weights or with inputs of several bits.
    accumulate : adds a 16-bit gradient where a spike is; ``None`` in a mac PE.
    neuron : of the forward pass; stands still here and leaks.
    gradient : one membrane gradient without the product with the surrogate, J.
    surrogate : that product, J.
    mask : gradient of a ReLU (or of a sign, straight through), J.
    gradient_leakage : of one gradient unit, W.
    add, step : one running weight gradient; one step of plain SGD (learning rate times gradient, added), J.
    """

    mac: Unit
    accumulate: Unit | None
    scratchpads: Unit
    neuron: Unit
    gradient: Coefficient
    surrogate: Coefficient
    mask: Coefficient
    gradient_leakage: Coefficient
    add: Coefficient
    step: Coefficient


def training_structure(s: Structure) -> Structure:
    """The machine with sums that are at least as wide as a gradient."""
    wide = max(s.accumulator_bits, GRADIENT_BITS)
    kept = s.time_window if s.dataflow in ("tick_batch", "parallel_time_batching") else 1
    return replace(
        s,
        accumulator_bits=wide,
        adder_bits=max(s.adder_bits, GRADIENT_BITS),
        partial_scratchpad=max(s.partial_scratchpad, kept * wide),
        skip_silent=False,
    )


def training_parts(s: Structure) -> TrainingParts:
    """The parts at the machine's node.

    The membrane gradient is the gradient unit (PGU) of SATA_Sim's training model: surrogate from the stored potential, leak and reset path, sum.
    Its multiplexer is taken as an AND and each of its two shifters as a register (the kernel list has neither).
    """
    at, wide = s.at, GRADIENT_BITS
    trained = training_structure(s)
    mac = parts_of(replace(trained, pe="mac", operand_bits=max(s.operand_bits, s.input_bits), input_bits=wide), at)
    spike = parts_of(replace(trained, pe="spike", operand_bits=wide), at)
    own = mac if s.pe == "mac" else spike
    compare, add, gate = (logic.kernel_energy(kernel, wide, at) for kernel in ("comparator", "adder", "and"))
    register, multiply = (logic.kernel_energy(kernel, wide, at) for kernel in ("register", "multiplier"))
    leaking = [
        *(logic.kernel_leakage(kernel, wide, at) for kernel in ("comparator", "adder", "adder", "and")),
        *(logic.kernel_leakage(kernel, wide, at) for kernel in ("register", "register", "multiplier")),
    ]
    return TrainingParts(
        mac=mac.accumulate,
        accumulate=None if s.pe == "mac" else spike.accumulate,
        scratchpads=own.scratchpads,
        neuron=own.neuron,
        gradient=logic.together("membrane gradient", [compare, add, add, gate, register, register]),
        surrogate=replace(multiply, name="membrane gradient times surrogate"),
        mask=replace(gate, name="gradient mask"),
        gradient_leakage=logic.together("gradient unit leakage", leaking),
        add=replace(add, name="running weight gradient"),
        step=logic.together("SGD step of a weight", [multiply, add]),
    )
