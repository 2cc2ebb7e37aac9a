"""A trained policy behind OpenAI's API.

``app`` has the routes and ``bodies`` what they take; ``access`` lets in who has the token, and ``door`` how many.
``source`` says which checkpoint is wanted and ``swap`` loads a newer one. ``engine`` is vLLM, whose worker ``reload``
extends, and ``weights`` reads files. ``whole`` puts it
together, and ``serving`` does so under Ray Serve.
"""
