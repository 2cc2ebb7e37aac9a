"""UFO-RL: one forward pass scores a prompt; those in the zone of proximal development are trained on.

``build`` makes the selector of a config; ``target`` says what is scored, ``zone`` does the numbers, ``selector`` draws,
``records`` keeps the reasons; ``cache`` and ``picture`` and ``trial``, which says whether a score
tells anything, serve ``effrl score``.
"""
