"""Training on SATA: products against real gradients, phases against the array walked cycle by cycle, and laws for any network."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sata_oracle import Walk
from torch.nn import functional

import truejoule as tj
from truejoule.accelerators.sata.dataflow import demand, valid_products
from truejoule.accelerators.sata.training import (
    DENSE,
    PHASES,
    RELEASED,
    by_phase,
    not_modelled,
    observed_spikes,
    training_activity,
)
from truejoule.accelerators.sata.training_cost import backward_pass, update_pass
from truejoule.accelerators.sata.training_loops import backward_loops, update_loops
from truejoule.errors import InputError
from truejoule.workload import Edge, Layer, Neuron, TrainingSparsity, Workload, shapes
from truejoule.workload.profiles import Profile, with_profile

DATAFLOWS = ("output_stationary", "tick_batch", "temporal_parallel", "weight_stationary", "parallel_time_batching")
SATA = tj.accelerator("sata")


def vgg5(steps=4, ann=False):
    return shapes.network("vgg5", time_steps=steps, neuron=None if ann else Neuron(), weight_bits=8)


def chain(*layers, steps):
    names = ("input", *(layer.name for layer in layers))
    return Workload("small", layers, tuple(Edge(a, b) for a, b in pairwise(names)), steps)


def neuron(name, shape, steps):
    return Layer(name=name, op="neuron", input_shape=shape, output_shape=shape, steps=steps, neuron=Neuron())


def conv(name, inputs, outputs, steps=2, bits=1, kernel=(3, 3), **more):
    return Layer(
        **dict(name=name, op="conv", input_shape=inputs, output_shape=outputs, kernel=kernel, steps=steps),
        **dict(input_bits=bits, weight_bits=8, weight_levels="signed"),
        **more,
    )


def linear(name, inputs, outputs, steps=2, bits=1):
    shape = dict(input_shape=(inputs,), output_shape=(outputs,))
    return Layer(name=name, op="linear", **shape, steps=steps, input_bits=bits, weight_bits=8, weight_levels="signed")


def small(steps=2):
    """conv 2→3 on 4x4 (8-bit image), neuron, linear 48→5, neuron, linear 5→4."""
    return chain(
        conv("conv", (2, 4, 4), (3, 4, 4), steps, bits=8, padding=(1, 1)),
        neuron("lif1", (3, 4, 4), steps),
        linear("fc1", 48, 5, steps),
        neuron("lif2", (5,), steps),
        linear("fc2", 5, 4, steps),
        steps=steps,
    )


def counts(ledger, layer, component):
    """Counts by action."""
    found = {}
    for e in ledger:
        if (e.layer, e.component) == (layer, component):
            found[e.action] = found.get(e.action, 0.0) + e.count
    return found


# --- Products: the gradients of a real layer, one product at a time --------------------------------------------------------------------------

GEOMETRIES = {
    "padded": conv("layer", (2, 5, 5), (3, 5, 5), padding=(1, 1)),
    "unpadded": conv("layer", (2, 5, 4), (3, 3, 2)),
    "strided": conv("layer", (2, 7, 6), (4, 4, 3), stride=(2, 2), padding=(1, 1)),
    "stride 3, kernel 2": conv("layer", (2, 8, 8), (2, 3, 3), kernel=(2, 2), stride=(3, 3)),
    "1x1, stride 2": conv("layer", (3, 5, 5), (4, 3, 3), kernel=(1, 1), stride=(2, 2)),
    "grouped": conv("layer", (4, 5, 5), (6, 5, 5), padding=(1, 1), groups=2),
    "depthwise": conv("layer", (3, 6, 6), (3, 3, 3), padding=(1, 1), stride=(2, 2), groups=3),
    "dilated": conv("layer", (2, 7, 7), (3, 3, 3), dilation=(2, 2)),
    "dilated and strided": conv("layer", (2, 9, 9), (3, 3, 3), dilation=(2, 2), stride=(2, 2)),
    "one axis": conv("layer", (2, 9), (4, 5), kernel=(1, 3), stride=(1, 2), padding=(0, 1)),
    "linear": linear("layer", 12, 5),
}


def meetings(layer):
    """Every product of the layer as (output channel, output position, input channel, input position, weight index)."""
    sides, out = layer.input_shape[1:], layer.output_shape[1:]
    axes = slice(2 - len(sides), None)
    kernel, stride, padding, dilation = (v[axes] for v in (layer.kernel, layer.stride, layer.padding, layer.dilation))
    kg, cg = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    for k in range(layer.out_channels):
        for p in np.ndindex(*out):
            for c in range(cg):
                for tap in np.ndindex(*kernel):
                    at = tuple(
                        o * s - q + r * d for o, s, q, r, d in zip(p, stride, padding, tap, dilation, strict=True)
                    )
                    if all(0 <= a < n for a, n in zip(at, sides, strict=True)):
                        yield k, p, k // kg * cg + c, at, (k, c, *tap)


def sparse(shape, random):
    """Values ``(T, channels, ...)`` of which whole channels are zero, another half of them in every step: zeros spread evenly over the products."""
    steps, channels = shape[:2]
    values = random.integers(1, 5, shape).astype(float)
    for t in range(steps):
        values[t, (np.arange(channels) + t) % 2 == 0] = 0.0
    return values


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("bits", [1, 8])
def test_operations_are_the_products_of_the_gradients(name, bits):
    """Loops over all products give torch's gradients, and their number, gated, is what the ledger charges."""
    layer = replace(GEOMETRIES[name], input_bits=bits)
    random = np.random.default_rng(1)
    x = sparse((layer.steps, *layer.input_shape), random)
    g = sparse((layer.steps, *layer.output_shape), random)
    w = random.normal(
        size=(layer.out_channels, layer.in_channels // layer.groups, *layer.kernel[2 - len(x.shape[2:]) :])
    )

    to_inputs, to_weights = np.zeros_like(x), np.zeros_like(w)
    backward, update = np.zeros(layer.steps), np.zeros(layer.steps)
    for k, p, c, at, weight in meetings(layer):
        for t in range(layer.steps):
            to_inputs[(t, c, *at)] += g[(t, k, *p)] * w[weight]
            to_weights[weight] += g[(t, k, *p)] * x[(t, c, *at)]
            backward[t] += g[(t, k, *p)] != 0
            update[t] += x[(t, c, *at)] != 0
    inputs, weights = (torch.tensor(v, requires_grad=True) for v in (x, w))
    if layer.op == "linear":
        out = functional.linear(inputs, weights)
    else:
        run = functional.conv1d if x.ndim == 3 else functional.conv2d
        stride, padding, dilation = (v[4 - x.ndim :] for v in (layer.stride, layer.padding, layer.dilation))
        out = run(inputs, weights, None, stride, padding, dilation, layer.groups)
    (out * torch.tensor(g)).sum().backward()
    assert np.allclose(inputs.grad, to_inputs) and np.allclose(weights.grad, to_weights)

    # A layer before it, so that the gradient of its inputs is needed; one behind, so that its own is not the loss's.
    before = (
        conv("before", layer.input_shape, layer.input_shape, kernel=(1, 1)) if x.ndim > 2 else linear("before", 12, 12)
    )
    workload = chain(before, layer, linear("behind", layer.outputs, 2), steps=layer.steps)
    spike, gradient = (tuple((v == 0).reshape(layer.steps, -1).mean(1)) for v in (x, g))
    others = {"before": 0.5, "behind": 0.5}
    sparsity = TrainingSparsity({"layer": spike, **others}, {"layer": gradient, **others}, 0.0, "made up")
    ledger = SATA.training(workload, sparsity).ledger
    unit = "accumulate" if bits == 1 else "mac"
    assert counts(ledger, "layer", "backward mac")["operation"] == pytest.approx(backward.sum())
    assert counts(ledger, "layer", f"weight update {unit}")["operation"] == pytest.approx(update.sum())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_loops_have_room_for_every_product(name):
    layer, s = GEOMETRIES[name], SATA.structure
    gathered, at_inputs = {}, set()
    for k, p, c, at, _ in meetings(layer):
        gathered.setdefault((c, at), set()).add((k, p))
        at_inputs.add(at)
    nest, products = backward_loops(layer, s), valid_products(layer)
    assert nest.positions == len(at_inputs)
    assert nest.window >= max(len(met) for met in gathered.values())
    if name not in ("unpadded", "dilated", "stride 3, kernel 2"):  # there no input meets all taps that could
        assert nest.window == max(len(met) for met in gathered.values())
    assert nest.outputs * nest.window >= products == sum(len(met) for met in gathered.values())
    nest = update_loops(layer, s)
    assert nest.outputs == layer.weights
    assert nest.outputs * nest.window >= products * layer.steps
    assert nest.outputs * nest.window == layer.macs * layer.steps


def test_zeros_without_pattern_gate_as_many_products_on_average():
    layer = GEOMETRIES["strided"]
    masks = torch.rand(2000, *layer.output_shape, generator=torch.Generator().manual_seed(0)) < 0.3
    taps = torch.ones(layer.out_channels, layer.in_channels, *layer.kernel)
    met = functional.conv_transpose2d(masks.float(), taps, None, layer.stride, layer.padding, (0, 1))
    assert float(met.sum()) / 2000 == pytest.approx(0.3 * valid_products(layer), rel=0.01)


# --- Phases on the array ---------------------------------------------------------------------------------------------------------------------


@st.composite
def geometries(draw):
    groups, taps, stride = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    size, pad = draw(st.integers(3, 5)), draw(st.integers(0, 1))
    channels = (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3)))
    out = (size + 2 * pad - taps) // stride + 1
    return conv(
        *("layer", (channels[0], size), (channels[1], out), draw(st.integers(1, 3))),
        **dict(
            bits=draw(st.sampled_from([1, 3])), kernel=(1, taps), stride=(1, stride), padding=(0, pad), groups=groups
        ),
    )


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=12, deadline=None)
@given(layer=geometries(), rows=st.integers(1, 3), columns=st.integers(1, 3), window=st.integers(1, 3))
def test_phases_by_walking_every_cycle(dataflow, layer, rows, columns, window):
    s = replace(
        SATA.structure,
        **dict(dataflow=dataflow, rows=rows, columns=columns, time_window=window, buffer_word=32),
    )
    for nest in (backward_loops(layer, s), update_loops(layer, s)):
        # The same matrix product as a 1x1 convolution, which the oracle knows how to walk.
        as_layer = conv(
            *("nest", (nest.window * nest.groups, nest.positions), (nest.channels * nest.groups, nest.positions)),
            **dict(steps=nest.steps, kernel=(1, 1), groups=nest.groups),
        )
        x = np.zeros((nest.steps, *as_layer.input_shape), dtype=int)
        weights = np.zeros((as_layer.out_channels, nest.window), dtype=int)
        machine = replace(s, operand_bits=nest.weight_bits)
        walk = Walk(as_layer, x, weights, machine, nest.input_bits, 16, nest.planes).run()
        needs = demand(nest, s, 16)
        for kind in ("cycles", "inputs", "weights", "outputs", "partials"):
            assert getattr(needs, kind).total(nest.steps) == walk.count[kind], kind


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_clocks_and_time_follow_the_cycles(dataflow):
    machine = SATA.using(dataflow=dataflow)
    workload, s = small(), machine.structure
    cost = machine.training(workload, RELEASED)
    cycles = {}
    for layer in workload.multiplying:
        back, update = backward_pass(workload, layer, s), update_pass(layer, s)
        if back is not None:
            cycles[layer.name, "backward mac"] = back.needs.cycles.total(layer.steps)
        unit = "mac" if layer.name == "conv" else "accumulate"
        cycles[layer.name, f"weight update {unit}"] = update.needs.cycles.total(1)
    for (layer, component), n in cycles.items():
        lanes = s.lanes if component == "backward mac" and s.lanes > 1 else 1
        assert counts(cost.ledger, layer, component)["cycle clocked"] == pytest.approx(n * s.pes * min(lanes, 2))
    # Scratchpads leak for as long as each phase of each layer takes, and while the forward pass waits for its stores.
    seconds = machine.cost(machine.map(workload), training_activity(workload, RELEASED)).latency_s
    for e in cost.ledger:
        if "scratchpads" in e.component and e.action.startswith("leakage"):
            seconds += e.count / s.pes if not e.component.startswith("forward") or "storing" in e.action else 0.0
    assert cost.latency_s == pytest.approx(seconds)
    leaking = counts(cost.ledger, "fc1", "backward mac")["leakage, unit x s"] / (s.pes * s.lanes)
    need = sum(e.count for e in cost.ledger if e.layer == "fc1" and e.component == "backward dram")
    need += 2 * 5 * s.membrane_bits  # potentials of the neurons behind it
    assert leaking == pytest.approx(
        max(cycles["fc1", "backward mac"], need / s.dram_bits_per_cycle) / s.clock, rel=1e-9
    )


def test_a_slow_memory_sets_the_pace():
    fast, slow = (SATA.using(dram_bits_per_cycle=n).training(vgg5(), RELEASED) for n in (256, 4))
    bits = sum(e.count for e in slow.ledger if e.component.endswith(" dram"))
    assert fast.latency_s < slow.latency_s and slow.latency_s > bits / 4 / 400e6 * (1 - 1e-9)
    no_leak = [c.ledger.where(lambda e: "leakage" not in e.action).total_j for c in (fast, slow)]
    assert no_leak[0] == pytest.approx(no_leak[1]) and slow.energy_j > fast.energy_j


# --- The forward pass ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", ["vgg5", "resnet18-cifar"])
def test_forward_is_an_inference_that_stores(dataflow, name):
    workload = with_profile(shapes.network(name, time_steps=3, neuron=Neuron(), weight_bits=8), Profile("p", 0.1, 1.0))
    machine = SATA.using(dataflow=dataflow)
    inference = machine.cost(machine.map(workload), workload.activity)
    cost = machine.training(workload, observed_spikes(workload, 0.7, 0.6, "profile"))
    forward = cost.ledger.where(lambda e: e.component.startswith("forward "))
    stored = forward.where(lambda e: "stor" in e.action or e.action.endswith("kept"))
    rest = {(e.layer, e.component, e.action, e.when): e.total_j for e in forward if e not in stored.entries}
    same = {(e.layer, f"forward {e.component}", e.action, e.when): e.total_j for e in inference.ledger}
    assert rest == pytest.approx(same)
    bits = {e.layer: e.count for e in stored if e.component == "forward dram"}
    for layer in workload.layers:
        if layer.op == "neuron":
            assert bits[layer.name] == layer.outputs * 8 * 3
    written = {e.layer for e in inference.ledger if e.action == "map bit written"}
    for layer in workload.multiplying:
        mine = workload.sources(layer.name)
        together = [x.name for x in workload.multiplying if workload.sources(x.name) == mine]
        assert sum(name in written or name in bits for name in together) == (mine != ("input",))
        assert layer.name not in bits or bits[layer.name] == layer.inputs * layer.input_bits * 3
    assert cost.energy_j > inference.energy_j and cost.latency_s > inference.latency_s


def test_what_is_stored_is_read_back():
    ledger = SATA.training(small(), RELEASED).ledger
    assert counts(ledger, "fc1", "forward dram")["input bit stored"] == 2 * 48
    assert counts(ledger, "fc1", "weight update dram")["stored input bit read"] == 2 * 48
    assert counts(ledger, "lif1", "forward dram") == {"activation state bit stored": 2 * 48 * 8}
    assert counts(ledger, "lif1", "backward dram") == {"activation state bit read": 2 * 48 * 8}
    # The image, here another one in every step, is there; it has no gradient.
    assert "input bit stored" not in counts(ledger, "conv", "forward dram")
    assert counts(ledger, "conv", "weight update dram")["stored input bit read"] == 2 * 32 * 8
    assert not counts(ledger, "conv", "backward mac").keys() - {"leakage, unit x s"}


def still(steps, second=False):
    """``small`` with an image that stands still, and with a second convolution that sees only what the first makes of it."""
    first, lif, *rest = small(steps).layers
    layers = [replace(first, standing=True), lif, *rest]
    if second:
        layers.insert(1, replace(conv("conv2", (3, 4, 4), (3, 4, 4), steps, bits=8, padding=(1, 1)), standing=True))
    return chain(*layers, steps=steps)


def test_a_layer_that_is_computed_once_gets_one_gradient():
    """Its weight gradient is the input times the sum of the gradients of all steps."""
    once, again = (SATA.using(standing_input=how).training(still(3), RELEASED) for how in ("once", "every step"))
    assert counts(once.ledger, "conv", "weight update mac")["operation"] == 600
    assert counts(again.ledger, "conv", "weight update mac")["operation"] == 3 * 600
    assert counts(once.ledger, "conv", "backward gradient unit")["gradient summed over time"] == 2 * 48
    assert "gradient summed over time" not in counts(again.ledger, "conv", "backward gradient unit")
    for c in (once, again):
        assert counts(c.ledger, "conv", "weight update dram")["stored input bit read"] == 32 * 8
        assert counts(c.ledger, "lif1", "backward gradient unit")["membrane gradient"] == 3 * 48
    filled = [counts(c.ledger, "conv", "weight update weight buffer")["gradient bit filled"] for c in (once, again)]
    assert filled == [48 * 16, 3 * 48 * 16]
    assert once.energy_j < again.energy_j and once.latency_s < again.latency_s
    inference = [e for e in once.ledger if e.layer == "conv" and e.component == "forward accumulate"]
    assert all(e.when == "once" for e in inference)


def test_the_sum_of_gradients_is_zero_where_all_are():
    spikes = {"conv": 0.0, "conv2": (0.25, 0.25, 0.25), "fc1": 0.9, "fc2": 0.9}
    zeros = {"conv": 0.5, "conv2": (0.5, 0.8, 0.5), "fc1": 0.7, "fc2": 0.0}
    ledger = SATA.training(still(3, second=True), TrainingSparsity(spikes, zeros, 0.6, "made up")).ledger
    products = 3 * 3 * 100
    assert counts(ledger, "conv2", "backward mac")["operation"] == pytest.approx((1 - 0.5 * 0.8 * 0.5) * products)
    assert counts(ledger, "conv2", "weight update mac")["operation"] == pytest.approx(0.75 * products)
    assert counts(ledger, "conv2", "forward dram") == {"input bit stored": 48 * 8, "weight bit read": 3 * 27 * 8}
    carried = SATA.using(dataflow="output_stationary", rows=2, columns=2).training(still(3), RELEASED).ledger
    assert counts(carried, "conv", "backward membrane memory")["summed gradient bit read"] == 2 * 48 * 16


# --- Memory ----------------------------------------------------------------------------------------------------------------------------------


def test_small_gradients_stay_on_chip():
    ledger = SATA.training(small(), RELEASED).ledger
    assert counts(ledger, "fc1", "backward dram") == {"weight bit read": 240 * 8}
    assert counts(ledger, "fc1", "weight update dram") == {
        "stored input bit read": 96,
        "weight bit read": 240 * 8,
        "weight bit written": 240 * 8,
    }
    # The gradient of the loss comes from outside.
    assert counts(ledger, "fc2", "backward dram")["gradient bit read"] == 2 * 4 * 16
    assert counts(ledger, "fc2", "weight update dram")["gradient bit read"] == 2 * 4 * 16


@pytest.mark.parametrize("outputs", [64, 65])
def test_large_gradients_go_over_dram(outputs):
    """Half an output buffer of 512 B holds the gradients of 64 outputs in two steps."""
    workload = chain(
        linear("fc0", 8, 4), neuron("lif0", (4,), 2), linear("fc1", 4, outputs), neuron("lif1", (outputs,), 2),
        linear("fc2", outputs, 4), steps=2,
    )  # fmt: skip
    ledger = SATA.using(rows=4, columns=4, output_buffer=4096.0).training(workload, RELEASED).ledger
    backward, update = (counts(ledger, "fc1", f"{phase} dram") for phase in ("backward", "weight update"))
    bits = outputs * 2 * 16 if outputs > 64 else 0
    assert backward.get("gradient bit written", 0) == backward.get("gradient bit read", 0) == bits
    assert update.get("gradient bit read", 0) == bits
    # From the output buffer to the input buffer, or to DRAM; the input buffer is filled either way.
    assert counts(ledger, "fc1", "backward output buffer")["bit handed on"] == outputs * 2 * 16
    assert counts(ledger, "fc1", "backward input buffer")["bit filled"] == outputs * 2 * 16


def test_carried_gradients_need_memory_when_time_is_outermost():
    machine = SATA.using(dataflow="output_stationary", rows=2, columns=2)
    found = counts(machine.training(small(), RELEASED).ledger, "lif1", "backward membrane memory")
    assert found == {"carried gradient bit read": 2 * 48 * 16, "carried gradient bit written": 2 * 48 * 16}
    without = machine.using(membrane_buffer=0.0).training(small(), RELEASED).ledger
    assert counts(without, "lif1", "backward dram")["carried gradient bit spilled"] == 2 * 2 * 48 * 16
    assert not counts(SATA.training(small(), RELEASED).ledger, "lif1", "backward membrane memory")


def test_a_batch_shares_the_weights():
    one, many = (SATA.using(training_batch=n).training(small(), RELEASED).ledger for n in (1, 4))
    for layer, weights in (("conv", 54), ("fc1", 240), ("fc2", 20)):
        for ledger, n in ((one, 1), (many, 4)):
            found = counts(ledger, layer, "weight update dram")
            assert found["weight bit read"] == found["weight bit written"] == weights * 8 / n
            assert counts(ledger, layer, "weight update step unit")["SGD step"] == weights / n
    assert counts(many, "fc1", "weight update weight buffer")["running gradient bit read"] == 240 * 16 * 3 / 4
    little = SATA.using(training_batch=4, weight_buffer=4096.0).training(small(), RELEASED).ledger
    assert counts(little, "fc1", "weight update dram")["running gradient bit read and written"] == 2 * 240 * 16 * 3 / 4


def test_a_larger_batch_is_never_dearer_if_running_gradients_stay_on_chip():
    steps = 4
    middling = chain(
        conv("conv1", (3, 16, 16), (16, 16, 16), steps, bits=8, padding=(1, 1)), neuron("lif1", (16, 16, 16), steps),
        conv("conv2", (16, 16, 16), (32, 8, 8), steps, padding=(1, 1), stride=(2, 2)), neuron("lif2", (32, 8, 8), steps),
        linear("fc", 2048, 10, steps), steps=steps,
    )  # fmt: skip
    for workload in (small(), middling):
        assert workload.weights * 16 <= SATA.structure.weight_buffer / 2
        energies = [SATA.using(training_batch=n).training(workload, RELEASED).energy_j for n in (1, 2, 3, 8, 64)]
        assert energies == sorted(energies, reverse=True)


def test_running_gradients_over_dram_can_make_a_batch_dearer():
    """8-bit weights read and written once per batch save less than 16-bit sums cost that are read and written per sample."""
    one, many = (SATA.using(training_batch=n).training(vgg5(), RELEASED).ledger for n in (1, 32))
    bits = [
        sum(
            e.count
            for e in ledger
            if e.component == "weight update dram" and ("weight" in e.action or "running" in e.action)
        )
        for ledger in (one, many)
    ]
    assert bits[1] - bits[0] == pytest.approx(vgg5().weights * (2 * 16 - 2 * 8) * 31 / 32)


# --- Laws ------------------------------------------------------------------------------------------------------------------------------------

share = st.floats(0.0, 1.0)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=12, deadline=None)
@given(low=st.tuples(share, share, share), more=st.tuples(share, share, share))
def test_more_sparsity_is_never_more_energy(dataflow, low, more):
    machine, high = SATA.using(dataflow=dataflow), tuple(a + (1 - a) * b for a, b in zip(low, more, strict=True))
    before, after = (machine.training(small(), TrainingSparsity(*s, "drawn")) for s in (low, high))
    assert after.energy_j <= before.energy_j * (1 + 1e-12)
    assert after.latency_s == before.latency_s


@pytest.mark.parametrize(
    "parameter", ["operand_bits", "membrane_bits", "adder_bits", "accumulator_bits", "weight_bits"]
)
def test_wider_is_never_cheaper(parameter):
    widths = {"operand_bits": (8, 12, 16), "weight_bits": (2, 4, 8)}.get(parameter, (16, 20, 32))
    layers = tuple(replace(x, weight_levels="float") if x.multiplies else x for x in small().layers)
    workload = replace(small(), layers=layers)
    energies = [
        SATA.using(**{parameter: n, "partial_scratchpad": 256.0}).training(workload, RELEASED).energy_j for n in widths
    ]
    assert energies == sorted(energies)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_more_steps_cost_more(dataflow):
    found = [SATA.using(dataflow=dataflow).training(small(t), RELEASED) for t in (1, 2, 3, 8)]
    for numbers in ([c.energy_j for c in found], [c.latency_s for c in found]):
        assert numbers == sorted(numbers) and len(set(numbers)) == 4


@pytest.mark.parametrize("name", ["vgg9", "resnet18-cifar", "vgg16-tinyimagenet", "resnet50-imagenet"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_training_costs_more_than_inference(name, dataflow):
    workload, machine = (
        shapes.network(name, time_steps=2, neuron=Neuron(), weight_bits=8),
        SATA.using(dataflow=dataflow),
    )
    inference = machine.cost(machine.map(workload), training_activity(workload, RELEASED))
    cost = machine.training(workload, RELEASED)
    assert 2 * inference.energy_j < cost.energy_j < 20 * inference.energy_j
    assert cost.latency_s > 2 * inference.latency_s
    low, high = cost.ledger.band_j
    assert low < cost.energy_j < high
    phases = by_phase(cost.ledger)
    assert tuple(phases) == PHASES
    assert math.fsum(e for of in phases.values() for e in of.values()) == pytest.approx(cost.energy_j, rel=1e-12)
    assert all(e.source for e in cost.ledger)


def test_an_ann_trains_on_the_twin():
    twin = SATA.ann_twin(8)
    cost = twin.training(vgg5(1, ann=True), DENSE)
    units = {e.component for e in cost.ledger}
    assert {"forward accumulate", "backward mac", "weight update mac", "backward gradient unit"} <= units
    assert "weight update accumulate" not in units
    masks = counts(cost.ledger, "act1", "backward gradient unit")
    assert masks == {"gradient masked": 64 * 32 * 32}
    assert counts(cost.ledger, "act1", "forward dram") == {"activation state bit stored": 64 * 32 * 32}
    inference = twin.cost(twin.map(vgg5(1, ann=True)), training_activity(vgg5(1, ann=True), DENSE))
    assert cost.energy_j > 2 * inference.energy_j


def test_sparsity_per_layer_and_step():
    spikes = {"conv": 0.0, "fc1": (1.0, 0.5), "fc2": 0.25}
    ledger = SATA.training(small(), TrainingSparsity(spikes, 0.7, 0.6, "made up")).ledger
    (entry,) = (
        e for e in ledger if (e.layer, e.component, e.action) == ("fc1", "weight update accumulate", "operation")
    )
    assert entry.counts == (0.0, 120.0)
    # One number for the network is not applied to the image or to the gradient of the loss.
    ledger = SATA.training(small(), RELEASED).ledger
    assert counts(ledger, "conv", "weight update mac")["operation"] == 2 * 600
    assert counts(ledger, "fc2", "backward mac")["operation"] == 2 * 20
    assert counts(ledger, "lif1", "backward gradient unit") == pytest.approx(
        {"membrane gradient": 96, "product with the surrogate": 0.4 * 96}
    )


def test_what_comes_before_all_weights_needs_no_gradient():
    spikes = neuron("encoder", (48,), 2)
    first = linear("fc1", 48, 5)
    workload = chain(spikes, first, neuron("lif", (5,), 2), linear("fc2", 5, 4), steps=2)
    ledger = SATA.training(workload, RELEASED).ledger
    assert not [e for e in ledger if e.layer == "encoder" and not e.component.startswith("forward neuron")]
    assert not counts(ledger, "fc1", "backward mac").keys() - {"leakage, unit x s"}
    # But its spikes are needed for the weight update.
    assert counts(ledger, "fc1", "forward dram")["input bit stored"] == 2 * 48


def test_measured_ones_of_the_image_are_used():
    workload = with_profile(small(), Profile("p", 0.1, 1.0))
    seen = workload.activity.layers["conv"]
    fewer = {**workload.activity.layers, "conv": replace(seen, input_ones=tuple(n / 4 for n in seen.input_ones))}
    lighter = workload.with_activity(replace(workload.activity, layers=fewer))
    ops = [
        counts(SATA.training(w, RELEASED).ledger, "conv", "forward accumulate")["operation"]
        for w in (workload, lighter)
    ]
    assert ops[0] == pytest.approx(4 * ops[1])


def test_what_is_left_out_is_named():
    assert not_modelled(vgg5()) == ("pool1", "pool3")
    assert not_modelled(small()) == ()
    assert "may be divided by inference" in SATA.training(small(), RELEASED).note


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: TrainingSparsity(1.1, 0, 0, "x"), "outside 0 to 1"),
        (lambda: TrainingSparsity({"conv": (0.5, -0.1)}, 0, 0, "x"), "spike conv"),
        (lambda: TrainingSparsity(float("nan"), 0, 0, "x"), "outside 0 to 1"),
        (lambda: TrainingSparsity(0, 0, 0, ""), "origin"),
        (lambda: SATA.training(small(), TrainingSparsity({"conv": 0.5, "fc2": 0.1}, 0, 0, "x")), "'fc1'"),
        (lambda: SATA.training(small(), TrainingSparsity((0.5, 0.5, 0.5), 0, 0, "x")), "time steps"),
        (lambda: tj.accelerator("sata", training_batch=0), "training_batch must be positive"),
        (lambda: tj.accelerator("sata", rows=20, columns=10, accumulator_bits=8, output_buffer="512 B").training(small(), DENSE), "too small"),
        *((lambda n=n: tj.accelerator(n).training(small(), DENSE), "sata-2022-training") for n in ("sata-2023-table", "sata-2023-t4", "eyeriss-2023")),
    ],
)  # fmt: skip
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
