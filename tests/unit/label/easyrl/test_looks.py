"""What a round keeps as it goes."""

from pathlib import Path

import pytest
from looked import looked, thought

from effrl.label.easyrl.items import TOO_LONG, PoolLook, SecondLook
from effrl.label.easyrl.looks import LookFile

LOOKS = [looked("a", "1", "1"), looked("ü\u2028", "1", None, second=thought("½", 0.1 + 0.2)), looked("c", None)]


def test_what_is_read_is_what_was_kept(tmp_path: Path) -> None:
    file = LookFile(tmp_path / "pool" / "looks.jsonl", "v1")
    assert file.read() == {}
    for look in LOOKS:
        file.append([look])
    assert LookFile(file.path, "v1").read() == {look.prompt: look for look in LOOKS}


def test_the_last_line_of_a_prompt_counts(tmp_path: Path) -> None:
    file, first = LookFile(tmp_path / "looks.jsonl", "v1"), looked("a", "1", "2")
    second = looked("a", "1", "2", second=SecondLook(None, None, lost=TOO_LONG))
    file.append([first, looked("b", "1")])
    file.append([second])
    assert file.read()["a"] == second


def test_another_policy_s_answers_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "looks.jsonl"
    LookFile(path, "v1").append([looked("a", "1"), looked("b", "1")])
    LookFile(path, "v2").append([looked("a", "2")])
    assert LookFile(path, "v2").read() == {"a": looked("a", "2")}
    assert LookFile(path, "v1").read() == {"a": looked("a", "1"), "b": looked("b", "1")}


@pytest.mark.parametrize("bytes_left", [1, 20, -1])
def test_a_torn_last_line_is_ignored_and_overwritten(bytes_left: int, tmp_path: Path) -> None:
    path = tmp_path / "looks.jsonl"
    LookFile(path, "v1").append(LOOKS[:1])
    whole = path.stat().st_size
    LookFile(path, "v1").append(LOOKS[1:2])
    content = path.read_bytes()
    path.write_bytes(content[:-1] if bytes_left < 0 else content[: whole + bytes_left])
    file = LookFile(path, "v1")
    assert file.read() == {"a": LOOKS[0]}
    file.append(LOOKS[2:])
    assert file.read() == {"a": LOOKS[0], "c": LOOKS[2]}


def test_nothing_kept_is_lost_with_its_types(tmp_path: Path) -> None:
    file = LookFile(tmp_path / "looks.jsonl", "v1")
    file.append(LOOKS)
    found: PoolLook = file.read()["ü\u2028"]
    assert found.answers == ("1", None) and found.clusters == (0, None)
    assert found.second is not None and found.second.nll == 0.1 + 0.2
