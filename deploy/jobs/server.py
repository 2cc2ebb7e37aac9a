"""The Jobs API of a Ray cluster: every answer has a deadline, and every failure is one line."""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlparse

from effrl.errors import RunError, UserError

ANSWER_S = 60.0
"""For one answer."""
SLOWEST_UPLOAD = 250_000
"""Bytes a second, below which an upload counts as stuck."""
QUIET_S = 15.0
"""A log that says nothing for so long makes us ask whether the cluster is still there."""
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
RUN, SETTINGS, GRACE = "effrl.run", "effrl.settings", "effrl.grace_s"
"""What a job of ours says of itself in Ray's metadata: its run directory, a digest of its settings, and its grace."""

CHATTERING = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Modules of Ray that say on the terminal what they do; what matters of it is said by commands, in a line."""

Value = TypeVar("Value")


def client_of(address: str) -> Any:
    """Ray's client; it asks the cluster for its version."""
    from ray.job_submission import JobSubmissionClient

    for module in CHATTERING:
        logging.getLogger(module).setLevel(logging.ERROR)
    return JobSubmissionClient(address)


def connect(address: str) -> "JobServer":
    """Reach the Jobs API of a cluster.

    Raises:
        UserError: the address or the token is wrong, or nothing answers there.
    """
    if not address:
        raise UserError("say which cluster: --address http://HOST:8265, or RAY_API_SERVER_ADDRESS")
    if urlparse(address).scheme not in ("http", "https"):
        raise UserError(f"--address {address} is not a URL: give that of the cluster's dashboard, http://HOST:8265")
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS, where it is set, would win over --address
    authenticate()
    try:
        return JobServer(within(ANSWER_S, lambda: client_of(address)), address)
    except TimeoutError:
        raise UserError(f"{address} gives no answer in {ANSWER_S:.0f} s: is it the cluster's dashboard?") from None
    except OSError as error:
        raise UserError(
            f"nothing answers at {address}: is the cluster up, and this its dashboard's address?"
        ) from error
    except Exception as error:  # whatever a server that is no dashboard makes Ray's client raise
        refused = _refused_token(error)
        raise refused or UserError(f"{address} answers, and not as a Ray dashboard: {_first_line(error)}") from error


def authenticate() -> None:
    """Say outright whether a token is sent: Ray by itself decides by what it happens to find.

    Raises:
        UserError: one is to be sent, and there is none.
    """
    mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
    if mode not in ("token", "disabled"):
        raise UserError(f"RAY_AUTH_MODE is {mode!r}: set it to token or disabled")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    if mode == "token" and not os.environ.get("RAY_AUTH_TOKEN") and not path.is_file():
        raise UserError(
            f"there is no token to show to the cluster: set RAY_AUTH_TOKEN, or put it into {path}; or set"
            " RAY_AUTH_MODE=disabled for a cluster that asks for none"
        )


def within(seconds: float, call: Callable[[], Value]) -> Value:
    """The value of ``call``, in a thread of its own: Ray's client sets no deadline for its requests.

    Raises:
        TimeoutError: it took longer; nobody waits for it any more.
    """
    done: Future[Value] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except Exception as error:  # is raised where the value is asked for
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return done.result(seconds)


def name_of(run: Path) -> str:
    """What jobs of a run directory are called: ``quickstart-5f3a9c01``; after the first ``quickstart-5f3a9c01.2``, …

    Two people's ``quickstart`` are two runs.
    """
    plain = "".join(letter if letter.isalnum() else "-" for letter in run.name)
    return f"{plain}-{blake2b(str(run).encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True)
class JobServer:
    """A cluster that was reached."""

    client: Any
    address: str

    def jobs(self) -> list[Any]:
        """Details of every job that effrl submitted, in the order of their starts."""
        found = self._ask("its jobs", self.client.list_jobs)
        return sorted((job for job in found if RUN in (job.metadata or {})), key=lambda job: job.start_time or 0)

    def newest(self, run: str) -> Any | None:
        """The newest job of a run directory, or the job of this id; None where there is none."""
        jobs = [job for job in self.jobs() if run in (job.metadata[RUN], job.submission_id)]
        return jobs[-1] if jobs else None

    def job(self, job_id: str) -> Any:
        return self._ask(f"the state of {job_id}", lambda: self.client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        return str(self._ask(f"the log of {job_id}", lambda: self.client.get_job_logs(job_id)))

    def stop(self, job_id: str) -> None:
        self._ask(f"the stop of {job_id}", lambda: self.client.stop_job(job_id))

    def submit(self, job_id: str, entrypoint: str, upload: int, **options: Any) -> None:
        """Start a job; nothing where another command has just started one of this id.

        Args:
            upload: bytes that go with it.
            options: as of Ray's ``submit_job``.
        """

        def start() -> None:
            try:
                self.client.submit_job(entrypoint=entrypoint, submission_id=job_id, **options)
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise

        self._ask(f"the job {job_id}", start, upload)

    def follow(self, job_id: str, tell: Callable[[str], None]) -> Any:
        """Tell the log of a job, from its beginning, until it ends; returns its details then.

        Raises:
            RunError: the connection is lost. The job goes on.
        """
        asyncio.run(self._follow(job_id, tell))
        job = self.job(job_id)
        if job.status not in ENDED:
            raise self._lost(f"the log of {job_id}")
        return job

    async def _follow(self, job_id: str, tell: Callable[[str], None]) -> None:
        import aiohttp

        log = self.client.tail_job_logs(job_id)
        part = asyncio.ensure_future(anext(log, None))
        while True:
            come, _ = await asyncio.wait({part}, timeout=QUIET_S)
            if not come:
                await asyncio.to_thread(self.job, job_id)  # a connection that is cut off without a word stays open
                continue
            try:
                text = part.result()
            except (RuntimeError, OSError, aiohttp.ClientError) as error:
                raise self._lost(f"the log of {job_id}") from error
            if text is None:
                return
            tell(text)
            part = asyncio.ensure_future(anext(log, None))

    def _ask(self, what: str, call: Callable[[], Value], upload: int = 0) -> Value:
        seconds = ANSWER_S + upload / SLOWEST_UPLOAD
        try:
            return within(seconds, call)
        except TimeoutError:
            raise RunError(f"{self.address} gave no answer in {seconds:.0f} s , asked for {what}: try again") from None
        except OSError as error:
            if error.filename is not None:  # a file of the working directory
                raise UserError(f"cannot read {error.filename} to ship it: mend it, or --exclude it") from error
            raise self._lost(what) from error
        except (UserError, RunError):
            raise
        except Exception as error:  # Ray's client has no types for what the server answers
            raise _refused_token(error) or RunError(f"the cluster refuses {what}: {_last_line(error)}") from error

    def _lost(self, what: str) -> RunError:
        return RunError(
            f"lost the connection to {self.address} with {what}: what runs there goes on; the same command again finds"
            " it, and starts nothing twice"
        )


def _refused_token(error: Exception) -> UserError | None:
    """What to do where the cluster asks for another token; None where something else is wrong."""
    from ray.exceptions import AuthenticationError

    if not isinstance(error, AuthenticationError):
        return None
    if "required" in str(error):
        return UserError("the cluster asks for a token, and RAY_AUTH_MODE=disabled sends none: set it to token")
    return UserError(
        "the cluster refuses the token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to what it was started with"
        " (`ray get-auth-token` there shows it)"
    )


def _first_line(error: Exception) -> str:
    return f"{error}".strip().partition("\n")[0][:200] or type(error).__name__


def _last_line(error: Exception) -> str:
    """Of a traceback, which is what Ray's server answers with."""
    return [line.strip(" .") for line in f"{error}".splitlines() if line.strip(" .")][-1][:300]
