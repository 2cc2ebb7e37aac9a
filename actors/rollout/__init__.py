"""Rollout workers: ``engine`` is vLLM, ``sampling`` what the driver asks of it, ``transfer`` how weights get in."""
