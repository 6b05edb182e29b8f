"""Energy over T, and spiking networks against their ANN twins, on every machine that runs both."""

import pytest

import truejoule as tj
from truejoule import zoo
from truejoule.accelerators.against_ann import ann_workload, break_even, by_steps, largest_cheaper, precisions
from truejoule.accelerators.over_time import Observed, cost_of, energy_j, energy_line, with_spikes, with_time_steps
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import Profile, with_profile

MACHINES = ("sata", "spikeflow")


def seen(name, steps, profile="snn-10", bits=4):
    return Observed(with_profile(shapes.network(name, time_steps=steps, neuron=Neuron(), weight_bits=bits), profile))


@pytest.mark.parametrize("name", MACHINES)
def test_energy_over_time_is_a_line(name):
    machine, workload = tj.accelerator(name), seen("vgg9", 4)
    line = energy_line(machine, workload)
    assert line.worst < 0.05 and line.e0_j > 0 and line.e1_j > 0
    assert line.at(4) == pytest.approx(energy_j(machine, workload), rel=0.05)
    with pytest.raises(tj.InputError, match="two points"):
        energy_line(machine, workload, (4, 4))
    with pytest.raises(tj.InputError, match="cannot run"):
        with_time_steps(Observed(with_profile(shapes.network("vgg9"), "relu-50")), 2)


def test_the_line_of_a_released_account_is_its_own_split():
    released, workload = tj.accelerator("sata-2023-table"), seen("vgg9-sata", 4, bits=8)
    line = energy_line(released, workload)
    assert line.worst < 1e-9
    assert line.e0_j == pytest.approx(cost_of(released, workload).ledger.fixed_j, rel=1e-9)


@pytest.mark.parametrize("name", MACHINES)
def test_break_even_against_the_twin(name):
    machine, workload = tj.accelerator(name), seen("vgg9", 4)
    found = break_even(machine, workload)
    assert [b.bits for b in found if not b.built] == [8, 4, 3]
    assert len(found) == {"sata": 6, "spikeflow": 3}[name]
    for b in found:
        c = b.energy
        assert 0 <= b.time_steps < 4 and c.first_j > c.second_j and c.low < c.ratio < c.high
        assert c.verdict in b.describe()
        assert sum(c.components.values()) == pytest.approx(c.first_j - c.second_j)
        # Operation counts say the opposite.
        assert b.proxy < 0.2
        # The break-even itself is cheaper, one step more is not.
        for steps, cheaper in ((b.time_steps, True), (b.time_steps + 1, False)):
            assert steps == 0 or (energy_j(machine, with_time_steps(workload, steps)) < c.second_j) == cheaper


def test_scratchpads_decide_and_are_shown():
    """The published ANN's scratchpads are most of its energy; without them it has the area of the spiking array and certainly wins."""
    published, small = break_even(tj.accelerator("sata"), seen("vgg9", 4, bits=8), (8,))
    assert published.built == "" and "small scratchpads" in small.built and small.opponent in small.describe()
    assert small.snn_m2 / small.ann_m2 == pytest.approx(
        1, abs=0.05
    ) and published.snn_m2 / published.ann_m2 == pytest.approx(0.37, abs=0.01)
    assert published.energy.verdict == "undecided" and small.energy.verdict == "more expensive"


def test_all_steps_at_once_change_the_answer():
    """LoAS: the same clocks, fetches and leakage serve all time steps, and the verdict against the published configuration turns."""
    b = break_even(tj.accelerator("sata", dataflow="temporal_parallel"), seen("vgg9", 4, bits=8), (8,))[0]
    assert b.energy.verdict == "cheaper" and b.snn_s == pytest.approx(b.ann_s, rel=0.1) and b.snn_m2 < b.ann_m2


def test_an_snn_that_wins():
    """One step with few spikes on the same array: everything points the other way."""
    b, small = break_even(tj.accelerator("sata"), seen("vgg9", 1, Profile("p", 0.01)), (8,))
    assert small.energy.ratio > b.energy.ratio
    assert b.energy.ratio < 1 and b.time_steps >= 1 and b.spike_rate is not None and b.spike_rate > b.rate
    assert b.snn_s == pytest.approx(b.ann_s, rel=0.5)


@pytest.mark.parametrize("overrides", [{}, {"lif_gated": True}, {"skip_silent": True}])
def test_break_even_spike_rate(overrides):
    """At the break-even rate both cost the same, and the same network with a profile of that rate says so."""
    machine = tj.accelerator("sata", input_scratchpad="1 B", **overrides)
    workload = seen("vgg9", 3, bits=8)
    b = break_even(machine, workload, (8,))[0]
    assert b.rate == pytest.approx(0.1) and b.spike_rate is not None and b.spike_rate > 0.02
    at = with_spikes(workload, b.spike_rate / b.rate)
    if b.spike_rate < 1:
        assert energy_j(machine, at) == pytest.approx(b.energy.second_j, rel=1e-4)
    else:
        assert energy_j(machine, at) < b.energy.second_j
    if not overrides.get("skip_silent"):
        profile = seen("vgg9", 3, Profile("p", b.spike_rate, 1.0), bits=8)
        assert energy_j(machine, profile) == pytest.approx(energy_j(machine, at), rel=1e-3)
    # Not even a silent network is cheaper where idle clocks and leakage of 16 steps cost more than the whole ANN.
    assert break_even(tj.accelerator("sata"), seen("vgg9", 16), (3,))[0].spike_rate is None


def test_measured_work_is_repeated_and_scaled():
    plain = seen("vgg9", 2)
    run = Observed(plain.workload, {"conv2": {"accumulates": (3.0, 5.0)}})
    assert with_time_steps(run, 3).work == {"conv2": {"accumulates": (4.0,) * 3}}
    assert with_spikes(run, 0.5).work == {"conv2": {"accumulates": (1.5, 2.5)}}
    full = with_spikes(run, 1e9).activity
    assert full.layers["conv2"].density() == (1.0, 1.0) and full.layers["conv2"].patch_density() == (1.0, 1.0)
    assert full.layers["conv1"] == plain.activity.layers["conv1"], "the image is not made of spikes"
    with pytest.raises(tj.InputError, match="no activity"):
        energy_j(tj.accelerator("sata"), Observed(shapes.network("vgg9", time_steps=2, neuron=Neuron())))


def test_averages_of_spikes_are_spikes():
    """Layers behind average pools see several bits, but they are silent when the neurons are."""
    workload = with_profile(shapes.network("vgg9", time_steps=2, neuron=Neuron(), pool="avg_pool"), "snn-10")
    silent = with_spikes(Observed(workload), 0.0).activity
    assert [x.name for x in workload.multiplying if sum(silent.layers[x.name].input_ones)] == ["conv1"]


def test_the_twin_is_mapped_by_the_same_mapper():
    machine, workload = tj.accelerator("sata"), seen("vgg9", 1)
    ann = ann_workload(workload.workload, 8)
    snn_map, ann_map = machine.map(workload.workload), machine.ann_twin(8).map(ann)
    assert [p.arrays for p in snn_map.placements] == [p.arrays for p in ann_map.placements]
    components = cost_of(machine.ann_twin(8), Observed(ann)).ledger.by("component")
    assert "activation" not in components and components["neuron unit"] > 0, "ReLU is the neuron unit of the twin"


@pytest.mark.parametrize("name", MACHINES)
def test_impossible_twins(name):
    with pytest.raises(tj.InputError, match="impossible width"):
        tj.accelerator(name).ann_twin(0)
    published = {"sata": "sata-2023-t4", "spikeflow": "spikesim-released"}[name]
    with pytest.raises(tj.InputError, match="no ANN twin"):
        tj.accelerator(published).ann_twin(8)


def test_break_even_of_the_released_accounts():
    """Facts 3.8: between T=2 and T=3."""
    ann = with_profile(shapes.network("vgg9-sata"), Profile("p", 0.5, 0.5))
    snn = seen("vgg9-sata", 4, Profile("p", 0.1, 0.1), bits=8)
    energy = by_steps(tj.accelerator("sata-2023-t4"), snn)
    assert largest_cheaper(energy, energy_j(tj.accelerator("eyeriss-2023"), Observed(ann))) == 2


def test_precisions():
    assert precisions(4) == (8, 4, 3) and precisions(15) == (8, 4) and precisions(300) == (8, 4)


def test_a_twin_that_does_not_fit_is_a_warning():
    """The 24-bit sums of the ANN need more output buffer than the 16-bit ones of this machine."""
    machine = tj.accelerator("sata", output_buffer="520 B")
    result = tj.evaluate(zoo.load("fashion_snn"), machine, zoo.loader(10, 10), calibration=zoo.calibration())
    assert result.over_time is not None and result.over_time.against_ann == ()
    assert any("no ANN of the same topology" in w and "too small for one tile" in w for w in result.warnings)


@pytest.mark.parametrize("name", MACHINES)
def test_an_evaluation_compares_what_it_measured(name):
    """The SNN's side is the evaluation's own energy, not an estimate from densities."""
    machine = tj.accelerator(name)
    result = tj.evaluate(zoo.load("fashion_snn"), machine, zoo.loader(10, 10), calibration=zoo.calibration())
    assert result.over_time is not None
    for b in result.over_time.against_ann:
        assert b.energy.first_j == pytest.approx(result.cost.energy_j, rel=1e-12)
        assert b.snn_s == result.cost.latency_s
    at_four = dict(result.over_time.line.points)[4]
    assert at_four == pytest.approx(result.cost.energy_j, rel=1e-9)
    ann = tj.evaluate(zoo.load("fashion_ann"), machine.ann_twin(8), zoo.loader(10, 10), calibration=zoo.calibration())
    assert ann.over_time is None
    # The assumed ANN (half zeros) and the trained one (0.44 to 0.49 not zero) cost nearly the same.
    assert ann.cost.energy_j == pytest.approx(result.over_time.against_ann[0].energy.second_j, rel=0.15)
