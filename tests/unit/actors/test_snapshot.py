"""A version's bytes: what is packed is what is read, and what was damaged on the way is found out."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.snapshot import Manifest, entry, pack, unpack, verify
from effrl.errors import RunError

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@given(st.lists(st.tuples(st.sampled_from(FLOATS), st.lists(st.integers(1, 5), max_size=3)), max_size=6))
def test_what_is_packed_is_read(kinds: list) -> None:
    torch.manual_seed(1)
    tensors = {f"w{n}": torch.randn(shape).to(dtype) for n, (dtype, shape) in enumerate(kinds)}
    data, manifest = pack(tensors)
    for raw in data.values():
        raw.setflags(write=False)  # as the object store gives it
    verify(data, manifest)
    found = dict(unpack(data, manifest))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert manifest == Manifest({name: entry(tensor) for name, tensor in tensors.items()}, size)


def test_views_and_transposed_tensors_are_packed_as_they_read() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    data, manifest = pack({"t": base.T, "row": base[1]})
    found = dict(unpack(data, manifest))
    assert torch.equal(found["t"], base.T) and torch.equal(found["row"], base[1])
    assert manifest.tensors["t"] == entry(base.T.contiguous())


def test_neither_packing_nor_reading_copies() -> None:
    weights = torch.zeros(4)
    data, manifest = pack({"w": weights})
    [(_, tensor)] = unpack(data, manifest)
    weights[0] = 7
    assert tensor.tolist() == [7, 0, 0, 0]


@pytest.mark.parametrize("place", [0, 600, -1])
def test_one_wrong_bit_is_found(place: int) -> None:
    data, manifest = pack({"w": torch.ones(300), "v": torch.zeros(3)})
    data["w"][place] ^= 1
    with pytest.raises(RunError, match=r"arrived damaged: w$"):
        verify(data, manifest)


def test_bytes_or_tensors_that_are_missing_or_too_many_are_found() -> None:
    data, manifest = pack({"w": torch.ones(300), "v": torch.ones(2)})
    for damaged in ({**data, "w": data["w"][:-4]}, {**data, "w": np.resize(data["w"], 1204)}, {"v": data["v"]}):
        with pytest.raises(RunError, match=r"arrived damaged: w$"):
            verify(damaged, manifest)
    with pytest.raises(RunError, match=r"arrived damaged: u$"):
        verify({**data, "u": data["v"]}, manifest)


def test_reading_often_leaves_nothing_behind() -> None:
    """An engine reads every version of a run."""
    data, manifest = pack({f"w{n}": torch.ones(300) for n in range(50)})

    def grown(times: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            verify(data, manifest)
            dict(unpack(data, manifest))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    grown(5)
    found = grown(50)
    tracemalloc.stop()
    assert found < 50 * 50 * 8
