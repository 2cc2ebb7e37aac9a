"""Filters: each says which of the groups whose label was not bought may train on their vote; one file per kind."""
