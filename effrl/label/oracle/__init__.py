"""The only place that sees labels: the ``vault`` that holds them, and the ``ledger`` that counts what is sold, over the
tables of ``purchases``; ``log`` tells answers that come late. ``address`` opens a run's ledger where it lies, and
``reuse`` takes over the labels of others. ``desk`` is what a run asks, and ``inbox`` where people answer.

Imported by the oracle actor and by nothing else of the product (a test holds the wall).
"""
