"""``process``: rewards of single tokens, beside the outcome of a rollout."""

from effrl.config.section import ImportPath, Section


class PluginProcess(Section):
    kind: ImportPath
    """Import path of your own process rewards (see :class:`effrl.protocols.ProcessRewards`)."""


AnyProcess = PluginProcess
