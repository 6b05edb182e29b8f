"""Machines that are broken on purpose must fail the gates; each break is one that was once in the code."""

import pytest
import test_batches_change_nothing as batches
import test_deployed_equals_software as gate
import torch
from integer_network import Case

import truejoule as tj
from truejoule.accelerators.spikeflow import numerics as crossbar
from truejoule.numerics import deployed as shell
from truejoule.numerics import inputs as way_in
from truejoule.numerics.inputs import Taken

BINARY = Case("binary", "per layer", "spikes", "linear", "relu", torch.float32)


def test_a_dropped_radix(monkeypatch):
    def dropped(self, columns):
        return columns if self.slices == 1 else original(self, columns)

    original = crossbar.CrossbarLayer._shifted
    machine = tj.accelerator("spikeflow", encoding="full_offset")
    gate.gate(machine, BINARY)
    monkeypatch.setattr(crossbar.CrossbarLayer, "_shifted", dropped)
    with pytest.raises(AssertionError):
        gate.gate(machine, BINARY)


def test_a_forgotten_negative_pass(monkeypatch):
    original = crossbar.bit_planes
    case = Case("signed 4", "per layer", "int8", "conv", "relu", torch.float32)
    monkeypatch.setattr(
        crossbar, "bit_planes", lambda codes, low, high: original(codes, 1 - high if low else 0, high)[:-1]
    )
    with pytest.raises(AssertionError):
        gate.gate(tj.accelerator("spikeflow"), case)


def test_inputs_cut_to_eight_bits(monkeypatch):
    """Without a word: the gate sees both the answers and the count of clipped inputs."""
    for module in (crossbar, __import__("truejoule.accelerators.sata.numerics", fromlist=["x"])):
        original = module.integers

        def silent(x, grid, original=original):
            codes, taken = original(x, grid)
            return codes.clamp(-127, 255), taken

        monkeypatch.setattr(module, "integers", silent)
        name = module.__name__.split(".")[-2]
        with pytest.raises(AssertionError):
            gate.gate(tj.accelerator(name), Case("signed 4", "per layer", "12 bit", "conv", "relu", torch.float32))


@pytest.mark.parametrize("forget", ["sample", "plane"])
def test_noise_keyed_wrongly(monkeypatch, forget):
    original = crossbar.normal

    def keyed(shape, seed, *key):
        *name, sample, step, plane = key
        if name[-1] != "read":
            return original(shape, seed, *key)
        return original(
            shape, seed, *name, 0 if forget == "sample" else sample, step, 0 if forget == "plane" else plane
        )

    monkeypatch.setattr(crossbar, "normal", keyed)
    with pytest.raises(AssertionError):
        if forget == "plane":
            batches.test_read_noise_of_bit_planes_is_independent()
        else:
            batches.test_samples_have_their_own_noise()


def test_silent_clipping(monkeypatch):
    for module in (crossbar, __import__("truejoule.accelerators.sata.numerics", fromlist=["x"])):
        monkeypatch.setattr(module, "integers", lambda x, grid: (way_in.integers(x, grid)[0], Taken(x.numel(), 0, 0)))
        with pytest.raises(AssertionError):
            batches.test_clipped_and_rounded_inputs_are_counted_on_every_sample(module.__name__.split(".")[-2])


def test_clipping_looked_for_on_the_first_samples_only(monkeypatch):
    original = crossbar.CrossbarLayer.forward

    def forward(self, x, bias, step, first_sample):
        before = (self.tally.inputs_clipped, self.tally.inputs_rounded)
        result = original(self, x, bias, step, first_sample)
        if first_sample:
            self.tally.inputs_clipped, self.tally.inputs_rounded = before
        return result

    monkeypatch.setattr(crossbar.CrossbarLayer, "forward", forward)
    with pytest.raises(AssertionError):
        batches.test_clipped_and_rounded_inputs_are_counted_on_every_sample("spikeflow")


def test_a_stale_result(monkeypatch):
    original = shell.Deployed._step

    def stale(self, call, x, step):
        result = original(self, call, x, step)
        if call.name in self._kept:
            self._kept[call.name] = (x, *self._kept[call.name][1:])  # the user's own tensor, not a copy
        return result

    monkeypatch.setattr(shell.Deployed, "_step", stale)
    with pytest.raises(AssertionError):
        batches.test_a_buffer_that_is_used_again("spikeflow", "every step")


@pytest.mark.parametrize("kept", ["last batch", "first batch"])
def test_ranges_set_per_batch(monkeypatch, kept):
    """Converter ranges from one of the batches instead of all samples."""
    original = crossbar.Currents.add

    def add(self, current):
        if kept == "first batch" and int(self._counts.sum()):
            return
        if kept == "last batch":
            self._counts.zero_()
            self._low, self._high = float("inf"), 0.0
        original(self, current)

    monkeypatch.setattr(crossbar.Currents, "add", add)
    with pytest.raises(AssertionError):
        batches.test_batches_of_any_size("spikeflow", batches.SpikingNet)
