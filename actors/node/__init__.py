"""What a run must know of every node: ``actor`` is a light process on each that is never busy, ``service`` asks all of
them, ``shipping`` sends a model to those that lack it, and ``survey`` puts questions to every node of a cluster before
any run.
"""
