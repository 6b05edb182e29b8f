"""Samples going in, answers coming out: what the user's data and the network's output must look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from truejoule.errors import InputError, TrueJouleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CALIBRATION_SAMPLES = 64
"""Samples whose inputs (never their labels) set the ranges when no calibration data are given."""


def labelled(data: Iterable[tuple[Tensor, Tensor]], samples: int | None) -> list[tuple[Tensor, Tensor]]:
    """The first ``samples`` of the data."""
    import torch

    if samples is not None and samples < 1:
        raise InputError("no samples to evaluate", where="samples", got=samples, expected="at least 1")
    batches, found = [], 0
    for batch in _loaded(data):
        if not (
            isinstance(batch, (tuple, list))
            and len(batch) == 2
            and all(isinstance(part, torch.Tensor) for part in batch)
        ):
            raise InputError(
                "data that are not labelled batches",
                where=f"batch {len(batches)}",
                got=type(batch).__name__,
                expected="(inputs, labels), two tensors",
                fix="wrap your data in a torch DataLoader that yields images and class numbers",
            )
        x, y = batch
        if y.dim() != 1 or y.is_floating_point():
            raise InputError(
                "labels that are not class numbers",
                where=f"batch {len(batches)}",
                got=f"{y.dtype} of shape {tuple(y.shape)}",
                expected="whole numbers, shape (batch,)",
            )
        keep = len(y) if samples is None else min(len(y), samples - found)
        if keep:
            batches.append((x[:keep] if len(x) == len(y) else x[:, :keep], y[:keep]))
        found += keep
        if samples is not None and found >= samples:
            break
    if not found:
        raise InputError(
            "no data",
            where="data",
            got="an empty loader",
            expected="at least one batch of (inputs, labels)",
            fix="check the data set and its path",
        )
    return batches


def _loaded(data: Iterable[Any]) -> Iterator[Any]:
    """The batches; what the user's loader raises is about the user's data."""
    try:
        yield from data
    except Exception as error:
        if isinstance(error, TrueJouleError):
            raise
        raise InputError(
            "the data cannot be read", where="data", got=f"{type(error).__name__}: {error}", fix="check the loader"
        ) from error


def device_of(name: str) -> torch.device:
    """A device that is there."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "no such device",
            where="device",
            got=name,
            expected="cpu, or cuda where torch sees one",
            fix=str(error).splitlines()[0],
        ) from None
    return device


def calibration_batches(given: Iterable[Any] | None, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
    """Input batches for ranges."""
    import torch

    if given is None:
        inputs, found = [], 0
        for x, y in batches:
            inputs.append(x[: CALIBRATION_SAMPLES - found] if len(x) == len(y) else x)
            found += len(y)
            if found >= CALIBRATION_SAMPLES:
                break
        return tuple(inputs)
    picked = [batch if isinstance(batch, torch.Tensor) else batch[0] for batch in islice(given, 8)]
    if not picked:
        raise InputError(
            "no calibration data",
            where="calibration",
            got="an empty loader",
            expected="at least one batch",
            fix="leave it out to use the first samples of the data",
        )
    return tuple(x.to(batches[0][0].device) for x in picked)


def scores(output: Any, samples: int, time_steps: int) -> Tensor:
    """Class scores ``(N, classes)`` of what a network returned; outputs per time step are added up."""
    import torch

    first = output
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if (
        isinstance(first, torch.Tensor)
        and first.dim() == 3
        and first.shape[0] == time_steps
        and first.shape[1] == samples
    ):
        first = first.sum(0)
    if not isinstance(first, torch.Tensor) or first.dim() != 2 or len(first) != samples:
        got = f"shape {tuple(first.shape)}" if isinstance(first, torch.Tensor) else type(first).__name__
        raise InputError(
            "the network's output is not a score per class",
            where="output of the network",
            got=got,
            expected=f"({samples}, classes), or ({time_steps}, {samples}, classes)",
            fix="return class scores; sum or average over time and space yourself",
        )
    return first
