"""Rollout replay: ``store`` keeps recent groups with signal, ``archive`` writes them to disk, ``rescore`` puts the
truth in place of a pseudo-label that was bought since.
"""
