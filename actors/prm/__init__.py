"""The implicit PRM of PRIME: ``actor`` is one of its DeepSpeed ranks, ``service`` what the driver asks for process
rewards, ``turns`` lets it share a GPU. ``judge`` is the PRM of a run that is over, which scores whole solutions with
what ``reading`` finds in them.
"""
