"""Low-rank adapters on a frozen model (LoRA, arXiv 2106.09685), through peft."""

from typing import Any

import torch
from torch import nn

from effrl.config.learn import LoraConfig
from effrl.errors import UserError


def add_adapters(model: Any, config: LoraConfig) -> None:
    """Put adapters into a model, in place, and freeze everything else. ``B`` starts at 0, so nothing changes yet.

    Raises:
        UserError: ``learn.lora.targets`` names no layer, or one that is not an ordinary linear layer.
    """
    import peft  # takes seconds, which runs without adapters need not spend

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if model.get_submodule(name) is not model.get_output_embeddings()]
    if config.targets != "all":
        chosen = {end: [name for name in targets if name.split(".")[-1] == end] for end in config.targets}
        if missing := [end for end, names in chosen.items() if not names]:
            ends = sorted({name.split(".")[-1] for name in targets})
            raise UserError(f"learn.lora.targets: no linear layer is called {missing[0]}; there are {', '.join(ends)}")
        targets = [name for names in chosen.values() for name in names]
    settings = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets)
    torch.manual_seed(0)  # the same adapters on every rank
    peft.inject_adapter_in_model(settings, model)
