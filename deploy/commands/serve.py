"""``effrl serve``: what was trained, as a service of this machine."""

from typing import Annotated

import typer

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
    from deploy.commands.listening import is_loopback, listen, refuse_remote
    from deploy.serve.policy.access import the_token
    from deploy.serve.policy.whole import PolicyWish, whole_app

    refuse_remote(host, allow_remote)
    token = the_token(needed=not is_loopback(host))
    wish = PolicyWish(run=run, checkpoint=checkpoint, gpus=gpus, requests=requests, tokens=tokens, look_s=look_s)
    listen(whole_app(wish, token), host, port)


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
    from deploy.commands.listening import is_loopback, listen, refuse_remote
    from deploy.serve.policy.access import the_token
    from deploy.serve.rewards.whole import RewardsWish, whole_rewards

    refuse_remote(host, allow_remote)
    token = the_token(needed=not is_loopback(host))
    listen(whole_rewards(RewardsWish(run=run, prm=prm, requests=requests), token), host, port)
