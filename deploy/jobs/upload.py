"""What of a folder goes to a cluster with a job, found out before anything is sent."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrl.config.schema import Config
from effrl.errors import UserError

LIMIT = 100 * 2**20
"""Bytes of a request that Ray's dashboard takes; it says so after the upload, with a traceback."""
OWN_RUNS = "/runs"
"""Where ``effrl train`` writes here, with its checkpoints: never a part of what a job needs."""
SHOWN = 3


@dataclass(frozen=True)
class Upload:
    """The files of a folder that Ray will ship."""

    folder: Path
    excludes: tuple[str, ...]
    """Patterns as in a .gitignore, beside those of .gitignore and .rayignore."""
    files: Mapping[str, int]
    """Bytes by path, relative to the folder."""

    @property
    def size(self) -> int:
        return sum(self.files.values())

    @property
    def runtime_env(self) -> dict[str, Any]:
        return {"working_dir": str(self.folder), "excludes": list(self.excludes)}

    def told(self) -> str:
        """``12 files, 3.1 MiB of /home/me/project, the biggest data/rows.jsonl (2.9 MiB)``."""
        biggest = sorted(self.files.items(), key=lambda entry: -entry[1])[:SHOWN]
        told = ", ".join(f"{name} ({_bytes(size)})" for name, size in biggest)
        return f"{len(self.files):,} files, {_bytes(self.size)} of {self.folder}" + (
            f", the biggest {told}" * bool(told)
        )

    def check(self, needed: Mapping[str, Path]) -> None:
        """See that it is small enough and has in it what the config names.

        Args:
            needed: relative paths by the field that names them.

        Raises:
            UserError: one line, with what to leave out or to put elsewhere.
        """
        for field, path in needed.items():
            name = os.path.normpath(path)
            if not any(file == name or file.startswith(f"{name}/") for file in self.files):
                raise UserError(
                    f"{field} names {path}, which is not shipped: it lies outside of {self.folder} or in its runs/, or"
                    " .gitignore, .rayignore or --exclude leaves it out. Move it, or put it on storage that all nodes"
                    " share and name it from the root"
                )
        if self.size > LIMIT:
            raise UserError(
                f"a job ships at most {_bytes(LIMIT)}, and here are {self.told()}: leave out what the run does not need"
                f" ({', '.join(self._suggested(needed))}), or ship another folder (--working-dir); data and models"
                " belong on storage that all nodes share"
            )

    def _suggested(self, needed: Mapping[str, Path]) -> list[str]:
        """Options that leave out the largest entries of the folder, until the rest is small enough."""
        kept = {os.path.normpath(path).split("/")[0] for path in needed.values()}
        sizes: dict[str, int] = {}
        for name, size in self.files.items():
            sizes[name.split("/")[0]] = sizes.get(name.split("/")[0], 0) + size
        left, options = self.size, []
        for entry, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
            if left > LIMIT and entry not in kept:
                options.append(f"--exclude '/{entry}' saves {_bytes(size)}")
                left -= size
        return options or ["--exclude with a pattern as in a .gitignore"]


def survey(folder: Path, excludes: Sequence[str]) -> Upload:
    """What Ray will ship of a folder, by its own rules.

    Raises:
        UserError: it is no folder, or it cannot be read.
    """
    from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE, get_runtime_env_default_excludes

    # Private, as ray is pinned: another walk over the folder would show something else than what is shipped.
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

    if not folder.is_dir():
        raise UserError(f"--working-dir {folder} is no directory")
    folder, patterns = folder.resolve(), (OWN_RUNS, *excludes)
    files: dict[str, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            files[str(path.relative_to(folder))] = path.stat().st_size

    ignored: list[Callable[[Path], bool]] = [_get_excludes(folder, [*get_runtime_env_default_excludes(), *patterns])]
    respected = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE) != "1"
    try:
        _dir_travel(folder, ignored, note, include_gitignore=respected, logger=_Silent())
    except OSError as error:
        raise UserError(f"cannot read {error.filename} to ship it: mend it, or --exclude it") from error
    return Upload(folder, patterns, files)


class _Silent:
    """A logger for Ray, which else names every ignore file, and each failure besides raising it."""

    def info(self, *_: Any) -> None: ...

    def error(self, *_: Any) -> None: ...


def local_files(config: Config, folder: Path) -> dict[str, Path]:
    """Relative paths in a config that are there in the folder, by the field that names them."""
    found = {}
    for field, text in _texts(config.model_dump(mode="json"), ""):
        path = Path(text.partition("?")[0])
        if text and len(text) < 255 and not path.is_absolute() and (folder / path).exists():
            found[field] = path
    return found


def has_own_code(config: Config) -> bool:
    """Whether a ``kind`` of the config is an import path."""
    fields = _texts(config.model_dump(mode="json"), "")
    return any(field.endswith("kind") and ":" in text for field, text in fields)


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Every text in a config, with the dotted name of its field."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, field)


def _bytes(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{max(1, round(size / 2**10)) if size else 0} KiB"
