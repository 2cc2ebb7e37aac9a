"""Questions that people answer when they can, in the ledger's own file and transactions.

``store`` is the inbox itself. It hands questions out under leases (``leases``), takes answers and settles labels
(``opinions``), and shows how things stand (``views``). ``tables`` are its rows, ``messages`` what travels to people and
to a run elsewhere. ``plurality`` and ``reliability`` are the arithmetic.
"""
