"""One thread: small tensors gain nothing from two, and on a busy machine each waits for the other."""

import torch

torch.set_num_threads(1)
