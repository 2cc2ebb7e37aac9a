"""Any source as a JSON Lines file that reads as the same rows."""

import json
import os
from pathlib import Path
from typing import Any

from effrl.acceptable import alternatives
from effrl.config.data import Source
from effrl.data.reader import read
from effrl.errors import UserError
from effrl.types import Row


def write(source: Source, path: Path) -> tuple[int, int]:
    """Write all rows, or nothing; returns the number of rows, and of those with a label.

    Raises:
        UserError: the source is malformed, or the file exists, or it cannot be written.
    """
    if path.suffix != ".jsonl":
        raise UserError(f"{path}: this writes JSON Lines; give it a name that ends in .jsonl")
    if path.exists():
        raise UserError(f"{path} exists: choose another name, or delete it")
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    rows = labelled = 0
    try:
        with draft.open("wb") as file:
            for row in read(source):
                file.write(_line(row) + b"\n")
                rows, labelled = rows + 1, labelled + (row.label is not None)
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): choose another place") from error
    finally:
        draft.unlink(missing_ok=True)
    return rows, labelled


def _line(row: Row) -> bytes:
    prompt = row.prompt
    if taken := sorted(prompt.meta.keys() & {"prompt", "label", "id"}):
        raise UserError(
            f"row {prompt.id} has a key {taken[0]!r} that is not its {taken[0]}, and would read as that: rename the key"
            f" in the source, or read it with {taken[0]}={taken[0]}"
        )
    answers = alternatives(row.label) if row.label is not None else ()
    label = {} if row.label is None else {"label": list(answers) if len(answers) > 1 else row.label}
    fields = {"id": prompt.id, "prompt": prompt.content, **label, **prompt.meta}
    try:
        return _json(fields, ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only spell
        return _json(fields, ascii=True).encode()
    except ValueError as error:  # infinity, which JSON cannot say
        raise UserError(f"row {prompt.id} holds a value that JSON does not have ({error}): leave its key out") from None


def _json(fields: dict[str, Any], ascii: bool) -> str:
    return json.dumps(fields, ensure_ascii=ascii, allow_nan=False)
