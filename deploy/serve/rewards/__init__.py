"""The rewards of a run over HTTP: ``app`` has the route, ``bodies`` what it takes and gives, ``scorers`` do the work.
``whole`` puts it together, and ``serving`` does so under Ray Serve.
"""
