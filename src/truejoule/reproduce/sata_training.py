"""SATA (arXiv 2204.05422), training: the released reference run, and the two claims of the abstract."""

from __future__ import annotations

from dataclasses import replace

from truejoule.accelerators.sata.training import (
    DENSE,
    RELEASED,
    Accounting,
    by_phase,
    in_macs,
    training_ledger,
)
from truejoule.cost import Ledger
from truejoule.reproduce.claims import Claim
from truejoule.workload import Neuron, TrainingSparsity, Workload, shapes

PAPER = "SATA, arXiv 2204.05422"
FILES = "SATA_Sim, training_energy_cal"
GAIN, AGAINST_ANN = 5.58, 1.27


def vgg5(steps: int, *, ann: bool = False) -> Workload:
    return shapes.network("vgg5", time_steps=steps, neuron=None if ann else Neuron(), weight_bits=8)


def claims() -> list[Claim]:
    return [*_reference(), _gain(), _against_ann()]


def compute_j(ledger: Ledger) -> float:
    """Energy of everything but memory, all phases."""
    return sum(of["compute"] for of in by_phase(ledger).values())


def gain(accounting: Accounting, sparsity: TrainingSparsity = RELEASED, steps: int = 8, bits: int = 16) -> float:
    """Compute energy without sparsity over that with it, VGG5."""
    dense, sparse = (
        compute_j(training_ledger(vgg5(steps), s, accounting=accounting, bits=bits)) for s in (DENSE, sparsity)
    )
    return dense / sparse


def against_ann(
    accounting: Accounting, steps: int = 8, bits: int = 16, ann: TrainingSparsity = DENSE, batch: int = 1
) -> float:
    """Training energy of the SNN over that of the 16-bit ANN, VGG5."""
    ours = training_ledger(vgg5(steps), RELEASED, accounting=accounting, bits=bits, batch=batch)
    return ours.total_j / training_ledger(vgg5(1, ann=True), ann, accounting=accounting, bits=16, batch=batch).total_j


def needed_gradient_sparsity(target: float = GAIN) -> float:
    """Membrane-gradient sparsity at which the corrected account reaches a gain, found by bisection."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = gain("corrected", replace(RELEASED, membrane_gradient=middle)) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def _reference() -> list[Claim]:
    def ours(accounting: Accounting) -> tuple[float, float, float]:
        ledger = training_ledger(vgg5(4), RELEASED, accounting=accounting, bits=2)
        forward = by_phase(ledger)["forward"]
        return in_macs(ledger.total_j), in_macs(sum(forward.values())), in_macs(forward["compute"])

    reason = (
        "the released formulas with their assignment bug, recomputed (their script reads files from other folders); corrected: every layer, linear "
        "layers gated too, a dense 8-bit image, one-bit spikes in every phase, weights fetched again for the backward pass"
    )
    what = ("in all", "forward", "forward, compute only")
    return [
        Claim(FILES, f"VGG5, T=4, 2 bit, defaults: one training step, {text}", published, "16-bit MAC", *pair, "released", 1e-5, reason)
        for text, published, pair in zip(
            what, (4.79899e9, 2.50573e8, 6.25845e5), zip(ours("released"), ours("corrected"), strict=True), strict=True
        )
    ]  # fmt: skip


def _gain() -> Claim:
    reason = (
        "the sparsities behind the paper's number are not released. With the defaults of the code (spikes 0.9, membrane gradient 0.7) the released "
        f"account gains {gain('released'):.2f}x ({gain('released-fixed'):.2f}x with its bug fixed) because its linear layers ignore sparsity; "
        "corrected, the backward MACs, of which 30 % remain, set the limit: a membrane-gradient sparsity of "
        f"{needed_gradient_sparsity():.2f} would be needed"
    )
    text = "VGG5, CIFAR-10: compute energy of a training step without sparsity over with sparsity (ours: T=8, 16 bit, released default sparsities)"
    return Claim(PAPER, text, GAIN, "x", gain("released"), gain("corrected"), "released", 0.05, reason)


def _against_ann() -> Claim:
    half = TrainingSparsity(0.5, 0.5, 0.0, "half of the activations of an ANN zero, as arXiv 2309.03388 assumes")
    spread = [against_ann("released-fixed", 8, bits, ann) for bits in (8, 16) for ann in (DENSE, half)]
    reason = (
        "no ANN is released: ours is their formulas at T=1 with multipliers, ReLU and full-width activations. At equal width and T=8 that gives the "
        f"published value ({against_ann('released-fixed'):.2f}x with the bug fixed), but the conditions are our choice: SNN at 8 or 16 bit, ANN "
        f"dense or half zero give {min(spread):.2f}x to {max(spread):.2f}x, T=4 at 16 bit {against_ann('released-fixed', 4):.2f}x. All for a batch of one, "
        f"where weights over DRAM weigh on both sides; corrected, with 32 samples sharing them: {against_ann('corrected', batch=32):.2f}x"
    )
    text = "VGG5, CIFAR-10: training energy, SNN with sparsity over ANN (ours: T=8, both 16 bit, dense ANN; ANN and widths inferred)"
    return Claim(PAPER, text, AGAINST_ANN, "x", against_ann("released"), against_ann("corrected"), "released", 0.05, reason)  # fmt: skip
