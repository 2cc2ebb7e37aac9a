"""From a config's ``label`` section to the labeller it names."""

from effrl import plugins
from effrl.config.label import GoldLabel, PluginLabel, RandomLabel, VoteLabel
from effrl.config.schema import Config
from effrl.label.gold import GoldLabeller
from effrl.label.selective import SelectiveLabeller, at_random
from effrl.protocols import Labeller, Oracle


def labeller(config: Config, oracle: Oracle) -> Labeller:
    """The labeller of a run.

    Raises:
        UserError: a labeller of the user's own cannot be loaded.
    """
    match config.label:
        case GoldLabel():
            return GoldLabeller(oracle)
        case VoteLabel():
            return SelectiveLabeller(oracle, at_random(config.run.seed), share=0.0, rest="vote")
        case RandomLabel(budget=budget, rest=rest):
            return SelectiveLabeller(oracle, at_random(config.run.seed), share=budget.per_step, rest=rest)
        case PluginLabel(kind=kind):
            made: Labeller = plugins.load("label.kind", kind)(config, oracle)
            return made
