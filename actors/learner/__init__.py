"""The policy learner: ``actor`` is one rank, ``objective`` what it minimises in a step, ``group`` calls all ranks as
one, ``service`` is what the loop calls, and ``old`` remembers what the labeller's look at a step has scored.
"""
