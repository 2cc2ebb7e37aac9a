"""Outcome rewards. The final answer of a completion is found (``extract``, ``choice``), brought into one notation
(``normal``, by the table of ``rules``, with ``numerals`` in words), parted from its unit (``quantity``), told from what
is no mathematics (``words``, ``literal``) and judged (``verifiers``, to a ``verdict``). Besides: answers compared with
one another (``reading``), the ``terms`` that shape a reward, and the ``check`` of a whole reward,
by ``probes`` and of its ``labels``.

All of these are plain functions; ``sandbox/`` runs them, or the user's own. Nothing is imported here, for a quick
start.
"""
