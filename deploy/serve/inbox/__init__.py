"""The label inbox over HTTP. ``app`` has the routes and ``bodies`` what they take, ``guard`` lets in who has one of the
``tokens``, ``reading`` understands typed answers, ``exports`` are for taking away, and ``webhook`` calls people.
``serving`` runs it under Ray Serve, ``static`` is the page.
"""
