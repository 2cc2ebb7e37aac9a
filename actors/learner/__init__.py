"""The policy learner: ``actor`` is one rank, ``objective`` what it minimises in a step, ``group`` calls all ranks as
one, ``service`` is what the loop calls.
"""
