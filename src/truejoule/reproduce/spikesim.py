"""SpikeSim (arXiv 2210.12899) and the SpikeSim column of "Are SNNs truly energy-efficient?" (arXiv 2309.03388)."""

from __future__ import annotations

from collections.abc import Sequence

from truejoule.accelerators.accelerator import Accelerator, accelerator
from truejoule.accelerators.spikeflow.design import SpikeFlow
from truejoule.accelerators.spikeflow.released import pe_cycle
from truejoule.cost import Cost
from truejoule.reproduce.claims import Claim
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import with_profile

PAPER = "SpikeSim, arXiv 2210.12899"
COMPARISON = "Are SNNs truly energy-efficient?, arXiv 2309.03388"

TABLE_II = {  # work: (published energy ratio, baseline T, T); baselines recovered from operation counts, facts: Table II of 2309.03388
    "S-BP": (5.2, 260, 50),
    "BNTT": (4.0, 80, 20),
    "Direct": (4.0, 40, 10),
    "TSSL": (16.0, 80, 5),
    "TDBN": (25.0, 100, 4),
}


def claims() -> list[Claim]:
    released, corrected = accelerator("spikesim-released"), accelerator("spikeflow")
    return [
        *_pe_cycle(released),
        *_energy_ratios(released, corrected),
        *_over_time(released, corrected),
        _neuronal_area(released, corrected),
    ]


def _pe_cycle(released: Accelerator) -> list[Claim]:
    assert isinstance(released, SpikeFlow)
    parts = pe_cycle(3, released.structure, released.prices)
    total = sum(count * energy.value for *_, count, energy in parts)

    def share(*components: str) -> float:
        return (
            100 * sum(count * energy.value for component, _, count, energy in parts if component in components) / total
        )

    exact = "follows from the constants of the released code"
    rows = [
        Claim(
            PAPER,
            "energy of one PE cycle, x = 64, k = 3, RRAM (released code)",
            828.49e-12,
            "J",
            total,
            None,
            "released",
            1e-4,
            exact,
        )
    ]
    for text, published, components in (
        ("tile buffer", 47.9, ["tile buffer"]),
        ("H-tree", 19.0, ["h-tree"]),
        ("ADC and multiplexer", 16.4, ["adc", "column mux"]),
        ("crossbar", 15.3, ["crossbar"]),
    ):
        rows.append(
            Claim(
                PAPER,
                f"share of the PE cycle: {text}",
                published,
                "%",
                share(*components),
                None,
                "released",
                5e-3,
                exact,
            )
        )
    return rows


def cost_of(machine: Accelerator, network: str, time_steps: int) -> Cost:
    """A network by shape alone, with the 90 % sparsity that 2309.03388 assumes."""
    workload = with_profile(shapes.network(network, time_steps=time_steps, neuron=Neuron()), "snn-10")
    assert workload.activity is not None
    return machine.cost(machine.map(workload), workload.activity)


def _energy_ratios(released: Accelerator, corrected: Accelerator) -> list[Claim]:
    rows = []
    for work, (published, before, after) in TABLE_II.items():
        ours = [cost_of(m, "vgg9", before).energy_j / cost_of(m, "vgg9", after).energy_j for m in (released, corrected)]
        rows.append(
            Claim(
                COMPARISON,
                f"Table II, {work}: energy at T={before} over T={after} on SpikeSim",
                published,
                "x",
                ours[0],
                ours[1],
                "released",
                0.01,
                "the released energy is strictly proportional to T, so the table is a ratio of time steps",
            )
        )
    return rows


def _over_time(released: Accelerator, corrected: Accelerator) -> Sequence[Claim]:
    def ratio(machine: Accelerator, network: str, most: int, what: str) -> float:
        one, many = cost_of(machine, network, 1), cost_of(machine, network, most)
        return {
            "edp": many.edp_js / one.edp_js,
            "energy": many.energy_j / one.energy_j,
            "latency": many.latency_s / one.latency_s,
        }[what]

    again = accelerator("spikeflow", standing_input="every step")
    offset = (
        "published numbers need an energy that does not depend on T (0.79 to 0.88 of a time step); the released formulas have none. Corrected, the layer that "
        "sees the 8-bit image is read once and is worth about 1.6 steps here; read in every step, as the released code has it, nothing happens only once "
        f"and the energy at T=8 is {ratio(again, 'vgg16-cifar', 8, 'energy'):.1f} times that at T=1"
    )
    return [
        Claim(
            COMPARISON,
            "VGG16, TinyImageNet: EDP at T=4 over T=1",
            10.4,
            "x",
            ratio(released, "vgg16-tinyimagenet", 4, "edp"),
            ratio(corrected, "vgg16-tinyimagenet", 4, "edp"),
            "released",
            0.05,
            offset,
        ),
        Claim(
            "DT-SNN, arXiv 2305.17346",
            "VGG16, CIFAR-10: energy at T=8 over T=1",
            4.9,
            "x",
            ratio(released, "vgg16-cifar", 8, "energy"),
            ratio(corrected, "vgg16-cifar", 8, "energy"),
            "corrected",
            0.05,
            offset,
        ),
        Claim(
            "DT-SNN, arXiv 2305.17346",
            "VGG16, CIFAR-10: latency at T=8 over T=1",
            8.0,
            "x",
            ratio(released, "vgg16-cifar", 8, "latency"),
            ratio(corrected, "vgg16-cifar", 8, "latency"),
            "released",
            0.05,
            "the released latency is proportional to T; with layers working on different time steps at once, later steps only add the slowest layer",
        ),
    ]


def _neuronal_area(released: Accelerator, corrected: Accelerator) -> Claim:
    def share(machine: Accelerator) -> float:
        plan = cost_of(machine, "vgg9", 5).floorplan
        return 100 * plan.by_component()["membrane memory"] / plan.area_m2

    return Claim(
        PAPER,
        "VGG9: neuronal module, share of the chip area (more than 11 %)",
        11.0,
        "%",
        share(released),
        share(corrected),
        "released",
        0.1,
        "the abstract gives a lower bound; the released account counts one membrane word per layer input and the outputs of five layers, the corrected one a word per neuron, on a chip with 9 times the converters",
        at_least=True,
    )
