"""From rewards to advantages. ``build`` goes from the config section to a function; ``rewards`` has those of tokens;
the others are one estimator each, in NumPy on the driver, but for ``gae``, which runs in the learner because it needs
its values.
"""
