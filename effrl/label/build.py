"""From a config's ``label`` section to the labeller it names."""

from effrl import plugins
from effrl.config.buy import AnyBuy, AvgProbBuy, CareBuy, EntropyBuy, FixedBuy, OracleCagBuy, RandomBuy
from effrl.config.label import ActiveLabel, GoldLabel, PluginLabel, RandomLabel
from effrl.config.label_free import EmpoLabel, RestrainLabel, VoteLabel
from effrl.config.rest import AnyRest, DropRest, GateRest, TrapoRest, VoteRest
from effrl.config.schema import Config
from effrl.label.active import ActiveLabeller, carried, whole
from effrl.label.buy.at_random import RandomBuyer
from effrl.label.buy.avg_prob import AvgProbBuyer
from effrl.label.buy.entropy import EntropyBuyer
from effrl.label.buy.fixed import FixedBuyer
from effrl.label.buy.oracle_cag import OracleCagBuyer
from effrl.label.care.records import ProbeMemory
from effrl.label.empo import EmpoLabeller
from effrl.label.gold import GoldLabeller
from effrl.label.halves import Buyer, Filter
from effrl.label.rest.drop import DropFilter
from effrl.label.rest.trapo import TrapoFilter
from effrl.label.rest.vote import VoteFilter
from effrl.label.restrain import RestrainLabeller, read_shares
from effrl.protocols import Labeller, Monitor, Oracle


def labeller(config: Config, oracle: Oracle, monitor: Monitor) -> Labeller:
    """The labeller of a run; ``monitor`` serves the diagnostics that look at labels which nobody bought.

    Raises:
        UserError: a labeller of the user's own cannot be loaded, or a reference cannot be read.
    """
    longest, at_random = config.rollout.max_tokens, RandomBuyer(config.run.seed)
    match config.label:
        case GoldLabel():
            return GoldLabeller(oracle)
        case VoteLabel():
            return ActiveLabeller(oracle, at_random, VoteFilter(), whole(0.0), longest)
        case EmpoLabel(gate=gate):
            return EmpoLabeller(gate)
        case RestrainLabel(reference=path) as label:
            return RestrainLabeller(label, None if path is None else read_shares(path))
        case RandomLabel(budget=budget, rest=rest):
            judge: Filter = VoteFilter() if rest == "vote" else DropFilter()
            return ActiveLabeller(oracle, at_random, judge, carried(budget.per_step), longest)
        case ActiveLabel() as label:
            quota, memory = whole(label.budget.per_step), ProbeMemory(label.probes.memory)
            halves = _buyer(config, label, monitor), _filter(config, label)
            return ActiveLabeller(oracle, *halves, quota, longest, label.pays_per_visit, memory)
        case PluginLabel(kind=kind):
            made: Labeller = plugins.load("label.kind", kind)(config, oracle)
            return made


def _buyer(config: Config, label: ActiveLabel, monitor: Monitor) -> Buyer:
    buy: AnyBuy = label.buy
    match buy:
        case CareBuy():
            from effrl.label.buy.care import CareBuyer  # torch takes seconds, which other buyers need not spend

            return CareBuyer(buy, label.probes, config.rollout.per_prompt, config.run.seed)
        case RandomBuy():
            return RandomBuyer(config.run.seed)
        case FixedBuy(share=share):
            return FixedBuyer(share, config.run.seed)
        case EntropyBuy():
            return EntropyBuyer()
        case AvgProbBuy():
            return AvgProbBuyer()
        case OracleCagBuy():
            return OracleCagBuyer(monitor)


def _filter(config: Config, label: ActiveLabel) -> Filter:
    rest: AnyRest = label.rest
    match rest:
        case DropRest():
            return DropFilter()
        case VoteRest():
            return VoteFilter()
        case GateRest():
            from effrl.label.rest.gate import GateFilter  # torch, as above

            return GateFilter(rest, label.probes, config.rollout.per_prompt, config.run.seed)
        case TrapoRest():
            return TrapoFilter(rest)
