"""effrl: reinforcement learning for language models when labels, rollouts and GPU hours are scarce.

The library: config, types, the loop, selection, labels, rewards, advantages, losses, checkpoints, metrics, reports.
It never imports ray, vllm or deepspeed; :mod:`actors` makes its protocols true on a cluster.
"""

__version__ = "0.1.0"
