"""Files as people bring them (``tests/data/odd``), and what each reads as or what is wrong with it (``odd.txt``)."""

from pathlib import Path

import pytest

from effrl.acceptable import listed
from effrl.config import load
from effrl.data.audit import Audit, audit
from effrl.data.reader import read
from effrl.errors import UserError

ODD = Path(__file__).parents[2] / "data" / "odd"

EXPECTED = {
    source: tuple(lines)
    for source, *lines in (part.split("\n    ") for part in ODD.with_name("odd.txt").read_text().strip().split("\n\n"))
}
"""By source: ``prompt = label`` of each row, then what the audit finds; or what is wrong."""


def told(source: str) -> tuple[str, ...]:
    named = load.source(str(ODD / source))
    try:
        found = audit(named)
    except UserError as error:
        return (str(error).replace(f"{ODD}/", ""),)
    if found.malformed.count:
        return tuple(line.replace(f"{ODD}/", "") for line in found.malformed.lines)
    rows = [f"{row.prompt.text} = {'no label' if row.label is None else listed(row.label)}" for row in read(named)]
    return (*(row.replace("\n", " ⏎ ") for row in rows), *findings(found))


def findings(found: Audit) -> list[str]:
    kinds = {
        "repeated": found.repeated,
        "conflicting": found.conflicts,
        "prefilled": found.prefilled,
        "doubtful": found.doubtful,
    }
    return [f"{name}: {line.replace(f'{ODD}/', '')}" for name, kind in kinds.items() for line in kind.lines]


@pytest.mark.parametrize("source", EXPECTED)
def test_an_odd_file(source: str) -> None:
    assert told(source) == EXPECTED[source]


def test_every_odd_file_is_expected_to_be_something() -> None:
    files = {source.partition("?")[0] for source in EXPECTED}
    assert files == {path.name for path in ODD.iterdir()}
