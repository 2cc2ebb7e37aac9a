"""The policy learner: ``actor`` is one rank, ``group`` calls all ranks as one, ``service`` is what the loop calls."""
