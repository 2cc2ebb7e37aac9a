"""The label oracle: ``actor`` holds the vault, and ``desks`` opens where questions go: the data, a ``teacher``, people,
or a ``remote`` inbox. ``grading`` compares rollouts with labels for metrics; ``service`` is what the driver calls."""
