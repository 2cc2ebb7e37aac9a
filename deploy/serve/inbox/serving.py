"""The inbox under Ray Serve: ``serve run deploy.serve.inbox.serving:inbox ledger=/data/ledger.sqlite``."""

from pathlib import Path
from typing import Any

from ray import serve

from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import tokens_beside
from deploy.serve.inbox.webhook import webhook_to
from effrl.errors import UserError
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger


def inbox(arguments: dict[str, str]) -> Any:
    """Build the app of ``serve run``.

    Args:
        arguments: ``ledger``, a file on a disk of the node that keeps it; and ``webhook``, a URL, if there is one.

    Raises:
        UserError: no ledger is named.
    """
    if "ledger" not in arguments:
        raise UserError(
            "name the inbox's ledger: serve run deploy.serve.inbox.serving:inbox ledger=/data/ledger.sqlite"
        )
    path, hook = Path(arguments["ledger"]).absolute(), arguments.get("webhook")

    def build() -> Any:
        return inbox_app(Inbox(Ledger(path)), tokens_beside(path), webhook_to(hook))

    # One replica: it is the only owner of the file, and SQLite takes one writer at a time in any case.
    deployment = serve.deployment(num_replicas=1, max_ongoing_requests=64)
    return deployment(serve.ingress(build)()).bind()
