"""Samples: the user's data, gathered once and put into an order of their own, so that no loader changes a number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truejoule.errors import InputError, TrueJouleError, some

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEFAULT_SAMPLES = 1000
"""Samples scored when nobody says otherwise: a 95 % interval of about ±2 points at 90 %."""
CALIBRATION_SAMPLES = 64
"""Samples whose inputs (never their labels) set the ranges when no calibration data are given."""
MOST_CALIBRATION = 1024
"""Samples that are taken of calibration data that are given."""
ELEMENTS_PER_BATCH = 2**20
"""Numbers in the inputs of one batch, at most (one sample at least)."""
MOST_PER_BATCH = 64
EXAMPLE_SIZES = (13, 11, 17, 7, 5, 3, 2)
"""Batch sizes of the example: primes that are seldom a number of time steps or channels."""
UNEQUAL = "samples of different shapes or dtypes"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Inputs and labels sorted by content. Iterating gives batches as the loader gave them, in a size that follows from the shape of a sample.

    Attributes
    ----------
    x : ``(N, ...)`` inputs, on the CPU.
    y : ``(N, ...)`` labels; ``None`` for calibration data.
    axis : where samples lie in a batch: 0, or 1 behind the time axis.
    digest : 16 hexadecimal digits; equal for the same samples, however they were shuffled, batched and laid out.
    swapped : the same data with the other axis as the samples, where every batch had as many samples as time steps and nobody said which is which.
    """

    x: Tensor
    y: Tensor | None
    axis: int
    digest: str
    swapped: Samples | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.batches()

    @property
    def labels(self) -> Tensor:
        if self.y is None:
            raise InputError("samples without labels", where="data", expected="batches of (inputs, labels)")
        return self.y

    @property
    def per_batch(self) -> int:
        return max(1, min(MOST_PER_BATCH, ELEMENTS_PER_BATCH // self.x[0].numel()))

    def batches(self, device: Any = "cpu") -> list[tuple[Tensor, Tensor]]:
        """(inputs, labels) of all samples; labels stay on the CPU."""
        return list(zip(self.inputs(device), self.labels.split(self.per_batch), strict=True))

    def inputs(self, device: Any = "cpu") -> tuple[Tensor, ...]:
        """Inputs of all samples in batches."""
        step = self.per_batch
        return tuple(self.batch(i, i + step).to(device) for i in range(0, len(self), step))

    def batch(self, start: int, stop: int) -> Tensor:
        """Inputs of some samples, on the axes of the loader."""
        part = self.x[start:stop]
        return part.transpose(0, 1).contiguous() if self.axis else part.contiguous()

    def first(self, count: int) -> Samples:
        """The first ``count`` in their order, or all."""
        if count >= len(self):
            return self
        return _sorted(self.x[:count], None if self.y is None else self.y[:count], self.axis)

    def example(self, *avoid: int | None) -> Tensor:
        """A small batch to read a network with. Its size is no other size of the inputs and none of ``avoid``, where there are enough samples."""
        taken = [size for size in (*self.x.shape[1:], *avoid) if size]
        fitting = [n for n in EXAMPLE_SIZES if n <= min(len(self), self.per_batch)]
        free = [n for n in fitting if n not in taken]
        clear = [n for n in free if all(size % n for size in taken)]
        return self.batch(0, next(iter([*clear, *free]), min(len(self), self.per_batch)))


def samples(data: Any, count: int | None = None, *, time_axis: int | None = None) -> Samples:
    """Gather labelled data once, to be used for several machines or runs.

    Parameters
    ----------
    data : batches of (inputs, labels), or ``Samples``.
    count : as many as the data give first, ``None`` for all. Of a loader that shuffles, these are others each time it is read: gather once.
    time_axis : of the inputs, as in ``observe``; only needed where every batch has as many samples as time steps.

    Raises
    ------
    InputError : data that are not labelled batches of tensors of one shape.
    """
    if count is not None and count < 1:
        raise InputError("no samples to evaluate", where="samples", got=count, expected="at least 1")
    if not isinstance(data, Samples):
        return _gathered(data, count, None if time_axis is None else 1 - time_axis, "data", labels=True)
    found = data
    if time_axis is not None and found.axis != 1 - time_axis:
        if found.swapped is None:
            raise InputError(
                "time_axis and the samples disagree",
                where="time_axis",
                got=time_axis,
                expected=f"samples on axis {1 - time_axis}",
                fix=f"the labels show that samples lie on axis {found.axis} of the inputs: correct time_axis",
            )
        found = found.swapped
    return found if count is None else found.first(count)


def calibration_samples(given: Any, scored: Samples) -> Samples:
    """Inputs for ranges: the first of the scored samples, or what was given, gathered in the same way."""
    if given is None:
        return scored.first(CALIBRATION_SAMPLES)
    if isinstance(given, Samples):
        if given.axis != scored.axis:
            raise InputError(
                "calibration data with the samples on another axis",
                where="calibration",
                got=f"axis {given.axis}",
                expected=f"axis {scored.axis}, as the data",
                fix="say time_axis=",
            )
        return given
    return _gathered(given, MOST_CALIBRATION, scored.axis, "calibration", labels=False)


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


def _gathered(data: Any, count: int | None, axis: int | None, where: str, *, labels: bool) -> Samples:
    import torch

    inputs, targets, found = [], [], 0
    axes = {0, 1} if axis is None else {axis}
    for index, batch in enumerate(_loaded(data, where, labels)):
        place = f"{where}, batch {index}"
        x, y = _labelled(batch, place) if labels else (_inputs(batch, place), None)
        number = x.shape[min(axes)] if y is None else len(y)
        here = {a for a in axes if a < x.dim() and x.shape[a] == number}
        if not here:
            raise InputError(
                "inputs and labels that do not belong together" if axis is None else "samples on another axis",
                where=place,
                got=f"inputs {tuple(x.shape)}, labels {tuple(y.shape) if y is not None else 'none'}",
                expected=f"{number} samples on axis {' or '.join(map(str, sorted(axes)))} of the inputs",
                fix="" if axis is None else "correct time_axis, or leave it out",
            )
        axes = here
        if number == 0:
            continue
        inputs.append(x.detach().cpu())
        targets.append(y)
        found += number
        if count is not None and found >= count:
            break
    if not inputs:
        raise InputError(
            "no data" if labels else "no calibration data",
            where=where,
            got="an empty loader (a generator that was used before is empty)",
            expected="at least one batch of " + ("(inputs, labels)" if labels else "inputs"),
            fix="check the data set and its path" if labels else "leave it out to use samples of the data",
        )
    if inputs[0].dim() < 3:  # too few axes for time
        axes = {0}
    y = None if not labels else _joined([t.detach().cpu() for t in targets], 0, f"{where}, labels")[:count]
    kept = [_sorted(_joined(inputs, a, where)[:count], y, a) for a in sorted(axes)]
    if torch.is_floating_point(kept[0].x) and not bool(torch.isfinite(kept[0].x).all()):
        raise InputError(
            "an input with NaN or infinite values",
            where=where,
            got=f"{int((~torch.isfinite(kept[0].x)).flatten(1).any(1).sum())} of {len(kept[0])} samples",
            expected="finite numbers",
            fix="check the data and its normalisation",
        )
    first = kept[0]
    return first if len(kept) == 1 else Samples(first.x, first.y, first.axis, first.digest, kept[1])


def _joined(parts: Sequence[Tensor], axis: int, where: str) -> Tensor:
    """Batches behind each other, samples first."""
    import torch

    moved = [part.movedim(axis, 0) for part in parts]
    for index, part in enumerate(moved):
        if part.shape[1:] != moved[0].shape[1:] or part.dtype != moved[0].dtype:
            raise InputError(
                UNEQUAL,
                where=f"{where}, batch {index}",
                got=f"{part.dtype} of shape {tuple(part.shape[1:])} per sample",
                expected=f"{moved[0].dtype} of shape {tuple(moved[0].shape[1:])} per sample, as in batch 0",
                fix="resize, pad or cut the samples to one shape in the loader",
            )
    return torch.cat(moved)


def _sorted(x: Tensor, y: Tensor | None, axis: int) -> Samples:
    """In the order of their content, inputs before labels: which inputs come first does not depend on labels."""
    import torch

    keys = list(zip(_digests(x), _digests(y) if y is not None else [b""] * len(x), strict=True))
    order = sorted(range(len(x)), key=lambda i: keys[i])
    whole = hashlib.blake2b(f"{x.dtype} {tuple(x.shape)}".encode(), digest_size=8)
    for i in order:
        whole.update(b"".join(keys[i]))
    index = torch.tensor(order)
    return Samples(x[index], None if y is None else y[index], axis, whole.hexdigest())


def _digests(rows: Tensor) -> list[bytes]:
    import torch

    flat = rows.reshape(len(rows), -1).contiguous().view(torch.uint8).numpy()
    return [hashlib.blake2b(row, digest_size=16).digest() for row in flat]


def _loaded(data: Any, where: str, labels: bool) -> Iterator[Any]:
    """The batches; what the user's loader raises is about the user's data."""
    import torch

    if isinstance(data, torch.Tensor) and not labels:
        data = [data]
    if isinstance(data, (torch.Tensor, str, Mapping)) or (
        not isinstance(data, Iterable) and not hasattr(data, "__getitem__")
    ):
        raise InputError(
            "data that are not batches",
            where=where,
            got=type(data).__name__,
            expected="a loader: something that gives one batch after the other",
            fix="wrap tensors as [(inputs, labels)]" if labels else "wrap a tensor as [inputs]",
        )
    if labels and isinstance(data, (tuple, list)) and len(data) == 2 and all(isinstance(p, torch.Tensor) for p in data):
        raise InputError(
            "two tensors instead of batches",
            where=where,
            got=f"shapes {tuple(data[0].shape)} and {tuple(data[1].shape)}",
            expected="a loader, or a list of (inputs, labels)",
            fix="one batch of all is [(inputs, labels)]",
        )
    try:
        yield from data
    except Exception as error:
        if isinstance(error, TrueJouleError):
            raise
        raise InputError(
            "the data cannot be read", where=where, got=f"{type(error).__name__}: {error}", fix="check the loader"
        ) from error


def _labelled(batch: Any, where: str) -> tuple[Tensor, Tensor]:
    """Inputs and labels of a batch, as they came."""
    import torch

    fix = "wrap your data in a torch DataLoader that yields inputs and labels"
    if isinstance(batch, Mapping):
        fix = f"name the two: data=[(b[{_key(batch, 0)}], b[{_key(batch, 1)}]) for b in loader]"
    elif isinstance(batch, torch.Tensor):
        fix = "give the labels too: [(inputs, labels), ...]"
    elif isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[0], torch.Tensor):
        x, y = batch
        if isinstance(y, torch.Tensor) and y.dim() > 0 and x.dim() > 0:
            if x.layout is not torch.strided or (x.numel() == 0 and len(y)):
                raise InputError(
                    "inputs that are not dense tensors with features",
                    where=where,
                    got=f"{x.layout} of shape {tuple(x.shape)}",
                )
            return x, y
        if not isinstance(y, (tuple, list)):
            fix = "these look like single samples: torch.utils.data.DataLoader(data, batch_size=64)"
    raise InputError(
        "data that are not labelled batches",
        where=where,
        got=_kind(batch),
        expected="(inputs, labels), two tensors",
        fix=fix,
    )


def _inputs(batch: Any, where: str) -> Tensor:
    """Inputs of a batch with or without labels."""
    import torch

    found = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(found, torch.Tensor) or found.dim() < 2 or not found.numel():
        raise InputError(
            "a batch without inputs", where=where, got=_kind(batch), expected="inputs (N, ...), or (inputs, labels)"
        )
    return found


def _kind(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"{type(batch).__name__} of {some(map(str, batch))}"
    if isinstance(batch, (tuple, list)):
        return f"{type(batch).__name__} of {some([_kind(part) for part in batch]) or 'nothing'}"
    shape = getattr(batch, "shape", None)
    return type(batch).__name__ if shape is None else f"{type(batch).__name__} of shape {tuple(shape)}"


def _key(batch: Mapping[Any, Any], place: int) -> str:
    names = list(batch)
    return repr(names[place]) if place < len(names) else "..."
