"""What supervises each group. ``build`` goes from the config section to a labeller; the rest are labellers.

Labellers run in the driver and see answers, never labels: those are in ``oracle/``, whose code runs in the oracle
actor.
"""
