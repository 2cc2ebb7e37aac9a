"""CARE: what two probes see of a group, what they remember, and how they are trained (RLAVR/CARE)."""
