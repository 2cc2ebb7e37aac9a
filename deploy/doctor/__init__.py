"""What ``effrl doctor`` knows: is an installation, a machine or a cluster fit for runs?

``probe`` reports what there is on a node, ``gather`` has it do so on every node, and ``facts`` is what comes of it;
``needs`` is what a config asks for. Checks are functions of these facts alone, by theme: ``software``, ``machine``,
``network``, ``storage``, ``room`` for a config's workers, and ``agreement`` between nodes. ``checks`` lists them all,
each gives a ``finding``, and ``show`` prints those.
"""
