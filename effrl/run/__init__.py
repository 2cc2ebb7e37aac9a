"""A run on disk: its directory, groups, metrics and checkpoints, the sinks that get copies, and what a resume finds."""
