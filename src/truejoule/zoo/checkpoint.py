"""Quantised networks on disk: the file holds the integers and their scale, so what is loaded lies exactly on the grid.

Of each quantised layer ``NAME`` the file has ``NAME.weight`` (int8) and ``NAME.scale`` (float32, scalar); all else is
stored as it is. The file has no code: safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.training.quantised import QuantConv2d, QuantLinear


def save(net: nn.Module, path: Path, facts: Mapping[str, object]) -> None:
    """Write ``net``, built of quantised layers, to ``path`` with ``facts`` as its metadata."""
    tensors: dict[str, Tensor] = {}
    quantised = {name: m for name, m in net.named_modules() if isinstance(m, QuantConv2d | QuantLinear)}
    for name, value in net.state_dict().items():
        owner = name.rpartition(".")[0]
        if name.rpartition(".quantiser.")[1] or (owner in quantised and name.endswith(".weight")):
            continue
        tensors[name] = value.contiguous()
    for name, layer in quantised.items():
        tensors[f"{name}.weight"], tensors[f"{name}.scale"] = layer.quantiser.integers(layer.weight)
    save_file(tensors, path, metadata={key: json.dumps(value) for key, value in facts.items()})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors as stored (integers apart from their scales) and the facts of the metadata. Raises ``InputError``."""
    if not path.is_file():
        raise InputError("the checkpoint is missing", where=str(path), fix="train it: python -m truejoule.zoo.train")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except SafetensorError as error:
        raise InputError(
            "the checkpoint cannot be read", where=str(path), got=str(error), expected="safetensors"
        ) from error
    return tensors, facts


def load_into(net: nn.Module, path: Path) -> nn.Module:
    """Fill ``net``, built of plain layers, from ``path``, and put it in eval mode.

    Each quantised weight becomes ``scale * integer`` in float32, one rounding.
    """
    tensors, _ = read(path)
    scales = {name.removesuffix(".scale"): value for name, value in tensors.items() if name.endswith(".scale")}
    state = {name: value for name, value in tensors.items() if not name.endswith(".scale")}
    for owner, scale in scales.items():
        state[f"{owner}.weight"] = state[f"{owner}.weight"].to(torch.float32) * scale
    net.load_state_dict(state)
    return net.eval()
