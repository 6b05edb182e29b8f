"""SpikeFlow: in-memory computing on RRAM crossbars with ADCs, a digital neuronal unit, an H-tree per tile and a mesh of tiles.

The machine of SpikeSim (arXiv 2210.12899). Two accountings: ``corrected`` counts what the machine does; ``released`` follows the formulas of the
released energy-latency-area code, its slips included (docs/spikeflow.md lists them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from truejoule.accelerators import mapping as mappings
from truejoule.accelerators.accelerator import check_twin
from truejoule.accelerators.image import check_image_bits, rounded_inputs, with_image_bits
from truejoule.accelerators.preset import Parameter, Preset, Unit, fill
from truejoule.components.coefficient import Coefficient
from truejoule.cost import Cost, TrainingCost
from truejoule.errors import InputError
from truejoule.workload import Activity, TrainingSparsity, Work, Workload
from truejoule.workload.standing import computed_once, fitted

if TYPE_CHECKING:
    from torch import Tensor

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed

Energy = Annotated[Coefficient, Unit("J")]
BitEnergy = Annotated[Coefficient, Unit("J/bit")]
Area = Annotated[Coefficient, Unit("m2")]


def _is(meaning: str) -> Any:
    return field(metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the machine is made of and how it is used; meanings are in the field metadata and in ``truejoule accelerators show``."""

    accounting: Literal["corrected", "released"] = _is(
        "corrected: what the machine does; released: the formulas of the released code"
    )
    node: Annotated[float, Unit("m")] = _is("technology node")
    supply: Annotated[float, Unit("V")] = _is("supply voltage of the digital parts")
    crossbar_size: int = _is("rows and columns of a crossbar")
    crossbars_per_pe: int = _is("crossbars whose partial sums are added inside a processing element")
    pes_per_tile: int = _is("processing elements in a tile")
    column_mux: int = _is("columns that share a converter")
    max_tiles: int = _is("largest chip that is accepted")
    row_order: Literal["kernel", "im2col"] = _is(
        "kernel: every kernel position has its own crossbars; im2col: crossbars are filled with the unrolled window"
    )
    share_tiles: bool = _is("whether two layers may share a tile")
    adc_scope: Literal["crossbar", "pe"] = _is(
        "crossbar: every crossbar has converters; pe: currents of the crossbars of a PE are summed before conversion"
    )
    adc_bits: int | None = _is(
        "resolution of a converter; null is an ideal converter in the accuracy (its energy is that of 8 bits)"
    )
    adc_range: Literal["calibrated", "full"] = _is(
        "calibrated: set on the currents of calibration data, per layer; full: the largest possible current"
    )
    adc_coverage: float = _is("share of the calibration currents inside a calibrated range")
    weight_bits: int = _is("width to which weights are rounded that are not integers already")
    input_bits: int = _is("width of real-valued inputs (ReLU activations), applied bit-serially")
    image_bits: int | None = _is("width of a real-valued image (input of the network), at most 8; null: input_bits")
    cell_bits: int = _is("bits stored in one cell")
    encoding: Literal["twos_complement", "aware_offset", "full_offset", "differential"] = _is(
        "how signed weights become cell codes"
    )
    r_on: Annotated[float, Unit("ohm")] = _is("lowest cell resistance (code all ones), access device included")
    r_off: Annotated[float, Unit("ohm")] = _is("highest cell resistance (code zero), access device included")
    v_read: Annotated[float, Unit("V")] = _is("voltage on an active row")
    r_wl: Annotated[float, Unit("ohm")] = _is("word-line wire resistance per cell")
    r_bl: Annotated[float, Unit("ohm")] = _is("bit-line wire resistance per cell")
    r_source: Annotated[float, Unit("ohm")] = _is("driver resistance of a row")
    r_sense: Annotated[float, Unit("ohm")] = _is("input resistance of the converter's virtual ground")
    programming_variation: float = _is(
        "standard deviation of a programmed conductance, relative to it; static, drawn once per chip"
    )
    stuck_on: float = _is("share of cells stuck at the lowest resistance")
    stuck_off: float = _is("share of cells stuck at the highest resistance")
    read_noise: float = _is("standard deviation of a cell's current from read to read, relative to it")
    clock: Annotated[float, Unit("Hz")] = _is("clock frequency")
    cycles_per_mux_step: int = _is("clock cycles to settle and convert one mux position")
    cycles_per_read: int = _is("clock cycles to load inputs and add partial sums, per read of a PE")
    membrane_bits: int = _is("width of a stored membrane potential")
    partial_sum_bits: int = _is("width of a digital partial sum")
    link_bits: int = _is("bits that a mesh link carries per clock cycle")
    standing_input: Literal["once", "every step"] = _is(
        "a layer whose input stands still over time (a directly coded image): read once and its sums kept, or read in every time step"
    )
    event_driven: bool = _is("whether windows without any active input are skipped in the energy account")

    @property
    def pe_cycle_s(self) -> float:
        """Time to read all columns of a PE once."""
        return (self.column_mux * self.cycles_per_mux_step + self.cycles_per_read) / self.clock

    @property
    def read_time_s(self) -> float:
        """Time for which the rows are driven in one read."""
        return self.column_mux * self.cycles_per_mux_step / self.clock

    @property
    def g_on_siemens(self) -> float:
        return 1.0 / self.r_on

    @property
    def g_off_siemens(self) -> float:
        return 1.0 / self.r_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Energy and area of the parts that are not computed from physics or from the logic tables; sources in the preset."""

    adc_conversion: Energy = _is("one conversion at 4 bits; other widths by the survey's slope")
    mux_switch: Energy = _is("connecting one column to its converter")
    crossbar_read: Energy = _is(
        "one crossbar read as the released code prices it; the corrected account computes it from the array's physics"
    )
    input_buffer_access: BitEnergy = _is("reading or writing the tile's input buffer")
    input_buffer_read: Energy = _is("reading the whole input buffer (released account)")
    htree_word: Energy = _is("one partial sum through the tile's H-tree")
    fetch: Energy = _is("global memory fetch per PE cycle (released account)")
    temporary_word: Energy = _is("one word written to and read from the accumulators' temporary buffer")
    difference: Energy = _is("one DIFF subtraction (released account)")
    neuron_update: Energy = _is("one membrane update, threshold and reset, without its memory")
    leakage_sram: Annotated[Coefficient, Unit("W/bit")] = _is("leakage of a memory bit")
    leakage_logic: Annotated[Coefficient, Unit("W/m2")] = _is("leakage of digital logic per area")
    idle_share: Annotated[Coefficient, Unit("")] = _is(
        "power of a waiting PE relative to the conversion power of a busy one"
    )
    area_cell: Area = _is("one crossbar cell")
    area_adc: Area = _is("one converter at 4 bits")
    area_mux: Area = _is("one column multiplexer")
    area_difference: Area = _is("one DIFF unit")
    area_temporary: Area = _is("temporary buffer of a tile")
    area_htree: Area = _is("one H-tree of a tile; a tile has two")
    area_sram_bit: Annotated[Coefficient, Unit("m2/bit")] = _is("one memory bit, periphery included")
    input_buffer: Annotated[float, Unit("bit")] = _is("capacity of a tile's input buffer")
    global_buffer: Annotated[float, Unit("bit")] = _is("capacity of the chip's global buffer")


@dataclass(frozen=True, slots=True)
class SpikeFlow:
    """The machine; see ``accelerators.Accelerator`` for what the methods mean."""

    name: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...]
    structure: Structure
    prices: Prices

    @property
    def machine(self) -> str:
        return "spikeflow"

    @property
    def as_published(self) -> bool:
        return self.structure.accounting == "released"

    def map(self, workload: Workload) -> mappings.Mapping:
        from truejoule.accelerators.spikeflow.mapping import place_layers

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
        if self.as_published:
            from truejoule.accelerators.spikeflow.released import released_cost

            return released_cost(mapping, self.structure, self.prices)
        from truejoule.accelerators.spikeflow.cost import corrected_cost

        return corrected_cost(mapping, activity, work, self.structure, self.prices)

    def deploy(self, network: Network, calibration: Iterable[Tensor] = (), seed: int = 0) -> Deployed:
        from truejoule.accelerators.spikeflow.numerics import deploy

        return deploy(network, self.structure, calibration, seed, self.name)

    def training(self, workload: Workload, sparsity: TrainingSparsity) -> TrainingCost:
        raise InputError(
            "this machine has no model of training", where=self.name, fix="use sata, or leave the loss out"
        )

    def undisturbed(self) -> SpikeFlow:
        """See ``accelerators.Accelerator``: perfect wires, cells that hold what was written, an ideal converter."""
        nothing = dict.fromkeys(
            ("r_wl", "r_bl", "r_source", "r_sense", "programming_variation", "stuck_on", "stuck_off", "read_noise"), 0.0
        )
        return replace(self, structure=replace(self.structure, adc_bits=None, **nothing))  # type: ignore[arg-type]

    def suited(self, workload: Workload) -> SpikeFlow:
        """Crossbars take spikes and numbers alike."""
        return self

    def ann_twin(self, bits: int = 8) -> SpikeFlow:
        """The same chip with activations of ``bits`` bit, applied bit by bit, and ReLU instead of neurons: crossbars know no other input.

        Images stay as wide as here.
        """
        image = self.structure.image_bits or min(self.structure.input_bits, 8)
        check_twin(self, bits, "use spikeflow")
        return replace(
            self,
            name=f"{self.name} ANN twin, {bits} bit",
            title=f"{self.title}, ANN twin, {bits} bit",
            structure=replace(self.structure, input_bits=bits, image_bits=image),
        )

    def alternatives(self) -> Mapping[str, SpikeFlow]:
        other = "pe" if self.structure.adc_scope == "crossbar" else "crossbar"
        scope = {
            "pe": "one set of converters per PE after analog summation (the released formula)",
            "crossbar": "converters at every crossbar (the published description)",
        }[other]
        events = replace(self.structure, event_driven=not self.structure.event_driven)
        again = "every step" if self.structure.standing_input == "once" else "once"
        if self.as_published:
            return {}
        return {
            scope: replace(self, structure=replace(self.structure, adc_scope=other)),
            f"layers whose input stands still read {'in every time step' if again == 'every step' else 'once'}": replace(
                self, structure=replace(self.structure, standing_input=again)
            ),
            "windows without input spikes skipped"
            if events.event_driven
            else "every window read, spikes or not": replace(self, structure=events),
        }


def build(preset: Preset, overrides: Mapping[str, object]) -> SpikeFlow:
    """The machine of a preset.

    Raises
    ------
    InputError : see ``accelerators.preset.fill``; also for combinations that make no array.
    """
    (structure, prices), parameters = fill((Structure, Prices), preset, overrides)

    def refuse(what: str, parameter: str, got: object, expected: str) -> None:
        raise InputError(
            what,
            where=f"override {parameter}" if parameter in overrides else preset.where(parameter),
            got=got,
            expected=expected,
        )

    s = structure
    if not 0 < s.r_on < s.r_off:
        refuse(
            "cell resistances that make no cell",
            "r_on",
            f"r_on {s.r_on:g} ohm, r_off {s.r_off:g} ohm",
            "0 < r_on < r_off",
        )
    for name in (
        "crossbar_size",
        "crossbars_per_pe",
        "pes_per_tile",
        "column_mux",
        "max_tiles",
        "cell_bits",
        "weight_bits",
        "input_bits",
        "clock",
        "v_read",
        "link_bits",
        "cycles_per_mux_step",
    ):
        if getattr(s, name) <= 0:
            refuse(f"{name} must be positive", name, getattr(s, name), "more than zero")
    check_image_bits(s.image_bits, refuse)
    if s.adc_bits is not None and not 1 <= s.adc_bits <= 16:
        refuse("an ADC of impossible resolution", "adc_bits", s.adc_bits, "1 to 16, or null for an ideal converter")
    if s.weight_bits > 8 or s.input_bits > 16 or s.cell_bits > 8:
        refuse(
            "operands wider than this machine takes",
            "weight_bits",
            f"weight_bits {s.weight_bits}, input_bits {s.input_bits}, cell_bits {s.cell_bits}",
            "at most 8, 16 and 8",
        )
    if not 0.5 < s.adc_coverage <= 1:
        refuse("a calibrated range that covers too little", "adc_coverage", s.adc_coverage, "a share between 0.5 and 1")
    if s.stuck_on + s.stuck_off > 1:
        refuse("more stuck cells than cells", "stuck_on", s.stuck_on + s.stuck_off, "stuck_on + stuck_off <= 1")
    return SpikeFlow(preset.name, preset.title, preset.summary, parameters, structure, prices)
