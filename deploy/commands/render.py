"""``effrl render``: Kubernetes objects for a config, to read, to keep, or to apply."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from deploy.commands.arguments import Recipe
from effrl.errors import UserError

Kind = Literal["job", "cluster", "nightly-eval", "inbox", "policy"]


def render(
    recipe: Recipe,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OVERRIDES]...", help="Dotted overrides, and k8s.NAME=VALUE of k8s/README.md."),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(
            "--as", help="What runs: the job, a cluster to work in, a nightly evaluation, the inbox, the policy."
        ),
    ] = "job",
    out: Annotated[
        Path | None, typer.Option(help="Directory to write, for kubectl apply -k; else it is printed.")
    ] = None,
) -> None:
    """Write a RayJob for a config: effrl render grpo k8s.image=REPOSITORY@sha256:DIGEST (not run on Kubernetes yet)."""
    from deploy.render.objects import KINDS, Rendering
    from deploy.render.options import options_of, split
    from deploy.render.text import as_yaml
    from effrl.config import load

    overrides, given = split(words or [])
    made = Rendering(load.load(recipe, overrides), load.text(recipe, overrides), options_of(given, recipe))
    objects = KINDS[kind](made)
    called = ["effrl", "render", recipe, *(words or []), "--as", kind, *(["--out", str(out)] if out else [])]
    header = "".join(f"# {line}\n" for line in shlex.join(called).splitlines())
    if out is None:
        typer.echo(header + as_yaml(objects), nl=False)
        return
    for path in _write(out, header, objects):
        Console().print(path, highlight=False, soft_wrap=True)


def _write(out: Path, header: str, objects: list[Any]) -> list[Path]:
    """An overlay for kustomize, which makes the ConfigMap itself: so the config stays a file that people edit."""
    from deploy.render.objects import CONFIG_FILE
    from deploy.render.text import as_yaml

    *rest, main = objects
    maps = [entry for entry in rest if entry["kind"] == "ConfigMap"]
    others = [entry for entry in objects if entry not in maps]
    manifest = f"{main['kind'].lower()}.yaml"
    files = {manifest: header + as_yaml(others)}
    kustomization: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [manifest],
    }
    for entry in maps:
        files["effrl.yaml"] = entry["data"][CONFIG_FILE]
        generated = {**entry["metadata"], "files": [f"{CONFIG_FILE}=effrl.yaml"]}
        kustomization |= {"configMapGenerator": [generated], "generatorOptions": {"disableNameSuffixHash": True}}
    if not (out / "kustomization.yaml").exists():  # else it is the user's, with components and patches
        files["kustomization.yaml"] = as_yaml([kustomization])
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror}): choose another --out") from error
    return [out / name for name in files]
