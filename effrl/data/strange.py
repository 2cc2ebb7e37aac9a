"""Files that are no JSON Lines, told by their first bytes: what they are, and what to do."""

import re
import shlex
from pathlib import Path

from effrl.errors import UserError

_ARCHIVES = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip (as Excel's files are)", b"7z\xbc\xaf": "7z"}
_OTHERS = {
    b"ARROW1": "an Arrow file",
    b"\x80\x04\x95": "a pickle",
    b"\x80\x05\x95": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
}
_MARKS = {
    b"\x1f\x8b": "this is gzip: give it a name that ends in .jsonl.gz",
    b"\x28\xb5\x2f\xfd": "this is zstd: give it a name that ends in .jsonl.zst",
    b"PAR1": "this is Parquet: read it unpacked, by a name that ends in .parquet",
    b"\xff\xff\xff\xff": "this is an Arrow stream: name its directory, folder:PATH, or write it as Parquet",
    b"version https://git-lfs": "this is a pointer of Git LFS and not the file: git lfs pull",
    **{mark: f"this is {name}: write its rows as Parquet or JSON Lines" for mark, name in _OTHERS.items()},
    **{mark: f"this is an archive, {name}: unpack it, or pack it as .jsonl.gz" for mark, name in _ARCHIVES.items()},
}
_TEXTS = (
    (rb"\xff\xfe|\xfe\xff|[\x01-\x7f]\0", "this is UTF-16: write UTF-8", "iconv -f UTF-16 -t UTF-8"),
    (rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:\{|$)", "this is a JSON array: write one object per line", "jq -c '.[]'"),
    (rb"(?:\xef\xbb\xbf)?\s*\{\s*\n", "this is JSON over several lines: write one object per line", "jq -c ."),
    (rb"[^\n]*\}\r[ \t\r]*\{[^\n]*\Z", "its lines end in a carriage return alone: write line feeds", r"tr '\r' '\n'"),
)
"""How a text begins that must be written anew, what it is, and the tool that writes it."""
HEAD_BYTES = 512


def refuse(path: Path, head: bytes) -> None:
    """Say what a file is that cannot be JSON Lines.

    Args:
        head: its first bytes, :data:`HEAD_BYTES` or all that it has; unpacked.

    Raises:
        UserError: it is something else.
    """
    hint = next((hint for mark, hint in _MARKS.items() if head.startswith(mark)), None) or _of_text(path, head)
    if hint:
        raise UserError(f"{path}: {hint}")


def _of_text(path: Path, head: bytes) -> str | None:
    if head[257:262] == b"ustar":
        return "this is a tar archive: unpack it, and name a file in it"
    if re.match(rb"\s*<(?:!doctype|html|\?xml)", head, re.IGNORECASE):
        return "this is a web page and not the file: download it by its raw address (of the hub /resolve/, not /blob/)"
    for start, what, tool in _TEXTS:
        if re.match(start, head):
            return f"{what}, {_piped(path, tool)}"
    table = {".csv": ",", ".tsv": "\t"}
    if separator := next((table[suffix] for suffix in path.suffixes if suffix in table), None):
        read = f"pandas.read_csv({path.name!r}, sep={separator!r})"
        return f"this is a table as text: write it with {read}.to_json('rows.jsonl', orient='records', lines=True)"
    return None


def _piped(path: Path, tool: str) -> str:
    """A command line that writes what a tool makes of a file, under another name."""
    name, unpack = shlex.quote(path.name), {".gz": "gzip -dc", ".zst": "zstd -dc"}.get(path.suffix)
    command = f"{unpack} {name} | {tool}" if unpack else f"{tool} < {name}"
    return f"{command} > {'lines.jsonl' if path.name == 'rows.jsonl' else 'rows.jsonl'}"
