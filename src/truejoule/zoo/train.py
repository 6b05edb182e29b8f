"""Train a network of the zoo again: ``python -m truejoule.zoo.train fashion_snn --data PATH``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from truejoule.errors import InputError
from truejoule.training import data
from truejoule.training.bptt import outputs_over_time, refresh_batchnorm
from truejoule.training.losses import tet
from truejoule.training.quantised import QuantConv2d, QuantLinear
from truejoule.zoo.bundle import NETWORKS
from truejoule.zoo.checkpoint import save
from truejoule.zoo.fashion_ann import FashionANN
from truejoule.zoo.fashion_snn import FashionSNN
from truejoule.zoo.measure import accuracy

BITS = 4


EPOCHS = {"fashion_snn": 12, "fashion_ann": 10, "fashion_ann_4bit": 10}
"""Networks that this module trains, with the epochs of the shipped checkpoints."""


def train(
    make: Callable[..., FashionSNN | FashionANN],
    folder: Path,
    out: Path,
    epochs: int,
    seed: int = 0,
    batch: int = 100,
    peak_rate: float = 3e-3,
    weight_decay: float = 1e-4,
) -> float:
    """Train ``make(conv=..., linear=...)``, write the checkpoint ``out``, and return the accuracy on all test images.

    The TET loss of a network without time is the cross-entropy of its one answer.

    AdamW, one learning-rate cycle, TET loss, 4-bit weights from the first step, images shifted by up to one pixel and
    mirrored. The network after the last epoch is the result: the test accuracies printed on the way choose nothing.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = data.read_split(folder, "train")
    test_images, test_labels = data.read_split(folder, "test")
    net = make(conv=partial(QuantConv2d, bits=BITS), linear=partial(QuantLinear, bits=BITS))
    optimiser = torch.optim.AdamW(net.parameters(), lr=peak_rate, weight_decay=weight_decay)
    value, steps = 0.0, epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak_rate, total_steps=steps, pct_start=0.15)
    for epoch in range(1, epochs + 1):
        batches = data.shuffled_batches(images, labels, batch, generator, shift=1, flip=True)
        mean_loss = train_epoch(net, batches, optimiser, schedule)
        if epoch == epochs:
            chosen = torch.randperm(len(images), generator=generator)[:20_000].split(500)
            refresh_batchnorm(net.layers, [data.to_input(images[some]) for some in chosen], net.steps)
        value = accuracy(net, test_images, test_labels)
        minutes = (time.perf_counter() - started) / 60
        print(f"epoch {epoch}/{epochs}  loss {mean_loss:.4f}  test accuracy {value:.4f}  {minutes:.1f} min", flush=True)
        save(net, out, {"seed": seed, "epochs": epochs, "trained_epochs": epoch, "bits": BITS, "test_accuracy": value})
    return value


def train_epoch(
    net: FashionSNN | FashionANN,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> float:
    """One pass over ``batches`` of inputs (N, 1, 28, 28) and labels (N,); returns the mean loss."""
    net.train()
    total, count = 0.0, 0
    for x, y in batches:
        loss = tet(outputs_over_time(net.layers, x, net.steps), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if schedule is not None:
            schedule.step()
        total, count = total + loss.item(), count + 1
    return total / max(count, 1)


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit codes 0 (done) and 2 (the input is wrong)."""
    parser = argparse.ArgumentParser(prog="python -m truejoule.zoo.train", description=__doc__)
    parser.add_argument("network", choices=sorted(EPOCHS))
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with {train,test}_x.npy.xz, {train,test}_y.npy"
    )
    parser.add_argument("--out", type=Path, help="to write (default: NETWORK.safetensors)")
    parser.add_argument("--epochs", type=int, help=f"default: {EPOCHS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--threads", type=int, default=1, help="another number may round differently (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    out = options.out or Path(f"{options.network}.safetensors")
    epochs = EPOCHS[options.network] if options.epochs is None else options.epochs
    try:
        train(NETWORKS[options.network], options.data, out, epochs, options.seed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
