"""One GPU for an engine and a learner rank: who works when, in which order memory is taken back, and what cannot be.

That it works on a GPU is another test's, ``tests/e2e/test_colocated.py``.
"""

import asyncio
from typing import Any

import pytest
from fake_actor import Ref
from pydantic import ValidationError

from actors.driver.transports import IpcTransport, TakingTurns
from actors.learner.group import LearnerGroup
from actors.placement import bundle
from actors.prm.turns import PrmInTurns
from actors.ranks.group import RankGroup
from actors.snapshot import Manifest
from effrl.config.schema import Config
from effrl.sequences import ProcessReward
from effrl.types import Receipt, Update

ONE_GPU = {"per_node": 1, "gpus": 1, "cpus": 0.5}


def config(**sections: Any) -> Config:
    cluster = {"colocate": True, "rollout": ONE_GPU, "learner": ONE_GPU, **sections.pop("cluster", {})}
    rollout = {"gpu_memory": 0.4, **sections.pop("rollout", {})}
    return Config.model_validate({"data": {"train": "tasks:chain"}, "cluster": cluster, "rollout": rollout, **sections})


def needs(config: Config, learning: bool = True) -> dict[str, float]:
    [pool] = config.pools(learning)
    return bundle(pool)


class Method:
    def __init__(self, name: str, events: list[str], value: Any = None) -> None:
        self.name, self.events, self.value = name, events, value

    def options(self, num_returns: int) -> "Method":
        return self

    def remote(self, *arguments: Any) -> Any:
        self.events.append(" ".join((self.name, *(str(a) for a in arguments if isinstance(a, str | int)))))
        return [Ref(part) for part in self.value] if isinstance(self.value, tuple) else Ref(self.value)


class Actor:
    """A learner rank, or a rollout worker; whatever it is told is written down."""

    def __init__(self, events: list[str], manifest: Manifest, receipt: Any) -> None:
        self.sleep, self.wake, self.release_ipc = (Method(name, events) for name in ("sleep", "wake", "release_ipc"))
        self.export_ipc = Method("export_ipc", events, ({"names": []}, manifest))
        self.load_exported = Method("load", events, receipt)


MANIFEST = Manifest({"w": ("torch.float32", (1,), 7)}, 4)


def transport(events: list[str], receipt: Any) -> IpcTransport:
    actor = Actor(events, MANIFEST, receipt)
    return IpcTransport(LearnerGroup({"learner-0": actor}, 5.0), {"rollout-0": actor}, 5.0)


def test_memory_is_taken_back_in_an_order_that_never_holds_everything_at_once() -> None:
    events: list[str] = []
    receipt = Receipt("rollout-0", 3, MANIFEST.checksum)
    receipts, manifest = asyncio.run(transport(events, receipt).deliver(3))
    assert (receipts, manifest.checksum, manifest.size) == ([receipt], MANIFEST.checksum, 4)
    assert events == ["wake weights", "export_ipc", "load 3", "release_ipc", "wake kv_cache"]


def test_what_was_shown_is_let_go_where_an_engine_fails() -> None:
    events: list[str] = []
    with pytest.raises(RuntimeError, match="no such handle"):
        asyncio.run(transport(events, RuntimeError("no such handle")).deliver(3))
    assert events[-1] == "release_ipc", "or the learner would keep a second copy for the rest of the run"


@pytest.mark.parametrize(
    ("learned", "events"), [(True, ["sleep", "learn"]), (False, ["sleep", "learn", "wake weights", "wake kv_cache"])]
)
def test_an_engine_sleeps_while_the_learner_works_and_wakes_where_nothing_will_be_published(
    learned: bool, events: list[str]
) -> None:
    told: list[str] = []

    class Learner:
        async def step(self, step: Any, batch: Any) -> Update:
            told.append("learn")
            return Update(1, 1, learned)

    actor = Actor(told, MANIFEST, None)
    update = asyncio.run(TakingTurns(Learner(), {"rollout-0": actor}, 5.0).step(None, None))  # type: ignore[arg-type]
    assert update.learned is learned and told == events


def test_both_workers_need_one_gpu_together() -> None:
    assert needs(config()) == {"CPU": 1.0, "GPU": 1.0}
    assert needs(config(), learning=False) == {"CPU": 0.5, "GPU": 1.0}
    assert needs(config(cluster={"colocate": False}))["GPU"] == 2.0


PRM = {"process": {"kind": "implicit_prm"}}


def test_a_prm_shares_the_gpu_too() -> None:
    together = config(**PRM, cluster={"prm": {"gpus": 1}})
    assert needs(together) == {"CPU": 1.5, "GPU": 1.0} and len(together.workers()) == 3


def test_a_prm_works_while_the_engine_sleeps_and_leaves_it_so_for_the_learner() -> None:
    told: list[str] = []

    rank = Actor([], MANIFEST, None)
    rank.sleep, rank.wake = (Method(f"prm {name}", told) for name in ("sleep", "wake"))

    class Prm:
        group = RankGroup({"prm-0": rank}, 5.0)

        async def reward(self, step: Any, batch: Any) -> ProcessReward:
            told.append("reward")
            return ProcessReward()

    turns = PrmInTurns(Prm(), {"rollout-0": Actor(told, MANIFEST, None)})  # type: ignore[arg-type]
    asyncio.run(turns.reward(None, None))  # type: ignore[arg-type]
    assert told == ["sleep", "prm wake", "reward", "prm sleep"]


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"cluster": {"learner": {"per_node": 2, "gpus": 1}}}, "set cluster.learner to {per_node: 1, gpus: 1}"),
        ({"cluster": {"rollout": {"gpus": 0}}}, "set cluster.rollout to"),
        (
            {"cluster": {"learner": ONE_GPU | {"nodes": 2}}},
            "set cluster.learner to .*, and nodes and labels in cluster",
        ),
        ({"rollout": {"max_staleness": 1}}, "set rollout.max_staleness=0"),
        ({"rollout": {"gpu_memory": 0.9}}, "set it to 0.5 or less"),
        ({"learn": {"zero": 3}}, "set learn.zero to 1 or 2"),
        (PRM, "set cluster.prm to {per_node: 1, gpus: 1}"),
        (
            {"process": {"kind": "implicit_prm", "learn": {"zero": 3}}, "cluster": {"prm": {"gpus": 1}}},
            "set process.learn.zero to 1 or 2",
        ),
    ],
)
def test_what_cannot_be_shared_is_one_line(sections: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError, match=line.replace("{", r"\{").replace("}", r"\}")):
        config(**sections)
