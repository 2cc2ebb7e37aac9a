"""One bearer token for each role, in a file beside the ledger that only its owner can read."""

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import get_args

from effrl.errors import UserError
from effrl.label.oracle.inbox.messages import TokenRole

ROLES: tuple[TokenRole, ...] = get_args(TokenRole)


class InboxTokens:
    """Who has which token."""

    def __init__(self, by_role: dict[TokenRole, str]) -> None:
        self.by_role = by_role

    def role_of(self, token: str) -> TokenRole | None:
        """Whose token this is, found in a time that does not depend on the token."""
        found = [role for role, own in self.by_role.items() if hmac.compare_digest(own.encode(), token.encode())]
        return found[0] if found else None


def tokens_beside(ledger: Path) -> InboxTokens:
    """The tokens of an inbox; made when it is first served.

    Raises:
        UserError: the file cannot be read or written, or is no such file.
    """
    path = ledger.with_name("inbox-tokens.json")
    try:
        if not path.exists():
            made = {role: secrets.token_urlsafe(18) for role in ROLES}
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(made, file, indent=1)
        found = json.loads(path.read_text())
        return InboxTokens({role: str(found[role]) for role in ROLES})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not hold the tokens of an inbox ({error}): delete it, and new ones are made"
        ) from error
