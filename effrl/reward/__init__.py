"""Outcome rewards: finding the final answer (``extract``, ``choice``), judging it (``verifiers``, to a ``verdict``;
``words`` are told from mathematics), comparing answers with one another (``reading``), the ``terms`` that shape a
reward, and the ``check`` of a whole reward.

All of these are plain functions; ``sandbox/`` runs them, or the user's own. Nothing is imported here, for a quick
start.
"""
