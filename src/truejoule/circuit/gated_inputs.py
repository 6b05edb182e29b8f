"""What users give a gated array, checked and laid out: conductances, bits and codes."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truejoule.errors import InputError


@dataclass(frozen=True)
class Tiles:
    """Conductances of a stack of arrays, and how their results get the shape that the user expects."""

    g_on: Tensor
    """Gate on, ``(tiles, rows, columns)`` in S, fp64."""
    g_off: Tensor
    """Gate off, broadcastable to it, three dimensions."""
    lead: tuple[int, ...]
    """The user's tile dimensions."""
    dtype: torch.dtype
    """Of the results: fp32 where the conductances were given in fp32 or less, else fp64."""

    @classmethod
    def of(cls, g_siemens: Tensor | np.ndarray, g_off_siemens: float | Tensor | np.ndarray) -> Tiles:
        """Raises InputError where a value is negative, infinite, NaN or complex, or a shape does not fit."""
        given = _checked(g_siemens, "g_siemens")
        if given.ndim < 2 or 0 in given.shape[-2:]:
            raise InputError(
                "conductances need rows and columns",
                where="g_siemens",
                got=f"shape {tuple(given.shape)}",
                expected="(..., rows, columns), at least one of each",
            )
        narrow = given.dtype in (torch.float32, torch.float16, torch.bfloat16)
        *lead, rows, columns = given.shape
        g_on = given.to(torch.float64).reshape(-1, rows, columns)
        off = _checked(g_off_siemens, "g_off_siemens").to(dtype=torch.float64, device=g_on.device)
        if off.ndim == 0 or off.numel() == 1:
            g_off = off.reshape(1, 1, 1)
        else:
            try:
                g_off = torch.broadcast_to(off, given.shape).reshape(-1, rows, columns)
            except RuntimeError as problem:
                raise InputError(
                    "the conductances of closed gates do not fit the array",
                    where="g_off_siemens",
                    got=f"shape {tuple(off.shape)}",
                    expected=f"a number, or a shape that broadcasts to {tuple(given.shape)}",
                ) from problem
        return cls(g_on, g_off, tuple(lead), torch.float32 if narrow else torch.float64)

    @property
    def tracked(self) -> bool:
        """Whether gradients of a conductance are wanted."""
        return self.g_on.requires_grad or self.g_off.requires_grad

    def part(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """``g_on`` and ``g_off`` of tiles ``first`` to ``last - 1``."""
        return self.g_on[first:last], self.g_off if self.g_off.shape[0] == 1 else self.g_off[first:last]

    def inputs(self, bits: Tensor | np.ndarray) -> Inputs:
        """Lay out ``bits (..., N, rows)`` or ``(rows,)``; raises InputError where they do not fit or are complex."""
        given = tensor(bits).to(device=self.g_on.device)
        rows = self.g_on.shape[-2]
        single = given.ndim == 1
        x = given.unsqueeze(0) if single else given
        lead = tuple(x.shape[:-2])
        fits = x.ndim >= 2 and x.shape[-1] == rows and len(lead) <= len(self.lead) and not x.is_complex()
        if not fits or any(a not in (1, b) for a, b in zip(reversed(lead), reversed(self.lead), strict=False)):
            raise InputError(
                "the inputs do not fit the array",
                where="bits",
                got=f"shape {tuple(given.shape)}, {given.dtype}",
                expected=f"({rows},) or (..., N, {rows}) with leading dimensions that broadcast to {self.lead}",
                fix="give one bit per row; put the batch of inputs in the dimension before the rows",
            )
        flat = x.reshape(math.prod(lead), *x.shape[-2:])
        index = torch.arange(flat.shape[0]).reshape(lead).expand(self.lead).reshape(math.prod(self.lead))
        size = x.shape[-2]

        def restore(y: Tensor) -> Tensor:
            y = y.reshape((*self.lead, size, *y.shape[2:]))
            return y.squeeze(len(self.lead)) if single else y

        return Inputs(flat, index, restore)


@dataclass(frozen=True)
class Inputs:
    """Bits of a stack of arrays; arrays that see the same inputs share them."""

    bits: Tensor
    """``(stacks, N, rows)`` in the user's dtype."""
    stack_of_tile: Tensor
    """``(tiles,)``: which of the stacks each array sees."""
    restore: Callable[[Tensor], Tensor]
    """From ``(tiles, N, ...)`` to the user's shape."""

    def of_tiles(self, first: int, last: int) -> Tensor:
        """``(last - first | 1, N, rows)``."""
        if self.bits.shape[0] == 1:
            return self.bits
        return self.bits[self.stack_of_tile[first:last].to(self.bits.device)]


def require_bits(all_bits: bool) -> None:
    """Raise InputError unless every input was 0 or 1."""
    if not all_bits:
        raise InputError(
            "the inputs of a gated array must be 0 or 1",
            where="bits",
            got="another value",
            expected="0 (gate off) or 1 (gate on)",
            fix="apply multi-bit inputs one bit at a time: columns.bit_serial(codes, bits=8)",
        )


def are_bits(x: Tensor) -> bool:
    """Whether every value is 0 or 1."""
    return x.dtype == torch.bool or bool(((x == 0) | (x == 1)).all())


def bit_planes(codes: Tensor | np.ndarray, bits: int) -> Tensor:
    """Unsigned integer codes as bits, least significant first: ``(bits, *codes.shape)``, bool.

    Σ_b 2^b · planes[b] gives the codes back. Signed inputs need an encoding first (an offset, or the sign bit as a
    plane of negative weight).

    Raises
    ------
    InputError : a code is not a whole number from 0 to ``2^bits - 1``, or ``bits`` is not from 1 to 31.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 31:
        raise InputError("this many bits make no input code", where="bits", got=bits, expected="1 to 31")
    given = tensor(codes)
    if given.is_complex() or (given.numel() and not _whole(given, (1 << bits) - 1)):
        raise InputError(
            f"input codes must be whole numbers of {bits} bits",
            where="codes",
            got=given.dtype if given.is_complex() else f"values from {float(given.min())} to {float(given.max())}",
            expected=f"0 to {(1 << bits) - 1}",
            fix="shift signed codes by an offset and subtract it digitally",
        )
    whole = given.to(torch.int64)
    return torch.stack([((whole >> b) & 1).bool() for b in range(bits)])


def tensor(value: object) -> Tensor:
    """``value`` as a tensor, numbers in fp64; numpy arrays are copied, because torch takes neither read-only nor reversed
    ones."""
    if isinstance(value, Tensor):
        return value
    return torch.as_tensor(np.array(value))


def read_voltage(value: float) -> float:
    """``value`` as a float; raises InputError unless it is finite."""
    if isinstance(value, (bool, str)) or not np.isfinite(float(value)):
        raise InputError("the read voltage must be a finite number", where="v_read", got=value, expected="volt")
    return float(value)


def as_machine_bits(bits: Tensor) -> np.ndarray:
    """Bits as a contiguous numpy array of a dtype that the compiled loops know: uint8, float32, float64 or int64."""
    x = bits.detach()
    if x.dtype == torch.bool:
        return x.contiguous().view(torch.uint8).numpy()
    if x.dtype not in (torch.uint8, torch.float32, torch.float64, torch.int64):
        x = x.to(torch.float32 if x.is_floating_point() else torch.int64)
    return x.contiguous().numpy()


@functools.cache
def compiled(name: str) -> Any:
    """A module of this room with compiled loops, or None where numba is not installed."""
    return importlib.import_module(f"truejoule.circuit.{name}") if importlib.util.find_spec("numba") else None


def _whole(x: Tensor, top: int) -> bool:
    return bool(((x >= 0) & (x <= top) & (x == x.round() if x.is_floating_point() else x == x)).all())


def _checked(value: object, where: str) -> Tensor:
    given = tensor(value)
    if given.is_complex():
        raise InputError("conductances must be real", where=where, got=given.dtype, expected="siemens, real")
    if given.numel():
        low, high = (float(x) for x in torch.aminmax(given.detach().to(torch.float64)))
        if not (low >= 0.0 and high < float("inf")):
            raise InputError(
                "conductances must be finite and not negative",
                where=where,
                got=high if low >= 0.0 or low != low else low,
                expected="0 (an open cell) or a positive conductance in siemens",
                fix="map weights to conductances first; signed weights need two cells or an offset",
            )
    return given
