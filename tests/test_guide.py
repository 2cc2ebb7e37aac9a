"""The guide is executable: every snippet is run, parsed or validated."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deploy.cli import app
from effrl.config import load
from effrl.data.reader import read

GUIDE = (Path(__file__).parent.parent / "docs" / "guide.md").read_text()
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)


def snippets(language: str) -> list[str]:
    found = [text for kind, text in SNIPPETS if kind == language]
    assert found, f"the guide has no {language} snippet any more"
    return found


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files that the guide's configs name."""
    [rows] = snippets("json")
    for name in ("problems.jsonl", "held_out.jsonl"):
        (tmp_path / name).write_text(rows)
    [reward] = snippets("python")
    (tmp_path / "my_rewards.py").write_text(reward)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_json_lines_are_rows() -> None:
    [rows] = snippets("json")
    assert all({"prompt", "label"} <= json.loads(line).keys() for line in rows.splitlines())


def test_configs_pass_the_check(files: Path) -> None:
    for text in snippets("yaml"):
        config: dict[str, Any] = {"data": {"train": "problems.jsonl"}, **yaml.safe_load(text)}
        (files / "my.yaml").write_text(yaml.safe_dump(config))
        result = CliRunner().invoke(app, ["config", "check", "my.yaml"])
        assert result.exit_code == 0 and result.output.startswith("ok: 2 prompts"), result.output


def test_the_reward_works(files: Path) -> None:
    from effrl.config.reward import PluginReward
    from effrl.reward.sandbox.messages import ScoringTask
    from effrl.reward.sandbox.pool import Sandbox

    with Sandbox(PluginReward(kind="my_rewards:short_and_right"), [str(files)]) as sandbox:
        tasks = [ScoringTask(text, "46", {}, truncated=False) for text in ("12+34=46;#46", "#45", "#46" * 100)]
        assert [score.outcome for score in sandbox.score(tasks)] == [1.0, 0.0, 0.0]


def test_sources_are_read_as_they_are_written() -> None:
    """The rows of the table; those with an ellipsis leave something to the reader."""
    [table] = re.findall(r"\| source \|.*?\n\n", GUIDE, re.DOTALL)
    forms = re.findall(r"^\| `([^`…]+)`", table, re.MULTILINE)
    kinds = {load.source(form).kind for form in forms}
    assert kinds == {"jsonl", "parquet", "folder", "hf", "tasks"}


def test_files_of_other_trainers_are_read_as_they_are_written() -> None:
    """Every source of the table names a file of tests/data/odd, and reads as rows with labels."""
    [table] = re.findall(r"\| you have a file of \|.*?\n\n", GUIDE, re.DOTALL)
    forms = re.findall(r"`([^`]+\?[^`]+)`", table)
    assert len(forms) == 9
    for form in forms:
        rows = list(read(load.source(str(Path(__file__).parent / "data" / "odd" / form))))
        assert rows and all(row.label is not None for row in rows), form
        assert all(row.prompt.text.endswith(("has she?", "$?")) for row in rows), form
