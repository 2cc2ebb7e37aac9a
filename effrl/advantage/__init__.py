"""From rewards to advantages. ``build`` goes from the config section to a function; ``rewards`` has those of tokens,
and ``process`` what estimators make of process rewards; the others are one estimator each, in NumPy on the driver, but
for ``gae``, which runs in the learner because it needs its values.
"""
