"""Which files of a directory are a split of a data set: what ``save_to_disk`` wrote, or the layout of a hub repository.

A hub repository says it in the head of its README.md, or by the names of files and directories.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from effrl.errors import UserError

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")
_CONVERTED = "effrl reads Parquet and JSON Lines; of a hub data set, try revision=refs/convert/parquet, the hub's copy"


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one split, in order: ``Files("train", ("main/train-00000-of-00001.parquet",))``."""

    split: str
    names: tuple[str, ...]
    """Relative to ``root``."""
    root: Path = Path()

    def below(self, root: Path) -> "Files":
        """The same files in a directory."""
        return Files(self.split, self.names, root)

    @property
    def paths(self) -> list[Path]:
        return [self.root / name for name in self.names]


def find(root: Path, config: str | None, split: str | None, shown: str) -> Files:
    """The files of a split in a local directory.

    Args:
        shown: the source, for messages.

    Raises:
        UserError: there is no such directory, configuration or split, or several that it may be.
    """
    if not root.is_dir():
        raise UserError(f"{shown}: no such directory; check the path, which is relative to {Path.cwd()}")
    saved = _saved(root, split, shown)
    if saved is not None:
        return saved
    names = [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]
    return choose(names, card_of(root), config, split, shown).below(root)


# --- what save_to_disk wrote


def _saved(root: Path, split: str | None, shown: str) -> Files | None:
    """Arrow files of one data set, or of one in a dictionary of them; None where this is something else."""
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json").get("splits", [])
        chosen = _one_of(splits, split, shown, "split", usual="train")
        return _arrow(root / chosen, chosen)
    if (root / "state.json").is_file():
        return _arrow(root, split or _json(root / "state.json").get("_split") or "train")
    return None


def _arrow(directory: Path, split: str) -> Files:
    entries = _json(directory / "state.json").get("_data_files", [])
    return Files(split, tuple(entry["filename"] for entry in entries), directory)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): save the data set again") from None
    return value if isinstance(value, dict) else {}


# --- the layout of a hub repository


def card_of(root: Path) -> dict[str, Any]:
    """The YAML head of a README.md: what the authors say of their files; empty where there is none."""
    path = root / "README.md"
    text = path.read_text(errors="replace") if path.is_file() else ""
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        card = yaml.safe_load(head.group(1)) if head else None
    except yaml.YAMLError:
        return {}  # for people only: the names of the files decide
    return card if isinstance(card, dict) else {}


def choose(names: Iterable[str], card: Mapping[str, Any], config: str | None, split: str | None, shown: str) -> Files:
    """The files of a split, out of all files of a repository; raises as :func:`find` does."""
    visible = sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))
    configs = {str(entry["config_name"]): entry for entry in card.get("configs") or [] if "config_name" in entry}
    if configs:
        defaults = [name for name, entry in configs.items() if entry.get("default")]
        entry = configs[_one_of(list(configs), config, shown, "config", usual=defaults[0] if defaults else "default")]
        if entry.get("data_files"):
            return _by_card(visible, entry["data_files"], split, shown)
        config = entry.get("data_dir")
    return _by_name(visible, config, split, shown)


def _by_card(names: Sequence[str], data_files: Any, split: str | None, shown: str) -> Files:
    """``data_files`` is a pattern, a list of patterns, or a list of splits with one or several patterns each."""
    entries = data_files if isinstance(data_files, list) else [data_files]
    patterns: dict[str, list[str]] = {}
    for entry in entries:
        of, path = (entry["split"], entry["path"]) if isinstance(entry, Mapping) else ("train", entry)
        patterns.setdefault(str(of), []).extend(path if isinstance(path, list) else [path])
    chosen = _one_of(list(patterns), split, shown, "split", usual="train")
    wanted = [pattern.removeprefix("./").replace("**/", "*") for pattern in patterns[chosen]]
    matches = [name for name in names if any(fnmatchcase(name, p) or name.startswith(f"{p}/") for p in wanted)]
    return Files(chosen, _one_format(_readable(matches, f"{shown}: split {chosen}")))


def _by_name(names: Sequence[str], directory: str | None, split: str | None, shown: str) -> Files:
    prefix = f"{directory}/" if directory else ""
    data = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if directory and not data:
        folders = sorted({name.rpartition("/")[0] for name in names if name.endswith(SUFFIXES)} - {""})
        raise UserError(f"{shown}: no config {directory!r}; it has {_listed(folders)}")
    readable = _readable(data, shown)
    matches = _of_split(readable, split or "train")
    if not matches and split is None and not any(_of_split(readable, other) for other in _OTHER_SPLITS):
        matches = list(readable)  # files that name no split are all for training
    if not matches:
        raise UserError(f"{shown}: no file of split {split or 'train'!r}; it has {_listed(readable)}")
    folders = sorted({name.rpartition("/")[0] for name in matches})
    if len(folders) > 1:
        raise UserError(f"{shown}: files of several directories ({_listed(folders)}): name one, such as config=NAME")
    return Files(split or "train", tuple(prefix + name for name in _one_format(matches)))


_OTHER_SPLITS = ("test", "validation", "valid", "dev", "eval")


def _of_split(names: Sequence[str], split: str) -> list[str]:
    """Files that are named exactly so (``test.jsonl``, ``test-00000-of-00002.parquet``, ``test/…``), or else nearly."""
    word = re.escape(split)
    exactly = re.compile(rf"(?:^|/){word}(?:/|(?:-\d+-of-\d+)?(?:\.\w+)+$)")
    nearly = re.compile(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])")
    found = [name for name in names if exactly.search(name)]
    return found or [name for name in names if nearly.search(name)]


def _readable(names: Sequence[str], what: str) -> tuple[str, ...]:
    found = tuple(name for name in names if name.endswith(SUFFIXES))
    if not found:
        raise UserError(f"{what} has {_listed(names) or 'no files'}: {_CONVERTED}")
    return found


def _one_format(names: Sequence[str]) -> tuple[str, ...]:
    """Of two formats the first one: they hold the same rows."""
    return next(found for suffix in SUFFIXES if (found := tuple(name for name in names if name.endswith(suffix))))


def _one_of(known: Sequence[str], wanted: str | None, shown: str, what: str, usual: str) -> str:
    """The one that is wanted, the usual one, or the only one."""
    if wanted in known:
        return str(wanted)
    if wanted is None and (usual in known or len(known) == 1):
        return usual if usual in known else known[0]
    problem = f"no {what} {wanted!r}; it has" if wanted else f"name a {what}, such as {what}={next(iter(known), '…')}:"
    raise UserError(f"{shown}: {problem} {_listed(known)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
