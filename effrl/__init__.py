"""effrl: reinforcement learning for language models when labels, rollouts and GPU hours are scarce.

Read ``loop``, ``protocols``, ``types`` and ``batch`` first. ``config/`` has one file per section of the YAML, and a
folder of the same name the code of that section: ``data``, ``select``, ``label``, ``reward``, ``process``,
``advantage``, ``loss``, ``replay``, ``learn``, ``stages``. ``preflight`` looks at all that a config names before a run,
``run`` is what a run leaves on disk, ``report`` and ``evaluation`` what people see of it, ``advice`` what its metrics
say is wrong. ``fleet`` decides which rollout worker samples what. Below them are ``errors``, ``seeds``, ``questions``
for oracles, ``plugins``, ``models``, the ``tiny`` models, ``tasks`` and ``difficulty``.

It never imports ray, vllm or deepspeed; :mod:`actors` makes its protocols true on a cluster. A test holds the list of
floors: who may import whom.
"""

__version__ = "0.1.0"
