"""Data sets of the Hugging Face hub: only the files that are read are downloaded, and only once."""

import glob
from functools import cache
from pathlib import Path

from effrl.config.data import HubSource, short_form
from effrl.data.folder import Files, card_of, choose
from effrl.errors import UserError


def fetch(source: HubSource) -> Files:
    """Local copies of the files of a split; where the hub is out of reach, those of an earlier download.

    Raises:
        UserError: there is no such data set, configuration or split, or it cannot be had.
    """
    return _fetch(source.name, source.revision, source.config, source.split)


@cache  # every reader of one process then reads the same commit
def _fetch(name: str, revision: str, config: str | None, split: str | None) -> Files:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    shown = short_form(HubSource(name=name, revision=revision, config=config, split=split))
    try:
        root = _download(name, revision, ["README.md"])
        chosen = choose(_listing(name, root), card_of(root), config, split, shown)
        _download(name, root.name, [glob.escape(file) for file in chosen.names])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"{shown} cannot be had from the hub: {reason}; check its name and the network") from error
    return chosen.below(root)


def _download(name: str, revision: str, patterns: list[str]) -> Path:
    """The directory of a snapshot; it is named by its commit."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))


def _listing(name: str, root: Path) -> list[str]:
    """All files of the commit; those that were downloaded where nobody recorded the others."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return [file.path for file in get_cached_repo_tree(name, repo_type="dataset", revision=root.name)]
    except CachedRepoTreeNotFoundError:
        return [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]
