"""Where a command listens, and who may reach it there."""

import ipaddress
import socket

import uvicorn
from fastapi import FastAPI
from rich.console import Console

from effrl.errors import RunError, UserError

DRAIN_S = 60
"""How long answers that are under way may take once a server is told to end."""


def refuse_remote(host: str, anybody: bool) -> None:
    """Refuse an address that other machines reach, unless the user has said so.

    Raises:
        UserError: the host needs a decision.
    """
    if not anybody and not is_loopback(host):
        raise UserError(
            f"--host {host} can be reached from other machines, and tokens travel in the clear: put TLS in front (a"
            " proxy, or an ssh tunnel to 127.0.0.1), and say --allow-remote"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket to listen at; port 0 takes any that is free.

    Raises:
        UserError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(f"cannot listen at {host}:{port} ({error.strerror}): name another --port") from error
    return listener


class AnnouncedServer(uvicorn.Server):
    """Says where it listens once it answers: who reads it before the engine has started gets no connection."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        _tell(f"starting for {self._address}")
        await super().startup(sockets)
        if self.started:
            _tell(f"{self._address}  (Ctrl-C ends it)")


def _tell(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def listen(app: FastAPI, host: str, port: int) -> None:
    """Serve an app until Ctrl-C.

    Raises:
        UserError: the port is taken.
        RunError: the app did not start; its log has said why.
    """
    with bound(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN_S)
        server = AnnouncedServer(config, address)
        server.run([listener])
        if not server.started:
            raise RunError("the engine did not start: the lines above say why")
