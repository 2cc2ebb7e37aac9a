"""Buyers: each ranks the groups of a step by what their label is worth; one file per kind."""
