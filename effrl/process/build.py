"""From a config's ``process`` section to the process rewards that it names."""

from effrl import plugins
from effrl.config.schema import Config
from effrl.process.none import NoProcess
from effrl.protocols import ProcessRewards


def process_rewards(config: Config) -> ProcessRewards:
    """Make the process rewards of a run.

    Raises:
        UserError: process rewards of the user's own cannot be loaded.
    """
    if config.process is None:
        return NoProcess()
    made: ProcessRewards = plugins.load("process.kind", config.process.kind)(config)
    return made
