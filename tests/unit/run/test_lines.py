"""JSON Lines from their end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.errors import UserError
from effrl.run.lines import cut, from_end, trim
from effrl.run.metrics import truncate_after


@given(content=st.text(alphabet="ab\n", max_size=30).map(str.encode))
def test_lines_come_whole_and_last_first(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("lines") / "log.jsonl"
    path.write_bytes(content)
    whole = content[: content.rfind(b"\n") + 1]
    found = list(from_end(path))
    assert b"".join(line for _, line in reversed(found)) == whole
    assert all(content[start : start + len(line)] == line and line.count(b"\n") == 1 for start, line in found)
    trim(path)
    assert path.read_bytes() == whole


def test_where_there_is_no_file_there_is_no_line(tmp_path: Path) -> None:
    assert list(from_end(tmp_path / "none")) == []
    trim(tmp_path / "none")
    cut(tmp_path / "none", 3)
    assert not (tmp_path / "none").exists()


def test_a_cut_never_makes_a_file_longer(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"abc")
    cut(tmp_path / "log", 5)
    assert (tmp_path / "log").read_bytes() == b"abc"


@pytest.mark.parametrize("step", [-1, 0, 1, 2, 5])
@pytest.mark.parametrize("torn", ["", '{"step": 3}', '{"step"'])
def test_a_resume_takes_back_the_rows_of_later_steps(tmp_path: Path, step: int, torn: str) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [f'{{"step": {number}}}\n' for number in (0, 0, 1, 3, 3)]
    path.write_text("".join(rows) + torn)
    truncate_after(path, step)
    assert path.read_text() == "".join(row for row in rows if int(row[9]) <= step)


def test_a_resume_reads_only_the_rows_that_it_takes_back(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('not JSON\n{"step": 1}\n{"step": 2}\n')
    truncate_after(path, 1)
    assert path.read_text() == 'not JSON\n{"step": 1}\n'
    with pytest.raises(UserError, match="not JSON"):
        truncate_after(path, 0)
