"""Activity against brute force, and streaming against one big batch."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from nets import Functional, Looped, MultiStep, OneStep, Plain, Spiking
from torch import nn

from truejoule.errors import InputError
from truejoule.network import measure, observe, read
from truejoule.network.precision import InputCode, input_code, weight_precision


def brute_force_windows(x, layer):
    """Windows with any non-zero input, one by one."""
    (r, s), (u, v), (p, q), (a, b) = layer.kernel, layer.stride, layer.padding, layer.dilation
    x = F.pad(x, (q, q, p, p))
    count, (_, height, width) = 0, layer.output_shape
    for n, i, j in itertools.product(range(len(x)), range(height), range(width)):
        window = x[n, :, i * u : i * u + (r - 1) * a + 1 : a, j * v : j * v + (s - 1) * b + 1 : b]
        count += bool((window != 0).any())
    return count


@pytest.mark.parametrize(
    "geometry",
    [
        dict(kernel_size=3, padding=1),
        dict(kernel_size=(3, 2), stride=2),
        dict(kernel_size=2, dilation=2, padding=(0, 1)),
        dict(kernel_size=1),
    ],
)
def test_windows_and_counts(geometry):
    x = (torch.rand(5, 3, 8, 8) < 0.03).float()
    network = read(nn.Sequential(nn.Conv2d(3, 4, **geometry)), x)
    layer, got = network.workload["0"], network.measure(x).layers["0"]
    y = network.module(x)
    assert got.samples == 5 and got.inputs == 192 and got.outputs == layer.outputs and got.patches == layer.positions
    assert got.active_patches == (brute_force_windows(x, layer),)
    assert got.nonzero_inputs == got.input_ones == (int(x.sum()),)
    assert got.nonzero_outputs == (int((y != 0).sum()),)


def test_grouped_windows_count_whole_positions():
    x = torch.zeros(1, 4, 3, 3)
    x[:, 0] = 1
    network = read(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), x)
    assert network.measure(x).layers["0"].active_patches == (
        4.5,
    )  # half of the groups see something at all nine positions


def test_ones_of_multi_bit_inputs():
    codes = torch.randint(0, 256, (4, 1, 6, 6))
    codes[0, 0, 0, 0] = 255
    network = read(nn.Sequential(nn.Conv2d(1, 2, 3)), codes / 255)
    assert network.workload["0"].input_bits == 8 and not network.workload["0"].inputs_signed
    assert network.measure(codes / 255).layers["0"].input_ones == (sum(int(c).bit_count() for c in codes.flatten()),)


@pytest.mark.parametrize("make", [Looped, MultiStep, OneStep])
def test_time_steps_one_by_one(make):
    torch.manual_seed(0)
    net, x = make(), torch.randn(3, 3, 8, 8) * 2
    options = {"time_steps": 4} if make is OneStep else {}
    example = x.repeat(4, 1, 1, 1, 1) if make is MultiStep else x
    got = read(net, example, **options).measure(example).layers
    reference = Looped()
    reference.load_state_dict({k.replace("cell.", ""): v for k, v in net.state_dict().items()})
    reference.eval()
    with torch.no_grad():
        for t in range(4):
            a = reference.lif1(reference.bn(reference.conv(x)))
            spikes = reference.lif2(reference.mid(a))
            assert got["mid"].nonzero_inputs[t] == got["lif1"].nonzero_outputs[t] == int(a.sum())
            assert got["lif2"].nonzero_outputs[t] == int(spikes.sum())
            assert got["pool"].nonzero_inputs[t] == int(((a + spikes) != 0).sum())
            assert got["fc"].nonzero_inputs[t] == int((F.avg_pool2d(a + spikes, 2) != 0).sum())
    assert got["mid"].steps == 4 and got["mid"].samples == 3


@pytest.mark.parametrize(("make", "shape"), [(Plain, (3, 8, 8)), (Looped, (3, 8, 8)), (Functional, (1, 16))])
def test_streaming_over_batches_equals_one_big_batch(make, shape):
    torch.manual_seed(0)
    x = torch.randn(7, *shape)
    network = read(make(), x)
    big = network.measure(x)
    stream = measure(network, [(x[:3], 0), (x[3:4], 0), (x[4:], 0)])
    assert big.layers.keys() == stream.layers.keys() and stream.samples == 7
    for name, a in big.layers.items():
        b = stream.layers[name]
        for field in ("samples", "inputs", "outputs", "patches"):
            assert getattr(a, field) == getattr(b, field)
        for field in ("nonzero_inputs", "input_ones", "active_patches", "nonzero_outputs"):
            assert getattr(b, field) == pytest.approx(getattr(a, field), rel=2e-3), (
                name,
                field,
            )  # batched kernels round differently
    parts = network.measure(x[:3]) + network.measure(x[3:])
    assert parts.layers["fc" if "fc" in parts.layers else "w1"].samples == 7
    assert network.measure([x[:2], x[2:4], x[4:]], batches=2).samples == 4


def test_observe_with_data():
    x = torch.randn(4, 3, 8, 8)
    assert observe(Plain(), x).activity is None
    workload = observe(Plain(), x, data=[x, x])
    assert (
        workload.activity is not None
        and workload.activity.samples == 8
        and workload.activity.origin == "measured (ideal)"
    )
    assert 0 < workload.synaptic_operations() <= workload.macs


def test_no_data_and_wrong_data():
    network = read(Plain(), torch.randn(4, 3, 8, 8))
    for data, message in (([], "no activity"), (3, "cannot be iterated"), (["text"], "without a tensor")):
        with pytest.raises(InputError, match=message):
            network.measure(data)


def test_the_deployed_variant_is_measured():
    network = read(nn.Sequential(nn.Linear(4, 4), Spiking()), torch.rand(2, 4), time_steps=1)
    silent = network.measure(torch.rand(2, 4), on_call=lambda call: torch.zeros(2, 4), origin="measured on nothing")
    assert silent.layers["1"].nonzero_outputs == (0,) and silent.origin == "measured on nothing"


# precisions


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([0.0, 1.0], (1, False)),
        ([0.0, 0.5], (1, False)),
        ([-1.0, 1.0], (1, True)),
        ([0.0, 1.0, 2.0, 3.0], (2, False)),
        ([0.0, 0.25, 1.0], (3, False)),
        ([-2.0, -1.0, 0.0, 1.0], (2, True)),
        ([float(k) for k in range(-128, 128)], (8, True)),
        ([float(k) for k in range(-128, 129)], (9, True)),
        ([float(k) for k in range(6)], (3, False)),
        ([k / 4095 for k in range(4096)], (12, False)),
        ([-1.0, 0.0, 1.0], (2, True)),
        ([0.0, 10 / 255, 200 / 255], (5, False)),
        ([k / 255 for k in range(256)], (8, False)),
        ([k / 15 for k in range(16)], (4, False)),
        ([0.0], (1, False)),
    ],
)
def test_input_bits(values, want):
    code = input_code(torch.tensor(values).repeat(3, 1))
    assert (code.bits, code.signed) == want


def test_inputs_without_a_grid_are_float():
    code = input_code(torch.randn(4, 100))
    assert code.bits == 32 and code.signed
    assert input_code(torch.rand(4, 100)).bits == 32


def test_normalised_images_are_float():
    """(k/255 - mean) / std lies on a grid with an offset, which integer codes of one scale cannot hold."""
    assert input_code((torch.randint(0, 256, (4, 3, 8, 8)) / 255 - 0.4822) / 0.1994).bits == 32


def test_ones_of_codes():
    assert InputCode(0.5, -3.5, 3.5).ones(torch.tensor([-1.5, 0.0, 3.5])).tolist() == [2, 0, 3]
    assert InputCode(1.0, -1.0, 1.0, bipolar=True).ones(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]
    assert InputCode(1.0, 0.0, 4095.0).ones(torch.tensor([4095.0, 1025.0, 0.0])).tolist() == [12, 2, 0]
    assert InputCode(None, 0.0, 255.0).ones(torch.tensor([255.0, 3.2, 900.0])).tolist() == [8, 2, 8]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weight_bits(bits, per_channel):
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (6, 8, 3, 3), generator=generator)
    codes[:, 0, 0, 0], codes[:, 0, 0, 1] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = torch.rand(6, 1, 1, 1, generator=generator) + 0.1 if per_channel else torch.tensor(0.0371)
    assert weight_precision(codes * scale) == (bits, "signed")


def test_binary_and_float_weights():
    w = torch.randn(5, 4, 3, 3)
    assert weight_precision(w.sign()) == (1, "binary")
    assert weight_precision(w.sign() * w.abs().mean((1, 2, 3), keepdim=True)) == (1, "binary")
    assert weight_precision(w) == (32, "float")
    assert weight_precision(torch.randn(16, 1, 1, 1)) == (32, "float")  # one weight per channel proves nothing
    assert weight_precision(torch.randn(16, 3)) == (32, "float")
    assert weight_precision(torch.where(w.abs() < 0.5, torch.zeros(()), w.sign())) == (2, "signed")
