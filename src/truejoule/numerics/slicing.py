"""How the rows of a weight matrix are cut into crossbar-sized blocks, and inputs into bit planes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def row_blocks(channels: int, kernel: tuple[int, int], rows: int, order: str) -> Int[Tensor, "blocks rows"]:
    """Which im2col rows go to which crossbar.

    ``order="kernel"`` gives every kernel position its own crossbars, ``rows`` input channels each (SpikeFlow); ``order="im2col"`` fills
    crossbars one after the other with the unrolled window. With ``"kernel"`` the positions of one block of channels follow each other, so that
    R*S consecutive blocks form the PE that sums them.

    Returns
    -------
    ``(blocks, rows)`` indices into the im2col row axis (channel-major: ``c * R*S + r * S + s``); unused rows hold -1 and come first, because
    the last rows are nearest to the sense end, where the wire drop is smallest.
    """
    area = kernel[0] * kernel[1]
    if order == "kernel" and area > 1:
        groups = [
            [c * area + position for c in range(start, min(start + rows, channels))]
            for start in range(0, channels, rows)
            for position in range(area)
        ]
    else:
        total = channels * area
        groups = [list(range(start, min(start + rows, total))) for start in range(0, total, rows)]
    return torch.tensor([[-1] * (rows - len(group)) + group for group in groups], dtype=torch.long)


def windows(
    x: Float[Tensor, "N C *map"],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Float[Tensor, "N CRS P"]:
    """im2col: ``(N, C, H, W)`` to ``(N, C*R*S, P)``; vectors ``(N, C)`` to ``(N, C, 1)``."""
    if x.dim() == 2:
        return x[:, :, None]
    if kernel == (1, 1) and stride == (1, 1) and padding == (0, 0):
        return x.flatten(2)
    return functional.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride)


def bit_planes(codes: Float[Tensor, "*shape"], low: int, high: int) -> list[tuple[float, Float[Tensor, "*shape"]]]:
    """Bit-serial inputs from ``low`` to ``high``: pairs of digital weight and 0/1 plane, least significant first.

    Signed codes are applied as a positive and a negative pass (sign and magnitude), which doubles the planes.
    """
    if (low, high) == (0, 1):
        return [(1.0, codes)]
    planes = []
    for sign, top, magnitude in ((1.0, high, codes.clamp(min=0)), (-1.0, -low, (-codes).clamp(min=0))):
        if top > 0:
            whole = magnitude.to(torch.int32)
            planes += [(sign * 2.0**k, ((whole >> k) & 1).to(codes.dtype)) for k in range(top.bit_length())]
    return planes
