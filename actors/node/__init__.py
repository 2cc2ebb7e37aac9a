"""What a run must know of every node: ``actor`` is a light process on each that is never busy, ``service`` asks all of
them, and ``survey`` puts questions to every node of a cluster before any run.
"""
