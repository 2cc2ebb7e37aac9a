"""Serving the label inbox of a run, as the command line does it."""

from pathlib import Path

import uvicorn
from rich.console import Console

from deploy.commands.listening import bound, refuse_remote
from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import ROLES, InboxTokens, tokens_beside
from deploy.serve.inbox.webhook import webhook_to
from effrl.config import load
from effrl.errors import UserError
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger, file_of
from effrl.run.directory import RunDirectory

PAGES = {"annotator": "/", "owner": "/owner"}


def serve(target: Path, host: str, port: int, webhook: str | None, anybody: bool, console: Console) -> None:
    """Serve the inbox of a run, or of a ledger file, until Ctrl-C.

    Args:
        target: a run directory, or the file of a ledger.
        host: to listen at.
        port: to listen at.
        webhook: URL that gets hints.
        anybody: whether a host may be listened at that other machines reach.

    Raises:
        UserError: there is no such run, the host needs a decision, or the port is taken.
    """
    refuse_remote(host, anybody)
    path = ledger_of(target)
    tokens, hook = tokens_beside(path), webhook_to(webhook)
    app = inbox_app(Inbox(Ledger(path)), tokens, hook)
    with bound(host, port) as listener:
        _tell(tokens, host, listener.getsockname()[1], console)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


def ledger_of(target: Path) -> Path:
    """The file of a run's ledger.

    Raises:
        UserError: there is no run, or its ledger is elsewhere.
    """
    run = RunDirectory(target)
    if target.is_file():
        return target.absolute()
    if not run.config.is_file():
        raise UserError(f"{target} is neither a run nor a ledger: start the run first, or name the file of a ledger")
    config = load.load(str(run.config), [])
    if config.label.is_remote:
        raise UserError(f"the inbox of {target} runs at {config.label.ledger}: open it there")
    return file_of(config.label.ledger or run.ledger.absolute())


def _tell(tokens: InboxTokens, host: str, port: int, console: Console) -> None:
    shown = f"[{host}]" if ":" in host else host
    for role in ROLES:
        if role in PAGES:
            address = f"http://{shown}:{port}{PAGES[role]}#token={tokens.by_role[role]}"
            console.print(f"{role:<10}{address}", highlight=False, soft_wrap=True, markup=False)
    console.print("Ctrl-C ends the inbox; answers are kept, and the run goes on without it.", highlight=False)
