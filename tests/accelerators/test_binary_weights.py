"""Networks of two-valued weights on the machines: what is stored, what is counted, and what is told."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import truejoule as tj


def network(values=(-1.0, 1.0)):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 6, bias=False))
    net[1].weight.data = torch.tensor(values)[torch.randint(0, len(values), (6, 16))]
    x = (torch.rand(8, 1, 4, 4) < 0.5).float()
    return tj.read(net, x), x


@pytest.mark.parametrize("encoding", ["aware_offset", "twos_complement", "full_offset"])
def test_two_levels_use_the_whole_range_of_a_cell(encoding):
    chip, (net, x) = tj.accelerator("spikeflow", encoding=encoding, cell_bits=4, programming_variation=0.0), network()
    s = chip.structure
    found = torch.unique(chip.deploy(net, [x]).layer("1").g_siemens)
    assert found.tolist() == pytest.approx([s.g_off_siemens, s.g_on_siemens], rel=1e-9)


@pytest.mark.parametrize(
    ("values", "masked"), [((-1.0, 1.0), False), ((-3.0, -1.0, 1.0, 3.0), False), ((-1.0, 0.0, 1.0), True)]
)
def test_no_sign_is_counted_where_no_weight_has_a_sign_bit(values, masked):
    chip, (net, x) = tj.accelerator("spikeflow", encoding="aware_offset"), network(values)
    deployed = chip.deploy(net, [x])
    deployed(x)
    seen = deployed.measurement()
    for work in (seen.work, None):
        actions = {e.action for e in chip.cost(chip.map(net.workload), seen.activity, work).ledger}
        assert ("input on a negative weight counted" in actions) is masked
        assert "correction subtracted" in actions


def test_a_dead_layer_has_no_signal_to_noise_ratio():
    net, x = network()
    silent = torch.zeros_like(x)
    deployed = tj.accelerator("spikeflow").deploy(net, [x])
    layer = deployed.layer("1")
    layer.matrix.zero_()
    layer.structure = replace(layer.structure, adc_bits=None)
    deployed(silent)
    assert "1" not in deployed.measurement().snr_db


def test_a_twin_keeps_the_wider_sums_of_its_machine():
    assert tj.accelerator("sata").ann_twin(8).structure.accumulator_bits == 24
    assert tj.accelerator("sata").undisturbed().ann_twin(8).structure.accumulator_bits == 53


def test_clipped_and_rounded_inputs_reach_the_warnings():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    x = torch.randint(0, 4, (20, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    late = x.clone()
    late[3, 0, 0, :2] = torch.tensor([9.0, 1.5])
    y = torch.zeros(20, dtype=torch.long)
    result = tj.evaluate(net, tj.accelerator("spikeflow"), [(late, y)], calibration=[x])
    assert any("were clipped" in w and "1 0.31 %" in w for w in result.warnings)
    assert any("were rounded" in w and "1 0.31 %" in w for w in result.warnings)
    quiet = tj.evaluate(net, tj.accelerator("spikeflow"), [(x, y)], calibration=[x])
    assert not any("were clipped" in w or "were rounded" in w for w in quiet.warnings)
