"""The policy under Ray Serve: ``serve run deploy.serve.policy.serving:policy run=/data/runs/demo``.

The token is in the environment, EFFRL_SERVE_TOKEN. Each replica has an engine, and follows the run by itself.
"""

from typing import Any

from pydantic import ValidationError
from ray import serve

from deploy.serve.policy.access import the_token
from deploy.serve.policy.whole import PolicyWish, whole_app
from effrl.errors import UserError


def policy(arguments: dict[str, Any]) -> Any:
    """Build the app of ``serve run``.

    Args:
        arguments: the fields of :class:`PolicyWish`.

    Raises:
        UserError: one is missing, unknown or does not fit.
    """
    wish = _wish(arguments)
    # One more than our own limit: it is our refusal that says when to come again.
    deployment = serve.deployment(name="policy", max_ongoing_requests=wish.requests + 1)
    return deployment(serve.ingress(lambda: whole_app(wish, the_token(needed=True)))()).bind()


def _wish(arguments: dict[str, Any]) -> PolicyWish:
    try:
        return PolicyWish.model_validate(arguments)
    except ValidationError as error:
        told = [f"args.{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        raise UserError("\n".join(told)) from error
