"""When a selector pays: arithmetic for a user's own model, before anything is run.

A step of uniform draws takes the time 1, of which ``rollout_share`` goes into sampling. Per unit of time it has so many
groups with signal, in proportion to ``effective``, its share of them, and a selector pays where it has more. What is
learned from grows with the groups that have signal; so a selector that needs ``extra`` of uniform's rollouts on top
breaks even at an effective share of ``effective * (1 + extra)``, whatever the rollout share is: then each group with
signal costs as many rollouts as it does without.
"""

from dataclasses import dataclass

from effrl.config.schema import Config
from effrl.config.select import DotsSelect, PerplexitySelect

PASS = 1 / 20
"""Of a group of eight rollouts: what one forward pass over a prompt and its answer costs. On the bench one pass is 12
to 30 times faster than eight samples of the tiny model; a model that writes longer answers gains more."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a run: ``Situation(0.5, 0.7, 4096, 32, 20, 0.125)``."""

    effective: float
    """Share of uniform draws' groups that have signal."""
    rollout_share: float
    """Of a step's time that is spent on rollouts."""
    pool: int
    """Prompts to choose from."""
    prompts: int
    """Of a step."""
    steps: int
    references: float
    """Prompts that ``dots`` measures, as a share of those that its round trains on."""

    @property
    def most(self) -> float:
        """Times as many groups with signal per unit of time as uniform has, if every group had signal."""
        return 1 / (1 - self.rollout_share + self.rollout_share * self.effective)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a selector costs, and from where on it pays."""

    name: str
    extra: float
    """Rollouts on top of uniform's, as a share of them; negative where it saves some."""
    step: float
    """A step's time in uniform's, while as many groups are learned from."""
    needed: float
    """Share of groups with signal at which it breaks even."""

    @property
    def verdict(self) -> str:
        """For people."""
        if self.needed > 1:
            return "cannot pay"
        return "saves rollouts" if self.extra < 0 else f"pays above {self.needed:.2f}"


def outlooks(found: Situation) -> list[Outlook]:
    """Every built-in way to choose prompts that is worth a row, uniform draws apart."""
    measured = found.pool / (found.steps * found.prompts)
    costs = {
        "calibrated, thompson, band, greso, cures": 0.0,
        "ufo": PASS * measured,
        "perplexity": PASS * PerplexitySelect().candidates,  # at most: what is read is shorter, without an answer
        "dots": found.references,
        "dots with replay of one half": found.references - 0.5,
        "adarft by the base": measured,
    }
    return [
        Outlook(name, extra, 1 + found.rollout_share * extra, found.effective * (1 + max(0.0, extra)))
        for name, extra in costs.items()
    ]


def situation(config: Config, pool: int, effective: float, rollout_share: float) -> Situation:
    """Of a config over a pool of so many prompts, with the defaults of ``dots``."""
    dots, prompts = DotsSelect(), config.rollout.prompts
    references = dots.references(prompts) / (dots.steps * prompts)
    return Situation(effective, rollout_share, pool, prompts, config.run.steps, references)
