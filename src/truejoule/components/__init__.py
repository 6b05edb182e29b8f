"""Parts of machines with their prices: every function returns a ``Coefficient`` in SI units. No torch, no numpy."""

from truejoule.components import adc as adc
from truejoule.components import dram as dram
from truejoule.components import interconnect as interconnect
from truejoule.components import logic as logic
from truejoule.components import neuron_unit as neuron_unit
from truejoule.components import sram as sram
from truejoule.components import technology as technology
from truejoule.components.coefficient import Coefficient as Coefficient
from truejoule.components.coefficient import charge as charge
from truejoule.components.coefficient import place as place
from truejoule.components.technology import Node as Node
