"""Process rewards: rewards of single tokens beside the outcome of a rollout.

``build`` goes from the config section to a :class:`~effrl.protocols.ProcessRewards`; ``none`` is that of a run without.
``steps`` cuts completions into steps, and says what those are worth.
"""
