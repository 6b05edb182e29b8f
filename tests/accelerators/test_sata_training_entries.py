"""Every entry of a training step on SATA by hand: what is fetched, filled, handed on, clocked and left standing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sata_oracle import dram_walk
from test_sata_training import RELEASED, SATA, counts, linear, small

from truejoule.accelerators.sata.dataflow import demand
from truejoule.accelerators.sata.training_cost import backward_pass, update_pass
from truejoule.accelerators.sata.training_loops import backward_loops, update_loops
from truejoule.accelerators.sata.training_memory import Pass, training_moves
from truejoule.accelerators.sata.training_parts import training_parts

TICK = 1 / 400e6


def entries(ledger, layer, phase):
    """Counts by unit and action."""
    names = {e.component for e in ledger if e.layer == layer and e.component.startswith(f"{phase} ")}
    return {name.removeprefix(f"{phase} "): counts(ledger, layer, name) for name in sorted(names)}


def standing(found):
    """Take the leakage out of a table of entries: unit (or bank) seconds by unit."""
    leaking = {}
    for unit, actions in found.items():
        for action in [a for a in actions if a.startswith("leakage")]:
            leaking[unit] = actions.pop(action)
    return leaking


def test_a_linear_layer_by_hand():
    """fc1, 48 → 5, T = 2, 16 x 8 PEs, words of 256 bits, four samples per step."""
    ledger = SATA.using(training_batch=4).training(small(), RELEASED).ledger
    found = entries(ledger, "fc1", "backward")
    cycles = 6 * (2 * 5 + 1 + 8 - 2) + 8  # 6 folds of 1 x 8 PEs with 5 products per step
    seconds, pes = cycles * TICK, 128
    units = dict.fromkeys(("mac", "accumulate", "scratchpads", "neuron unit", "gradient unit"), pes * seconds)
    banks = dict.fromkeys(("weight buffer", "input buffer", "output buffer"), 2 * seconds)
    assert standing(found) == pytest.approx(units | banks)
    assert {unit: of for unit, of in found.items() if of} == {
        "mac": {"cycle clocked": cycles * pes, "operation": pytest.approx(0.3 * 480)},
        "scratchpads": {"cycle clocked": cycles * pes, "operation": pytest.approx(0.3 * 480)},
        "weight buffer": {"bit read": 48 * 256, "bit filled": 240 * 8 / 4},
        "input buffer": {"bit read": 2 * 6 * 256, "bit filled": 2 * 5 * 16},
        "output buffer": {"bit handed on": 2 * 5 * 16, "bit written": 2 * 48 * 16},
        "dram": {"weight bit read": 240 * 8 / 4},
    }
    found = entries(ledger, "fc1", "weight update")
    cycles = 3 * (2 + 16 + 5 - 2) + 5  # 3 folds of 16 weights x 5 channels, two steps each
    seconds = cycles * TICK
    units, banks = (dict.fromkeys(names, n * seconds) for names, n in ((units, pes), (banks, 2)))
    assert standing(found) == pytest.approx(units | banks)
    assert {unit: of for unit, of in found.items() if of} == {
        "accumulate": {"cycle clocked": cycles * pes, "operation": pytest.approx(0.1 * 480)},
        "scratchpads": {"cycle clocked": cycles * pes, "operation": pytest.approx(0.1 * 480)},
        "weight buffer": {
            "gradient bit read": 3 * 5 * 256,
            "gradient bit filled": 2 * 5 * 16,
            "weight bit read": 2 * 240 * 8 / 4,
            "weight bit written": 2 * 240 * 8 / 4,
            "running gradient bit read": 240 * 16 * 3 / 4,
            "running gradient bit written": 240 * 16 * 3 / 4,
        },
        "input buffer": {"bit read": 48 * 256, "bit filled": 2 * 48},
        "output buffer": {"bit handed on": 2 * 5 * 16, "weight gradient bit read": 240 * 16, "bit written": 240 * 16},
        "dram": {"stored input bit read": 2 * 48, "weight bit read": 480, "weight bit written": 480},
        "step unit": {"SGD step": 60, "running gradient added": 180},
    }


def test_neurons_and_the_last_layer_by_hand():
    ledger = SATA.training(small(), RELEASED).ledger
    assert entries(ledger, "lif1", "backward") == {
        "dram": {"activation state bit read": 2 * 48 * 8},
        "gradient unit": {"membrane gradient": 96, "product with the surrogate": pytest.approx(0.4 * 96)},
        "output buffer": {
            "activation state bit filled": 2 * 48 * 8,
            "activation state bit read": 2 * 48 * 8,
            "gradient bit read": 2 * 48 * 16,
            "gradient bit written": 2 * 48 * 16,
        },
    }
    # The gradient of the loss is read, not written, and is not in the output buffer.
    assert counts(ledger, "fc2", "backward dram") == {"weight bit read": 160, "gradient bit read": 2 * 4 * 16}
    assert "bit handed on" not in counts(ledger, "fc2", "backward output buffer")
    # A dense image of 8 bits, half of them ones; 100 of 144 taps of a 3x3 window on 4x4 hit the map.
    assert counts(ledger, "conv", "forward accumulate")["operation"] == 2 * 600 * 4


def test_few_neurons_keep_their_gradients_in_the_array():
    ledger = SATA.using(dataflow="output_stationary").training(small(), RELEASED).ledger
    assert not counts(ledger, "lif1", "backward membrane memory")


def test_where_memory_is_slow_time_is_its_time():
    """At one bit per cycle every phase of every layer waits for DRAM, the forward pass for its stores too."""
    cost = SATA.using(dram_bits_per_cycle=1).training(small(), RELEASED)
    bits = sum(e.count for e in cost.ledger if e.component.endswith(" dram"))
    assert cost.latency_s == pytest.approx(bits * TICK)
    leaking = sum(e.count for e in cost.ledger if e.component.endswith("scratchpads") and "leakage" in e.action)
    assert leaking / 128 == pytest.approx(bits * TICK)


@settings(max_examples=60, deadline=None)
@given(
    inputs=st.integers(1, 60),
    outputs=st.integers(1, 40),
    steps=st.integers(1, 4),
    batch=st.integers(1, 5),
    buffers=st.tuples(*(st.integers(50, 3000) for _ in range(3))),
)
def test_orders_of_the_loops_by_walking_the_tiles(inputs, outputs, steps, batch, buffers):
    half_weights, half_inputs, half_outputs = buffers
    s = replace(
        SATA.structure,
        **dict(weight_buffer=2.0 * half_weights, input_buffer=2.0 * half_inputs, output_buffer=2.0 * half_outputs),
        training_batch=batch,
    )
    layer = linear("layer", inputs, outputs, steps)
    w, g, x = inputs * outputs * 8, outputs * steps * 16, inputs * steps
    back, update = (Pass(n, demand(n, s, 16)) for n in (backward_loops(layer, s), update_loops(layer, s)))

    def moved(**changes):
        return training_moves(layer, replace(s, **changes), back, update, last=False)

    # Without a place on chip: the two orders of tiles, and one trip to DRAM for the gradients.
    far, trips = moved(output_buffer=2.0, training_batch=1), moved()
    assert far.written == g and far.backward - g == dram_walk(w, g, half_weights, half_inputs)
    assert far.update == dram_walk(g, x, half_weights, half_inputs)
    # On chip: as many samples share the weights as gradients fit.
    held = [n for n in range(1, batch + 1) if n * g <= min(half_inputs, half_outputs)]
    if trips.written:
        assert trips.handed == 0 and trips.backward + trips.update <= far.backward + far.update
        assert trips.weights in (w / batch, w * -(-g // half_inputs))
    else:
        assert held and trips.weights == w / held[-1] and trips.handed == g
        assert trips.inputs == x  # the gradients are streamed again instead, from the output buffer
    assert trips.backward + trips.update <= (w / held[-1] + x if held else float("inf"))


def test_partial_sums_and_tiles_of_weight_stationary():
    machine = SATA.using(dataflow="weight_stationary")
    ledger, s = machine.training(small(), RELEASED).ledger, machine.structure
    layer = small()["fc1"]
    for phase, work, steps in (
        ("backward", backward_pass(small(), layer, s), 2),
        ("weight update", update_pass(layer, s), 1),
    ):
        partials = work.needs.partials.total(steps)
        found = counts(ledger, "fc1", f"{phase} output buffer")
        assert found.get("partial-sum bit written", 0) == found.get("partial-sum bit read", 0) == partials
    first = small()["conv"]  # 32 products per weight, 16 rows
    partials = update_pass(first, s).needs.partials.once + update_pass(first, s).needs.partials.step
    assert partials == 18 * 3 * 16
    assert counts(ledger, "conv", "weight update output buffer")["partial-sum bit written"] == partials
    # 8 columns of 16-bit sums: 4 positions at a time; 32 gradients of 3 channels are more than half a weight buffer of 1000 bits.
    little = replace(s, output_buffer=2.0 * 4 * 3 * 16, weight_buffer=1000.0)
    work = update_pass(first, little)
    assert work.needs.tiles == 5 == work.rounds(little)
    assert work.rounds(replace(little, weight_buffer=2.0 * 32 * 3 * 16)) == 1


def test_lanes_that_work_at_once_share_a_weight():
    ledger = SATA.using(dataflow="temporal_parallel").training(small(), replace(RELEASED, membrane_gradient=0.0)).ledger
    assert counts(ledger, "fc1", "backward mac")["operation"] == 2 * 240
    assert counts(ledger, "fc1", "backward scratchpads")["operation"] == 240


def test_parts_follow_the_widths():
    s = SATA.structure
    narrow, wide = (training_parts(replace(s, input_bits=n)).mac.gated for n in (8, 16))
    assert wide.value > narrow.value
    both = training_parts(s)
    assert both.accumulate is not None and training_parts(SATA.ann_twin(8).structure).accumulate is None
    assert both.mac.gated.value > both.accumulate.gated.value
    assert both.step.value == pytest.approx(both.surrogate.value + both.add.value)
    # Twice the adder, as in the released gradient unit; all of it at the machine's node.
    assert both.gradient.value > 2 * both.add.value
    assert training_parts(replace(s, node=16e-9, supply=0.8)).gradient.value < both.gradient.value


def test_signed_single_bits_take_two_passes():
    layer = replace(linear("layer", 6, 3), inputs_signed=True)
    assert update_loops(layer, SATA.structure).planes == 2
    assert update_loops(replace(layer, input_bits=8), SATA.structure).planes == 1
    assert update_loops(layer, SATA.ann_twin(8).structure).planes == 1
