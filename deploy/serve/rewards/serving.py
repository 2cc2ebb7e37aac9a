"""The rewards under Ray Serve: ``serve run deploy.serve.rewards.serving:rewards run=/data/runs/demo``."""

from typing import Any

from pydantic import ValidationError
from ray import serve

from deploy.serve.policy.access import the_token
from deploy.serve.rewards.whole import RewardsWish, whole_rewards
from effrl.errors import UserError


def rewards(arguments: dict[str, Any]) -> Any:
    """Build the app of ``serve run``.

    Args:
        arguments: the fields of :class:`RewardsWish`.

    Raises:
        UserError: one is missing, unknown or does not fit.
    """
    try:
        wish = RewardsWish.model_validate(arguments)
    except ValidationError as error:
        raise UserError("\n".join(f"args.{entry['loc'][0]}: {entry['msg']}" for entry in error.errors())) from error
    deployment = serve.deployment(name="rewards", max_ongoing_requests=wish.requests + 1)
    return deployment(serve.ingress(lambda: whole_rewards(wish, the_token(needed=True)))()).bind()
