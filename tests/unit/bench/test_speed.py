"""What the speed bench makes of what its arms measured; nothing is timed here."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from effrl.config import load
from effrl.errors import UserError
from tests.bench.speed import curves, summary
from tests.bench.speed.coin import coin
from tests.bench.speed.effrl_arm import config_of
from tests.bench.speed.rows import of_metrics, passes, sampled
from tests.bench.speed.sizes import SIZES, Size, model_of, write_prompts

METRICS = {
    "time/step_s": 4.0,
    "time/rollout_s": 2.0,
    "time/learn_s": 1.0,
    "time/publish_s": 0.5,
    "rollout/count": 8,
    "rollout/tokens": 100,
    "learn/tokens": 90,
    "groups/trained": 2,
}


def test_rows_of_a_run_leave_out_its_start_up() -> None:
    [row] = of_metrics([{"step": 0}, {"step": 1, **METRICS}])
    assert row["wall_s"] == 4.0 and row["learned_tokens"] == 90 and "cpu_s" not in row


def test_cpu_seconds_are_the_sum_of_all_roles() -> None:
    [row] = of_metrics([{"step": 1, **METRICS, "cpu/learner_s": 1.5, "cpu/rollout_s": 2.0, "cpu/oracle_s": None}])
    assert row["cpu_s"] == 3.5


def test_a_step_without_a_trained_group_learned_no_token() -> None:
    metrics = {name: value for name, value in METRICS.items() if name != "learn/tokens"}
    [row] = of_metrics([{"step": 1, **metrics, "groups/trained": 0}])
    assert row["learned_tokens"] == 0


def test_rollouts_of_a_step_say_whether_they_were_learned() -> None:
    trained = {"prompt": "1+1=", "fate": "trained", "rollouts": [{"tokens": 3}, {"tokens": 5}]}
    filtered = {"prompt": "2+2=", "fate": "filtered", "rollouts": [{"tokens": 7}]}
    assert sampled(json.loads(json.dumps([trained, filtered]))) == [
        {"prompt": "1+1=", "tokens": 3, "learned": True},
        {"prompt": "1+1=", "tokens": 5, "learned": True},
        {"prompt": "2+2=", "tokens": 7, "learned": False},
    ]


def test_passes_hold_every_row_within_their_tokens() -> None:
    assert passes([30, 10, 60, 20, 200], 100) == [[10, 20, 30], [60], [200]]


def arms(effrl_s: float, trl_s: float) -> summary.Round:
    return {
        "effrl": [{"wall_s": effrl_s, "rollout_s": 2.0, "learn_s": 3.0, "publish_s": 1.0, "rollouts": 8}],
        "trl": [{"wall_s": trl_s, "rollouts": 8}],
        "engine": [{"wall_s": 1.0, "publish_s": 0.5}],
        "learner": [{"wall_s": 2.0}],
    }


def test_ratios_are_of_one_round() -> None:
    assert summary.ratios(arms(6.0, 9.0)) == {
        "step_over_floor": 2.0,
        "rollout_over_engine": 2.0,
        "learn_over_learner": 1.5,
        "publish_over_floor": 2.0,
        "rollouts_over_trl": 1.5,
    }


def test_medians_are_over_rounds() -> None:
    found = summary.summary([arms(6.0, 9.0), arms(3.0, 9.0), arms(60.0, 9.0)])
    assert found["effrl"]["wall_s"] == 6.0
    assert found["ratios"]["rollouts_over_trl"] == 1.5


def test_a_mean_is_over_steps_and_of_what_all_have() -> None:
    assert summary.per_step([{"wall_s": 1.0, "cpu_s": 2.0}, {"wall_s": 3.0}]) == {"wall_s": 2.0}


def test_the_table_has_every_arm_and_every_ratio() -> None:
    lines = summary.table(summary.summary([arms(6.0, 9.0)])).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:6]] == ["effrl", "trl", "engine", "learner"]
    assert "| effrl's rollouts per second over TRL's | 1.50 |" in lines


def test_a_line_is_fitted_through_points_of_any_scale() -> None:
    line = curves.fit([(n, 0.25 + 3e-8 * n) for n in (1e6, 5e6, 2e7)])
    np.testing.assert_allclose(line[:2], (0.25, 3e-8))
    assert line.worst < 1e-9


def test_a_fit_says_how_far_the_worst_point_lies_off() -> None:
    assert curves.fit([(0, 0), (1, 1), (2, 0)]).worst == pytest.approx(2 / 3)


def test_every_sweep_has_several_sizes() -> None:
    varied = [name for name, _ in curves.sweeps()]
    assert {name: varied.count(name) for name in varied} == {"rollouts": 4, "tokens": 4, "parameters": 4}


def test_the_coin_has_two_sides() -> None:
    assert {coin(str(number)) for number in range(16)} == {0.0, 1.0}


@pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)
def test_the_settings_of_a_run_are_valid(size: Size, tmp_path: Path) -> None:
    load.validate(config_of(size, tmp_path, tmp_path / "prompts.jsonl", 2, tmp_path / "run"), "the bench's config")


def test_prompts_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_prompts(first)
    write_prompts(second)
    assert first.read_text() == second.read_text()


def test_a_model_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run python examples/smollm2/fetch\.py"):
        model_of(replace(SIZES["smollm2"], ready=tmp_path), tmp_path)


def test_every_token_of_a_random_model_has_a_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 300}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    tokenizer = AutoTokenizer.from_pretrained(model_of(replace(SIZES["100m"], shape={**shape, **heads}), tmp_path))
    texts = {tokenizer.decode([token]) for token in range(150, 300)}
    assert len(texts) == 150 and "" not in texts
    assert len(tokenizer("12+3=").input_ids) == 5
