"""Records in a checkpoint: two safetensors files, one of what is remembered, one of what waits for its label."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from effrl.label.care.features import Features
from effrl.label.care.records import ProbeRecord
from effrl.run.files import written
from effrl.saved import SavedFile

_RECORDS, _WAITING = "records.safetensors", "waiting.safetensors"
_FEATURES = [entry.name for entry in fields(Features)]
_KNOWN = ["right", "vote_right", "others_right"]


def save_records(into: Path, records: Sequence[ProbeRecord], waiting: Mapping[str, Features]) -> dict[str, SavedFile]:
    """Write both below ``into``; nothing of what is empty."""
    paths = []
    if records:
        known = {name: np.stack([np.asarray(getattr(record, name)) for record in records]) for name in _KNOWN}
        paths.append(into / _RECORDS)
        save_file({**_stacked([record.features for record in records]), **known}, paths[-1])
    if waiting:
        paths.append(into / _WAITING)
        ids = np.frombuffer("\n".join(waiting).encode(), np.uint8)
        save_file({**_stacked(list(waiting.values())), "ids": ids}, paths[-1])
    return written(into, paths)


def load_records(path: Path) -> tuple[list[ProbeRecord], dict[str, Features]]:
    """What :func:`save_records` wrote."""
    return _records(path / _RECORDS), _waiting(path / _WAITING)


def _records(path: Path) -> list[ProbeRecord]:
    if not path.exists():
        return []
    arrays = load_file(path)
    known = zip(arrays["right"], arrays["vote_right"], arrays["others_right"], strict=True)
    return [
        ProbeRecord(features, right, bool(vote), int(others))
        for features, (right, vote, others) in zip(_unstacked(arrays), known, strict=True)
    ]


def _waiting(path: Path) -> dict[str, Features]:
    if not path.exists():
        return {}
    arrays = load_file(path)
    ids = arrays["ids"].tobytes().decode().split("\n")
    return dict(zip(ids, _unstacked(arrays), strict=True))


def _stacked(found: Sequence[Features]) -> dict[str, NDArray[np.generic]]:
    return {name: np.stack([np.asarray(getattr(entry, name)) for entry in found]) for name in _FEATURES}


def _unstacked(arrays: Mapping[str, NDArray[np.generic]]) -> list[Features]:
    rows = zip(*(arrays[name] for name in _FEATURES), strict=True)
    return [Features(**dict(zip(_FEATURES, row, strict=True))) for row in rows]
