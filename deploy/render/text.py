"""Objects as YAML that people read: no aliases, and texts of several lines as blocks."""

from typing import Any, ClassVar

import yaml

from deploy.render.pod import Object


class _Dumper(yaml.SafeDumper):
    """Writes what it is given, in its order."""

    yaml_representers: ClassVar = dict(yaml.SafeDumper.yaml_representers)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> Any:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.yaml_representers[str] = _text


def as_yaml(objects: list[Object]) -> str:
    """One document for each object."""
    return str(yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=118))
