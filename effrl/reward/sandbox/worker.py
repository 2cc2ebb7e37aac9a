"""A process that runs the functions of one reward on one completion at a time, until it is killed.

Started as ``python -m effrl.reward.sandbox.worker FD PARENT CONFIG [SEARCH_PATH …]``, the config as JSON, by
:class:`effrl.reward.sandbox.process.WorkerProcess`. It consumes :class:`Request` and produces :class:`Started`, then
one :class:`WorkerReply` per request, on the socket FD. Standard output is the user's own: what a reward prints is not
ours.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import TypeAdapter

from effrl.acceptable import alternatives
from effrl.config.reward import AnyReward
from effrl.errors import UserError, one_line
from effrl.protocols import Reward
from effrl.reward.sandbox.messages import Request, ScoringQuestion, ScoringTask, Started, WorkerReply
from effrl.reward.verdict import checked
from effrl.reward.verifiers import functions
from effrl.types import Score, Status

_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> None:
    """Load the reward function, say so, and judge until the other side hangs up."""
    descriptor, parent, text, *search_path = arguments
    _die_with(int(parent))
    connection = Connection(int(descriptor))
    # What the reward starts must neither keep the line open nor answer on it.
    os.set_inheritable(int(descriptor), False)
    os.register_at_fork(after_in_child=connection.close)
    sys.path[:0] = search_path
    config: AnyReward = TypeAdapter(AnyReward).validate_json(text)
    try:
        asked = functions(config)
    except UserError as error:
        connection.send_bytes(Started(str(error)).pack())
        return
    except BaseException as error:  # also SystemExit, from a script that was not meant to be imported
        connection.send_bytes(Started(f"reward.kind {config.kind!r}: importing it fails, {one_line(error)}").pack())
        return
    _limit_memory(config.memory_mb)
    connection.send_bytes(Started().pack())
    serve(connection, asked)


def serve(connection: Connection, asked: Mapping[ScoringQuestion, Reward]) -> None:
    """Answer requests, in order, until the other side closes the connection."""
    while True:
        try:
            request = Request.unpack(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(WorkerReply(request.number, judge(asked[request.task.question], request.task)).pack())


def judge(reward: Reward, task: ScoringTask) -> Score:
    """Run the reward function; whatever it raises becomes a status, and never a score of 0.

    Of a label with several acceptable answers the best one counts. One for which the function fails hides no other: the
    failure stands only where it fails for all of them, or out of memory, after which this process is not to be trusted.
    """
    if task.label is None or task.question == "same":  # then both are answers of the policy
        return _judge_one(reward, task)
    scores: list[Score] = []
    for label in alternatives(task.label):
        scores.append(_judge_one(reward, replace(task, label=label)))
        if scores[-1].status is Status.MEMORY or scores[-1].outcome == 1.0:
            return scores[-1]
    return max(scores, key=lambda score: -1.0 if score.outcome is None else score.outcome)


def _judge_one(reward: Reward, task: ScoringTask) -> Score:
    try:
        return _score(reward(task.completion, task.label, task.meta), task.truncated)
    except MemoryError:
        pass  # the exception holds the function's frame and all its memory: nothing can be allocated before it goes
    except SystemExit as error:
        return Score(None, None, Status.CRASHED, detail=f"sys.exit({error.code!r})")
    except BaseException as error:  # the function is the user's: KeyboardInterrupt and the like are failures too
        out_of_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
        return Score(None, None, Status.MEMORY if out_of_memory else Status.ERROR, detail=one_line(error))
    return Score(None, None, Status.MEMORY, detail="MemoryError")


def _score(found: object, truncated: bool) -> Score:
    """The score that a verdict stands for; raises where what was returned is none."""
    verdict = checked(found)
    if not verdict.status.scored:
        return Score(None, None, verdict.status, verdict.answer, "the reward function said so")
    if verdict.status is Status.OK:
        return Score(verdict.outcome, verdict.outcome, Status.OK, verdict.answer)
    return Score(0.0, 0.0, Status.TRUNCATED if truncated else verdict.status, verdict.answer)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, even while the reward function loops."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _limit_memory(memory_mb: int) -> None:
    """Let this process grow by ``memory_mb`` from here on: what the imports mapped, mostly shared, does not count."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a reward that segfaults for every rollout would fill the disk


if __name__ == "__main__":
    main(sys.argv[1:])
