"""One colour per component, the same in every figure and every report.

The nine family hues were chosen to stay apart in CIELAB under normal, protan, deutan and tritan vision (Machado 2009
matrices) at a lightness that reads on white and on near-black. Components of one family are shades of its hue; neutral
grey is kept for the ideal network.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence

IDEAL = "#8C9096"
"""Grey is ideal."""

HARDWARE = "#0072B2"
"""What was measured on the hardware, where no component or layer is meant."""

FAMILIES = {
    "converter": "#D55E00",
    "array": "#0072B2",
    "driver": "#2FC4EA",
    "buffer": "#1BA879",
    "interconnect": "#E8B800",
    "logic": "#B07FB3",
    "neuron": "#7F45F0",
    "dram": "#A9CF6B",
    "static": "#9C5A3C",
}
"""Family of components and its hue; the order is the order of the segments in stacked bars."""

COMPONENTS = {
    "converter": ("adc", "sense amplifier", "dac"),
    "array": ("crossbar", "array", "pe", "mac", "core", "accumulate"),
    "driver": ("row driver", "column mux", "word line", "bit line"),
    "buffer": (
        "tile buffer",
        "global buffer",
        "temporary buffer",
        "scratchpads",
        "weight buffer",
        "input buffer",
        "output buffer",
    ),
    "interconnect": ("h-tree", "noc", "router", "link"),
    "logic": ("shift-add", "diff", "batch norm", "accumulator", "pooling", "adder tree", "diff and accumulators"),
    "neuron": ("membrane memory", "neuron unit"),
    "dram": ("dram", "host"),
    "static": ("idle", "leakage", "clock"),
}
"""Known components: their place in the family fixes the shade."""

_WORDS = (
    ("dram", ("dram", "off-chip", "host", "hbm")),
    ("static", ("leak", "idle", "clock", "static")),
    ("converter", ("adc", "sense", "convert", "dac", "compar")),
    ("neuron", ("neuron", "membrane", "lif", "spike")),
    ("interconnect", ("noc", "tree", "link", "router", "bus", "wire", "hop")),
    ("driver", ("driver", "mux", "decoder", "word line", "bit line")),
    ("buffer", ("buffer", "memory", "sram", "cache", "scratch", "register", "fifo")),
    ("array", ("crossbar", "array", "cell", "pe", "mac", "core")),
)
_SHADES = (0.0, 0.16, -0.13, 0.27, -0.21, 0.08, -0.07)
_RAMP = ("#5B4FCF", "#A94FC0", "#E0607E", "#F2A154")


def family(component: str) -> str:
    """The family of a component: from the list, else from the words in its name, else ``"logic"``."""
    name = component.lower()
    for known, members in COMPONENTS.items():
        if name in members:
            return known
    return next((found for found, words in _WORDS if any(word in name for word in words)), "logic")


def ordered(components: Iterable[str]) -> list[str]:
    """Components in the order of stacked bars: by family, known ones first."""
    families = list(FAMILIES)

    def key(name: str) -> tuple[int, int, str]:
        members = COMPONENTS[family(name)]
        return (
            families.index(family(name)),
            members.index(name.lower()) if name.lower() in members else len(members),
            name,
        )

    return sorted(dict.fromkeys(components), key=key)


def colour(component: str) -> str:
    """Hex colour of a component; the same name always has the same colour."""
    kind = family(component)
    members = COMPONENTS[kind]
    name = component.lower()
    place = members.index(name) if name in members else len(members) + sum(name.encode()) % 5
    return _lighter(FAMILIES[kind], _SHADES[place % len(_SHADES)])


def ink(background: str) -> str:
    """Black or white, whichever reads better on ``background``."""
    red, green, blue = (_linear(channel) for channel in _channels(background))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#FFFFFF" if 1.05 / (luminance + 0.05) > 0.8 * (luminance + 0.05) / 0.05 else "#14171C"


def ramp(count: int) -> list[str]:
    """``count`` colours along an ordered ramp of rising lightness: time steps, depth of layers."""
    if count <= 1:
        return [_RAMP[0]][:count]
    return [_along(_RAMP, i / (count - 1)) for i in range(count)]


def _along(stops: Sequence[str], position: float) -> str:
    scaled = position * (len(stops) - 1)
    low = min(int(scaled), len(stops) - 2)
    pairs = zip(_channels(stops[low]), _channels(stops[low + 1]), strict=True)
    return _hex(a + (b - a) * (scaled - low) for a, b in pairs)


def _lighter(base: str, by: float) -> str:
    hue, light, saturation = colorsys.rgb_to_hls(*_channels(base))
    return _hex(colorsys.hls_to_rgb(hue, min(max(light + by, 0.18), 0.82), saturation))


def _channels(colour_hex: str) -> list[float]:
    return [int(colour_hex[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _hex(channels: Iterable[float]) -> str:
    return "#" + "".join(f"{round(255 * c):02X}" for c in channels)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
