"""A module that fails to import."""

raise RuntimeError("the dictionary\nis missing")
