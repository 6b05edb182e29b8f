"""The integer codes of all layers' inputs: from the values that were seen, and from what the network says can still come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.precision import WIDEST, InputCode, Values, merged
from truejoule.workload import Layer, Neuron, Workload
from truejoule.workload.neuron import UNLIMITED

Codes = Mapping[str, InputCode]


class Watched:
    """Collects the values that enter every layer; pass its ``on_layer`` to ``Network.run``."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._values = {layer.name: Values() for layer in workload.layers}

    def on_layer(self, name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None:
        """One execution of a layer."""
        if name in self._values:
            self._values[name].add(input)

    def codes(self, input_bits: int | None = None) -> dict[str, InputCode]:
        """The code of every layer; the network's integer inputs have ``input_bits`` bits where that is stated."""
        seen = {name: values.code() for name, values in self._values.items()}
        if input_bits is not None:
            first = [layer.name for layer in self._workload.layers if _first(self._workload, layer)]
            seen |= {name: _stated(name, seen[name], input_bits) for name in first}
        return widened(self._workload, seen)


def _first(workload: Workload, layer: Layer) -> bool:
    return workload.sources(layer.name) in ((), ("input",))


def _stated(name: str, seen: InputCode, bits: int) -> InputCode:
    """The code of that width on the grid that was seen; real-valued inputs are left to the machine."""
    if seen.step is None or seen.bipolar:
        return seen
    if not seen.bits <= bits <= WIDEST.bit_length() - 1 + seen.signed:
        raise InputError(
            "integer inputs do not have the width that was stated",
            where=name,
            got=f"input_bits {bits}, values from {seen.low:g} to {seen.high:g} in steps of {seen.step:g} ({seen.bits} bits)",
            expected=f"{seen.bits} to {WIDEST.bit_length() - 1 + seen.signed} bits",
            fix="leave input_bits out to take the width from the calibration samples",
        )
    half = 2 ** (bits - 1)
    low, high = (-half, half - 1) if seen.signed else (0, 2 * half - 1)
    return InputCode(seen.step, low * seen.step, high * seen.step)


def widened(workload: Workload, seen: Codes) -> dict[str, InputCode]:
    """Codes that hold everything that neurons, pooling and additions can make, not only what was seen: n spikes pooled or added are 0 to n.

    What can come is trusted only where everything that was seen lies on it: scaling between two layers leaves no layer.
    """
    made: dict[str, InputCode | None] = {}
    codes = dict(seen)
    for layer in workload.layers:
        sources = [made.get(edge.source) for edge in workload.edges if edge.target == layer.name]
        known = [code for code in sources if code is not None]
        complete = bool(known) and len(known) == len(sources)
        entering = merged(known) if complete and layer.op != "add" else None
        if entering is not None:
            codes[layer.name] = _holding(entering, seen[layer.name])
        made[layer.name] = _made(layer, codes[layer.name], known if complete else [])
    return codes


def _holding(possible: InputCode, seen: InputCode) -> InputCode:
    """The code of everything possible, if what was seen is among it."""
    if seen.silent:
        return possible
    if possible.step is None or seen.step is None or seen.low < possible.low or seen.high > possible.high:
        return seen
    parts = [seen.step, *([seen.high] if seen.high else []), *([-seen.low] if seen.low else [])]
    on_grid = all(abs(part / possible.step - round(part / possible.step)) < 1e-3 for part in parts)
    return possible if on_grid else seen


def _made(layer: Layer, entering: InputCode, sources: list[InputCode]) -> InputCode | None:
    """What can leave a layer; ``None`` where that is not known."""
    if layer.op == "neuron" and layer.neuron is not None:
        return _spikes(layer.neuron)
    if layer.op == "max_pool":
        return entering if sources else None
    if layer.op == "avg_pool" and sources and not layer.note and entering.step is not None:
        return replace(entering, step=entering.step / math.prod(layer.kernel), bipolar=False)
    if layer.op == "add" and len(sources) == 2:
        both = merged(sources)
        low, high = sum(code.low for code in sources), sum(code.high for code in sources)
        return InputCode(both.step, low, high) if both.step is not None else None
    return None


def _spikes(neuron: Neuron) -> InputCode | None:
    """Every value that a neuron can send; not known where spikes differ in height, or where their number has no end that was met."""
    if isinstance(neuron.height, tuple) or neuron.max_spikes >= UNLIMITED:
        return None
    highest = neuron.height * neuron.max_spikes
    return InputCode(neuron.height, -highest if neuron.signed else 0.0, highest)


def with_codes(workload: Workload, codes: Codes) -> Workload:
    """The workload with the widths of these codes; its activity, if any, is dropped."""

    def coded(layer: Layer) -> Layer:
        code = codes[layer.name]
        return replace(layer, input_bits=code.bits, inputs_signed=code.signed, inputs_full_range=code.full_range)

    return replace(workload, layers=tuple(coded(layer) for layer in workload.layers), activity=None)
