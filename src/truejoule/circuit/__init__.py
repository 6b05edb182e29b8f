"""Physics of arrays: wires, cells, converters. Knows no neural network."""

from truejoule.circuit.converter import Converter as Converter
from truejoule.circuit.converter import calibrate_range as calibrate_range
from truejoule.circuit.converter import convert as convert
from truejoule.circuit.converter import dequantise as dequantise
from truejoule.circuit.converter import saturation_share as saturation_share
from truejoule.circuit.passive import PassiveSolution as PassiveSolution
from truejoule.circuit.passive import cell_voltages as cell_voltages
from truejoule.circuit.passive import effective_conductance_loss as effective_conductance_loss
from truejoule.circuit.passive import input_admittance as input_admittance
from truejoule.circuit.passive import solve as solve
from truejoule.circuit.passive import static_power as static_power
from truejoule.circuit.passive import transfer_and_admittance as transfer_and_admittance
from truejoule.circuit.passive import transfer_matrix as transfer_matrix
from truejoule.circuit.spice import netlist as netlist
from truejoule.circuit.spice import ngspice_currents as ngspice_currents
from truejoule.circuit.wires import Wires as Wires
