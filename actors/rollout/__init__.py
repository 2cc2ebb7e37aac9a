"""Rollout workers: ``actor`` is one, around ``engine``, which is vLLM and lives in a ``thread``; ``outputs`` reads what
vLLM returns, ``sampling`` is what the driver asks of a worker, ``transfer`` how weights get in, and ``extension`` makes
that known in the processes of an engine over several devices.
"""
