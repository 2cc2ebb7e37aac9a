"""Advice: what the metrics of a run say that is wrong with it, and what to do.

A ``rule`` looks at the newest rows and says a line or nothing. Rules are about ``groups`` and what became of their
rollouts, about ``failures`` of processes, verifiers and time, and about the ``policy``; those on votes, process rewards
and selection live with what they watch. ``advise`` has them all, ``overdue`` watches a step that does not end.
"""
