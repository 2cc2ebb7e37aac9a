"""The configuration of a run, one file per section of the YAML; the ground floor, which imports no other part of effrl
but ``errors``, ``types`` and the names of ``tasks``.

``section`` is the base of all; ``schema`` joins the sections and checks that they fit together; ``load`` reads files
and overrides. Facts that other parts need ("buys every label", "votes") are properties of the sections.
"""
