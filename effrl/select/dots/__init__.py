"""DOTS: difficulty is predicted from a few measured references, and prompts are drawn near a target.

``build`` makes the selector of a config, ``selector`` runs the rounds, ``gumbel`` draws. Predictors are in
:mod:`effrl.difficulty`.
"""
