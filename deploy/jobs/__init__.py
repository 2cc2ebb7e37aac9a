"""Runs as Ray jobs: what goes to a cluster, and how its Jobs API is talked to. Only commands know this."""
