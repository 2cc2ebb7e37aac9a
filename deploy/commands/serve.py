"""``effrl serve``: what was trained, as a service of this machine."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastapi import FastAPI

serve_app = typer.Typer(name="serve", help="Serve what was trained.", no_args_is_help=True)
Served = Annotated[str, typer.Argument(metavar="RUN", help="A run, one of its checkpoints, or any model.")]
Host = Annotated[str, typer.Option(help="Address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")]
Remote = Annotated[bool, typer.Option("--allow-remote", help="Let other machines reach it.")]


@serve_app.command("policy")
def serve_policy(
    run: Served,
    checkpoint: Annotated[str, typer.Option(help="best, newest, or a step; the first two are followed.")] = "best",
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that share the model (not run on a GPU yet).")] = 0,
    requests: Annotated[int, typer.Option(min=1, help="Requests at a time; more get a 429.")] = 64,
    tokens: Annotated[int, typer.Option(min=1, help="Longest completion.")] = 1024,
    look_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks for a newer checkpoint.")] = 5.0,
    host: Host = "127.0.0.1",
    port: Port = 8322,
    allow_remote: Remote = False,
) -> None:
    """Answer as the policy does, to clients of OpenAI's API: effrl serve policy runs/quickstart."""
    from deploy.serve.policy.whole import PolicyWish, whole_app

    wish = PolicyWish(run=run, checkpoint=checkpoint, gpus=gpus, requests=requests, tokens=tokens, look_s=look_s)
    _serve(lambda token: whole_app(wish, token), host, port, allow_remote)


@serve_app.command("rewards")
def serve_rewards(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run whose reward it is.")],
    prm: Annotated[str | None, typer.Option(help="The run, or checkpoint, whose implicit PRM reads solutions.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests at a time; more get a 429.")] = 64,
    host: Host = "127.0.0.1",
    port: Port = 8323,
    allow_remote: Remote = False,
) -> None:
    """Score solutions, and their steps: effrl serve rewards runs/quickstart."""
    from deploy.serve.rewards.whole import RewardsWish, whole_rewards

    wish = RewardsWish(run=run, prm=prm, requests=requests)
    _serve(lambda token: whole_rewards(wish, token), host, port, allow_remote)


def _serve(app: "Callable[[str | None], FastAPI]", host: str, port: int, allow_remote: bool) -> None:
    """Serve an app that is made with the token of its callers; none is needed where only this machine calls."""
    from deploy.commands.listening import is_loopback, listen, refuse_remote
    from deploy.serve.policy.access import the_token

    refuse_remote(host, allow_remote)
    listen(app(the_token(needed=not is_loopback(host))), host, port)
