"""What makes the library's protocols true on a cluster: Ray actors around vLLM, DeepSpeed and the rewards' workers.

A folder per role: ``actor`` runs in the role's process, ``service`` is what the driver calls. ``driver/`` talks to
several roles; ``ranks/`` is one DeepSpeed rank group. ``wait`` is the only module that waits for actors, ``cluster``
starts them, ``role`` is their base. Nothing here imports :mod:`deploy`.
"""
