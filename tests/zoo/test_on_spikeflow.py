"""The bundled network on the machine, 1,000 real images: exact where nothing disturbs it."""

import pytest
import torch

import truejoule as tj
from small_networks import deployed_spikes, quantised, spikes_of
from truejoule import zoo

PERFECT = dict(adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)


def test_spike_for_spike_on_a_thousand_images():
    network = tj.read(zoo.load("fashion_snn"), zoo.images(50)[0])
    deployed = tj.accelerator("spikeflow", **PERFECT).deploy(network, zoo.calibration())
    spikes = images = flips_of_float = 0
    for x, _ in zoo.loader(batch_size=100):
        expected, reference = spikes_of(None, network, x, quantised(network))
        got, on_chip = deployed_spikes(deployed, network, x)
        assert all(torch.equal(reference[name], on_chip[name]) for name in reference)
        assert torch.equal(expected, got)
        _, in_float = spikes_of(None, network, x)
        flips_of_float += sum(int((in_float[name] != reference[name]).sum()) for name in reference)
        spikes += sum(float(s.sum()) for s in reference.values())
        images += len(x)
    assert images == 1000 and spikes > 1e6
    # Float32 convolutions round sums of scaled weights; next to nothing lies that near a threshold.
    assert flips_of_float < 1e-5 * spikes


def test_demo_keeps_its_accuracy_and_knows_why_it_loses_it():
    """Facts section 8: the aware encoding keeps accuracy where two's complement loses it; one converter per PE costs accuracy too."""
    data = list(zoo.loader(batch_size=50, n=200))

    def accuracy(**changes):
        e = tj.evaluate(
            zoo.load("fashion_snn"),
            tj.accelerator("spikeflow", **changes),
            data,
            samples=200,
            calibration=zoo.calibration(),
        )
        return e.accuracy.value, e.ideal_accuracy.value

    aware, ideal = accuracy()
    assert aware > ideal - 0.04
    assert accuracy(encoding="twos_complement")[0] < aware - 0.03
    assert accuracy(adc_scope="pe")[0] < aware
    assert accuracy(adc_bits=8)[0] == pytest.approx(ideal, abs=0.02)
