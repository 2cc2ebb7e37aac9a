"""Runs with stages, through the driver's own services: what each stage draws and learns from. A run that dies anywhere,
in a stage, between two or while a pool is being labelled, goes on to the same end, and asks for the rest alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import role
from actors.driver import pools
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.label.easyrl import pool_work
from effrl.label.easyrl.store import read_labelled
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.resume import StartPoint, resume_point
from tests.unit.actors.driven import ASKED, Death, Killed, attempt, comparable

POOL, EASY = 24, 6
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    monkeypatch.setattr(pool_work, "CHUNK", 4)
    ASKED.clear()


def write_data(path: Path, labels: Callable[[int], str | None] = lambda n: str(1 + n % 2)) -> Path:
    """Engines answer 1 or 2."""
    rows = [{"id": f"p{n:02}", "prompt": f"{n}", "label": labels(n), "difficulty": n} for n in range(POOL)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(data: Path, pool: Row | None = None, **sections: Any) -> Config:
    labelled = {"kind": "pseudo", "samples": 2, "quantile": 0.5, "anchor": 4, **(pool or {})}
    last = {"name": "self", "epochs": 0.5, "rounds": 2, "reset_optimizer": True, "pool": labelled}
    return Config.model_validate(
        {
            "data": {"train": str(data)},
            "reward": {"kind": "exact"},
            "advantage": {"std": "none"},
            "rollout": {"prompts": 4, "per_prompt": 4, "max_tokens": 4, "refill": 0},
            "run": {"save_every": 2, "keep": 9, "sinks": []},
            "easy": {"share": EASY / POOL},
            "stages": [{"name": "warm-up", "steps": 3, "pool": "easy"}, {**last, "set": {"learn.updates": 2}}],
            **sections,
        }
    )


def groups(run: RunDirectory) -> list[Row]:
    """What became of each group; its id tells the attempt, and may differ."""
    lines = [line for path in sorted(run.groups.glob("step_*.jsonl")) for line in path.read_text().splitlines()]
    return [{key: value for key, value in json.loads(line).items() if key != "id"} for line in lines]


def labels_of(run: RunDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.stages.glob("*.labels.jsonl")}


async def finished(path: Path, made: Config) -> tuple[RunDirectory, str]:
    run = RunDirectory(path)
    return run, await attempt(made, run, StartPoint(path.parent))


async def test_each_stage_has_its_pool_its_settings_and_its_supervision(tmp_path: Path) -> None:
    run, _ = await finished(tmp_path / "run", config(write_data(tmp_path / "data.jsonl")))
    rows = {row["step"]: row for row in metrics.read(run.metrics) if row["step"]}
    first, second = (read_labelled(run.stages / f"self.{number}.labels.jsonl") for number in (1, 2))
    easy = {f"p{n:02}" for n in range(EASY)}
    assert not first.labels.keys() & second.labels.keys(), "who was selected is asked no second time"
    assert first.labels.keys() | first.deferred.keys() == {f"p{n:02}" for n in range(EASY, POOL)}
    assert second.labels.keys() | second.deferred.keys() == first.deferred.keys()
    numbers = [row["stage/number"] for row in rows.values()]
    steps = [-(-(EASY + len(found.labels)) // 8) for found in (first, second)]  # half an epoch, of 4 prompts each
    assert numbers == [1] * 3 + [2] * steps[0] + [3] * steps[1]
    drawn = {number: set[str]() for number in (1, 2, 3)}
    for step, row in rows.items():
        lines = [json.loads(line) for line in (run.groups / f"step_{step:06d}.jsonl").read_text().splitlines()]
        drawn[row["stage/number"]] |= {line["prompt_id"] for line in lines}
        known = {1: {}, 2: first.labels, 3: second.labels}[row["stage/number"]]
        for line in (line for line in lines if line["label_source"]):
            expected = known[line["prompt_id"]].tier if line["prompt_id"] in known else "gold"
            assert line["label_source"] == expected
        assert row.get("learn/updates", 2) == (1 if row["stage/number"] == 1 else 2)
    assert drawn[1] <= easy and drawn[2] <= easy | first.labels.keys() and drawn[3] <= easy | second.labels.keys()
    assert rows[4]["prepare/selected"] == len(first.labels) and "prepare/selected" not in rows[5]
    assert rows[max(rows)]["label/bought_total"] <= EASY, "pseudo-labels are charged to nobody"
    rolled, fates = tally(run.groups)
    assert rolled == sum(fates.values())


DEATHS = {
    "in the first stage": (Death(2), None),
    "in the last step of the first stage": (Death(3, updated=True), None),
    "after a part of the answers": (None, 5),
    "after a part of the reflections": (None, 10),
    "between the pool and its first step": (Death(4), None),
    "inside the second stage": (Death(5, updated=True), None),
    "in the last round": (Death(7), None),
}


@pytest.mark.parametrize(("dies_at", "lives"), DEATHS.values(), ids=DEATHS)
async def test_killed_and_resumed_it_ends_the_same(dies_at: Death | None, lives: int | None, tmp_path: Path) -> None:
    made = config(write_data(tmp_path / "data.jsonl"))
    whole, expected = await finished(tmp_path / "whole", made)
    asked = list(ASKED)

    ASKED.clear()
    run = RunDirectory(tmp_path / "cut")
    with pytest.raises(Killed):
        await attempt(made, run, StartPoint(tmp_path), dies_at, **({} if lives is None else {"lives": lives}))
    before = list(ASKED)
    start = resume_point(run, made, tmp_path)
    assert await attempt(made, run, start) == expected
    assert comparable(metrics.read(run.metrics)) == comparable(metrics.read(whole.metrics))
    assert groups(run) == groups(whole) and labels_of(run) == labels_of(whole)
    rolled, fates = tally(run.groups)
    assert rolled == sum(fates.values())
    if lives is not None:  # it died while a pool was being labelled, right after a checkpoint: nothing is asked twice
        assert before + ASKED[len(before) :] == asked


@pytest.mark.parametrize("torn", [False, True], ids=["after it was found", "while it was written"])
async def test_what_is_easy_is_known_whenever_it_died(
    torn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what asking for it has cost is told in the row of the stage before which that was."""
    made = config(write_data(tmp_path / "data.jsonl"), easy={"share": EASY / POOL, "by": "pass_rate"})
    whole, expected = await finished(tmp_path / "whole", made)
    rows = metrics.read(whole.metrics)
    told = [(row["step"], row["prepare/easy_rollouts"]) for row in rows if "prepare/easy_tokens" in row]
    assert told == [(1, 4 * POOL)]

    def half(path: Path, state: Row) -> None:
        path.write_bytes(b"half")
        raise Killed

    run = RunDirectory(tmp_path / "cut")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        if torn:
            patch.setattr(pools, "write_state", half)
        await attempt(made, run, StartPoint(tmp_path), Death(2))
    assert await attempt(made, run, resume_point(run, made, tmp_path)) == expected
    assert comparable(metrics.read(run.metrics)) == comparable(rows)


async def test_what_is_not_easy_has_no_label_that_anybody_reads(tmp_path: Path) -> None:
    """Property 10: with all other labels poisoned, the run is the same, and no poison is in its files."""
    clean, one = await finished(tmp_path / "clean", config(write_data(tmp_path / "data.jsonl")))
    asked = list(ASKED)
    ASKED.clear()
    poisoned = write_data(tmp_path / "data.jsonl", lambda n: str(1 + n % 2) if n < EASY else "POISON")
    other, two = await finished(tmp_path / "poisoned", config(poisoned))
    assert one == two and asked == ASKED and groups(clean) == groups(other) and labels_of(clean).keys()
    assert not any("POISON" in text for _, text in ASKED)
    selected = [read_labelled(run.stages / "self.1.labels.jsonl").labels for run in (clean, other)]
    assert selected[0] == selected[1]


async def test_deferred_prompts_are_bought_where_the_stage_says_so(tmp_path: Path) -> None:
    label = {"kind": "random", "rest": "drop", "budget": {"per_step": 1.0, "total": EASY + 3}}
    made = config(write_data(tmp_path / "data.jsonl"), {"deferred": "buy", "samples": 3, "quantile": 0.0})
    stages = [made.stages[0], made.stages[1].model_copy(update={"set": {"label": label}})]
    run, _ = await finished(tmp_path / "run", made.model_copy(update={"stages": tuple(stages)}))
    lines = [line for line in groups(run) if line["label_source"]]
    sources = {line["label_source"] for line in lines}
    assert sources == {"gold", "bought", "consistent"}
    found = read_labelled(run.stages / "self.1.labels.jsonl")
    bought = {line["prompt_id"] for line in lines if line["label_source"] == "bought"}
    assert bought <= found.deferred.keys() and len(bought) <= 3


async def test_what_was_bought_is_learned_from_again(tmp_path: Path) -> None:
    """A stage that buys, killed in the next one, which draws what is owned and buys nothing more."""
    label = {"kind": "random", "rest": "drop", "budget": {"per_step": 0.5, "total": 5}}
    stages = [{"name": "buy", "steps": 3}, {"name": "again", "epochs": 3, "pool": "owned"}]
    made = config(write_data(tmp_path / "data.jsonl"), label=label, stages=stages)
    whole, expected = await finished(tmp_path / "whole", made)
    rows = metrics.read(whole.metrics)
    assert rows[-1]["label/bought_total"] == 5 and rows[-1]["step"] == 3 + 4, "three epochs of five, by four"
    bought = {line["prompt_id"] for line in groups(whole) if line["label_source"]}
    later = [line for line in groups(whole) if line["step"] > 3]
    assert len(bought) == 5 and {line["prompt_id"] for line in later} == bought
    assert all(line["label_source"] for line in later)

    run = RunDirectory(tmp_path / "cut")
    with pytest.raises(Killed):
        await attempt(made, run, StartPoint(tmp_path), Death(5))
    assert await attempt(made, run, resume_point(run, made, tmp_path)) == expected


def of_owned(data: Path) -> Config:
    """A stage that buys labels all over the data, and one that labels all others and buys among the deferred."""
    label = {"kind": "random", "rest": "drop", "budget": {"per_step": 0.5, "total": 9}}
    labelled = {"kind": "pseudo", "gold": "owned", "samples": 2, "quantile": 0.5, "anchor": 4, "deferred": "buy"}
    stages = [{"name": "buy", "steps": 3}, {"name": "self", "steps": 2, "rounds": 2, "pool": labelled}]
    return config(data, label=label, stages=stages)


async def test_the_gold_of_a_pool_may_be_what_is_owned(tmp_path: Path) -> None:
    run, _ = await finished(tmp_path / "run", of_owned(write_data(tmp_path / "data.jsonl")))
    lines = groups(run)
    bought = {line["prompt_id"] for line in lines if line["step"] <= 3 and line["label_source"]}
    first, second = (read_labelled(run.stages / f"self.{number}.labels.jsonl") for number in (1, 2))
    assert len(bought) == 6 and not run.stages.joinpath("easy.json.gz").exists()
    assert first.labels.keys() | first.deferred.keys() == {f"p{n:02}" for n in range(POOL)} - bought
    assert second.labels.keys() | second.deferred.keys() == first.deferred.keys(), "whatever was bought meanwhile"
    sources = {line["label_source"] for line in lines if line["step"] > 3 and line["prompt_id"] in bought}
    assert sources == {"gold"}
    rows = metrics.read(run.metrics)
    assert rows[-1]["label/bought_total"] == 9, "the anchor costs nothing, since it is owned"
    assert rows[3]["prepare/rollouts"] >= 2 * (POOL - 6 + 4), "who is in the pool, and four of the anchor"


@pytest.mark.parametrize("dies_at", [Death(5, updated=True), Death(6)], ids=str)
async def test_which_labels_were_owned_is_known_to_a_resume(dies_at: Death, tmp_path: Path) -> None:
    """Although the stage has bought others by then."""
    made = of_owned(write_data(tmp_path / "data.jsonl"))
    whole, expected = await finished(tmp_path / "whole", made)
    run = RunDirectory(tmp_path / "cut")
    with pytest.raises(Killed):
        await attempt(made, run, StartPoint(tmp_path), dies_at)
    assert await attempt(made, run, resume_point(run, made, tmp_path)) == expected
    assert comparable(metrics.read(run.metrics)) == comparable(metrics.read(whole.metrics))
    assert groups(run) == groups(whole) and labels_of(run) == labels_of(whole)


async def test_without_an_owned_label_there_is_no_gold(tmp_path: Path) -> None:
    made = of_owned(write_data(tmp_path / "data.jsonl"))
    made = made.model_copy(update={"stages": made.stages[1:]})
    with pytest.raises(UserError, match=r"stage self.1: no label is owned yet: let a stage before it buy some"):
        await finished(tmp_path / "run", made)


async def test_a_round_that_selects_nothing_is_the_last_and_the_run_goes_on(tmp_path: Path) -> None:
    """Of eight answers, one is another in every group here; and a quantile of 0 lets no reflection in."""
    after = {"name": "after", "steps": 1}
    made = config(write_data(tmp_path / "data.jsonl"), {"samples": 8, "consistent_needs": 1.0, "quantile": 0.0})
    made = Config.model_validate({**made.model_dump(mode="json"), "stages": [*_dumped(made), after]})
    run, _ = await finished(tmp_path / "run", made)
    assert [row.get("stage/number") for row in metrics.read(run.metrics)] == [1, 1, 1, 4]
    found = read_labelled(run.stages / "self.1.labels.jsonl")
    assert not found.labels and found.metrics["prepare/rollouts"] > 0
    assert metrics.read(run.metrics)[-1]["prepare/rollouts"] == found.metrics["prepare/rollouts"], "it is not lost"
    assert not (run.stages / "self.2.labels.jsonl").exists()


def _dumped(made: Config) -> list[Row]:
    return [stage.model_dump(mode="json") for stage in made.stages]


async def test_a_run_whose_stages_are_done_is_not_begun_again(tmp_path: Path) -> None:
    made = config(write_data(tmp_path / "data.jsonl"))
    run, _ = await finished(tmp_path / "run", made)
    last = metrics.read(run.metrics)[-1]["step"]
    with pytest.raises(UserError, match=f"is finished at step {last}: to go on, start a new run from its model"):
        resume_point(run, made, tmp_path)


async def test_a_reflection_that_does_not_fit_is_deferred(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    await attempt(config(write_data(tmp_path / "data.jsonl")), run, StartPoint(tmp_path), context=20)
    found = read_labelled(run.stages / "self.1.labels.jsonl")
    assert {label.tier for label in found.labels.values()} == {"consistent"}
    assert "its reflection prompt is too long" in found.deferred.values()


async def test_a_resume_from_an_older_checkpoint_labels_anew(tmp_path: Path) -> None:
    """The labels on disk are of a policy that is there no more."""
    run, _ = await finished(tmp_path / "run", config(write_data(tmp_path / "data.jsonl")))
    for step in Checkpoints(run.checkpoints, keep=9).steps()[1:]:
        shutil.rmtree(run.checkpoints / f"step_{step}")
    (run.stages / "self.1.labels.jsonl").write_text(
        (run.stages / "self.1.labels.jsonl").read_text().replace('"policy": "', '"policy": "other')
    )
    ASKED.clear()
    made = config(tmp_path / "data.jsonl")
    await attempt(made, run, resume_point(run, made, tmp_path))
    assert "other" not in (run.stages / "self.1.labels.jsonl").read_text()
