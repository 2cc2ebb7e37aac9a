"""Your own code, named in a config by its import path: ``package.module:name``."""

import difflib
import importlib
import sys
from collections.abc import Iterable
from typing import Any

from effrl.errors import UserError, one_line


def search(paths: Iterable[str]) -> None:
    """Look for plug-ins in these directories too, after all others: a user's ``deploy.py`` must not shadow ours."""
    sys.path += [path for path in paths if path not in sys.path]


def load(field: str, path: str) -> Any:
    """What ``path`` names, which must be callable.

    Args:
        field: the config field that names it, for messages: ``reward.kind``.
        path: ``package.module:name``; the module must be installed, or lie where the run starts.

    Raises:
        UserError: there is no such thing; one line that says what is wrong.
    """
    module, _, name = path.partition(":")
    return _member(f"{field} {path!r}", _module(f"{field} {path!r}", module), name)


def _module(what: str, path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise UserError(f"{what}: importing {path} fails, {one_line(error)}") from error
        raise UserError(
            f"{what}: no module named {error.name!r}; it must be installed, or lie where the run starts"
        ) from error
    except Exception as error:  # the module is the user's: importing it can raise anything
        raise UserError(f"{what}: importing {path} fails, {one_line(error)}") from error


def _member(what: str, module: Any, name: str) -> Any:
    known = vars(module)
    if name not in known:
        close = difflib.get_close_matches(name, [key for key, value in known.items() if callable(value)], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(f"{what}: module {module.__name__} has no function {name!r}{hint}")
    if not callable(known[name]):
        raise UserError(f"{what}: {name} is {type(known[name]).__name__}, not a function")
    return known[name]
