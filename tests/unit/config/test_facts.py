"""What sections say of themselves, so that no other part has to know which kinds there are."""

from typing import Any

import pytest

from effrl.config.load import load, recipes
from effrl.config.schema import Config
from effrl.config.select import TargetForm
from effrl.data.survey import Survey
from effrl.errors import UserError
from effrl.select.build import form_of

BARE = Survey(100, 100, 9, "train:1")
WORKED = Survey(100, 100, 9, "train:1", worked=60)


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, "rollout": {"refill": 0}, **sections})


@pytest.mark.parametrize(
    ("label", "buys", "buys_all", "votes", "share"),
    [
        ({"kind": "gold"}, True, True, False, None),
        ({"kind": "vote"}, False, False, True, None),
        ({"kind": "random"}, True, False, True, 0.2),
        ({"kind": "random", "rest": "drop", "budget": {"per_step": 0.1}}, True, False, False, 0.1),
        ({"kind": "my.module:labeller"}, True, False, False, 0.2),
    ],
)
def test_labellers(label: dict[str, Any], buys: bool, buys_all: bool, votes: bool, share: float | None) -> None:
    found = config(label=label).label
    assert (found.buys, found.buys_all, found.votes, found.share_per_step) == (buys, buys_all, votes, share)


@pytest.mark.parametrize(
    ("label", "reads"),
    [
        ({"kind": "gold"}, False),
        ({"kind": "vote"}, True),
        ({"kind": "random"}, True),
        ({"kind": "random", "rest": "drop"}, False),
        ({"kind": "my.module:labeller"}, True),
    ],
)
def test_who_looks_at_clusters(label: dict[str, Any], reads: bool) -> None:
    assert config(label=label).label.reads_clusters is reads


def test_a_labeller_that_does_not_vote_needs_no_answers() -> None:
    own = {"kind": "my.rewards:score"}
    assert not config(label={"kind": "random", "rest": "drop"}, reward=own).label.votes
    with pytest.raises(ValueError, match="votes on answers"):
        config(label={"kind": "random"}, reward=own)


@pytest.mark.parametrize(
    ("kind", "contrast", "values", "scales"),
    [
        ("grpo", True, False, True),
        ("rloo", True, False, False),
        ("reinforce", False, False, False),
        ("prime", True, False, True),
        ("gae", False, True, True),
        ("my.module:best", True, False, False),
    ],
)
def test_advantages(kind: str, contrast: bool, values: bool, scales: bool) -> None:
    process = {"kind": "my.module:rewards"} if kind == "prime" else None
    found = config(advantage={"kind": kind}, process=process).advantage
    assert (found.needs_contrast, found.value_function is not None, found.scales) == (contrast, values, scales)


@pytest.mark.parametrize("kind", ["prime", "pure"])
def test_an_advantage_of_process_rewards_needs_some(kind: str) -> None:
    own = {"kind": "my.module:rewards"}
    assert config(process=own, advantage={"kind": kind}).process is not None
    with pytest.raises(ValueError, match=rf"advantage.kind={kind} is about.*set process.kind=implicit_prm"):
        config(advantage={"kind": kind})


@pytest.mark.parametrize(
    ("process", "line"),
    [
        ({"order": "none"}, r"all rewards would be 0; set process.path to a trained PRM"),
        ({"separator": ""}, r"process.separator is empty"),
        ({"learn": {"zero": 4}}, r"process.implicit_prm.learn.zero"),
    ],
)
def test_a_prm_that_cannot_reward_is_one_line(process: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        config(process=process)


def test_a_prm_has_an_optimizer_of_its_own() -> None:
    """Of the same fields as the policy's; PRIME cuts its gradient at 10."""
    found = config(process={"learn": {"lr": 1e-5}}, cluster={"prm": {"per_node": 2}, "nodes": 2})
    assert found.prm is not None and (found.prm.learn.clip_norm, found.learn.clip_norm) == (10, 1)
    assert (found.prm.learn.lr, found.learn.lr, found.cluster.prm_ranks) == (1e-5, 1e-6, 4)
    assert list(found.workers()) == ["rollout", "learner", "prm"] and list(found.workers(False)) == ["rollout"]
    assert config().prm is None and list(config().workers()) == ["rollout", "learner"]


def test_a_band_has_two_ends() -> None:
    with pytest.raises(ValueError, match=r"low \(0.8\) is above high \(0.2\).*swap them"):
        config(rollout={"filter": {"low": 0.8, "high": 0.2}})


@pytest.mark.parametrize(
    ("loss", "scores_silent"),
    [({}, False), ({"kl": 0.1}, True), ({"kl": 0.1, "over": "trained"}, False), ({"over": "sampled"}, False)],
)
def test_losses(loss: dict[str, Any], scores_silent: bool) -> None:
    assert config(loss=loss).loss.scores_silent is scores_silent


@pytest.mark.parametrize("recipe", recipes())
def test_each_recipe_takes_its_mean_over_what_its_paper_does(recipe: str) -> None:
    """DAPO and PRIME sample until enough groups pass a filter, TraPO trains few of many; all others count what was
    sampled."""
    few = ("dapo", "prime", "pure", "trapo")
    assert load(recipe).loss.over == ("trained" if recipe in few else "sampled")


@pytest.mark.parametrize(
    ("select", "buys_labels", "votes", "measured"),
    [
        ({"kind": "band"}, False, False, 0),
        ({"kind": "ufo", "prefix": "#"}, True, False, 0),
        ({"kind": "ufo", "prefix": "#", "target": "pseudo_answer"}, False, True, 0),
        ({"kind": "adarft"}, False, False, 480),
        ({"kind": "adarft", "difficulty": "level"}, False, False, 0),
        ({"kind": "dots"}, False, False, 8 * 8),
        ({"kind": "dots", "reference": 3, "steps": 5}, False, False, 2 * 3),
    ],
)
def test_selectors(select: dict[str, Any], buys_labels: bool, votes: bool, measured: int) -> None:
    """20 steps of 32 prompts of a pool of 480: ten rounds of two steps, the first two of which measure nothing."""
    found = config(select=select).select
    assert (found.buys_labels, found.votes, found.measured(32, 20, 480)) == (buys_labels, votes, measured)


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        ({"template": "boxed"}, "\\boxed{"),
        ({"template": "{prompt}\nEnd with #### and the answer."}, "#### "),
        ({"system": "Think in <think>, then answer in <answer>."}, "<answer> "),
        ({"template": "boxed", "system": "Answer in <answer>."}, None),
        ({"template": "question"}, None),
        ({}, None),
    ],
)
def test_an_answer_is_scored_behind_what_the_prompt_asks_for(data: dict[str, Any], prefix: str | None) -> None:
    """The paper's ``<answer> `` belongs to a system prompt that no other run has: the policy would not write it."""

    def scored(**select: Any) -> str:
        found = config(data={"train": "rows.jsonl", **data}, select={"kind": "ufo", **select})
        return form_of(found, BARE).prefix

    if prefix is None:
        with pytest.raises(UserError, match=r"says how an answer begins: set select\.prefix"):
            scored()
    else:
        assert scored() == prefix
    assert (scored(prefix="<answer> "), scored(target="full_solution")) == ("<answer> ", "")


def test_an_answer_is_scored_behind_what_the_reward_reads() -> None:
    ufo = {"kind": "ufo"}
    assert form_of(config(data={"train": "tasks:chain"}, select=ufo), BARE).prefix == "#"
    assert (
        form_of(config(data={"train": "rows.jsonl"}, reward={"kind": "choice"}, select=ufo), BARE).prefix == "Answer: "
    )
    regex = {"kind": "regex", "pattern": r"Result:\s*(\d+)"}
    assert form_of(config(data={"train": "rows.jsonl"}, reward=regex, select=ufo), BARE).prefix == "Result: "


def test_solutions_are_scored_where_most_labels_have_work() -> None:
    found = config(data={"train": "tasks:chain"}, select={"kind": "ufo"})
    assert form_of(found, WORKED) == TargetForm("full_solution", "", "none")
    assert form_of(found, BARE) == TargetForm("final_answer", "#", "none")
    given = config(data={"train": "tasks:chain"}, select={"kind": "ufo", "target": "final_answer"})
    assert form_of(given, WORKED).target == "final_answer"


def test_certainties_are_of_labels_where_all_are_bought() -> None:
    own = {"kind": "my.module:selector"}
    assert form_of(config(select=own), BARE).target == "final_answer"
    assert form_of(config(select=own, label={"kind": "vote"}), BARE).target == "pseudo_answer"


def test_the_user_s_own_code_is_named_by_its_field() -> None:
    found = config(select={"kind": "a:b"}, advantage={"kind": "c:d"}, reward={"kind": "e:f"}, loss={"kind": "g:h"})
    own = {"select.kind": "a:b", "advantage.kind": "c:d", "loss.kind": "g:h"}
    assert found.plugins == own, "a reward runs in a worker of its own"


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({}, "GRPO"),
        ({"advantage": {"kind": "reinforce_pp"}, "loss": {"kind": "gspo"}}, "REINFORCE PP, gspo"),
        ({"advantage": {"kind": "my.module:best"}}, "my.module:best"),
    ],
)
def test_the_name_of_an_algorithm(sections: dict[str, Any], name: str) -> None:
    assert config(**sections).algorithm == name
