"""One rank of a DeepSpeed group: ``rank`` has the optimizer step, ``model`` the forward pass, ``parameters`` the
weights as a checkpoint names them, ``lora`` adapters. It knows no actor.
"""
