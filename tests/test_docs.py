"""The pages of docs/ are executable too: their commands exist, and their configs pass the check."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deploy.cli import app
from effrl import load

PAGE = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text()


def snippets(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"no {language} snippet any more"
    return found


def commands() -> list[list[str]]:
    return [shlex.split(line, comments=True) for text in snippets("bash") for line in text.splitlines()]


def test_configs_pass_the_check(tmp_path: Path) -> None:
    for text in snippets("yaml"):
        (tmp_path / "my.yaml").write_text(text)
        result = CliRunner().invoke(app, ["config", "check", str(tmp_path / "my.yaml")])
        assert result.exit_code == 0 and result.output.startswith("ok: "), result.output
        config = load.validate(yaml.safe_load(text), "the page")
        assert config.data.dev_set == "dev" and config.run.save_every % config.eval.every == 0


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_exist(command: list[str]) -> None:
    program, name, target, *arguments = command
    result = CliRunner().invoke(app, [name, "--help"])
    assert program == "effrl" and result.exit_code == 0
    assert all(option in result.output for option in arguments if option.startswith("--"))
    overrides = [argument for argument in arguments if "=" in argument]
    if target == "tiny":
        recipe = arguments[0] if "=" not in arguments[0] else None
        assert (load.load(recipe, overrides) if recipe else load.load_overrides(overrides)).data.held_out


def test_every_metric_has_a_line() -> None:
    assert set(re.findall(r"^\| `(eval/\S+)`", PAGE, re.MULTILINE)) == {
        "eval/accuracy", "eval/pass@k", "eval/maj@k", "eval/truncated", "eval/tokens",
    }  # fmt: skip
