"""The vault lets labels out through two doors, and through nothing else."""

import copy
import json
import pickle
import pprint
from collections.abc import Callable

import pytest

from effrl.label.oracle.vault import LabelVault
from effrl.types import Prompt, Row

SECRET = "the-secret-label"
ROWS = [Row(Prompt("a", "1+1="), SECRET), Row(Prompt("b", "2+2="), None), Row(Prompt("c", "3+3="), "6")]


@pytest.fixture
def vault() -> LabelVault:
    return LabelVault(iter(ROWS))


def test_buy(vault: LabelVault) -> None:
    assert [vault.buy(name) for name in "abc"] == [SECRET, None, "6"]


def test_monitor_answers_in_order(vault: LabelVault) -> None:
    assert vault.monitor(["c", "a", "b", "c"]) == ["6", SECRET, None, "6"]
    assert vault.monitor([]) == []


def test_an_unknown_prompt_is_an_error(vault: LabelVault) -> None:
    with pytest.raises(KeyError):
        vault.buy("d")
    with pytest.raises(KeyError):
        vault.monitor(["a", "d"])


def test_two_rows_with_one_id_are_an_error() -> None:
    with pytest.raises(ValueError, match="'a'"):
        LabelVault([ROWS[0], ROWS[0]])


@pytest.mark.parametrize("show", [repr, str, pprint.pformat, "{}".format, lambda vault: f"{vault!r}"])
def test_texts_show_counts_only(vault: LabelVault, show: Callable[[LabelVault], str]) -> None:
    assert show(vault) == "LabelVault(3 prompts, 2 labelled)"


@pytest.mark.parametrize(
    "leak",
    [
        iter,
        list,
        dict,
        vars,
        json.dumps,
        copy.copy,
        copy.deepcopy,
        lambda vault: vault["a"],
        lambda vault: "a" in vault,
        lambda vault: vault.__getstate__(),
        *(lambda vault, protocol=protocol: pickle.dumps(vault, protocol) for protocol in range(6)),
    ],
)
def test_other_ways_out_are_closed(vault: LabelVault, leak: Callable[[LabelVault], object]) -> None:
    with pytest.raises(TypeError) as error:
        leak(vault)
    assert SECRET not in str(error.value)


def test_no_public_attribute_holds_labels(vault: LabelVault) -> None:
    public = [name for name in dir(vault) if not name.startswith("_")]
    assert public == ["buy", "monitor"]
