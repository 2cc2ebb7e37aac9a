"""How fast effrl is: beside TRL, and beside the floor, which is a bare engine and a bare learner on the same tokens.

``python -m tests.bench.speed SIZE`` runs the arms in turn; docs/speed.md says what is compared and how. ``sizes`` has
the models and prompts, ``coin`` the reward; ``effrl_arm``, ``trl_arm``, ``bare_engine`` and ``bare_learner`` are the
arms, each in processes of its own, which ``processes`` starts; ``rows`` reads what they measured, ``summary`` makes
ratios and tables of it, and ``curves`` fits costs over sizes.
"""
