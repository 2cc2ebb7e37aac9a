"""What was known of a prompt, out of the lines of a whole pool."""

import json
from pathlib import Path

from effrl.select.ufo.records import certainties


def line(step: int, prompt_id: str, certainty: float) -> str:
    return json.dumps({"step": step, "prompt_id": prompt_id, "certainty": certainty}, ensure_ascii=False) + "\n"


def test_the_last_look_before_a_step_counts(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    looks = [(1, 0.1), (5, 0.5), (9, 0.9)]
    path.write_text("".join(line(step, name, value) for step, value in looks for name in ("p1", "p10", 'é"\\')))
    assert certainties(path, 5, ["p1", 'é"\\']) == {"p1": 0.5, 'é"\\': 0.5}
    assert certainties(path, 8, {"p10"}) == {"p10": 0.5} and certainties(path, 0, {"p1"}) == {}
    assert certainties(tmp_path / "none", 8, {"p1"}) == {}


def test_lines_of_other_prompts_and_a_torn_one_are_not_parsed(tmp_path: Path) -> None:
    """One look writes a line for each prompt of the pool."""
    path = tmp_path / "scores.jsonl"
    path.write_text(f'{{"not": JSON}}\n{line(1, "p1", 0.1)}{line(2, "p1", 0.2)[:-4]}')
    assert certainties(path, 5, {"p1"}) == {"p1": 0.1}
