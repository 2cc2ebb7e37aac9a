"""Which prompts are rolled out. ``build`` goes from the config section to a selector; the rest are selectors.

``pool`` and ``ranked`` are bases, ``mixed`` draws from several pools; ``ufo/`` and ``dots/`` have what is theirs alone.
``control`` keeps a zone under control with a ``gate`` and tells ``advice``; ``strata`` are its quotas, ``embedded`` its
pool.
Selectors see prompts and outcomes, never labels or rollouts.
"""
