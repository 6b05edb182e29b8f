"""One thread per test process, and shapes and types checked at every call in the rooms that work on arrays."""

import torch
from jaxtyping import install_import_hook

# Small tensors gain nothing from more threads, and parallel test processes would fight over the cores.
torch.set_num_threads(1)
# Rooms whose tests pass wrong types on purpose, to see their messages, check for themselves.
CHECKED = (
    "numerics",
    *(f"accelerators.spikeflow.{part}" for part in ("cost", "area", "timing", "mapping", "released")),
    *(f"accelerators.sata.{part}" for part in ("cost", "area", "timing", "mapping", "memory", "dataflow", "released")),
    *(f"accelerators.{part}" for part in ("over_time", "against_ann")),
    "workload.standing",
    "cost.compare",
)
install_import_hook([f"truejoule.{name}" for name in CHECKED], "checking.check")
