"""Neurons with a synaptic current are priced with two states: memory, traffic and update, by hand on both machines."""

import pytest

import truejoule as tj
from truejoule.components import logic, neuron_unit
from truejoule.components.technology import Node
from truejoule.workload import Edge, Layer, Neuron, Workload
from truejoule.workload.profiles import Profile, with_profile

ONE, TWO = Neuron(1.0, 0.9), Neuron(1.0, 0.9, synapse_decay=0.8)
SIGNED = Neuron(1.0, max_spikes=3, signed=True)
STEPS, NEURONS = 3, 4000


def workload(neuron):
    first = Layer(name="fc1", op="linear", input_shape=(100,), output_shape=(NEURONS,), steps=STEPS, weight_bits=8)
    second = Layer(name="fc2", op="linear", input_shape=(NEURONS,), output_shape=(10,), steps=STEPS, input_bits=1)
    spike = Layer(
        name="spike", op="neuron", input_shape=(NEURONS,), output_shape=(NEURONS,), steps=STEPS, neuron=neuron
    )
    edges = (Edge("input", "fc1"), Edge("fc1", "spike"), Edge("spike", "fc2"))
    made = Workload("two", (first, spike, second), edges, STEPS)
    return with_profile(made, Profile("p", 0.25, 0.25))


def cost(machine, neuron):
    w = workload(neuron)
    return machine.cost(machine.map(w), w.activity)


def rows(c, layer="spike"):
    return {(e.component, e.action): e for e in c.ledger if e.layer == layer}


def test_spikeflow():
    machine = tj.accelerator("spikeflow")
    one, two = cost(machine, ONE), cost(machine, TWO)
    s = machine.structure
    node = Node(s.node * 1e9, s.supply)
    row = rows(two)
    word = neuron_unit.membrane_access(2 * NEURONS, node, membrane_bits=s.membrane_bits)
    for action in ("potential read and written", "synaptic current read and written"):
        assert row["membrane memory", action].count == STEPS * NEURONS
        assert row["membrane memory", action].energy_j == pytest.approx(word.value)
    added = row["neuron unit", "synaptic current updated"]
    assert added.count == STEPS * NEURONS
    assert added.energy_j == pytest.approx(logic.add(s.partial_sum_bits, node).value)
    assert ("neuron unit", "synaptic current updated") not in rows(one)
    extra = NEURONS * s.membrane_bits * machine.prices.area_sram_bit.value
    assert two.area_m2 - one.area_m2 == pytest.approx(extra, rel=1e-6)


@pytest.mark.parametrize("memory", ["1 MB", "0 B"])
def test_sata(memory):
    machine = tj.accelerator("sata", dataflow="output_stationary", membrane_buffer=memory)
    one, two = rows(cost(machine, ONE)), rows(cost(machine, TWO))
    bits = STEPS * NEURONS * machine.structure.membrane_bits
    moved = [("membrane memory", "bit read"), ("membrane memory", "bit written")]
    for key in moved if memory != "0 B" else [("dram", "membrane bit spilled")]:
        assert two[key].count == 2 * one[key].count == 2 * bits * (1 if memory != "0 B" else 2)
    s = machine.structure
    current = two["neuron unit", "synaptic current updated"]
    price = logic.add(s.neuron_bits, s.at, anchor="sata-28").value + logic.register(s.membrane_bits, s.at).value
    assert current.count == STEPS * NEURONS and current.energy_j == pytest.approx(price)
    assert two["neuron unit", "operation"].count == one["neuron unit", "operation"].count


def test_in_registers_the_second_state_costs_its_update_only():
    machine = tj.accelerator("sata", dataflow="tick_batch")
    one, two = cost(machine, ONE), cost(machine, TWO)
    row = rows(two)["neuron unit", "synaptic current updated"]
    assert two.energy_j - one.energy_j == pytest.approx(row.count * row.energy_j, rel=1e-9)
    assert two.latency_s == one.latency_s


def test_spikes_with_a_sign_are_wider():
    assert SIGNED.spike_bits == 3 and TWO.spike_bits == 1
    machine = tj.accelerator("spikeflow")
    widths = {}
    for neuron in (TWO, SIGNED):
        mapping = machine.map(workload(neuron))
        widths[neuron] = next(t.bits for t in mapping.transfers if not isinstance(t, str) and t.target == "fc2")
    assert widths == {TWO: 1, SIGNED: 3}
