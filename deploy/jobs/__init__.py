"""Runs as Ray jobs, which commands alone know: ``upload`` finds out what goes to a cluster, ``server`` talks to it."""
