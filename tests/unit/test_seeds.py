"""Random streams depend on the root seed and their names, and on nothing else."""

import os
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.seeds import derive, stream

ROOTS = st.integers(0, 2**63 - 1)
Request = tuple[int, int, str, int]
REQUESTS: st.SearchStrategy[Request] = st.tuples(ROOTS, st.integers(0, 10**6), st.text(max_size=20), st.integers(0, 64))
"""Root seed, step, prompt id and number of the rollout: ids may hold anything, slashes and digits too."""


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_every_process_derives_the_same(hash_seed: str) -> None:
    """Python's own ``hash`` of text differs from process to process: actors and a resumed run would draw anew."""
    code = 'from effrl.seeds import derive; print(derive(1, "rollout", 12, "chain/3f2a", 0))'
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(process.stdout) == derive(1, "rollout", 12, "chain/3f2a", 0)


def test_a_release_derives_as_the_one_before() -> None:
    """A resumed run may have been started by an older version; change this number knowingly."""
    assert derive(1, "rollout", 12, "chain/3f2a", 0) == 50002393709906104


@given(REQUESTS, REQUESTS)
def test_different_rollouts_have_different_seeds(one: Request, other: Request) -> None:
    """Rollouts of one group with the same seed would be the same rollout."""
    seeds = [derive(root, "train", step, prompt, number) for root, step, prompt, number in (one, other)]
    assert (seeds[0] == seeds[1]) == (one == other)


def test_a_whole_step_has_no_seed_twice() -> None:
    names = list(product(("train", "eval"), (1, 11), map("chain/{}".format, range(50)), range(8)))
    assert len({derive(1, *name) for name in names}) == len(names)


def test_neighbouring_roots_share_nothing() -> None:
    """``seed + step`` would give run 1 at step 2 what run 2 has at step 1."""
    one, two = ({derive(root, "train", step) for step in range(500)} for root in (1, 2))
    assert not one & two


@given(ROOTS, st.text())
def test_seeds_fit_where_they_go(root: int, name: str) -> None:
    """Torch and vLLM take a signed 64-bit integer."""
    assert 0 <= derive(root, name) < 2**63


def test_a_stream_starts_anew_each_time() -> None:
    """What one stream has drawn must not move another."""
    first = stream(1, "epoch", 3)
    drawn = [first.random() for _ in range(5)]
    stream(1, "epoch", 4).random()
    again = stream(1, "epoch", 3)
    assert [again.random() for _ in range(5)] == drawn
    assert stream(1, "epoch", 4).random() != drawn[0]
