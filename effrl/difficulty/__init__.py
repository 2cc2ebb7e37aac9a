"""Difficulty from embeddings (DOTS). ``embedding`` makes vectors, ``attention`` and ``network`` predict, ``training``
fits, ``posthoc`` puts a line through predictions, ``metrics`` says how good they are; ``predictor`` and ``online`` are
used in a run, on its ``rounds``; ``offline``, ``gather`` and ``saved`` by ``effrl dots fit``. ``ridge``
and ``calibrated`` predict from a run's own groups alone. It knows no selector.
"""
