"""The silicon of SATA (corrected account); DRAM is another chip."""

from __future__ import annotations

from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.parts import Parts
from truejoule.components import logic, sram
from truejoule.components.coefficient import place
from truejoule.cost import Floorplan


def floorplan(s: Structure, parts: Parts) -> Floorplan:
    """All PEs, all buffers with their periphery, and one scale-and-offset unit per column, of a chip that is built for its dataflow."""
    norm = logic.together(
        "scale and offset area",
        [logic.kernel_area("multiplier", s.neuron_bits, s.at), logic.kernel_area("adder", s.neuron_bits, s.at)],
    )
    blocks = [
        place(parts.accumulate.area, "accumulate", s.pes * s.lanes),
        place(parts.scratchpads.area, "scratchpads", s.pes),
        place(parts.neuron.area, "neuron unit", s.pes / s.neurons_per_lif),
        place(norm, "batch norm", s.columns),
    ]
    for component, bits in (
        ("weight buffer", s.weight_buffer),
        ("input buffer", s.input_buffer),
        ("output buffer", s.output_buffer),
        ("membrane memory", s.membrane_memory),
    ):
        if bits:
            blocks.append(place(sram.macro_area(bits, s.at), component, bits))
    return Floorplan(tuple(blocks))
