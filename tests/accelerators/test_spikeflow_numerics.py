"""SpikeFlow computes on its arrays: exact where nothing disturbs it, and disturbed by just what disturbs it."""

import copy

import pytest
import torch
from torch.nn import functional

import truejoule as tj
from small_networks import ReluNet, SpikingNet, deployed_spikes, images, quantised, spikes_of
from truejoule.circuit import Wires, reference
from truejoule.numerics.schemes import SCHEMES

PERFECT = dict(adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)


@pytest.mark.parametrize("encoding", SCHEMES)
@pytest.mark.parametrize("cell_bits", [1, 2, 4])
@pytest.mark.parametrize("row_order", ["kernel", "im2col"])
def test_ideal_equals_the_quantised_network_spike_for_spike(encoding, cell_bits, row_order):
    net, x = SpikingNet(), images(20)
    network = tj.read(net, x[:4])
    chip = tj.accelerator("spikeflow", encoding=encoding, cell_bits=cell_bits, row_order=row_order, **PERFECT)
    expected, spikes = spikes_of(None, network, x, quantised(network))
    got, on_chip = deployed_spikes(chip.deploy(network, [x]), network, x)
    assert all(torch.equal(spikes[name], on_chip[name]) for name in spikes)
    assert sum(float(s.sum()) for s in spikes.values()) > 100
    assert torch.equal(got, expected)


@pytest.mark.parametrize("groups, stride", [(2, 1), (6, 1), (1, 2), (3, 2)])
def test_groups_and_strides(groups, stride):
    net, x = SpikingNet(groups=groups, stride=stride), images(6)
    network = tj.read(net, x)
    expected, _ = spikes_of(None, network, x, quantised(network))
    assert torch.equal(tj.accelerator("spikeflow", crossbar_size=16, **PERFECT).deploy(network, [x])(x), expected)


def test_relu_networks_run_on_the_same_arrays():
    """Multi-bit activations, bit-serial: within the rounding of 8-bit inputs, and closer with more bits."""
    net, x = ReluNet(), images(30)
    network = tj.read(net, x[:4])
    ideal = net(x).detach()
    errors = []
    for bits in (4, 8, 12):
        got = tj.accelerator("spikeflow", input_bits=bits, **PERFECT).deploy(network, [x])(x)
        errors.append(float((got - ideal).abs().max() / ideal.abs().max()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-3


def test_zeroing_one_cell_changes_exactly_the_outputs_it_feeds():
    net, x = SpikingNet(), images(3)
    network = tj.read(net, x)
    deployed = tj.accelerator("spikeflow", encoding="full_offset", **PERFECT).deploy(network, [x])
    layer = deployed.layer("conv2")
    spikes = (torch.rand(3, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    before = layer(spikes, None, 0, 0).clone()
    # kernel order: block = kernel position (row 1, column 2) -> 5; the last rows of the crossbar hold the channels; column = output channel
    block, channel, output = 5, 4, 7
    row = layer.structure.crossbar_size - 6 + channel
    cell = layer.g_siemens[block, 0, row, output]
    assert cell > layer.structure.g_off_siemens * 1.01
    layer.g_siemens[block, 0, row, output] = layer.structure.g_off_siemens
    layer.program()
    after = layer(spikes, None, 0, 0)
    changed = (after - before).abs() > 0
    fed = functional.pad(spikes[:, channel], (1, 1, 1, 1))[:, 1:9, 2:10] > 0
    assert torch.equal(changed[:, output], fed)
    changed[:, output] = False
    assert not changed.any()


def currents(layer, window, wires):
    """Column currents of every crossbar for one window, by sparse nodal analysis: no code in common with the fast path."""
    s = layer.structure
    rows = torch.cat([window, torch.zeros(1)])[layer._index].view(layer.matrix.shape[1], -1)
    full = torch.zeros(len(rows), s.crossbar_size)
    full[:, layer._first_row :] = rows
    return [
        [
            reference.currents(layer.g_siemens[b, c].numpy(), wires, (full[b] * s.v_read).double().numpy()[None])[0]
            for c in range(layer.g_siemens.shape[1])
        ]
        for b in range(len(rows))
    ]


def test_outputs_with_wires_equal_nodal_analysis_of_the_programmed_arrays():
    net, x = SpikingNet(), images(2)
    network = tj.read(net, x)
    wires = dict(r_wl="5 ohm", r_bl="7 ohm", r_source="100 ohm", r_sense="30 ohm")
    deployed = tj.accelerator("spikeflow", **(PERFECT | wires), encoding="full_offset").deploy(network, [x])
    layer = deployed.layer("conv2")
    s = layer.structure
    spikes = (torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    got = layer(spikes, None, 0, 0)[0] / layer.scale.view(-1, 1, 1).float()
    unrolled = functional.unfold(spikes, 3, padding=1)[0]
    circuit = Wires(5.0, 7.0, r_source_ohm=100.0, r_sense_ohm=30.0)
    for position in (0, 19, 36):
        window = unrolled[:, position]
        sums = sum(torch.as_tensor(block[0])[: layer.layer.out_channels] for block in currents(layer, window, circuit))
        units = sums / s.v_read / layer.unit_siemens - layer.floor_units * window.sum() - layer.offset * window.sum()
        assert torch.allclose(units.float(), got[:, position // 8, position % 8], atol=2e-3)


def test_measured_conductance_is_the_power_of_the_arrays():
    """sum over windows of x^T Y x equals the power that nodal analysis says the drivers deliver, over V^2."""
    net, x = SpikingNet(steps=1), images(1)
    network = tj.read(net, x, time_steps=1)
    deployed = tj.accelerator("spikeflow", **(PERFECT | dict(r_wl="5 ohm", r_bl="7 ohm"))).deploy(network, [x])
    layer = deployed.layer("conv2")
    spikes = (torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    layer.tally.work.clear()
    layer(spikes, None, 0, 0)
    wires, s = Wires(5.0, 7.0), layer.structure
    total = 0.0
    for window in functional.unfold(spikes, 3, padding=1)[0].T:
        rows = torch.cat([window, torch.zeros(1)])[layer._index].view(layer.matrix.shape[1], -1)
        for b, row in enumerate(rows):
            v = torch.zeros(s.crossbar_size, dtype=torch.float64)
            v[layer._first_row :] = row
            total += float(tj.circuit.static_power(layer.g_siemens[b, 0], wires, v))
    assert layer.tally.work["driven_conductance"][0] == pytest.approx(total, rel=1e-4)


def test_counts_of_driven_rows_and_of_inputs_on_negative_weights():
    """One count per set bit of an input, per window; per negative weight below it for the second."""
    net, x = SpikingNet(steps=1), images(2)
    network = tj.read(net, x, time_steps=1)
    deployed = tj.accelerator("spikeflow", **PERFECT).deploy(network, [x])
    deployed(x)
    codes = torch.round(functional.unfold(x, 3, padding=1) * 255).to(torch.int64)
    bits = sum((codes >> k) & 1 for k in range(8)).float()
    negative = (net.conv1.weight.flatten(1) < 0).float()
    work = deployed.measurement().work["conv1"]
    assert work["driven_rows"][0] == float(bits.sum()) / 2
    assert work["sign_counts"][0] == float((negative @ bits).sum()) / 2


def test_converter_rounds_every_partial_sum():
    """4 bits over the full range: outputs are what rounding each crossbar's current by hand gives."""
    net, x = SpikingNet(), images(2)
    network = tj.read(net, x)
    chip = tj.accelerator(
        "spikeflow", **(PERFECT | dict(adc_bits=4)), adc_range="full", encoding="full_offset", r_off="1000 kohm"
    )
    layer = chip.deploy(network, [x]).layer("conv2")
    s = layer.structure
    spikes = (torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    got = layer(spikes, None, 0, 0)[0] / layer.scale.view(-1, 1, 1).float()
    step = s.crossbar_size * s.g_on_siemens * s.v_read / 15
    unrolled = functional.unfold(spikes, 3, padding=1)[0]
    for position in (3, 27):
        window = unrolled[:, position]
        rounded = torch.zeros(layer.layer.out_channels, dtype=torch.float64)
        for block in currents(layer, window, Wires(0.0, 0.0)):
            rounded += torch.round(torch.as_tensor(block[0])[: layer.layer.out_channels] / step).clamp(0, 15) * step
        units = rounded / s.v_read / layer.unit_siemens - (layer.floor_units + layer.offset) * window.sum()
        assert torch.allclose(units.float(), got[:, position // 8, position % 8], atol=1e-2)


def test_more_bits_and_thinner_wires_are_better():
    net, x = SpikingNet(), images(20)
    network = tj.read(net, x[:4])

    def snr(**changes):
        deployed = tj.accelerator("spikeflow", **(PERFECT | changes)).deploy(network, [x])
        deployed(x)
        return deployed.measurement().snr_db["conv2"]

    assert snr(adc_bits=4) < snr(adc_bits=6) < snr(adc_bits=8)
    assert (
        snr(r_wl="50 ohm", r_bl="50 ohm")
        < snr(r_wl="5 ohm", r_bl="5 ohm")
        < snr(r_wl="0.5 ohm", r_bl="0.5 ohm")
        < float("inf")
    )
    assert snr(programming_variation=0.2) < snr(programming_variation=0.02)
    assert snr(stuck_on=0.02) < float("inf") and snr(stuck_off=0.02) < float("inf")


@pytest.mark.parametrize("changes", [{"read_noise": 0.1}, {"programming_variation": 0.1, "adc_bits": 5}])
def test_results_do_not_depend_on_the_batch(changes):
    net, x = SpikingNet(), images(12)
    network = tj.read(net, x[:4])
    chip = tj.accelerator("spikeflow", **(PERFECT | changes))
    results = []
    for size in (12, 5, 1):
        deployed = chip.deploy(network, [x], seed=3)
        results.append(torch.cat([deployed(part) for part in x.split(size)]))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_read_noise_is_fresh_and_variation_is_not():
    net, x = SpikingNet(), images(1)
    network = tj.read(net, x)
    spikes = (torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    for changes, same in (({"read_noise": 0.1}, False), ({"programming_variation": 0.1}, True)):
        layer = tj.accelerator("spikeflow", **(PERFECT | changes)).deploy(network, [x]).layer("conv2")
        assert torch.equal(layer(spikes, None, 0, 0), layer(spikes, None, 1, 0)) is same
    chips = [
        tj.accelerator("spikeflow", **(PERFECT | {"programming_variation": 0.1}))
        .deploy(network, [x], seed=s)
        .layer("conv2")
        .g_siemens
        for s in (0, 0, 1)
    ]
    assert torch.equal(chips[0], chips[1]) and not torch.equal(chips[0], chips[2])
    relative = (chips[0] / chips[2]).std() / 2**0.5
    assert float(relative) == pytest.approx(0.1, rel=0.1)


def test_adc_scope_sums_before_converting():
    net, x = SpikingNet(), images(8)
    network = tj.read(net, x)
    per_crossbar, per_pe = (
        tj.accelerator("spikeflow", **(PERFECT | {"adc_bits": 4, "adc_scope": scope})).deploy(network, [x])
        for scope in ("crossbar", "pe")
    )
    per_crossbar(x), per_pe(x)
    assert per_pe.measurement().snr_db["conv2"] < per_crossbar.measurement().snr_db["conv2"]


def test_the_users_network_is_left_alone():
    net, x = SpikingNet(), images(4)
    state = copy.deepcopy(net.state_dict())
    before = net(x)
    for part in (net.spike1, net.spike2):
        part.reset()
    network = tj.read(net, x)
    tj.accelerator("spikeflow").deploy(network, [x])(x)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert torch.equal(net(x), before)


class Residual(SpikingNet):
    """A second branch around conv2, added before the neuron."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.skip = torch.nn.Conv2d(6, 12, 1, bias=False)
        step = self.skip.weight.data.abs().max() / 7
        self.skip.weight.data = torch.round(self.skip.weight.data / step) * step
        self.eval()

    def forward(self, x):
        total = torch.zeros(())
        for _ in range(self.steps):
            h = self.spike1(self.norm1(self.conv1(x)))
            h = self.pool(self.spike2(self.norm2(self.conv2(h)) + self.skip(h)))
            total = total + self.fc(h.flatten(1))
        return total / self.steps


class MultiStep(SpikingNet):
    """The same network with time as the leading axis of every tensor: convolutions see (T*N, ...), neurons run over T."""

    def over_time(self, spike, x):
        x = x.unflatten(0, (self.steps, -1))
        spike.reset()
        return torch.stack([spike(part) for part in x]).flatten(0, 1)

    def forward(self, x):
        h = x.repeat(self.steps, 1, 1, 1)
        h = self.over_time(self.spike1, self.norm1(self.conv1(h)))
        h = self.pool(self.over_time(self.spike2, self.norm2(self.conv2(h))))
        return self.fc(h.flatten(1)).unflatten(0, (self.steps, -1)).mean(0)


def test_residual_networks():
    net, x = Residual(), images(12)
    network = tj.read(net, x)
    expected, spikes = spikes_of(None, network, x, quantised(network))
    got, on_chip = deployed_spikes(tj.accelerator("spikeflow", **PERFECT).deploy(network, [x]), network, x)
    assert torch.equal(expected, got) and all(torch.equal(spikes[name], on_chip[name]) for name in spikes)
    assert any(t.target.startswith("add") for t in tj.accelerator("spikeflow").map(network.workload).transfers)


def test_time_as_a_loop_and_as_an_axis_give_the_same():
    x = images(6)
    results = []
    for net in (SpikingNet(), MultiStep()):
        network = tj.read(net, x)
        assert network.time_steps == 3
        deployed = tj.accelerator("spikeflow", adc_bits=4, programming_variation=0.1).deploy(network, [x])
        answers = deployed(x)
        measured = deployed.measurement()
        results.append(
            (
                answers,
                {name: measured.work[name]["driven_conductance"] for name in ("conv1", "conv2", "fc")},
                measured.activity.layers["conv2"].nonzero_inputs,
            )
        )
    (loop, work, spikes), (axis, work_axis, spikes_axis) = results
    assert torch.allclose(loop, axis, atol=1e-6)
    assert spikes == spikes_axis
    for name, values in work.items():
        assert values == pytest.approx(work_axis[name], rel=1e-6)
