"""``effrl config``: a config looked at without running it."""

import typer
from rich.console import Console

from deploy.commands.arguments import Overrides, Recipe

config_app = typer.Typer(name="config", help="Look at a config without running it.", no_args_is_help=True)


@config_app.command("show")
def config_show(recipe: Recipe, overrides: Overrides = None) -> None:
    """Print the resolved config, every default spelled out."""
    from effrl.config import load

    typer.echo(load.dump(load.load(recipe, overrides or [])), nl=False)


@config_app.command("check")
def config_check(recipe: Recipe, overrides: Overrides = None) -> None:
    """Check a config, its data and its model without starting anything."""
    from deploy.commands.notes import tell_notes
    from effrl.config import load
    from effrl.preflight.check import check

    console = Console()
    found = check(load.load(recipe, overrides or []))
    console.print(
        f"ok: {found.train.rows:,} prompts ({found.train.labelled:,} with a label),"
        f" {found.model.parameters:,} parameters, context {found.context}",
        highlight=False,
    )
    tell_notes(found.notes, console)
