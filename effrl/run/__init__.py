"""A run on disk: its ``directory``, ``groups`` (as records, and whole in an ``archive``), ``metrics`` and
``checkpoint``s with their ``files``, the ``sinks`` that get copies, what a ``resume`` finds, and the model that was
``trained``; ``lines`` reads logs from their end, ``timeline`` says who worked when, ``recording`` keeps it, and the
``diary`` keeps what the terminal was told.

A copy of it in a ``storage`` away from the machine: what of the run goes there (``contents``), how a reader sees it
whole (``mirror``), when it goes there (``uploads``), and which of the two is ahead before anything starts (``stored``).
"""
