"""Weights of a landed file, as views: the library's own values, and nothing left behind."""

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from actors import snapshot
from actors.snapshot import Landing, Manifest, entry, mapped, pack
from effrl.errors import RunError

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@given(st.lists(st.tuples(st.sampled_from(FLOATS), st.lists(st.integers(1, 5), max_size=3)), min_size=1, max_size=6))
def test_the_same_as_the_library_reads(tmp_path_factory: pytest.TempPathFactory, kinds: list) -> None:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(1)
    safetensors.torch.save_file({f"w{n}": torch.randn(shape).to(dtype) for n, (dtype, shape) in enumerate(kinds)}, path)
    expected, found = safetensors.torch.load_file(path), dict(mapped(path))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_reading_often_leaves_nothing_behind(tmp_path: Path) -> None:
    """The library's get_tensor leaves 56 bytes per tensor and call."""
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({f"w{n}": torch.ones(300) for n in range(50)}, path)

    def grown(times: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            dict(mapped(path))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    grown(5)
    found = grown(50)
    tracemalloc.stop()
    assert found < 50 * 50 * 8


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"w": torch.ones(300)}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SafetensorError):
        dict(mapped(path))


def test_weights_are_floats(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"w": torch.ones(3, dtype=torch.int64)}, path)
    with pytest.raises(KeyError, match="I64"):
        dict(mapped(path))


@given(st.lists(st.tuples(st.sampled_from(FLOATS), st.lists(st.integers(0, 5), max_size=3)), max_size=6))
def test_what_is_packed_is_read_by_the_library(kinds: list) -> None:
    torch.manual_seed(1)
    tensors = {f"w{n}": torch.randn(shape).to(dtype) for n, (dtype, shape) in enumerate(kinds)}
    data, manifest = pack(tensors)
    found = safetensors.torch.load(data.tobytes())
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert manifest == Manifest({name: entry(tensor) for name, tensor in tensors.items()}, len(data))


def test_views_and_transposed_tensors_are_packed_as_they_read() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    data, manifest = pack({"t": base.T, "row": base[1]})
    found = safetensors.torch.load(data.tobytes())
    assert torch.equal(found["t"], base.T) and torch.equal(found["row"], base[1])
    assert manifest.tensors["t"] == entry(base.T.contiguous())


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Landing:
    monkeypatch.setattr(snapshot, "SHM", tmp_path)
    return Landing("run")


def test_a_version_is_checked_before_anyone_can_find_it(landing: Landing, tmp_path: Path) -> None:
    data, manifest = pack({"w": torch.ones(300), "v": torch.zeros(3)})
    torn = data.copy()
    torn[-1] ^= 1
    with pytest.raises(RunError, match=r"arrived damaged: [vw]$"):
        landing.land(torn, manifest)
    with pytest.raises(RunError, match=r"arrived damaged: u, v, w$"):
        landing.land(pack({"u": torch.ones(3)})[0], manifest)
    assert list(tmp_path.iterdir()) == [], "or a second attempt would find it, and the node's memory would keep it"
    path = landing.land(data, manifest)
    assert [*tmp_path.iterdir()] == [path]
    assert landing.land(np.empty(0, np.uint8), manifest) == path, "the second worker of a node finds it"
    landing.drop(manifest)
    assert not path.exists()
