"""One rank of a DeepSpeed group: ``rank`` has the optimizer step, ``model`` the forward pass, ``parameters`` the
weights as a checkpoint names them, ``lora`` adapters. ``role`` is the base of the actors that such ranks are, and
``group`` how the driver calls them as one. What they learn is the business of :mod:`actors.learner` and
:mod:`actors.prm`.
"""
