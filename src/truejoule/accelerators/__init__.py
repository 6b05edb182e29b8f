"""Machines: an interface, a registry, and one folder each."""

from truejoule.accelerators.accelerator import Accelerator as Accelerator
from truejoule.accelerators.accelerator import accelerator as accelerator
from truejoule.accelerators.accelerator import machines as machines
from truejoule.accelerators.mapping import Mapping as Mapping
from truejoule.accelerators.mapping import Placement as Placement
from truejoule.accelerators.mapping import Transfer as Transfer
