"""YAML with numbers as people write them, for files and for overrides."""

import re
from typing import Any, ClassVar

import yaml

_WHOLE = re.compile(r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_LEFT_OUT = ("timestamp", "int", "float")


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is untyped
    """YAML without what YAML 1.1 has for machines.

    ``010`` is ten, ``1e-4`` and ``1e3`` are numbers, ``1:30`` is a text. There are no dates: no field is one, and
    ``run.dir=2026-01-31`` names a directory.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(_LEFT_OUT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _whole(loader: Loader, node: Any) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    return int(text, 16 if text.startswith("0x") else 10)


for _tag, _pattern in {"int": _WHOLE, "float": _DECIMAL}.items():
    Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z", re.I), "-+.0123456789"
    )
Loader.add_constructor("tag:yaml.org,2002:int", _whole)
