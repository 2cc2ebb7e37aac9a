"""The learner as the driver sees it: all of its ranks, called as one."""

from dataclasses import dataclass

import ray

from actors.ranks.group import RankGroup
from actors.snapshot import Manifest
from actors.wait import answers


@dataclass
class LearnerGroup(RankGroup):
    """The ranks of the learner, called as one."""

    async def snapshot(self) -> tuple[ray.ObjectRef, Manifest]:
        """Weights as rank 0 has them: the bytes stay in the object store, only their manifest comes here.

        Every rank is called: under ZeRO-3 each has a part of every parameter.
        """
        pairs = {name: rank.snapshot.options(num_returns=2).remote() for name, rank in self.ranks.items()}
        manifest, *_ = await answers({name: pair[1] for name, pair in pairs.items()}, self.wait_s, "snapshot")
        return next(iter(pairs.values()))[0], manifest
