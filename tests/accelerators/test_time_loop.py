"""Layers before, inside and behind the time loop: when they run, where their bits wait, and that time and energy agree on it."""

import itertools
import math
from dataclasses import replace

import pytest

import truejoule as tj
from truejoule.accelerators.sata.cost import demands_of
from truejoule.accelerators.sata.memory import at_layers_with_weights, beside, moves
from truejoule.accelerators.sata.training import RELEASED
from truejoule.accelerators.time_loop import first_steps
from truejoule.workload import Edge, Layer, Neuron, Workload
from truejoule.workload.profiles import with_profile

T, K, SIDE = 4, 32, 16
MAP = (K, SIDE, SIDE)


def conv(name, steps, bits=1, inputs=K):
    shapes = dict(input_shape=(inputs, SIDE, SIDE), output_shape=MAP, kernel=(3, 3), padding=(1, 1))
    return Layer(name=name, op="conv", steps=steps, weight_bits=8, weight_levels="signed", input_bits=bits, **shapes)


def beside_array(name, op, steps=T):
    return Layer(
        name=name, op=op, input_shape=MAP, output_shape=MAP, steps=steps, neuron=Neuron() if op == "neuron" else None
    )


def linear(name, steps):
    return Layer(
        name=name,
        op="linear",
        input_shape=(math.prod(MAP),),
        output_shape=(10,),
        steps=steps,
        weight_bits=8,
        weight_levels="signed",
        input_bits=8,
    )


def built(*layers, edges=None):
    """Layers in a chain, or with the edges ``a>b c>d``."""
    names = ["input", *(layer.name for layer in layers)]
    pairs = [e.split(">") for e in edges.split()] if edges else itertools.pairwise(names)
    return with_profile(Workload("built", layers, tuple(Edge(a, b) for a, b in pairs), T), "snn-10")


def stem(steps=1):
    return conv("stem", steps, bits=8, inputs=3)


def head_after_loop():
    return built(stem(), beside_array("s1", "neuron"), conv("body", T), beside_array("s2", "neuron"), linear("head", 1))


def shortcut(steps=1):
    """Sums of the stem feed a neuron and are added to what the body makes of its spikes (a membrane shortcut)."""
    return built(
        stem(steps),
        beside_array("s1", "neuron"),
        conv("body", T),
        beside_array("add", "add"),
        beside_array("s2", "neuron"),
        linear("head", T),
        edges="input>stem stem>s1 s1>body body>add stem>add add>s2 s2>head",
    )


def projection():
    """A standing shortcut that only the addition reads."""
    return built(
        stem(),
        conv("side", 1, bits=8, inputs=3),
        beside_array("s1", "neuron"),
        conv("body", T),
        beside_array("add", "add"),
        beside_array("s2", "neuron"),
        edges="input>stem input>side stem>s1 s1>body body>add side>add add>s2",
    )


TOPOLOGIES = {
    "standing conv at the end": lambda: built(stem(), beside_array("s1", "neuron")),
    "two standing convs in a row": lambda: built(
        stem(), conv("again", 1, bits=8), beside_array("s1", "neuron"), conv("body", T), beside_array("s2", "neuron")
    ),
    "standing conv, neurons, head once": lambda: built(stem(), beside_array("s1", "neuron"), linear("head", 1)),
    "membrane shortcut": shortcut,
    "standing projection": projection,
    "all in the loop": lambda: shortcut(T),
    "head after the loop": head_after_loop,
}


def cost(machine, workload):
    return machine.cost(machine.map(workload), workload.activity)


def counted(entries, component, word):
    return sum(e.count for e in entries if e.component == component and word in e.action)


@pytest.mark.parametrize("machine", ["sata", "spikeflow"])
def test_a_head_behind_the_loop_runs_after_it(machine):
    overrides = {"dataflow": "output_stationary"} if machine == "sata" else {}
    workload = head_after_loop()
    assert first_steps(workload) == {"stem": 0, "s1": 0, "body": 0, "s2": 0, "head": T - 1}
    schedule = cost(tj.accelerator(machine, **overrides), workload).schedule
    (head,) = [s for s in schedule.slots if s.layer == "head"]
    bodies = [s for s in schedule.slots if s.layer == "body"]
    assert head.step == T - 1 and len(bodies) == T and head.end_s > max(s.end_s for s in bodies)
    assert schedule.first_output_s == head.end_s == schedule.latency_s
    # In the loop instead, the first answer comes earlier.
    layers = tuple(replace(x, steps=T) if x.name == "head" else x for x in workload.layers)
    inside = with_profile(replace(workload, layers=layers, activity=None), "snn-10")
    assert cost(tj.accelerator(machine, **overrides), inside).schedule.first_output_s < schedule.first_output_s


def test_what_follows_a_head_waits_with_it():
    workload = built(stem(), beside_array("s1", "neuron"), conv("a", 1), beside_array("r", "relu", 1), conv("b", 1))
    first = first_steps(workload)
    assert (first["a"], first["r"], first["b"]) == (T - 1,) * 3 and first["stem"] == 0
    c = cost(tj.accelerator("sata", dataflow="output_stationary"), workload)
    assert [s.layer for s in sorted(c.schedule.slots, key=lambda s: s.start_s)] == ["stem", "a", "b"]


@pytest.mark.parametrize("dataflow", ["output_stationary", "tick_batch"])
@pytest.mark.parametrize(
    "buffers", [{}, {"membrane_buffer": "2 KB", "output_buffer": "4.5 KB", "input_buffer": "4 KB"}]
)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_time_has_every_bit_that_energy_has(name, buffers, dataflow):
    workload = TOPOLOGIES[name]()
    machine = tj.accelerator("sata", dataflow=dataflow, **buffers)
    s = machine.structure
    moved, also = moves(workload, s, demands_of(workload, s)), beside(workload, s)
    in_time = sum(moved[x.name].dram.total(x.steps) + also.get(x.name, 0.0) * x.steps for x in workload.multiplying)
    assert set(also) <= {x.name for x in workload.multiplying}
    assert in_time == pytest.approx(counted(cost(machine, workload).ledger, "dram", ""))


def test_bits_that_wait_arrive_at_a_layer_of_the_loop():
    """Bits of what follows a standing layer are spread over the steps of the next layer that has them all, or paid by the last layer."""
    row = TOPOLOGIES["two standing convs in a row"]()
    assert at_layers_with_weights(row, {"s1": 80.0, "s2": 8.0})["body"] == (80 + 8) / T
    end = TOPOLOGIES["standing conv at the end"]()
    assert at_layers_with_weights(end, {"s1": 80.0}) == {"stem": 80.0}


@pytest.mark.parametrize("dataflow", ["output_stationary", "tick_batch"])
def test_standing_operand_of_an_addition_is_there_once(dataflow):
    sums = math.prod(MAP) * 16
    machine = tj.accelerator("sata", dataflow=dataflow, membrane_buffer="1 MB", output_buffer="128 KB")
    once, moving = (cost(machine, shortcut(steps)).ledger for steps in (1, T))
    alone = cost(machine, projection()).ledger
    assert counted(moving, "output buffer", "residual bit written") == T * sums
    assert counted(moving, "output buffer", "residual bit read") == T * sums
    if dataflow == "tick_batch":
        for ledger in (once, alone):
            assert counted(ledger, "output buffer", "residual bit written") == sums
            assert counted(ledger, "output buffer", "residual bit read") == T * sums
        return
    # The sums wait in the membrane memory anyway: read again for the addition if a neuron reads them too, never written twice.
    assert counted(once, "output buffer", "residual") == counted(alone, "output buffer", "residual") == 0
    assert counted(once, "membrane memory", "kept-sum bit written") == sums
    assert counted(once, "membrane memory", "kept-sum bit read") == T * sums
    assert counted(once, "membrane memory", "residual bit read") == T * sums
    assert counted(once, "membrane memory", "residual bit written") == 0
    assert counted(alone, "membrane memory", "residual") == 0
    assert counted(alone, "membrane memory", "kept-sum bit read") == 2 * T * sums


def test_one_copy_of_a_standing_operand_has_to_fit():
    """16 KB of sums: half of 32 KB holds one copy, not the T of an operand that moves."""
    machine = tj.accelerator("sata", output_buffer="32 KB")
    once, moving = (cost(machine, shortcut(steps)).ledger for steps in (1, T))
    assert counted(once, "dram", "residual") == 0 < counted(moving, "dram", "residual")
    less = cost(tj.accelerator("sata", output_buffer="16 KB"), shortcut()).ledger
    assert counted(less, "dram", "residual") == (1 + T) * math.prod(MAP) * 16


def test_kept_sums_keep_the_membrane_memory_on():
    """A network whose neurons stay in the array but whose kept sums do not: the memory leaks, in inference and while storing for training."""
    small = (4, 5, 5)
    only = Layer(
        name="stem", op="conv", input_shape=small, output_shape=small, kernel=(3, 3), padding=(1, 1), input_bits=8
    )
    spike = Layer(name="s1", op="neuron", input_shape=small, output_shape=small, steps=T, neuron=Neuron())
    workload = built(replace(only, weight_bits=8, weight_levels="signed"), spike)
    machine = tj.accelerator("sata", dataflow="output_stationary", dram_bits_per_cycle=1)
    ledger = cost(machine, workload).ledger
    assert counted(ledger, "membrane memory", "kept-sum bit read") and not counted(
        ledger, "membrane memory", "bit spilled"
    )
    assert counted(ledger, "membrane memory", "leakage") > 0
    trained = machine.training(workload, RELEASED).ledger
    assert counted(trained, "forward weight buffer", "leakage while storing") > 0
    assert counted(trained, "forward membrane memory", "leakage while storing") > 0


@pytest.mark.parametrize("bits, steps", [(8, 12), (1, 4), (8, 4)])
def test_neurons_behind_a_held_layer_take_their_updates(bits, steps):
    """Weight stationary: a column hands over one sum per bit plane; T updates from it take longer for T > planes, in the last row fold."""
    only, spike = conv("stem", 1, bits=bits, inputs=3), beside_array("s1", "neuron", steps)
    chain = (Edge("input", "stem"), Edge("stem", "s1"))
    held, once = (with_profile(Workload("w", (only, replace(spike, steps=t)), chain, t), "snn-10") for t in (steps, 1))
    for dataflow, more in (("weight_stationary", max(steps - bits, 0) * SIDE * SIDE * 4), ("output_stationary", 0)):
        machine = tj.accelerator("sata", dataflow=dataflow, time_window=4)
        longer, plain = (sum(cost(machine, w).schedule.by_layer().values()) for w in (held, once))
        assert (longer - plain) * 400e6 == pytest.approx(more, abs=1e-3)


def test_accumulators_of_steps_that_do_not_exist_are_gated():
    """temporal_parallel: as many accumulators are clocked as a pass has steps, in the last pass and in a layer computed once too."""
    machine = tj.accelerator("sata", dataflow="temporal_parallel")
    layers = (conv("body", T), beside_array("s1", "neuron"))
    for t in range(1, 10):
        workload = with_profile(
            Workload("w", tuple(replace(x, steps=t) for x in layers), (Edge("input", "body"), Edge("body", "s1")), t),
            "snn-10",
        )
        ledger = cost(machine, workload).ledger
        clocked = [counted(ledger, unit, "cycle clocked") for unit in ("accumulate", "scratchpads")]
        assert clocked[0] / clocked[1] == pytest.approx(t / math.ceil(t / 4))
    two = tuple(replace(x, steps=6) for x in (*layers, conv("next", T)))
    chain = (Edge("input", "body"), Edge("body", "s1"), Edge("s1", "next"))
    trained = machine.training(Workload("w", two, chain, 6), RELEASED).ledger.where(lambda e: e.layer == "next")
    clocked = [counted(trained, f"backward {unit}", "cycle clocked") for unit in ("mac", "scratchpads")]
    assert clocked[0] / clocked[1] == pytest.approx(6 / 2), "passes of four and of two steps"
    stem_once = cost(machine, head_after_loop()).ledger.where(lambda e: e.layer == "stem")
    clocked = [counted(stem_once, unit, "cycle clocked") for unit in ("accumulate", "scratchpads")]
    assert clocked[0] == pytest.approx(clocked[1])
    energies = []
    for t in range(1, 17):
        steps = tuple(replace(x, steps=t) if x.steps == T else x for x in head_after_loop().layers)
        energies.append(
            cost(machine, with_profile(replace(head_after_loop(), layers=steps, time_steps=t, activity=None), "snn-10"))
        )
    assert all(a.energy_j <= b.energy_j for a, b in itertools.pairwise(energies))


def test_the_membrane_memory_is_built_where_it_is_used():
    machine = tj.accelerator("sata", dataflow="output_stationary")
    assert machine.structure.membrane_memory == 256 * 8192
    assert "membrane memory" in cost(machine, head_after_loop()).floorplan.by_component()
    for other in (machine.using(dataflow="tick_batch"), machine.ann_twin(8)):
        assert other.structure.membrane_memory == 0
        assert "membrane memory" not in cost(other, head_after_loop()).floorplan.by_component()
