"""From a ``replay`` section to the store of what may be replayed."""

from effrl.config.replay import AnyReplay, ExGrpoReplay, fresh_of
from effrl.replay.exgrpo import ExGrpoStore
from effrl.replay.store import ReplayStore


def replay_store(config: AnyReplay, prompts: int, seed: int, screen: int = 0) -> ReplayStore:
    """An empty store of a run whose steps have so many prompts, of which groups may stop after ``screen`` rollouts."""
    fresh = fresh_of(prompts, config.fresh)
    if isinstance(config, ExGrpoReplay):
        return ExGrpoStore(config.capacity, fresh, seed, config.start, config.width, screen)
    return ReplayStore(config.capacity, fresh, seed)
