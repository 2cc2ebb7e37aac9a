"""UFO-RL: one forward pass scores a prompt; those in the zone of proximal development are trained on.

``target`` says what is scored, ``zone`` does the numbers, ``selector`` draws; ``cache``, ``records`` and ``picture``
serve ``effrl score``.
"""
