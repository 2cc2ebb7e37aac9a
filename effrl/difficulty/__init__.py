"""Difficulty from embeddings (DOTS). ``embedding`` makes vectors, ``attention`` and ``network`` predict, ``training``
fits; ``online`` is used in a run, ``offline`` by ``effrl dots fit``. It knows no selector.
"""
