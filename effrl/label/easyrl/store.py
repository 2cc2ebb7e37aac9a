"""The pseudo-labels of a round and where each came from: in a file of their own, apart from labels that are owned."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from effrl.errors import UserError
from effrl.label.easyrl.items import LabelledPool, Precision, PseudoLabel
from effrl.run.files import whole, written
from effrl.saved import SavedFile

DEFERRED = "deferred"


def write_labelled(path: Path, labelled: LabelledPool) -> SavedFile:
    """Write a round: a line about it, then one per prompt. The file is there whole or not at all; the same round gives
    the same bytes, whose digest is returned."""
    with whole(path) as draft:
        rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(labelled))
        draft.write_text("".join(rows), encoding="utf-8")
    return written(path.parent, [path])[path.name]


def read_labelled(path: Path) -> LabelledPool:
    """Read what :func:`write_labelled` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        about, *rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        return _pool(about, rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is missing or damaged: resume from a checkpoint before its stage") from error


def _rows(labelled: LabelledPool) -> Iterator[dict[str, Any]]:
    origin = {"stage": labelled.stage, "policy": labelled.policy}
    prompts = len(labelled.labels) + len(labelled.deferred)
    yield {**origin, "prompts": prompts, "anchor": asdict(labelled.anchor), "metrics": dict(labelled.metrics)}
    for name, entry in labelled.labels.items():
        yield {"id": name, **asdict(entry), **origin}
    for name, reason in labelled.deferred.items():
        yield {"id": name, "tier": DEFERRED, "reason": reason, **origin}


def _pool(about: Mapping[str, Any], rows: list[dict[str, Any]]) -> LabelledPool:
    if len(rows) != about["prompts"]:
        raise ValueError(f"{len(rows)} of {about['prompts']} prompts")
    labels = {row["id"]: _label(row) for row in rows if row["tier"] != DEFERRED}
    deferred = {row["id"]: row["reason"] for row in rows if row["tier"] == DEFERRED}
    anchor = Precision(**about["anchor"])
    return LabelledPool(about["stage"], about["policy"], labels, deferred, anchor, about["metrics"])


def _label(row: Mapping[str, Any]) -> PseudoLabel:
    return PseudoLabel(row["answer"], row["tier"], row["share"], row["uncertainty"], row["text"])
