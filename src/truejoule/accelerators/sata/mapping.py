"""stub"""
from truejoule.accelerators.mapping import Mapping, Placement
def place_layers(workload, structure):
    from truejoule.accelerators.sata.released import in_tables
    w = [l.name for l in workload.multiplying if not in_tables(l, structure)]
    return Mapping(workload, (), (), 1, (1,1), "array", (("DRAM"+str(w),) if w else ()))
