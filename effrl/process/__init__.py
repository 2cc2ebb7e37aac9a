"""Process rewards: rewards of single tokens beside the outcome of a rollout.

``build`` makes those of a run that are of the user's own, and ``none`` is the null object of a run without. The rest is
the implicit PRM of PRIME without its engine: ``examples`` is what it learns from, ``losses`` how, ``rewards`` what its
log-ratios are worth, ``metrics`` how good it is; ``steps`` scores whole solutions by their steps.
``hacking`` is the alarm where a policy earns ever more of them, and solves ever less.
"""
