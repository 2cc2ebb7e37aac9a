"""What the label inbox stands: ``kills`` of its server, ``load``, and ``fuzz`` of its routes; ``office`` starts it."""
