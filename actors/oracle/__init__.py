"""The label oracle: ``actor`` holds vault and ledger, ``grading`` compares rollouts with labels for metrics, and
``service`` is what the driver calls."""
