"""Outcome rewards: finding the final answer, judging it, and running reward functions where they can do no harm.

``extract`` and ``verifiers`` are plain functions; ``sandbox`` runs them, or the user's own, in worker processes. Only
``worker`` knows the user's code, and only ``process`` knows processes. Nothing is imported here, for a quick start.
"""
