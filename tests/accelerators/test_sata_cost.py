"""Accounts of SATA (corrected): counts by hand, and what must hold for any network, buffer and sparsity."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import truejoule as tj
from truejoule.workload import Edge, Layer, Neuron, Workload, shapes
from truejoule.workload.profiles import Profile, with_profile

DATAFLOWS = ("output_stationary", "tick_batch", "temporal_parallel", "weight_stationary", "parallel_time_batching")


def network(name, t, profile="snn-10", bits=8):
    return with_profile(shapes.network(name, time_steps=t, neuron=Neuron(), weight_bits=bits), profile)


def cost(machine, workload):
    return machine.cost(machine.map(workload), workload.activity)


def tiny(t=2, bits=1, k=10, channels=3, side=5, groups=1, density=0.25):
    conv = Layer(
        name="conv",
        op="conv",
        input_shape=(channels, side, side),
        output_shape=(k, side, side),
        steps=t,
        kernel=(3, 3),
        padding=(1, 1),
        groups=groups,
        weight_bits=8,
        weight_levels="signed",
        input_bits=bits,
    )
    spike = Layer(
        name="spike", op="neuron", input_shape=(k, side, side), output_shape=(k, side, side), steps=t, neuron=Neuron()
    )
    workload = Workload("tiny", (conv, spike), (Edge("input", "conv"), Edge("conv", "spike")), t)
    return with_profile(workload, Profile("p", density, density))


def counts(c, component, layer="conv"):
    found = {}
    for e in c.ledger:
        if (e.layer, e.component) == (layer, component):
            found[e.action] = found.get(e.action, 0.0) + e.count
    return found


@pytest.mark.parametrize("name", ["vgg9", "vgg16-tinyimagenet", "resnet18-cifar", "resnet50-imagenet", "cnv"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_every_network_has_all_three_accounts(name, dataflow):
    c = cost(tj.accelerator("sata", dataflow=dataflow), network(name, 3))
    assert c.energy_j > c.floor_j > 0 and c.latency_s > 0 and c.area_m2 > 0
    assert c.ledger.fixed_j + sum(c.ledger.step_j()) == pytest.approx(c.energy_j, rel=1e-9)
    low, high = c.ledger.band_j
    assert low <= c.energy_j <= high


@pytest.mark.parametrize("pe", ["spike", "mac"])
def test_gated_and_ungated_parts_by_hand(pe):
    """Two output-stationary folds of pixels by two of channels, T = 2; a quarter of the inputs are spikes."""
    machine = tj.accelerator("sata", dataflow="output_stationary", pe=pe)
    c = cost(machine, tiny())
    cycles = (16 + 8 - 2) + (16 + 2 - 2) + (9 + 8 - 2) + (9 + 2 - 2) + 4 * 27 + 2
    assert c.latency_s == pytest.approx(2 * cycles / 400e6)
    inside = (3 * 5 - 2) ** 2  # positions of a 3 x 3 window on a 5 x 5 map that are not padding
    operations = 2 * inside * 3 * 10 / 4
    pads = counts(c, "scratchpads")
    assert pads["cycle clocked"] == pytest.approx(2 * 128 * cycles) and pads["operation"] == pytest.approx(operations)
    assert counts(c, "accumulate")["operation"] == pytest.approx(operations)
    assert counts(c, "neuron unit")["cycle clocked"] == pytest.approx(2 * 128 * cycles)
    # 27 spikes are one word of 256 bits, 27 weights of 8 bits too.
    assert counts(c, "input buffer")["bit read"] == 2 * 25 * 2 * 256
    assert counts(c, "weight buffer")["bit read"] == 2 * 10 * 2 * 256
    assert counts(c, "output buffer")["bit written"] == 2 * 25 * 2 * 8
    assert counts(c, "dram")["weight bit read"] == 270 * 8  # fits in the buffer: once
    assert counts(c, "dram")["input bit read"] == 2 * 75
    if pe == "spike":
        assert counts(c, "neuron unit", "spike") == {"operation": 500}


def test_membranes_move_only_when_time_is_outermost():
    """8 bit read and written per update, beyond the registers; spilled to DRAM beyond the memory."""
    workload = network("vgg9", 4)
    neurons = sum(layer.outputs for layer in workload.layers if layer.op == "neuron")
    c = cost(tj.accelerator("sata", dataflow="output_stationary", membrane_buffer="1 MB"), workload)
    read = sum(e.count for e in c.ledger if e.component == "membrane memory" and e.action == "bit read")
    assert read == 4 * 8 * neurons
    narrow = cost(
        tj.accelerator("sata", dataflow="output_stationary", membrane_buffer="1 MB", membrane_bits=4), workload
    )
    moved = [
        x.ledger.where(lambda e: e.component == "membrane memory" and e.action in ("bit read", "bit written")).total_j
        for x in (c, narrow)
    ]
    assert moved[0] == pytest.approx(2 * moved[1], rel=1e-9)
    spilled = cost(tj.accelerator("sata", dataflow="output_stationary", membrane_buffer="0 B"), workload)
    assert sum(e.count for e in spilled.ledger if e.action == "membrane bit spilled") == 2 * 4 * 8 * neurons
    for dataflow in DATAFLOWS[1:]:
        assert "membrane memory" not in cost(tj.accelerator("sata", dataflow=dataflow), workload).ledger.by("component")
    # One small layer alone keeps its potentials in the array.
    alone = cost(tj.accelerator("sata", dataflow="output_stationary"), tiny(k=4, side=5))
    assert "membrane memory" not in alone.ledger.by("component")


def test_multi_bit_inputs_are_applied_bit_by_bit():
    one, eight = (cost(tj.accelerator("sata"), tiny(t=1, bits=b)) for b in (1, 8))
    skew = (16 + 8 - 2) + (16 + 2 - 2) + (9 + 8 - 2) + (9 + 2 - 2) + 2
    assert one.latency_s == pytest.approx((4 * 27 + skew) / 400e6)
    assert eight.latency_s == pytest.approx((8 * 4 * 27 + skew) / 400e6)
    assert counts(eight, "accumulate")["weight shifted"] == 27 * 250 * 8
    assert "weight shifted" not in counts(one, "accumulate")


def test_leakage_is_banks_times_time():
    machine = tj.accelerator("sata")
    workload = network("vgg9", 4)
    c = cost(machine, workload)
    seconds = sum(e.count for e in c.ledger if e.component == "weight buffer" and e.action.startswith("leakage"))
    assert seconds == pytest.approx(2 * c.latency_s, rel=1e-9)
    (power,) = {e.energy_j for e in c.ledger if e.component == "weight buffer" and e.action.startswith("leakage")}
    assert power == pytest.approx(24.9086e-3, rel=1e-6)  # facts 3.3, one bank


@settings(max_examples=20, deadline=None)
@given(
    dataflow=st.sampled_from(DATAFLOWS),
    name=st.sampled_from(["vgg5", "vgg9", "resnet20"]),
    t=st.integers(1, 5),
    grow=st.sampled_from(["weight_buffer", "input_buffer", "output_buffer", "membrane_buffer", "dram_bits_per_cycle"]),
    by=st.sampled_from([1.5, 2.0, 8.0]),
    start=st.sampled_from([0.125, 0.5, 1.0]),
)
def test_more_memory_or_bandwidth_never_costs_cycles_or_traffic(dataflow, name, t, grow, by, start):
    base = tj.accelerator("sata", dataflow=dataflow)
    small = base.using(**{grow: int(getattr(base.structure, grow) * start)})
    large = small.using(**{grow: int(getattr(small.structure, grow) * by)})
    workload = network(name, t)
    a, b = cost(small, workload), cost(large, workload)
    traffic = [sum(e.count for e in c.ledger if e.component == "dram") for c in (a, b)]
    assert traffic[1] <= traffic[0] * (1 + 1e-12)
    assert b.latency_s <= a.latency_s * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(
    dataflow=st.sampled_from(DATAFLOWS),
    skip=st.booleans(),
    t=st.integers(1, 5),
    density=st.floats(0.0, 0.5),
    more=st.floats(0.0, 0.5),
)
def test_more_sparsity_never_costs_energy(dataflow, skip, t, density, more):
    machine = tj.accelerator("sata", dataflow=dataflow, skip_silent=skip and dataflow in DATAFLOWS[:2])
    sparse, dense = (cost(machine, network("vgg5", t, Profile("p", d, 1.0))) for d in (density, density + more))
    assert sparse.energy_j <= dense.energy_j * (1 + 1e-12)
    assert sparse.latency_s <= dense.latency_s * (1 + 1e-12)
    if not machine.structure.skip_silent:
        assert sparse.latency_s == dense.latency_s
    assert sparse.energy_j >= sparse.floor_j


def test_skipping_silent_windows_saves_time():
    workload = network("vgg9", 2, Profile("p", 0.0005, 1.0))
    every, some = (cost(tj.accelerator("sata", skip_silent=s), workload) for s in (False, True))
    assert some.latency_s < 0.8 * every.latency_s and some.energy_j < every.energy_j


def test_sparsity_of_one_step_reduces_that_step():
    workload = network("vgg5", 2, Profile("p", (0.4, 0.1), 1.0))
    first, second = cost(tj.accelerator("sata"), workload).ledger.where(lambda e: e.action == "operation").step_j()
    assert second < first


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_layer_computed_once(dataflow):
    """Cycles, fetches and operations of one step; T steps of outputs; with time outermost the sums wait in the membrane memory."""
    again, once = (
        cost(tj.accelerator("sata", dataflow=dataflow, standing_input=how), network("vgg9", 4))
        for how in ("every step", "once")
    )
    steps = [counts(c, "accumulate", "conv1")["operation"] for c in (again, once)]
    assert steps[0] == pytest.approx(4 * steps[1])
    written = [counts(c, "output buffer", "conv1")["bit written"] for c in (again, once)]
    assert written[1] == pytest.approx(written[0], rel=0.6) and written[1] >= 4 * 64 * 32 * 32
    kept = counts(once, "membrane memory", "conv1"), counts(once, "dram", "conv1")
    if dataflow == "output_stationary":
        # 128 KB of 16-bit sums and 200 KB of potentials in 256 KB: a fifth spills.
        total = {k: kept[0][k] + kept[1][k] for k in ("kept-sum bit written", "kept-sum bit read")}
        bits = 16 * 64 * 32 * 32
        assert total["kept-sum bit written"] == pytest.approx(bits)
        assert total["kept-sum bit read"] == pytest.approx(4 * bits)
    else:
        assert kept[0] == {} and not any("kept" in action for action in kept[1])
    assert once.energy_j < again.energy_j
    if dataflow == "temporal_parallel":  # all steps at the same time anyway: the other accumulators of a PE rest
        assert once.latency_s == again.latency_s
    else:
        assert once.latency_s < again.latency_s
    slots = [s for s in once.schedule.slots if s.layer == "conv1"]
    assert len(slots) == 1


def test_stalls_when_dram_is_slow():
    workload = network("vgg9", 1)
    fast, slow = (cost(tj.accelerator("sata", dram_bits_per_cycle=b), workload) for b in (256, 1))
    assert slow.latency_s > 2 * fast.latency_s
    waiting = [sum(x.stall_s for x in c.schedule.slots) for c in (slow, fast)]
    assert waiting[0] > 0.5 * slow.latency_s and waiting[1] < 1e-9 * fast.latency_s
    for machine in (tj.accelerator("sata", dram_bits_per_cycle=1, dataflow=d) for d in DATAFLOWS):
        for name in ("vgg9", "resnet18-cifar"):
            c = cost(machine, network(name, 3))
            dram = sum(e.count for e in c.ledger if e.component == "dram")
            assert c.latency_s >= dram / 400e6 * (1 - 1e-9)


def test_shared_and_gated_lif_units():
    workload = network("vgg9", 4)
    one, four = (cost(tj.accelerator("sata", neurons_per_lif=n), workload) for n in (1, 4))
    gated = cost(tj.accelerator("sata", lif_gated=True), workload)
    lif = [c.ledger.by("component")["neuron unit"] for c in (one, four, gated)]
    assert lif[0] > 3.9 * lif[1] and lif[2] < 0.05 * lif[0]
    areas = [c.floorplan.by_component()["neuron unit"] for c in (one, four)]
    assert areas[0] == pytest.approx(4 * areas[1])


def test_energy_moves_with_the_node():
    workload = network("vgg9", 2)
    energies = [cost(tj.accelerator("sata", node=f"{nm} nm"), workload).energy_j for nm in (45, 28, 14)]
    assert energies[0] > energies[1] > energies[2]
    assert any("beyond their tables" in w for w in tj.accelerator("sata", node="14 nm").map(workload).warnings)


@pytest.mark.parametrize(
    "overrides, words",
    [
        (dict(dataflow="weight_stationery"), ["did you mean 'weight_stationary'"]),
        (dict(input_buffer="0 B"), ["input_buffer must be positive"]),
        (dict(time_window=8), ["scratchpad too small", "at most 4"]),
        (dict(accumulator_bits=128), ["beyond the logic tables", "1 to 64"]),
        (dict(weight_bits=12), ["weights wider than a PE", "operand_bits"]),
        (dict(dram="ddr5"), ["did you mean 'ddr"]),
        (dict(skip_silent=True, dataflow="weight_stationary"), ["cannot be skipped"]),
        (dict(accounting="released"), ["linear_as_conv", "missing"]),
        (dict(clock=400), ["without a unit"]),
        (dict(node="3 nm"), ["outside the scaling tables"]),
    ],
)
def test_bad_machines(overrides, words):
    with pytest.raises(tj.InputError) as error:
        tj.accelerator("sata", **overrides).map(network("vgg9", 2))
    for word in words:
        assert word in str(error.value)


def test_bad_networks():
    machine = tj.accelerator("sata")
    with pytest.raises(tj.InputError, match="too small for one tile") as error:
        tj.accelerator("sata", input_buffer="512 B").map(network("vgg9", 2))
    assert "1024 B" in str(error.value) and "enlarge input_buffer" in str(error.value)
    wide = network("vgg9", 2)
    layers = tuple(replace(x, weight_bits=12) if x.multiplies else x for x in wide.layers)
    with pytest.raises(tj.InputError, match="weights wider") as error:
        machine.map(replace(wide, layers=layers))
    assert "conv1" in str(error.value) and "12 bits" in str(error.value)
    with pytest.raises(tj.InputError, match="empty or negative size"):
        tiny(k=0)
    with pytest.raises(tj.InputError, match="nothing to place"):
        machine.map(Workload("empty", (), ()))
