"""JSON Lines, also packed by gzip or zstd: read in bytes, so that a wrong encoding has a line number too."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

from effrl.data import media, strange
from effrl.data.rows import Record
from effrl.data.text import kind_of
from effrl.errors import Malformed, UserError

_BOM = b"\xef\xbb\xbf"


def records(path: Path) -> Iterator[Record]:
    """Every line that is not blank, numbered from 1.

    Raises (while iterating):
        UserError: the file cannot be read.
    """
    number = 0
    with opened(path) as file:
        try:
            lines = _unpacked(path, file)
            strange.refuse(path, lines.peek(strange.HEAD_BYTES)[: strange.HEAD_BYTES])
            for number, line in enumerate(lines, start=1):
                content = line.removeprefix(_BOM).rstrip(b"\r\n")  # of each file that was put into this one
                if content.strip():
                    yield Record(f"{path}:{number}", number, _object(content))
        except (EOFError, OSError, zlib.error) as error:
            where = f" after line {number}" if number else ""
            raise UserError(f"{path}: cannot be read{where} ({error}): pack or download it again") from None


def stem(path: Path) -> str:
    """What ids begin with: the file's name without what says how it is written and packed."""
    return Path(path.name.removesuffix(".gz").removesuffix(".zst")).stem


def _unpacked(path: Path, file: io.BufferedReader) -> io.BufferedReader:
    match path.suffix:
        case ".gz":
            return io.BufferedReader(gzip.GzipFile(fileobj=file))
        case ".zst":
            from effrl.data import tables  # pyarrow takes half a second

            return io.BufferedReader(tables.zstd(file))
    return file


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file, open for reading.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_where_else(path)}") from None
    except IsADirectoryError:
        hint = f"name a file in it, or write folder:{path} for a data set that is a directory"
        raise UserError(f"{path}: this is a directory; {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _where_else(path: Path) -> str:
    if "*" in str(path):
        return f"patterns are not read: name the files in a list, or their directory, folder:{path.parent}"
    if "," in path.name:
        return "several files are a list: ['a.jsonl', 'b.jsonl']"
    if "&" in path.name or "=" in path.name:
        return "options follow a question mark: rows.jsonl?prompt=question&label=answer"
    return f"check the path, which is relative to {Path.cwd()}"


def _object(line: bytes) -> dict[str, Any] | Malformed:
    try:
        return _parse(line)
    except Malformed as problem:
        return problem


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 (byte {error.start + 1} of the line): convert the file to UTF-8 (iconv)") from None
    except json.JSONDecodeError as error:
        problem = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        raise Malformed(f"not JSON ({problem}): {_remedy(line, error)}") from None
    except RecursionError:
        raise Malformed("not readable JSON (nested too deeply): write one flat JSON object per line") from None
    except ValueError as error:  # an integer with thousands of digits, for one
        raise Malformed(f"not readable JSON ({error}): write such values as strings") from None
    if not isinstance(value, dict):
        raise Malformed(f'not an object but {kind_of(value)}: write one JSON object per line, like {{"prompt": "…"}}')
    media.refuse(value)
    return value


def _remedy(line: bytes, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Invalid \\"):
        return "write each backslash twice, \\\\frac for \\frac"
    if line.lstrip().startswith(b"{'"):
        return "this is Python's way to write a dict; write it with json.dumps"
    return "write one JSON object per line"


def _no_constant(name: str) -> Never:
    raise Malformed(f"{name} is not JSON: write null, or a string")
