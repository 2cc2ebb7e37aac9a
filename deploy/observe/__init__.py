"""What people watch runs with, made of the table of exported metrics: a ``dashboard`` for Grafana and ``alerts`` for
Prometheus. ``python -m deploy.observe DIRECTORY`` writes both; ``__main__`` does that.
"""
