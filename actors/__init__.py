"""What makes the library's protocols true on a cluster: Ray actors around vLLM, DeepSpeed and the rewards' workers.

A folder per role (``data``, ``oracle``, ``reward``, ``rollout``, ``learner``, ``prm``, and a ``node``): ``actor`` runs
in the role's process, ``service`` is what the driver calls. ``driver/`` talks to several roles; ``ranks/`` is one
DeepSpeed rank group. ``wait`` is the only module that waits for actors, ``placement`` says which nodes can hold what,
``reservation`` has Ray keep that room, ``environment`` holds the variables of their processes, ``machine`` reads cores
and memory, ``session`` is the Ray itself, ``cluster`` starts all actors, ``role`` is their base; a ``snapshot`` is a
version of the weights on its way.
Nothing here imports :mod:`deploy`.
"""
