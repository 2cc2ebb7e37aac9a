"""Rollout replay: ``build`` makes the store of a config; ``store`` keeps recent groups with signal, ``exgrpo`` draws
them by how many of their rollouts passed, and ``rescore`` puts the truth in place of a pseudo-label that was bought
since.
"""
