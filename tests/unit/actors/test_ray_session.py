"""A Ray that is slow to start, as on a busy machine, is started once more; anything else is an error at once."""

import pytest
import ray

from actors.session import RAY_STARTS, is_own, ray_session

LATE = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


@pytest.mark.parametrize(
    ("fails", "message", "tries"),
    [(1, LATE, 2), (RAY_STARTS - 1, LATE, RAY_STARTS), (RAY_STARTS, LATE, RAY_STARTS), (1, "no such address", 1)],
)
def test_starts(fails: int, message: str, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = [], []

    def init(**_: object) -> None:
        begun.append(message)
        if len(begun) <= fails:
            raise Exception(message)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(1))
    if tries > fails:
        with ray_session():
            pass
    else:
        with pytest.raises(Exception, match=message[:10]), ray_session():
            pytest.fail("it did not start")
    assert len(begun) == tries and len(ended) == tries


@pytest.mark.parametrize(
    ("variable", "address", "own"),
    [(None, None, True), ("local", None, True), ("head:6379", None, False), (None, "auto", False)],
)
def test_a_ray_of_ones_own_is_known(
    variable: str | None, address: str | None, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one machine is never drained, and nobody need look."""
    begun: list[dict[str, object]] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    monkeypatch.setattr(ray, "init", lambda **given: begun.append(given))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_session(address):
        pass
    assert is_own(address) is own and ("num_cpus" in begun[0]) is own
    assert begun[0]["address"] == (address or variable or "local")
