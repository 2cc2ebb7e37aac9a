"""Which prompts are rolled out. ``build`` goes from the config section to a selector; the rest are selectors.

``pool`` and ``ranked`` are bases, ``mixed`` draws from several pools; ``ufo/`` and ``dots/`` have what is theirs alone.
Selectors see prompts and outcomes, never labels or rollouts.
"""
