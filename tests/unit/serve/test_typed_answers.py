"""How typed answers are read: by one worker, that outlives the threads of the server that ask it."""

import threading
from pathlib import Path

import psutil
from conftest import Site

from deploy.serve.inbox.reading import TypedAnswers


def asked_by_a_thread_of_its_own(typed: TypedAnswers, answer: str) -> int | None:
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(typed.same(answer, ["45", "46"])))
    thread.start()
    thread.join(180)
    return found[0]


def workers() -> set[int]:
    """Those that live: other tests leave processes behind that nobody has waited for."""
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in living if "effrl.reward.sandbox.worker" in " ".join(child.cmdline())}


def test_the_worker_outlives_the_thread_that_asked_first(tmp_path: Path) -> None:
    typed, others = TypedAnswers(Site(tmp_path, reading={"kind": "math", "timeout_s": 60}).inbox), workers()
    assert asked_by_a_thread_of_its_own(typed, "\\frac{92}{2}") == 1
    started = workers() - others
    assert asked_by_a_thread_of_its_own(typed, "\\frac{90}{2}") == 0
    assert workers() - others == started and len(started) == 1


def test_without_a_reward_answers_are_their_texts(tmp_path: Path) -> None:
    typed = TypedAnswers(Site(tmp_path).inbox)
    assert [typed.same(answer, ["45", "46 "]) for answer in ("46", "46.0")] == [1, None]
