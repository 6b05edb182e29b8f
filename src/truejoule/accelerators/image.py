"""The image, a network's input, may have another width than the activations of the machine: a narrow ANN twin sees the same image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from truejoule.errors import some
from truejoule.workload import Layer, Workload
from truejoule.workload.layer import REAL

WIDEST = 8
"""Bits of the widest image that a machine lays over real values."""


def with_image_bits(workload: Workload, bits: int | None) -> Workload:
    """The workload with real-valued images of ``bits`` bits; unchanged for ``None``."""
    if bits is None:
        return workload

    def narrow(layer: Layer) -> Layer:
        image = workload.sources(layer.name) in ((), ("input",))
        return replace(layer, input_bits=bits) if image and layer.input_bits == REAL else layer

    return replace(workload, layers=tuple(narrow(layer) for layer in workload.layers))


def rounded_inputs(workload: Workload, image_bits: int | None, input_bits: int) -> tuple[str, ...]:
    """What to tell about real-valued inputs, which are rounded as real-valued weights are."""
    widths: dict[int, list[str]] = {}
    for layer in workload.multiplying:
        if layer.input_bits == REAL:
            image = image_bits is not None and workload.sources(layer.name) in ((), ("input",))
            widths.setdefault(image_bits if image and image_bits is not None else input_bits, []).append(layer.name)
    return tuple(f"real-valued inputs are rounded to {bits} bits: {some(names)}" for bits, names in widths.items())


def check_image_bits(bits: int | None, refuse: Callable[[str, str, object, str], None]) -> None:
    """Refuse widths that no layer keeps."""
    if bits is not None and not 1 <= bits <= WIDEST:
        refuse("an image of impossible width", "image_bits", bits, f"1 to {WIDEST} bits, or null for input_bits")
