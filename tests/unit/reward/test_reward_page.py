"""The page about rewards: its configs make reward functions, and its own function works."""

import re
from pathlib import Path

import pytest
import yaml

import effrl
from effrl.config.schema import Config
from effrl.reward.verifiers import functions

PAGE = (Path(effrl.__file__).parents[1] / "docs" / "rewards.md").read_text()


def snippets(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"the page has no {language} snippet any more"
    return found


@pytest.mark.parametrize("text", snippets("yaml"))
def test_configs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rewards.py").write_text(*snippets("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = Config.model_validate({"data": {"train": "tasks:chain"}, **yaml.safe_load(text)})
    assert functions(config.reward).keys() >= {"outcome"}


def test_the_function() -> None:
    [text] = snippets("python")
    names: dict[str, object] = {}
    exec(text, names)
    close = names["close"]
    assert callable(close)
    assert [close(completion, "46", {}) for completion in ("#46", "#47", "46")] == [1, 0.5, 0]


def test_every_kind_is_in_the_table() -> None:
    kinds = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert kinds == {"math", "exact", "task", "choice", "regex", "sum"}
