"""One thread per test process: small tensors gain nothing from more, and parallel test processes would fight."""

import torch

torch.set_num_threads(1)
