"""Commands in manifests, against the real command line and the real modules."""

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer
import yaml
from typer.main import get_command

from deploy.cli import app
from effrl.config import load
from effrl.config.notation import Loader
from effrl.config.overrides import override
from effrl.errors import UserError
from tests.k8s.objects import Object, inside, job_of, pods_of
from tests.unit.sources import MODULES, tree

UsageError = typer.BadParameter.__mro__[1]
"""Of typer's own copy of click, which it does not export."""


def wrong_commands(entry: Object, config: str | None) -> list[str]:
    """Commands that effrl does not know, overrides that do not fit the config, and modules that do not exist."""
    found = []
    for line in _lines(entry):
        try:
            words = parsed(line)
            overrides = [word for word in words if re.match(r"[a-z_]+(\.[a-z_]+)+=", word)]
            if overrides and config is not None:
                load.validate(override(yaml.load(config, Loader), overrides), "the manifest")
        except (UsageError, UserError, KeyError) as error:
            found.append(f"{line}: {error}")
    return [*found, *_missing_modules(entry)]


def _lines(entry: Object) -> Iterator[str]:
    if (job := job_of(entry)) is not None:
        yield job["entrypoint"]
    for _, pod in pods_of(entry):
        for container in pod["containers"]:
            hook = inside(container, ("lifecycle", "preStop", "exec")).get("command", [])
            yield from re.findall(r"effrl .*", " ".join(hook))


def parsed(line: str) -> list[str]:
    """The words after the command, once they were parsed as that command parses them."""
    program, *words = shlex.split(line)
    if program != "effrl":
        raise UserError(f"{program} is not effrl")
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("effrl", list(words), resilient_parsing=False)
    return words


def _missing_modules(entry: Object) -> Iterator[str]:
    if entry["kind"] != "RayService":
        return
    for application in yaml.safe_load(entry["spec"]["serveConfigV2"])["applications"]:
        module, _, name = application["import_path"].partition(":")
        functions = {node.name for node in _body(module) if isinstance(node, ast.FunctionDef)}
        if name not in functions:
            yield f"{application['import_path']} does not exist"


def _body(module: str) -> list[ast.stmt]:
    """What a module of ours defines, without importing it: Ray Serve would come with it."""
    return tree(MODULES[module]).body if module in MODULES else []
