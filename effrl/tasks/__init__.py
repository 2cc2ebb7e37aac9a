"""Problems that the project makes: reasoning-gym's (``gym``), and families of its own; ``source`` draws them, each is a
``problem``; the others are one family each.
"""
