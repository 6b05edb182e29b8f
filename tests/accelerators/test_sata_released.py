"""The released accounts of SATA_Sim against its own result files (facts: snn_accelerators 3.6, 3.8, 3.9)."""

import pytest

import truejoule as tj
from truejoule.accelerators.sata.lif import lif_account
from truejoule.accelerators.sata.released import cycles, traffic
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import Profile, with_profile


def cost(preset, network, t, sparsity, spiking=True, **overrides):
    machine = tj.accelerator(preset, **overrides)
    workload = shapes.network(network, time_steps=t, neuron=Neuron() if spiking else None)
    workload = with_profile(workload, Profile("global sparsity", 1 - sparsity, 1 - sparsity))
    return machine.cost(machine.map(workload), workload.activity)


def split(c):
    parts = {k: 1e3 * v for k, v in c.ledger.by("component").items()}
    sram = sum(v for k, v in parts.items() if k.endswith("buffer"))
    return parts, sram


SNN_RUNS = [  # preset, network, T, sparsity, total, lif, scratchpads, accumulate, DRAM, SRAM in mJ
    ("sata-2023-table", "vgg9-sata", 20, 0.91, 5.795, 0.3378, 1.3289, 0.1276, 2.0657, 1.9346),
    ("sata-2023-table", "vgg9-sata", 80, 0.5, 16.807, 1.2718, 5.9893, 0.7006, 2.0657, 6.7795),
    ("sata-2023-table", "resnet19-sata", 4, 0.85, 54.405, 1.4420, 5.8332, 0.5801, 36.1716, 10.3777),
    ("sata-2023-table", "resnet19-sata", 100, 0.5, 368.657, 28.157, 138.502, 16.825, 36.1716, 149.001),
    ("sata-2023-t4", "vgg9-sata", 4, 0.9, 4.746, 0.0887, 1.8261, 0.0330, 2.2625, 0.5354),
    ("eyeriss-2023", "vgg9-sata", 1, 0.5, 3.813, 0.0146, 1.2677, 0.0642, 2.0657, 0.4004),
]


@pytest.mark.parametrize("preset, network, t, s, total, lif, spad, mac, dram, sram", SNN_RUNS)
def test_reference_numbers(preset, network, t, s, total, lif, spad, mac, dram, sram):
    c = cost(preset, network, t, s, spiking=preset != "eyeriss-2023")
    parts, memories = split(c)
    close = dict(rel=1.5e-4, abs=6e-5)  # four digits as printed
    assert 1e3 * c.energy_j == pytest.approx(total, **close)
    assert parts["neuron unit"] == pytest.approx(lif, **close)
    assert parts["scratchpads"] == pytest.approx(spad, **close)
    assert parts["accumulate"] == pytest.approx(mac, **close)
    assert parts["dram"] == pytest.approx(dram, **close)
    assert memories == pytest.approx(sram, **close)


def test_the_published_sparsity_instead_of_the_file_value():
    assert 1e3 * cost("sata-2023-table", "vgg9-sata", 20, 0.905).energy_j == pytest.approx(5.798, abs=6e-4)


def test_the_shipped_ann_configuration():
    shipped = dict(input_scratchpad="72 B", weight_scratchpad="288 B", partial_scratchpad="64 B")
    assert 1e3 * cost("eyeriss-2023", "vgg9-sata", 1, 0.5, False, **shipped).energy_j == pytest.approx(4.292, abs=6e-4)


SUMS = {  # OS cycles per step, WS filter cycles, SRAM I W O, DRAM I W O, MAC and LIF per step with the FC error, and without
    "vgg9-sata": (863023, 1466003, 7745376, 3307200, 184448, 950066, 3307200, 149525, 105578496, 198144, 92995584),
    "wide5-sata": (
        *(7608777, 11337385, 87174848, 19828096, 587392, 22693243, 19828096),
        *(486428, 1065222144, 611840, 993918976),
    ),
    "resnet19-sata": (
        *(15433150, 18244997, 223162048, 14486912, 1447296, 61465883, 14486912),
        *(1211255, 2287337472, 1444096, 2270560256),
    ),
}


@pytest.mark.parametrize("network", SUMS)
def test_sums_of_the_workload_files(network):
    s = tj.accelerator("sata-2023-table").structure
    layers = shapes.network(network, time_steps=4, neuron=Neuron()).multiplying
    moved = [traffic(layer, s) for layer in layers]
    spent = [cycles(layer, s) for layer in layers]
    found = (
        *(sum(c[i] for c in spent) for i in (0, 1)),
        *(sum(getattr(m, name) for m in moved) for name in ("sram_inputs", "weights", "sram_outputs")),
        *(sum(getattr(m, name) for m in moved) for name in ("dram_inputs", "weights", "dram_outputs")),
        *(sum(getattr(m, name) for m in moved) for name in ("macs", "updates")),
        sum(layer.macs for layer in layers),
    )
    assert found == SUMS[network]


def test_inputs_read_again_with_a_small_buffer():
    s = tj.accelerator("sata-2023-t4").structure
    layers = shapes.network("vgg9-sata", time_steps=4, neuron=Neuron()).multiplying
    assert sum(traffic(layer, s).dram_inputs for layer in layers) == 2739531


def test_lif_is_idle():
    """99.8 % of the LIF energy of the BNTT run is spent idle: 85 pJ an update where 0.188 pJ would do."""
    account = lif_account(cost("sata-2023-table", "vgg9-sata", 20, 0.91))
    assert account.total_j == pytest.approx(337.767e-6, rel=2e-5)
    assert account.useful_j == pytest.approx(187e-9, rel=5e-3)
    assert account.ungated_j == pytest.approx(337.076e-6, rel=2e-5)
    assert account.leakage_j == pytest.approx(503e-9, rel=5e-3)
    assert account.ungated_j / account.total_j == pytest.approx(0.998, abs=5e-5)
    assert account.per_update_j == pytest.approx(85e-12, rel=5e-3)
    assert account.alone_j == pytest.approx(0.188e-12, rel=5e-3)


def test_four_channels_share_a_lif():
    one, four = (lif_account(cost("sata-2023-table", "vgg9-sata", 20, 0.91, neurons_per_lif=n)).total_j for n in (1, 4))
    assert 1 - four / one == pytest.approx(0.7496, abs=5e-5)


def test_other_networks_get_a_warning_where_the_tables_end():
    machine = tj.accelerator("sata-2023-table")
    assert any("DRAM" in w for w in machine.map(shapes.network("vgg16-cifar", time_steps=2, neuron=Neuron())).warnings)
    assert not machine.map(shapes.network("vgg9-sata", time_steps=2, neuron=Neuron())).warnings
