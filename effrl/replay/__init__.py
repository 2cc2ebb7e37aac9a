"""Rollout replay: ``store`` keeps recent groups with signal, ``rescore`` puts the truth in place of a pseudo-label that
was bought since.
"""
