"""SATA (arXiv 2204.05422), training: the released reference run, and the two claims of the abstract.

Released numbers are those of the preset ``sata-2022-training``. The corrected ones are of the machine ``sata`` and its ANN twin, where the claim makes
sense there: both claims are ratios.
"""

from __future__ import annotations

from dataclasses import fields, replace

from truejoule.accelerators.accelerator import accelerator
from truejoule.accelerators.sata.design import SATA
from truejoule.accelerators.sata.training import DENSE, RELEASED, by_phase
from truejoule.accelerators.sata.training_released import ReleasedTraining
from truejoule.cost import Comparison, Ledger, compare
from truejoule.reproduce.claims import Claim
from truejoule.workload import Neuron, TrainingSparsity, Workload, shapes

PAPER = "SATA, arXiv 2204.05422"
FILES = "SATA_Sim, training_energy_cal"
GAIN, AGAINST_ANN = 5.58, 1.27
FIXED = {"linear_replaces": False}
"""Overrides that add up the forward accumulates of all layers."""
NO_SLIPS = {f.name: False for f in fields(ReleasedTraining) if str(f.metadata["meaning"]).startswith("slip")}


def vgg5(steps: int, *, ann: bool = False) -> Workload:
    return shapes.network("vgg5", time_steps=steps, neuron=None if ann else Neuron(), weight_bits=8)


def claims() -> list[Claim]:
    return [*_reference(), _gain(), _against_ann()]


def released(bits: int, **switches: bool) -> SATA:
    """The released training model at a precision, with switches for its slips."""
    machine = accelerator("sata-2022-training", weight_bits=bits, **switches)
    assert isinstance(machine, SATA)
    return machine


def corrected(batch: int = 1) -> SATA:
    machine = accelerator("sata", training_batch=batch)
    assert isinstance(machine, SATA)
    return machine


def compute_j(ledger: Ledger) -> float:
    """Energy of everything but memory, all phases."""
    return sum(of["compute"] for of in by_phase(ledger).values())


def gain(machine: SATA, sparsity: TrainingSparsity = RELEASED, *, gated_only: bool = False) -> float:
    """Compute energy without sparsity over that with it, VGG5 at T=8; of gated operations alone, or with clocks and leakage."""

    def joule(zeros: TrainingSparsity) -> float:
        ledger = machine.training(vgg5(8), zeros).ledger
        gated = ledger.where(lambda e: e.action in ("operation", "product with the surrogate", "membrane gradient"))
        return compute_j(gated if gated_only else ledger)

    return joule(DENSE) / joule(sparsity)


def against_ann(snn: SATA, ann: SATA, *, steps: int = 8, zeros: TrainingSparsity = DENSE) -> Comparison:
    """Training energy of the SNN over that of the ANN, VGG5."""
    ours, theirs = snn.training(vgg5(steps), RELEASED), ann.training(vgg5(1, ann=True), zeros)
    return compare(ours.ledger, theirs.ledger, shared=True, same_layers=False)


def needed_gradient_sparsity(target: float = GAIN) -> float:
    """Membrane-gradient sparsity at which the released account without its slips reaches a gain, found by bisection."""
    low, high = 0.0, 1.0
    machine = released(16, **NO_SLIPS)
    for _ in range(40):
        middle = (low + high) / 2
        enough = gain(machine, replace(RELEASED, membrane_gradient=middle)) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def _reference() -> list[Claim]:
    machine = released(2)
    assert machine.released_training is not None
    ledger = machine.training(vgg5(4), RELEASED).ledger
    forward = by_phase(ledger)["forward"]
    joules = (ledger.total_j, sum(forward.values()), forward["compute"])
    ours = [machine.released_training.in_macs(joule) for joule in joules]
    reason = (
        "the released formulas with their slips, recomputed (their script reads files from other folders); nothing to hold a corrected number "
        "against: the unit of account is their 16-bit MAC"
    )
    what = ("in all", "forward", "forward, compute only")
    return [
        Claim(FILES, f"VGG5, T=4, 2 bit, defaults: one training step, {text}", published, "16-bit MAC", own, None, "released", 1e-5, reason)
        for text, published, own in zip(what, (4.79899e9, 2.50573e8, 6.25845e5), ours, strict=True)
    ]  # fmt: skip


def _gain() -> Claim:
    as_released, machine = gain(released(16)), corrected()
    reason = (
        "the sparsities behind the paper's number are not released. With the defaults of the code (spikes 0.9, membrane gradient 0.7) the released "
        f"account gains {as_released:.2f}x ({gain(released(16, **FIXED)):.2f}x with forward accumulates added up) because its linear layers ignore "
        f"sparsity; without any of its slips {gain(released(16, **NO_SLIPS)):.2f}x, and a membrane-gradient sparsity of {needed_gradient_sparsity():.2f} "
        f"would be needed. Corrected, gated operations alone gain {gain(machine, gated_only=True):.2f}x, but clocks and leakage do not gain"
    )
    text = "VGG5, CIFAR-10: compute energy of a training step without sparsity over with sparsity (ours: T=8, released default sparsities; released at 16 bit)"
    return Claim(PAPER, text, GAIN, "x", as_released, gain(machine), "released", 0.05, reason)


def _against_ann() -> Claim:
    half = TrainingSparsity(0.5, 0.5, 0.0, "half of the activations of an ANN zero, as arXiv 2309.03388 assumes")
    ann, fixed = released(16, **FIXED), released(16, **FIXED)
    spread = [against_ann(released(b, **FIXED), ann, zeros=zeros).ratio for b in (8, 16) for zeros in (DENSE, half)]
    ours, many = (against_ann(corrected(n), corrected(n).ann_twin(8)) for n in (1, 32))
    reason = (
        "no ANN is released: ours is their formulas at T=1 with multipliers, ReLU and full-width activations. At equal width and T=8 that gives the "
        f"published value ({against_ann(fixed, ann).ratio:.2f}x with forward accumulates added up), but the conditions are our choice: SNN at 8 or 16 bit, "
        f"ANN dense or half zero give {min(spread):.2f}x to {max(spread):.2f}x, T=4 at 16 bit {against_ann(fixed, ann, steps=4).ratio:.2f}x. Corrected: "
        f"8-bit weights on SATA and on its ANN twin, {ours.low:.2f}x to {ours.high:.2f}x over the bands of all coefficients ({ours.verdict}); "
        f"with 32 samples per step {many.ratio:.2f}x"
    )
    text = "VGG5, CIFAR-10: training energy, SNN with sparsity over ANN (ours: T=8, both of one width, dense ANN; ANN and widths inferred)"
    return Claim(PAPER, text, AGAINST_ANN, "x", against_ann(released(16), released(16)).ratio, ours.ratio, "released", 0.05, reason)  # fmt: skip
