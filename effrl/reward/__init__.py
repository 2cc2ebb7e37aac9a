"""Outcome rewards: finding the final answer (``extract``, ``choice``), judging it (``verifiers``), comparing answers
with one another (``reading``), and the terms that shape a reward.

All of these are plain functions; ``sandbox/`` runs them, or the user's own. Nothing is imported here, for a quick
start.
"""
