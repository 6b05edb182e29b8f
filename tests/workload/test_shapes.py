"""Named networks against published counts, and assumed activity."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.errors import InputError
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import PROFILES, Profile, with_profile

LIF = Neuron(decay=0.5)
MACS = {
    "vgg16-imagenet": 15_470_264_320,
    "vgg11-imagenet": 7_609_090_048,
    "resnet18-imagenet": 1_814_073_344,
    "resnet34-imagenet": 3_663_761_408,
    "resnet50-imagenet": 4_089_184_256,
    "resnet20": 40_551_040,
    "vgg9-sata": 92_995_584,
    "wide5-sata": 993_918_976,
    "resnet19-sata": 2_270_560_256,
}
PARAMETERS = {
    "vgg16-imagenet": 138_357_544,
    "vgg11-imagenet": 132_863_336,
    "resnet18-imagenet": 11_689_512,
    "resnet34-imagenet": 21_797_672,
    "resnet50-imagenet": 25_557_032,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
}
NEURONS = {"vgg9-sata": 185_856, "wide5-sata": 599_552, "resnet19-sata": 1_442_048}
WITH_FC_ERROR = {"vgg9-sata": 105_578_496, "wide5-sata": 1_065_222_144, "resnet19-sata": 2_287_337_472}


def parameters(workload):
    biases = sum(layer.out_channels for layer in workload.layers if layer.bias)
    return workload.weights + biases + sum(2 * layer.out_channels for layer in workload.layers if layer.op == "norm")


@pytest.mark.parametrize("name", MACS)
def test_macs_are_the_published_ones(name):
    assert shapes.network(name).macs == MACS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    assert parameters(shapes.network(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", NEURONS)
def test_sata_workloads_have_the_released_sums(name):
    workload = shapes.network(name, time_steps=4, neuron=LIF)
    assert sum(layer.outputs for layer in workload.layers if layer.op == "neuron") == NEURONS[name]
    conv = sum(layer.macs for layer in workload.layers if layer.op == "conv")
    linear = sum(layer.macs for layer in workload.layers if layer.op == "linear")
    assert conv + 9 * linear == WITH_FC_ERROR[name]
    assert workload.macs == 4 * MACS[name]


def test_vgg9_of_the_release_is_not_vgg9():
    true, released = shapes.network("vgg9"), shapes.network("vgg9-sata")
    assert true["conv4"].output_shape == (128, 16, 16) and released["conv4"].output_shape == (128, 8, 8)
    assert true["fc1"].inputs == 4096 and released["fc1"].inputs == 1024
    assert sum(n.macs for n in true.multiplying if n.op == "conv") == pytest.approx(190e6, rel=0.005)


def test_vgg5_meets_the_linear_layer_of_the_release():
    assert shapes.network("vgg5")["fc1"].input_shape == (8192,)


def test_variants_by_size_and_classes():
    tiny = shapes.network("vgg16-tinyimagenet")
    assert tiny.layers[0].input_shape == (3, 64, 64) and tiny.layers[-1].output_shape == (200,)
    assert shapes.network("resnet18-cifar", input_size=64, classes=200).macs == pytest.approx(4 * 555e6, rel=0.01)
    assert shapes.network("cnv")["conv6"].output_shape == (256, 1, 1)


@pytest.mark.parametrize("name", shapes.names())
def test_every_network_is_a_connected_graph(name):
    workload = shapes.network(name)
    order = {"input": -1} | {layer.name: i for i, layer in enumerate(workload.layers)}
    assert all(order[e.source] < order[e.target] for e in workload.edges)
    ends = set(order) - {e.source for e in workload.edges}
    assert ends == {workload.layers[-1].name}
    for layer in workload.layers:
        sources = workload.sources(layer.name)
        assert len(sources) == (2 if layer.op == "add" else 1)
        if layer.op == "add":  # option A leaves channels out, nothing else may differ
            assert {workload[s].output_shape[1:] for s in sources} == {layer.input_shape[1:]}
        elif sources != ("input",):
            assert math.prod(workload[sources[0]].output_shape) == layer.inputs
    assert shapes.describe(name)


def test_spikes_are_one_bit_wide_and_sums_are_wider():
    spiking = shapes.network("resnet18-cifar", time_steps=4, neuron=LIF)
    assert [n.input_bits for n in spiking.multiplying][:2] == [8, 1] and spiking["fc"].input_bits == math.ceil(
        math.log2(17)
    )
    assert spiking.time_steps == 4 and spiking.spiking and all(n.steps == 4 for n in spiking.layers)
    averaged = shapes.network("vgg9", time_steps=4, neuron=LIF, pool="avg_pool")
    assert averaged["conv3"].input_bits == 3 and averaged["conv2"].input_bits == 1
    ann = shapes.network("resnet18-cifar", activation_bits=4)
    assert ann["fc"].input_bits == 4 and not ann.spiking
    assert ann["conv1"].weight_bits == 4 and ann["conv1"].weight_levels == "signed"


def test_cnv_is_binary_inside():
    cnv = shapes.network("cnv")
    assert {n.weight_levels for n in cnv.multiplying} == {"binary"}
    assert [(n.input_bits, n.inputs_signed) for n in cnv.multiplying][:2] == [(8, False), (1, True)]
    assert not any(layer.op == "relu" for layer in cnv.layers)
    assert not any(n.inputs_signed for n in shapes.network("cnv", time_steps=2, neuron=LIF).multiplying)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg-9"}, "did you mean 'vgg9'"),
        ({"name": "vgg9", "time_steps": 4}, "without spiking neurons"),
        ({"name": "vgg9-sata", "classes": 10}, "fixed"),
        ({"name": "vgg16-cifar", "input_size": 16}, "too small"),
        ({"name": "vgg9", "pool": "mean_pool"}, "unknown pooling"),
    ],
)
def test_errors_teach(arguments, message):
    with pytest.raises(InputError, match=message):
        shapes.network(**arguments)


def test_snn_profile_gives_ten_percent_to_every_multiplying_layer_but_the_first():
    workload = with_profile(shapes.network("vgg9", time_steps=4, neuron=LIF), "snn-10")
    assert workload.activity is not None and workload.activity.origin == "assumed: snn-10"
    first, *others = workload.multiplying
    assert workload.activity_of(first.name).mean_density() == 1
    for layer in others:
        assert workload.activity_of(layer.name).mean_density() == pytest.approx(0.1)
    expected = 4 * (first.macs + 0.1 * sum(layer.macs for layer in others))
    assert workload.synaptic_operations() == pytest.approx(expected)
    conv = workload.activity_of("conv2")
    assert conv.patch_density() == pytest.approx((1 - 0.9 ** (64 * 9),) * 4)
    assert conv.input_ones == conv.nonzero_inputs


def test_multi_bit_inputs_have_half_their_bits_set():
    workload = with_profile(shapes.network("vgg9"), "relu-50")
    image, inner = workload.activity_of("conv1"), workload.activity_of("conv2")
    assert image.input_ones[0] == pytest.approx(3 * 32 * 32 * 8 * 0.5)
    assert inner.input_ones[0] == pytest.approx(64 * 32 * 32 * 0.5 * 8 * 0.5)
    signs = with_profile(shapes.network("cnv"), "dense").activity_of("conv2")
    assert signs.input_ones[0] == pytest.approx(signs.nonzero_inputs[0] / 2)


def test_densities_per_step_and_global_averages():
    workload = shapes.network("resnet19", time_steps=2, neuron=LIF)
    found = with_profile(workload, Profile("fading", (0.2, 0.05)))
    assert found.activity_of("conv1.1.1").density() == pytest.approx((0.2, 0.05))
    assert found.activity_of("fc1").density() == pytest.approx((1 - 0.8**64, 1 - 0.95**64))
    with pytest.raises(InputError, match="do not fit the time steps"):
        with_profile(workload, Profile("short", (0.2, 0.1, 0.1)))


def test_profile_errors():
    with pytest.raises(InputError, match="did you mean 'snn-10'"):
        with_profile(shapes.network("vgg9"), "snn10")
    with pytest.raises(InputError, match="outside 0 to 1"):
        Profile("bad", 1.5)
    assert all(p.source for p in PROFILES.values())


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["vgg9", "resnet20", "cnv", "resnet19"]), st.floats(0, 1), st.floats(0, 1), st.integers(1, 4))
def test_assumed_counts_stay_within_the_elements_and_grow_with_density(name, a, b, steps):
    low, high = sorted((a, b))
    workload = shapes.network(name, time_steps=steps, neuron=LIF)
    sparse, dense = (with_profile(workload, Profile("p", d, d)) for d in (low, high))
    for layer in workload.layers:
        x, y = sparse.activity_of(layer.name), dense.activity_of(layer.name)
        assert x.steps == layer.steps
        for t in range(steps):
            assert 0 <= x.nonzero_inputs[t] <= y.nonzero_inputs[t] * (1 + 1e-12) <= layer.inputs * (1 + 1e-9)
            assert 0 <= x.active_patches[t] <= y.active_patches[t] + 1e-9 <= x.patches + 1e-6
            assert x.input_ones[t] <= x.nonzero_inputs[t] * layer.input_bits + 1e-9
            assert 0 <= x.nonzero_outputs[t] <= layer.outputs * (1 + 1e-12)
    assert sparse.synaptic_operations() <= dense.synaptic_operations() * (1 + 1e-12)
