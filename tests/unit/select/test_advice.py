"""A line where selection does not pay."""

from effrl.select.advice import REMEDY, no_gain

PAYS = {"step": 3, "select/zone_closed": 0.0, "select/effective_zone": 0.5, "select/effective_control": 0.25}
FAILS = {**PAYS, "step": 4, "select/zone_closed": 1.0, "select/effective_zone": 0.2, "select/effective_error": 0.07}


def test_it_says_by_how_much_a_zone_that_was_closed_fell_behind() -> None:
    found = no_gain([PAYS, FAILS])
    assert "20% of the zone's groups have signal, 25% of uniform draws' (difference ± 7%)" in str(found)
    assert "select.kind=uniform" in REMEDY


def test_where_nearly_every_group_teaches_it_says_so() -> None:
    assert "nearly every group teaches" in str(no_gain([{**FAILS, "select/effective_control": 0.9}]))


def test_nothing_is_said_while_it_pays_or_where_there_is_no_zone() -> None:
    assert no_gain([PAYS]) is None
    assert no_gain([FAILS, PAYS]) is None, "only of the newest step"
    assert no_gain([{"step": 1}]) is None and no_gain([]) is None
