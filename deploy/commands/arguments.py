"""Arguments that several commands take."""

from typing import Annotated

import typer

Recipe = Annotated[str, typer.Argument(help="A recipe's name or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Dotted overrides, such as learn.lr=1e-4 run.steps=100.")]
