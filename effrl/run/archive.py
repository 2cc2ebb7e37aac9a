"""Scored groups on disk, whole: tokens, behaviour log-probs, answers, supervision and scores.

One NumPy archive: the numbers of all rollouts end to end, and the rest as JSON. Nothing in it is executed when it is
read, unlike with pickle.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from effrl.errors import UserError
from effrl.types import (
    Decision,
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Supervision,
)


def write_groups(path: Path, groups: Sequence[ScoredGroup]) -> None:
    """Write groups in order; ``path`` ends in ``.npz``. Not compressed: log-probs would hardly get smaller."""
    rollouts = [rollout for scored in groups for rollout in scored.group.rollouts]
    np.savez(
        path,
        prompts=_end_to_end([scored.group.prompt_ids for scored in groups], np.int32),
        tokens=_end_to_end([rollout.token_ids for rollout in rollouts], np.int32),
        logprobs=_end_to_end([rollout.logprobs for rollout in rollouts], np.float32),
        rest=np.frombuffer(json.dumps([_record(scored) for scored in groups]).encode(), np.uint8),
    )


def read_groups(path: Path) -> list[ScoredGroup]:
    """Read groups back, bit for bit.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            records = json.loads(file["rest"].tobytes())
            prompts, tokens, logprobs = (_Reader(file[name]) for name in ("prompts", "tokens", "logprobs"))
        return [_group(record, prompts, tokens, logprobs) for record in records]
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: restore it, or delete its checkpoint to resume from the one before"
        ) from None
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise UserError(
            f"{path} is damaged: restore it, or delete its checkpoint to resume from the one before"
        ) from error


class _Reader:
    """Takes pieces off the front of an array."""

    def __init__(self, values: Any) -> None:
        self._values, self._position = values, 0

    def take(self, count: int) -> Any:
        piece = self._values[self._position : self._position + count]
        if len(piece) < count:
            raise ValueError("an array is too short")
        self._position += count
        return piece.copy()  # or one rollout would keep all the others in memory


def _end_to_end(pieces: Sequence[Any], dtype: type[np.generic]) -> Any:
    return np.concatenate([np.empty(0, dtype), *pieces])


def _record(scored: ScoredGroup) -> dict[str, Any]:
    judged, read, group = scored.judged, scored.judged.read, scored.group
    return {
        "id": group.id,
        "purpose": group.purpose,
        "prompt": {"id": group.prompt.id, "content": group.prompt.content, "meta": dict(group.prompt.meta)},
        "prompt_tokens": len(group.prompt_ids),
        "rollouts": [_rollout_record(rollout) for rollout in group.rollouts],
        "answers": read.answers,
        "clusters": read.clusters,
        "decision": judged.decision,
        "reason": judged.reason,
        "query": judged.query,
        "grounds": dict(judged.grounds),
        "supervision": asdict(judged.supervision) if judged.supervision else None,
        "scores": [asdict(score) for score in scored.scores],
    }


def _rollout_record(rollout: Rollout) -> dict[str, Any]:
    return {
        "tokens": len(rollout.token_ids),
        "text": rollout.text,
        "finish_reason": rollout.finish_reason,
        "version_min": rollout.version_min,
        "version_max": rollout.version_max,
    }


def _group(record: Mapping[str, Any], prompts: _Reader, tokens: _Reader, logprobs: _Reader) -> ScoredGroup:
    group = Group(
        id=record["id"],
        prompt=_prompt(record["prompt"]),
        prompt_ids=prompts.take(record["prompt_tokens"]),
        rollouts=tuple(_rollouts(record["rollouts"], tokens, logprobs)),
        purpose=record["purpose"],
    )
    read = ReadGroup(group, tuple(record["answers"]), tuple(record["clusters"]))
    supervision = _supervision(record["supervision"])
    known = {name: record[name] for name in ("reason", "grounds", "query")}
    judged = Judged(read, Decision(record["decision"]), supervision, **known)
    scores = tuple(Score(**{**score, "status": Status(score["status"])}) for score in record["scores"])
    return ScoredGroup(judged, scores)


def _supervision(record: Mapping[str, Any] | None) -> Supervision | None:
    if record is None:
        return None
    values = record["values"]
    return Supervision(**{**record, "values": None if values is None else tuple(values)})


def _prompt(record: Mapping[str, Any]) -> Prompt:
    content = record["content"]
    return Prompt(record["id"], content if isinstance(content, str) else tuple(content), record["meta"])


def _rollouts(records: Sequence[Mapping[str, Any]], tokens: _Reader, logprobs: _Reader) -> Iterator[Rollout]:
    for record in records:
        fields = dict(record)
        count = fields.pop("tokens")
        yield Rollout(token_ids=tokens.take(count), logprobs=logprobs.take(count), **fields)
