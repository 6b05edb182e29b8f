"""The gate: with nothing disturbing it, every machine computes what the quantised network computes, bit for bit, or refuses by name.

Driven by the registry: a machine that is added is in here by itself, with every choice that its structure offers.
"""

import itertools
import os
import random
import typing
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from integer_network import ACTIVATIONS, DTYPES, INPUTS, LAYERS, SCALES, WEIGHTS, Case, GateNet, Reference, inputs

import truejoule as tj
from truejoule.accelerators import preset
from truejoule.errors import InputError

CASES = st.builds(
    Case,
    weights=st.sampled_from(WEIGHTS),
    scales=st.sampled_from(SCALES),
    inputs=st.sampled_from(INPUTS),
    layer=st.sampled_from(LAYERS),
    activation=st.sampled_from(ACTIVATIONS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 3),
)
SAMPLES = 5


@cache
def choices(name: str) -> list[dict]:
    """Every way in which a machine can be told to compute: all values of its named choices, and several widths of a cell and sizes of an array."""
    structure = tj.accelerator(name).structure
    hints = typing.get_type_hints(type(structure))
    found: list[dict] = [{}]
    for field in fields(structure):
        if typing.get_origin(hints[field.name]) is typing.Literal and field.name != "accounting":
            found += [{field.name: value} for value in typing.get_args(hints[field.name])]
        if field.name == "cell_bits":
            found += [{field.name: bits} for bits in (1, 2, 3, 8)]
        if field.name == "crossbar_size":
            found += [{field.name: 16}, {field.name: 128}]
    return found


@cache
def chosen(name: str, one: int, two: int):
    """A preset under two of its choices, since encodings and cells meet; ``None`` where it knows no such combination."""
    try:
        return tj.accelerator(name, **(choices(name)[one] | choices(name)[two]))
    except InputError:
        return None


def refusal(machine, case: Case) -> str | None:
    """The words with which a machine must refuse a case."""
    s = machine.structure
    kind, _, width = case.weights.partition(" ")
    if getattr(s, "encoding", None) == "differential" and kind == "signed":
        return "differential pair"
    if hasattr(s, "operand_bits") and kind in ("signed", "symmetric", "mid_rise") and int(width) > s.operand_bits:
        return "wider than a PE"
    return None


def ranges_of(network, net: GateNet, calibration: torch.Tensor) -> dict:
    """Step, smallest and largest value of every layer's inputs, looked up by hooks on the module as it is."""
    seen: dict[str, list[torch.Tensor]] = {"first": [], "second": []}
    hooks = [
        getattr(net, name).register_forward_pre_hook(lambda m, args, name=name: seen[name].append(args[0].double()))
        for name in seen
    ]
    network.run(calibration)
    for hook in hooks:
        hook.remove()
    known = {"spikes": 1.0, "signs": 1.0, "counts": 1.0, "image": 1 / 255, "real": None}
    first = known.get(net.case.inputs, 1.0)
    second = {"spiking": 1.0, "sign": 1.0, "relu": network.codes["second"].step}[net.case.activation]
    if net.case.inputs == "image" and net.case.dtype == torch.bfloat16:
        first = None  # eight bits of mantissa do not hold k/255
    if float(calibration.abs().max()) > 4095 and net.case.inputs == "12 bit":
        first = None  # 4095 became 4096 in a narrow type, which takes 13 bits
    return {
        name: (step, min(float(v.min()) for v in seen[name]), max(float(v.max()) for v in seen[name]))
        for name, step in (("first", first), ("second", second))
    }


def deploy(machine, network, x, check):
    """Map and deploy, as an evaluation does before anything runs; the refusal, or the deployed network."""
    try:
        machine.map(network.workload)
        return machine.deploy(network, [x])
    except InputError as error:
        assert check is not None and check in str(error), (check, error)
        return None


def gate(machine, case: Case) -> None:
    net = GateNet(case)
    x = inputs(case.inputs, (SAMPLES, *net.shape), case.seed + 10, case.dtype)
    if not bool(torch.isfinite(net(x)).all()):
        return  # float16 ends at 65,504
    network = tj.read(net, x, time_steps=net.time_steps).calibrated([x])
    machine = machine.undisturbed().suited(network.workload)
    expected = refusal(machine, case)
    deployed = deploy(machine, network, x, expected)
    if deployed is None:
        return
    assert expected is None, f"must be refused: {expected}"
    s = machine.structure
    reference = Reference(net, ranges_of(network, net, x), s.weight_bits, s.input_bits, s.image_bits)
    want = network.run(x, reference.compute)
    got = deployed(x)
    assert got.dtype == want.dtype and torch.equal(got, want), float((got - want).abs().max())
    # Other samples, one by one: what batches and order must not change.
    again = torch.cat([deployed(x[i : i + 1]) for i in reversed(range(SAMPLES))]).flip(0)
    assert torch.equal(again, want)
    measured = deployed.measurement()
    assert not any(measured.clipped.values()) and set(measured.snr_db.values()) <= {float("inf")}
    if network.codes["first"].step is not None:
        assert not measured.overflow["first"] and not measured.rounded["first"]


@pytest.mark.parametrize("name", preset.names())
@settings(
    max_examples=10,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize="CI" in os.environ,
)
@given(data=st.data(), case=CASES)
def test_undisturbed_machines_equal_the_quantised_network(name, data, case):
    choice = st.integers(0, len(choices(name)) - 1)
    machine = chosen(name, data.draw(choice), data.draw(choice))
    assume(machine is not None)
    gate(machine, case)


@pytest.mark.slow
@pytest.mark.parametrize("name", preset.names())
def test_every_kind_on_every_machine(name):
    """All weights x inputs x layers x activations x dtypes, each on one of the machine's choices, drawn anew for every combination."""
    draw = random.Random(0)
    for kinds in itertools.product(WEIGHTS, SCALES, INPUTS, LAYERS, ACTIVATIONS, DTYPES):
        machine = None
        while machine is None:
            machine = chosen(name, *(draw.randrange(len(choices(name))) for _ in range(2)))
        gate(machine, Case(*kinds, seed=draw.randrange(4)))


CONVERTING = [name for name in preset.names() if hasattr(tj.accelerator(name).structure, "adc_bits")]


@pytest.mark.parametrize("name", CONVERTING)
@settings(
    max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
@given(data=st.data(), case=CASES.filter(lambda case: case.dtype in (torch.float32, torch.float64)))
def test_a_converter_fine_enough_changes_no_sum(name, data, case):
    """24 bits over the largest possible current: the floor of R_off, every slice and every block go through converters, and all sums come back."""
    choice = st.integers(0, len(choices(name)) - 1)
    machine = chosen(name, data.draw(choice), data.draw(choice))
    assume(machine is not None and refusal(machine, case) is None)
    machine = machine.undisturbed()
    machine = replace(machine, structure=replace(machine.structure, adc_bits=24, adc_range="full"))
    net = GateNet(case)
    x = inputs(case.inputs, (SAMPLES, *net.shape), case.seed + 10, case.dtype)
    assume(bool(torch.isfinite(net(x)).all()))
    network = tj.read(net, x, time_steps=net.time_steps).calibrated([x])
    s = machine.structure
    reference = Reference(net, ranges_of(network, net, x), s.weight_bits, s.input_bits, s.image_bits)
    network.run(x, reference.compute)
    deployed = machine.deploy(network, [x])
    for layer in ("first", "second"):
        seen, want, steps = reference.seen[layer][0], reference.values[layer][0], reference.steps[layer][0]
        hardware = deployed.layer(layer)
        found = hardware(seen, None, 0, 0)
        # Currents are float32: their last bits grow with the weight of the plane and the slice that they are added with.
        most = torch.maximum(2e-4 * want.abs().max(), 0.25 * steps)
        assert bool(((found - want).abs() <= most).all()), (layer, float((found - want).abs().max()))
        assert hardware.tally.converted > 0 and hardware.tally.clipped == 0
