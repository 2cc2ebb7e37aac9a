"""What ``effrl score`` found, on disk: line by line as it comes, and refused for any other model."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from effrl.config.select import Normalise, Target
from effrl.config.template import ChatArgument, Template
from effrl.errors import UserError
from effrl.select.ufo.zone import normalised
from effrl.types import Message


@dataclass(frozen=True, slots=True)
class ScoredPrompt:
    """One forward pass: ``ScoredPrompt(0.62, 2)``. It serves both normalisations."""

    certainty: float | None
    """Geometric mean of the target's token probabilities; None where prompt and target are longer than the model's
    context."""
    tokens: int
    """Of the target. Certainty depends on the form of an answer, and its length shows how much."""

    def normalised(self, normalise: Normalise) -> float:
        """The certainty, as it is asked for; a prompt that did not fit has none."""
        assert self.certainty is not None, "it was scored"
        return normalised(self.certainty, self.tokens, normalise)


@dataclass(frozen=True, slots=True)
class ScoringKey:
    """All that decides what is found of a row, but for the row."""

    model: str
    """Fingerprint (:func:`effrl.models.fingerprint`)."""
    target: Target
    prefix: str
    template: Template
    system: str | None = None
    chat_template_kwargs: Mapping[str, ChatArgument] = field(default_factory=dict)


def digest_of(content: str | tuple[Message, ...], target: str) -> str:
    """The name of a row in a cache: an edited row is another one, whatever its id is."""
    return blake2b(json.dumps([content, target]).encode(), digest_size=16).hexdigest()


class ScoreCache:
    """Rows that were scored already, by their digest; what is added is in the file at once."""

    def __init__(self, path: Path, key: ScoringKey) -> None:
        """Open a file, new or old; a torn last line, of a process that was killed, is cut off.

        Raises:
            UserError: it is of another model or other settings, damaged, or cannot be written.
        """
        self.path = path
        self.known: dict[str, ScoredPrompt] = {}
        # As JSON has them: a template of messages comes back as a list.
        self._key: dict[str, Any] = json.loads(json.dumps(asdict(key)))
        try:
            self._open()
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror or error}): choose another --out") from error

    def add(self, found: Mapping[str, ScoredPrompt]) -> None:
        """Keep what was found, by digest."""
        self.known.update(found)
        self._write({"row": digest, **asdict(scored)} for digest, scored in found.items())

    def _open(self) -> None:
        if not self.path.exists():
            self._write([self._key])
            return
        text = self.path.read_text(encoding="utf-8")
        whole = text.rfind("\n") + 1
        os.truncate(self.path, len(text[:whole].encode()))
        try:
            first, *rows = (json.loads(line) for line in text[:whole].splitlines())
            self.known = {row["row"]: ScoredPrompt(row["certainty"], row["tokens"]) for row in rows}
            strange = {name: first[name] for name in self._key if first[name] != self._key[name]}
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self.path} is damaged or no cache of scores: delete it to score anew") from error
        for name, value in strange.items():
            raise UserError(
                f"{self.path} was made with {name} {value!r}, not {self._key[name]!r}: choose another --out, or delete"
                " it"
            )

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
