"""What every machine offers, and how to get one by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from collections.abc import Mapping as Mapping_
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from truejoule.accelerators import preset as presets
from truejoule.accelerators.mapping import Mapping
from truejoule.accelerators.preset import Parameter, Preset
from truejoule.cost import Cost, TrainingCost
from truejoule.errors import InputError, did_you_mean
from truejoule.workload import Activity, TrainingSparsity, Work, Workload

if TYPE_CHECKING:
    from torch import Tensor

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed


@runtime_checkable
class Accelerator(Protocol):
    """A machine. Each folder of ``accelerators/`` has one final class of this kind and a ``build`` function in its ``design.py``.

    Attributes
    ----------
    name, title, summary : of the preset.
    machine : the folder of ``accelerators/`` that runs it; machines of one kind share the errors of their coefficients.
    parameters : every parameter with value, unit and source.
    as_published : whether its account follows a published model with its slips, instead of what the machine would do.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def machine(self) -> str: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...
    @property
    def as_published(self) -> bool: ...

    def map(self, workload: Workload) -> Mapping:
        """Place every layer. Raises ``InputError`` for a layer that does not fit."""
        ...

    def cost(self, mapping: Mapping, activity: Activity, work: Work | None = None) -> Cost:
        """Energy, time and area of one inference.

        Parameters
        ----------
        activity : what flows through the layers, measured or assumed.
        work : per layer, what the deployed network measured of the machine's own quantities, by name, one number per time step and
            sample (for example the conductance that its inputs drove). Estimated from densities where absent: a workload without data.
        """
        ...

    def deploy(self, network: Network, calibration: Iterable[Tensor] = (), seed: int = 0) -> Deployed:
        """The network as this machine computes it.

        Parameters
        ----------
        calibration : input batches on which ranges are set.
        seed : of this physical chip: its variation and its stuck cells.
        """
        ...

    def training(self, workload: Workload, sparsity: TrainingSparsity) -> TrainingCost:
        """Energy of one training step of one sample. Raises ``InputError`` where the machine has no model of training."""
        ...

    def undisturbed(self) -> Accelerator:
        """The same machine and data path with noise, wires, converter loss and saturation at zero; then a deployed network equals its quantised one."""
        ...

    def suited(self, workload: Workload) -> Accelerator:
        """The build of this machine that runs this kind of network: itself, or its ANN twin for a network without neurons on a machine of spikes."""
        ...

    def ann_twin(self, bits: int) -> Accelerator:
        """The same machine built for an ANN with activations of ``bits`` bit: the fair opponent of a spiking network on this one.

        Every machine that runs spiking networks has one. Raises ``InputError`` for a width that it cannot have, a machine without spiking
        networks, or an as-published account.
        """
        ...

    def alternatives(self) -> Mapping_[str, Accelerator]:
        """The same machine under another accounting that a reader should see beside it, by description."""
        ...


def check_twin(machine: Accelerator, bits: int, instead: str) -> None:
    """Refuse an ANN twin of a width that no machine has, or of an as-published account; ``instead`` says what to use."""
    if not 1 <= bits <= 8:
        raise InputError(
            "an ANN twin of impossible width", where="ann_twin", got=bits, expected="1 to 8 bits", fix="bits=8"
        )
    if machine.as_published:
        raise InputError("an as-published account has no ANN twin", where=machine.name, fix=instead)


def accelerator(name: str | Path, /, **overrides: object) -> Accelerator:
    """A machine from a preset name or a YAML path, with parameters overridden.

    Examples
    --------
    >>> accelerator("spikeflow", adc_bits=5)
    >>> accelerator("my_chip.yaml")

    Raises
    ------
    InputError : unknown name, unknown parameter, missing unit, value out of range.
    """
    loaded = presets.load(name)
    if loaded.machine not in machines():
        raise InputError(
            f"no machine {loaded.machine!r}",
            where=f"{loaded.origin}, machine",
            fix=did_you_mean(loaded.machine, machines()),
        )
    module = importlib.import_module(f"truejoule.accelerators.{loaded.machine}.design")
    return module.build(loaded, overrides)


def machines() -> list[str]:
    """The folders of ``accelerators/`` that hold a machine."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/design.py"))


__all__ = ["Accelerator", "Preset", "accelerator", "machines"]
