"""Accounts of SpikeFlow against formulas recomputed here by hand, and against what must hold for any network."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import truejoule as tj
from truejoule.accelerators.spikeflow.released import pe_cycle
from truejoule.workload import Edge, Layer, Neuron, Workload, shapes
from truejoule.workload.profiles import Profile, with_profile

VGG9 = dict(
    c_in=[3, 64, 64, 128, 128, 256, 256],
    c_out=[64, 64, 128, 128, 256, 256, 256],
    d_in=[32, 32, 16, 16, 8, 8, 8],
    d_out=[32, 16, 16, 8, 8, 8, 4],
)


def cost(machine, workload):
    assert workload.activity is not None
    return machine.cost(machine.map(workload), workload.activity)


def network(name, t, profile="snn-10"):
    return with_profile(shapes.network(name, time_steps=t, neuron=Neuron()), profile)


def test_released_pe_cycle():
    machine = tj.accelerator("spikesim-released")
    parts = {
        component: count * energy.value
        for component, _, count, energy in pe_cycle(3, machine.structure, machine.prices)
    }
    total = sum(parts.values())
    assert total == pytest.approx(828.49e-12, abs=0.005e-12)
    shares = {name: 100 * part / total for name, part in parts.items()}
    assert shares["tile buffer"] == pytest.approx(47.9, abs=0.05)
    assert shares["h-tree"] == pytest.approx(19.0, abs=0.05)
    assert shares["adc"] + shares["column mux"] == pytest.approx(16.4, abs=0.05)
    assert shares["crossbar"] == pytest.approx(15.3, abs=0.05)


def test_released_vgg9_by_hand():
    """The formulas of facts 4.3 on the lists that SpikeSim ships, T = 5."""
    c = cost(tj.accelerator("spikesim-released"), network("vgg9", 5))
    pes = [math.ceil(a / 64) * math.ceil(b / 64) for a, b in zip(VGG9["c_in"], VGG9["c_out"], strict=True)]
    cycles = sum(p * d * d for p, d in zip(pes, VGG9["d_out"], strict=True))
    assert c.energy_j == pytest.approx(5 * cycles * 828.4861472e-12, rel=1e-9)
    n = [d * d * k for d, k in zip(VGG9["d_out"], VGG9["c_out"], strict=True)]
    latency = (sum(math.floor(0.75 * v) for v in n[:-1]) + n[-1]) * 5 * 104e-9
    assert c.latency_s == pytest.approx(latency, rel=1e-9)
    tiles = math.ceil(sum(pes) / 8)
    pe_area = 9 * 26.2144 + 8 * (693.633 + 45.9)
    area = tiles * (8 * 13411.41 + 484.644 + 0.7391 * 8192 + 8 * pe_area + 2 * 216830)
    area += 0.7391 * 22 * sum(a * d * d for a, d in zip(VGG9["c_in"], VGG9["d_in"], strict=True))
    area += 0.7391 * 22 * sum(k * d * d for k, d in zip(VGG9["c_out"][:5], VGG9["d_out"][:5], strict=True))
    assert c.area_m2 == pytest.approx(area * 1e-12, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["vgg9", "vgg16-cifar", "vgg16-tinyimagenet", "resnet18-cifar", "resnet50-imagenet", "cnv"]
)
@pytest.mark.parametrize("preset", ["spikeflow", "spikesim-released"])
def test_every_network_has_all_three_accounts(name, preset):
    c = cost(tj.accelerator(preset), network(name, 4))
    assert c.energy_j > 0 and c.latency_s > 0 and c.area_m2 > 0
    assert c.ledger.fixed_j + sum(c.ledger.step_j()) == pytest.approx(c.energy_j, rel=1e-9)
    for key in ("component", "layer", "action", "when", "kind"):
        assert sum(c.ledger.by(key).values()) == pytest.approx(c.energy_j, rel=1e-9)
    low, high = c.ledger.band_j
    assert low <= c.energy_j <= high


def tiny(t=2, bits=1, k=70, channels=65, side=5, kernel=3):
    conv = Layer(
        name="conv",
        op="conv",
        input_shape=(channels, side, side),
        output_shape=(k, side, side),
        steps=t,
        kernel=(kernel, kernel),
        padding=(kernel // 2, kernel // 2),
        weight_bits=4,
        weight_levels="signed",
        input_bits=bits,
    )
    spike = Layer(
        name="spike",
        op="neuron",
        input_shape=conv.output_shape,
        output_shape=conv.output_shape,
        steps=t,
        neuron=Neuron(),
    )
    return Workload("tiny", (conv, spike), (Edge("input", "conv"), Edge("conv", "spike")), t)


def counts(c, component, layer="conv"):
    return {e.action: e.count for e in c.ledger if e.component == component and e.layer == layer}


@pytest.mark.parametrize(
    "bits, cell_bits, scope, order",
    [
        (1, 4, "crossbar", "kernel"),
        (8, 4, "crossbar", "kernel"),
        (1, 1, "pe", "kernel"),
        (1, 2, "crossbar", "im2col"),
        (8, 4, "pe", "im2col"),
    ],
)
def test_counts_by_brute_force(bits, cell_bits, scope, order):
    """Walk over every window, plane, crossbar and column, and count."""
    t, k, channels, side = 2, 70, 65, 5
    machine = tj.accelerator("spikeflow", cell_bits=cell_bits, adc_scope=scope, row_order=order, encoding="full_offset")
    workload = with_profile(tiny(t, bits, k, channels, side), Profile("test", 0.5, 0.5))
    slices = math.ceil(4 / cell_bits)
    blocks = 9 * 2 if order == "kernel" else math.ceil(channels * 9 / 64)
    converters = blocks if scope == "crossbar" else math.ceil(blocks / 9)
    conversions = updates = words = 0
    for _ in range(t):
        for _position in range(side * side):
            for _plane in range(bits):
                conversions += converters * k * slices
            words += k * math.ceil(blocks / 9)
            updates += k
    c = cost(machine, workload)
    assert counts(c, "adc") == {"conversion": conversions}
    assert counts(c, "h-tree") == {"partial sum moved": words}
    assert counts(c, "neuron unit", "spike") == {"update": updates}
    assert counts(c, "tile buffer")["input bit read"] == t * side * side * bits * channels * 9 * math.ceil(
        k / (64 // slices)
    )
    mapping = machine.map(workload)
    assert mapping.arrays == blocks * math.ceil(k / (64 // slices))
    assert mapping.placements[0].utilisation == pytest.approx(k * channels * 9 * slices / (mapping.arrays * 64 * 64))


def test_latency_of_one_layer_and_of_a_chain():
    machine = tj.accelerator("spikeflow")
    one = cost(machine, with_profile(tiny(t=3), "snn-10"))
    assert one.latency_s == pytest.approx(3 * 25 * 104e-9)
    assert cost(machine, with_profile(tiny(t=1, bits=8), "snn-10")).latency_s == pytest.approx(25 * 8 * 104e-9)
    # VGG9: the 8-bit first layer is the slowest, so later layers hide behind it but for the filling of the pipeline.
    vgg = cost(tj.accelerator("spikeflow", standing_input="every step"), network("vgg9", 5))
    assert 5 * 1024 * 8 * 104e-9 < vgg.latency_s < 5 * 1024 * 8 * 104e-9 * 1.05
    assert vgg.schedule.interval_s == pytest.approx(5 * 1024 * 8 * 104e-9)
    assert vgg.schedule.first_output_s < vgg.latency_s / 4
    # Read once, it is done before the 5 x 1024 reads of the second layer are, which follow it.
    once = cost(machine, network("vgg9", 5))
    assert (1024 * 8 + 4 * 1024) * 104e-9 < once.latency_s < (1024 * 8 + 5 * 1024) * 104e-9
    assert once.schedule.interval_s == pytest.approx(8 * 1024 * 104e-9)


def test_a_layer_read_once_keeps_its_sums():
    """One of T reads, and T reads of a memory of 16-bit sums instead."""
    again, once = (
        cost(tj.accelerator("spikeflow", standing_input=how), network("vgg9", 4)) for how in ("every step", "once")
    )
    for component in ("adc", "crossbar", "h-tree", "shift-add"):
        first, kept = (sum(counts(c, component, "conv1").values()) for c in (again, once))
        assert kept == pytest.approx(first / 4)
        assert all(e.when == "once" for e in once.ledger if e.layer == "conv1" and e.component == component)
    bits = tj.accelerator("spikeflow").structure.partial_sum_bits * 64 * 32 * 32
    assert counts(once, "membrane memory", "conv1") == {"kept sum, bit written": bits, "kept sum, bit read": 4 * bits}
    areas = [c.floorplan.by_component()["membrane memory"] for c in (again, once)]
    assert areas[1] - areas[0] == pytest.approx(bits * tj.accelerator("spikeflow").prices.area_sram_bit.value)
    assert once.energy_j < again.energy_j and once.ledger.fixed_j > 0.05 * once.energy_j
    # With one time step there is nothing to keep.
    single = [
        cost(tj.accelerator("spikeflow", standing_input=h), network("vgg9", 1)).energy_j for h in ("once", "every step")
    ]
    assert single[0] == single[1]


def test_layers_do_not_share_tiles_unless_told():
    workload = network("vgg9", 1)
    apart, together = (
        tj.accelerator("spikeflow").map(workload),
        tj.accelerator("spikeflow", share_tiles=True).map(workload),
    )
    used = [tile for p in apart.placements for tile in p.units]
    assert len(used) == len(set(used)) == apart.units
    assert together.units < apart.units


def test_residual_operands_travel():
    mapping = tj.accelerator("spikeflow").map(network("resnet18-cifar", 2))
    targets = {t.target for t in mapping.transfers}
    adds = [layer.name for layer in mapping.workload.layers if layer.op == "add"]
    assert adds and targets & set(adds)
    assert all(t.hops >= 0 and t.elements > 0 for t in mapping.transfers)


def test_scope_of_the_converters_is_a_factor_of_the_crossbars_in_a_pe():
    workload = network("vgg9", 2)
    crossbar, pe = (
        cost(tj.accelerator("spikeflow", adc_scope=s), workload).ledger.by("component")["adc"]
        for s in ("crossbar", "pe")
    )
    assert crossbar / pe == pytest.approx(9, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 0.5), st.floats(1.05, 2), st.integers(1, 6), st.booleans())
def test_monotone(density, factor, t, events):
    """Sparser never costs more, more time steps never less; skipping silent windows never costs."""
    machine = tj.accelerator("spikeflow", event_driven=events)

    def energy(d, steps):
        return cost(
            machine, with_profile(shapes.network("vgg5", time_steps=steps, neuron=Neuron()), Profile("p", d, 1.0))
        ).energy_j

    assert energy(density, t) <= energy(min(density * factor, 1.0), t) * (1 + 1e-12)
    assert energy(density, t) < energy(density, t + 1)
    dense = tj.accelerator("spikeflow")
    workload = with_profile(shapes.network("vgg5", time_steps=t, neuron=Neuron()), Profile("p", density, 1.0))
    assert cost(machine, workload).energy_j <= cost(dense, workload).energy_j * (1 + 1e-12)


@pytest.mark.parametrize("kernel, channels, k, side", [(1, 3, 1, 1), (5, 1, 1, 7), (3, 64, 64, 1), (7, 130, 200, 3)])
def test_odd_layers(kernel, channels, k, side):
    c = cost(tj.accelerator("spikeflow"), with_profile(tiny(1, 1, k, channels, side, kernel), "snn-10"))
    assert c.energy_j > 0 and c.area_m2 > 0


def test_a_network_that_is_too_large_says_so():
    with pytest.raises(tj.InputError, match="does not fit") as error:
        tj.accelerator("spikeflow", max_tiles=10).map(network("vgg16-cifar", 1))
    assert "tiles" in str(error.value) and "conv" in str(error.value)
