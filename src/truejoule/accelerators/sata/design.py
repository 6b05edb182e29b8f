"""SATA: a digital systolic array for spiking networks, and the ANN array of the same shape beside it.

The machine of arXiv 2204.05422 in the inference configuration of arXiv 2309.03388: 16 x 8 processing elements at 400 MHz, three scratchpads
and a LIF unit in each, buffers for weights, inputs and outputs, DRAM. With ``pe: mac`` the same array multiplies and ends in ReLU, so both kinds
of network go through the same mapper. Accountings: ``corrected`` counts what the machine does; ``released`` follows the inference model of
SATA_Sim (September 2023), ``released-training`` its training model (2022), their slips included (docs/sata.md lists them).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from truejoule.accelerators import mapping as mappings
from truejoule.accelerators.accelerator import check_twin
from truejoule.accelerators.image import check_image_bits, rounded_inputs, with_image_bits
from truejoule.accelerators.preset import Parameter, Preset, Unit, fill
from truejoule.accelerators.sata.training_released import ReleasedTraining
from truejoule.components.coefficient import Coefficient
from truejoule.components.technology import Node
from truejoule.cost import Cost, TrainingCost
from truejoule.errors import InputError, did_you_mean
from truejoule.workload import Activity, TrainingSparsity, Work, Workload
from truejoule.workload.standing import computed_once, fitted

if TYPE_CHECKING:
    from torch import Tensor

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed

WIDEST_SUM = 53
"""Width of an accumulator that no sum leaves: that of exact integers in double precision."""

Bits = Annotated[float, Unit("bit")]
BitEnergy = Annotated[Coefficient, Unit("J/bit")]
Power = Annotated[Coefficient, Unit("W")]
Dataflow = Literal[
    "output_stationary", "tick_batch", "weight_stationary", "temporal_parallel", "parallel_time_batching"
]


def _is(meaning: str) -> Any:
    return field(metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the machine is made of and how it is used; meanings are in the field metadata and in ``truejoule accelerators show``."""

    accounting: Literal["corrected", "released", "released-training"] = _is(
        "corrected: what the machine does; released: the formulas of the released inference code; released-training: of the released training code"
    )
    pe: Literal["spike", "mac"] = _is(
        "spike: AND, adder and LIF, multi-bit inputs bit by bit; mac: multiplier and ReLU (the ANN twin)"
    )
    dataflow: Dataflow = _is("what stays in the array; see docs/sata.md for the fetch counts of each")
    node: Annotated[float, Unit("m")] = _is("technology node")
    supply: Annotated[float, Unit("V")] = _is("supply voltage")
    clock: Annotated[float, Unit("Hz")] = _is("clock frequency")
    rows: int = _is("rows of the array")
    columns: int = _is("columns of the array")
    operand_bits: int = _is("widest weight that a PE takes")
    adder_bits: int = _is("width of the adder of a PE")
    accumulator_bits: int = _is("width of the accumulator; sums beyond it saturate")
    neuron_bits: int = _is("datapath of the LIF or ReLU unit")
    threshold_bits: int = _is("threshold register of a LIF unit")
    membrane_bits: int = _is("width of a stored membrane potential")
    leak: bool = _is("whether the LIF unit has a second subtractor for the leak, v - (v >> k)")
    neurons_per_lif: int = _is("neurons in neighbouring channels that share one LIF unit (C#n of EfficientLIF-Net)")
    lif_gated: bool = _is("whether LIF and ReLU units are clocked for updates only; false: in every cycle")
    weight_bits: int = _is("width to which weights are rounded that are not integers already")
    input_bits: int = _is("width of real-valued inputs (ReLU activations), and of the inputs of a mac PE")
    image_bits: int | None = _is("width of a real-valued image (input of the network), at most 8; null: input_bits")
    output_bits: int = _is("width of a value leaving the chip")
    input_scratchpad: Bits = _is("input scratchpad of a PE, clocked in every cycle")
    weight_scratchpad: Bits = _is("weight scratchpad of a PE, clocked for operations only")
    partial_scratchpad: Bits = _is("partial-sum scratchpad of a PE, clocked in every cycle")
    weight_buffer: Bits = _is("global buffer for weights")
    input_buffer: Bits = _is("global buffer for inputs")
    output_buffer: Bits = _is("global buffer for outputs and partial sums")
    membrane_buffer: Bits = _is("global buffer for membrane potentials; not there in dataflows that need none")
    buffer_word: int = _is("bits of one access to a global buffer")
    banks: int = _is("banks of a global buffer")
    dram: str = _is("kind of off-chip memory, see components.dram")
    dram_bits_per_cycle: int = _is("bits that the off-chip memory delivers per clock cycle")
    time_window: int = _is(
        "time steps for which a PE holds partial sums: one after the other (tick_batch, parallel_time_batching) or at once (temporal_parallel)"
    )
    standing_input: Literal["once", "every step"] = _is(
        "a layer whose input stands still over time (a directly coded image): computed once and its sums kept, or computed in every time step"
    )
    skip_silent: bool = _is("whether windows without any active input are left out of the schedule")
    training_batch: int = _is("samples of one training step; they share trips of the weights over DRAM")

    @property
    def at(self) -> Node:
        """The node with its supply."""
        return Node(round(self.node * 1e9, 6), self.supply)

    @property
    def pes(self) -> int:
        return self.rows * self.columns

    @property
    def lanes(self) -> int:
        """Accumulators of a PE that work in the same cycle."""
        return self.time_window if self.dataflow == "temporal_parallel" else 1

    def lanes_clocked(self, steps: int) -> float:
        """Accumulators of a PE that are clocked in a layer of ``steps`` steps, mean over its passes: those of steps that do not exist are gated."""
        return steps / math.ceil(steps / self.lanes)

    @property
    def membrane_memory(self) -> float:
        """Bits of the membrane memory, which only a spiking machine with time outermost is built with."""
        return self.membrane_buffer if self.time_outermost and self.pe == "spike" else 0.0

    @property
    def time_outermost(self) -> bool:
        """Whether all layers run one time step before any runs the next."""
        return self.dataflow == "output_stationary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What only the released account knows; sources in the preset."""

    linear_as_conv: bool = _is("linear layers counted as convolutions with padding 1: 9 times too many operations")
    packed_time: bool = _is(
        "inputs have one bit per time step and outputs are read out in every step; false: 8-bit inputs, outputs once"
    )
    dram_access: BitEnergy = _is("DRAM access")
    weight_read: BitEnergy = _is("read of the weight buffer")
    input_read: BitEnergy = _is("read of the input buffer")
    output_write: BitEnergy = _is("write of the output buffer")
    weight_leakage: Power = _is("leakage of the weight buffer, one bank")
    input_leakage: Power = _is("leakage of the input buffer, one bank")
    output_leakage: Power = _is("leakage of the output buffer, one bank")


@dataclass(frozen=True, slots=True)
class SATA:
    """The machine; see ``accelerators.Accelerator`` for what the methods mean."""

    name: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...]
    structure: Structure
    released: Released | None
    released_training: ReleasedTraining | None = None
    twin_of: SATA | None = None

    @property
    def machine(self) -> str:
        return "sata"

    @property
    def as_published(self) -> bool:
        return self.structure.accounting != "corrected"

    def map(self, workload: Workload) -> mappings.Mapping:
        from truejoule.accelerators.sata.mapping import place_layers

        s = self.structure
        told = rounded_inputs(workload, s.image_bits, s.input_bits)
        workload = with_image_bits(workload, s.image_bits)
        return place_layers(computed_once(workload) if s.standing_input == "once" else workload, s).telling(*told)

    def cost(
        self,
        mapping: mappings.Mapping,
        activity: Activity,
        work: Work | None = None,
    ) -> Cost:
        activity, work = fitted(mapping.workload, activity, work or {})
        if self.released is not None:
            from truejoule.accelerators.sata.released import released_cost

            return released_cost(mapping, activity, self.structure, self.released)
        if self.released_training is not None:
            from truejoule.accelerators.sata.training_released import released_forward

            return released_forward(mapping, activity, self.structure, self.released_training)
        from truejoule.accelerators.sata.cost import corrected_cost

        return corrected_cost(mapping, activity, work, self.structure)

    def deploy(self, network: Network, calibration: Iterable[Tensor] = (), seed: int = 0) -> Deployed:
        """See ``accelerators.Accelerator``; a digital machine has no chip-to-chip spread, so ``seed`` changes nothing."""
        from truejoule.accelerators.sata.numerics import deploy

        return deploy(network, self.structure, calibration, self.name)

    def training(self, workload: Workload, sparsity: TrainingSparsity) -> TrainingCost:
        if self.released is not None:
            raise InputError(
                "this machine has no model of training",
                where=self.name,
                got="the released inference model, which knows no training",
                fix="use sata (this machine, corrected) or sata-2022-training (the released training model)",
            )
        if self.released_training is not None:
            from truejoule.accelerators.sata.training_released import released_training

            return released_training(workload, sparsity, self.structure, self.released_training)
        from truejoule.accelerators.sata.training_cost import training_cost

        return training_cost(with_image_bits(workload, self.structure.image_bits), sparsity, self.structure)

    def alternatives(self) -> Mapping[str, SATA]:
        s = self.structure
        if self.twin_of is not None:
            spiking = self.twin_of.structure
            pads = {
                name: getattr(spiking, name) for name in ("input_scratchpad", "weight_scratchpad", "partial_scratchpad")
            }
            return {"the small scratchpads of the spiking array": self.using(**pads)}
        if self.as_published or s.pe == "mac":
            return {}
        again = {"layers whose input stands still computed in every time step": self.using(standing_input="every step")}
        if s.dataflow == "output_stationary":
            return {
                "weights fetched once for several time steps (tick_batch)": self.using(dataflow="tick_batch"),
                "LIF units clocked for updates only": self.using(lif_gated=True),
                **again,
            }
        return {
            "weights and membranes fetched in every time step (output_stationary)": self.using(
                dataflow="output_stationary", skip_silent=False
            ),
            f"{s.time_window} time steps at once, an accumulator in each PE for every one (temporal_parallel)": self.using(
                dataflow="temporal_parallel", skip_silent=False
            ),
            "LIF units clocked for updates only": self.using(lif_gated=True),
            **again,
        }

    def using(self, **changes: object) -> SATA:
        """The same machine with other values in its structure (SI units, bits)."""
        return replace(self, structure=replace(self.structure, **changes))  # type: ignore[arg-type]

    def undisturbed(self) -> SATA:
        """See ``accelerators.Accelerator``: digital arithmetic is exact, so that only its accumulators are widened."""
        return self.using(accumulator_bits=WIDEST_SUM)

    def suited(self, workload: Workload) -> SATA:
        """A network without neurons runs on the ANN twin; spike PEs and their narrow accumulators are made for spikes."""
        stays = workload.spiking or self.structure.pe == "mac" or self.as_published
        return self if stays else self.ann_twin(min(self.structure.input_bits, 8))

    def ann_twin(self, bits: int = 8) -> SATA:
        """The array of the same shape, node, buffers and DRAM with multipliers (weights by inputs of ``bits``), ReLU and larger scratchpads.

        Scratchpads hold the words of the released ANN run: 72 inputs, 224 weights, 24 B of partial sums. That is far more than an output-stationary
        array uses, and most of the twin's energy; the spiking array's small ones are among its ``alternatives``. Weights and images stay as wide as here.
        """
        check_twin(self, bits, "use sata; eyeriss-2023 is the published ANN")
        twin = self.using(
            pe="mac",
            dataflow="output_stationary",
            time_window=1,
            skip_silent=False,
            input_bits=bits,
            image_bits=self.structure.image_bits or min(self.structure.input_bits, 8),
            adder_bits=24,
            accumulator_bits=max(24, self.structure.accumulator_bits),
            neurons_per_lif=1,
            input_scratchpad=72.0 * bits,
            partial_scratchpad=24.0 * 8,
            weight_scratchpad=224.0 * self.structure.operand_bits,
        )
        name, title = (f"{text} ANN twin, {bits} bit" for text in (self.name, f"{self.title},"))
        summary = f"The array of {self.name} with multipliers and ReLU instead of spike gates and LIF units, activations of {bits} bit."
        return replace(twin, name=name, title=title, summary=summary, twin_of=self)


def build(preset: Preset, overrides: Mapping[str, object]) -> SATA:
    """The machine of a preset.

    Raises
    ------
    InputError : see ``accelerators.preset.fill``; also for combinations that make no array.
    """
    entry = preset.entries.get("accounting", {})
    account = overrides.get("accounting", entry.get("value") if isinstance(entry, Mapping) else None)
    also: dict[object, type] = {"released": Released, "released-training": ReleasedTraining}
    kinds = (Structure, also[account]) if account in also else (Structure,)
    filled, parameters = fill(kinds, preset, overrides)
    structure: Structure = filled[0]
    _check(structure, preset, overrides)
    published = {type(part): part for part in filled[1:]}
    accounts = published.get(Released), published.get(ReleasedTraining)
    return SATA(preset.name, preset.title, preset.summary, parameters, structure, *accounts)


def _check(s: Structure, preset: Preset, overrides: Mapping[str, object]) -> None:
    from truejoule.components import dram, logic

    def refuse(what: str, parameter: str, got: object, expected: str, fix: str = "") -> None:
        where = f"override {parameter}" if parameter in overrides else preset.where(parameter)
        raise InputError(what, where=where, got=got, expected=expected, fix=fix)

    for name in (
        *("clock", "rows", "columns", "operand_bits", "adder_bits", "accumulator_bits", "neuron_bits"),
        *("threshold_bits", "membrane_bits", "neurons_per_lif", "weight_bits", "input_bits", "output_bits"),
        *("buffer_word", "banks", "dram_bits_per_cycle", "time_window", "training_batch"),
        *("weight_buffer", "input_buffer", "output_buffer"),
    ):
        if getattr(s, name) <= 0:
            refuse(f"{name} must be positive", name, getattr(s, name), "more than zero")
    check_image_bits(s.image_bits, refuse)
    for name in ("operand_bits", "adder_bits", "accumulator_bits", "neuron_bits", "threshold_bits", "membrane_bits"):
        if getattr(s, name) > logic.WIDEST:
            refuse("a width beyond the logic tables", name, getattr(s, name), f"1 to {logic.WIDEST} bits")
    if max(s.weight_bits, s.operand_bits) > 16 or s.input_bits > 16:
        worst = max(("weight_bits", "operand_bits", "input_bits"), key=lambda name: getattr(s, name))
        refuse("operands wider than this machine takes", worst, getattr(s, worst), "at most 16 bits")
    if s.weight_bits > s.operand_bits:
        refuse("weights wider than a PE", "weight_bits", s.weight_bits, f"at most operand_bits, {s.operand_bits}")
    if s.dram not in dram.MEMORIES:
        refuse(f"unknown off-chip memory {s.dram!r}", "dram", s.dram, "", did_you_mean(s.dram, dram.MEMORIES))
    if s.accounting == "released" and s.dataflow not in ("tick_batch", "output_stationary"):
        refuse(
            "a dataflow that the released account does not know",
            "dataflow",
            s.dataflow,
            "tick_batch (their keyword sata) or output_stationary",
        )
    needed = s.time_window * s.accumulator_bits
    holds = s.dataflow in ("tick_batch", "parallel_time_batching")
    if s.accounting == "corrected" and holds and needed > s.partial_scratchpad:
        most = math.floor(s.partial_scratchpad / s.accumulator_bits)
        refuse(
            "a partial-sum scratchpad too small for the time window",
            "time_window",
            f"{s.time_window} partial sums of {s.accumulator_bits} bits in {s.partial_scratchpad:g} bits",
            f"at most {most} time steps",
            "lower time_window or enlarge partial_scratchpad",
        )
    if s.skip_silent and s.dataflow not in ("output_stationary", "tick_batch"):
        refuse(
            "silent windows cannot be skipped in this dataflow",
            "skip_silent",
            s.dataflow,
            "output_stationary or tick_batch, where a window is a row of the array in one time step",
        )
