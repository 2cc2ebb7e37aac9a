import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from effrl.config.reward import (
    ExactReward,
    Format,
    MathReward,
    MathVerifier,
    PluginReward,
    PluginVerifier,
    RegexReward,
    RewardTerms,
    SumPart,
    SumReward,
)
from effrl.errors import RunError, UserError
from effrl.reward.sandbox import pool as sandbox
from effrl.reward.sandbox import process
from effrl.reward.sandbox.messages import ScoringQuestion, ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Score, Status

PLUGINS = str(Path(__file__).parents[3] / "plugins")
OK = Score(0.5, 0.5, Status.OK)


def task(
    completion: str,
    label: str | None = "46",
    truncated: bool = False,
    question: ScoringQuestion = "outcome",
    **meta: object,
) -> ScoringTask:
    return ScoringTask(completion, label, meta, truncated, question)


def plugin(function: str, **limits: float) -> PluginReward:
    limits = {"timeout_s": 5, "memory_mb": 256} | limits
    return PluginReward.model_validate({"kind": f"rewards:{function}"} | limits)


@pytest.fixture(scope="module")
def pool() -> Iterator[Sandbox]:
    """One worker that runs whatever function the completion names."""
    with Sandbox(plugin("by_name"), [PLUGINS]) as pool:
        yield pool


STRANGERS: set[int] = set()
"""Children of this process that other tests started, such as a Ray."""


@pytest.fixture(scope="module", autouse=True)
def strangers() -> None:
    STRANGERS.update(children())


def children(parent: int | None = None) -> set[int]:
    """Live child processes; zombies, and what was there before these tests, are left out."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(its_parent) == (parent or os.getpid()) and state != "Z":
            found.add(int(stat.parent.name))
    return found - STRANGERS


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("mishap", "status", "detail"),
    [
        ("loop", Status.TIMEOUT, "no verdict within 5 s"),
        ("sleep", Status.TIMEOUT, "no verdict within 5 s"),
        ("allocate", Status.MEMORY, "MemoryError"),
        ("grow", Status.MEMORY, "MemoryError"),
        ("fail", Status.ERROR, "KeyError: 'no such\\nunit test'"),
        ("interrupt", Status.ERROR, "KeyboardInterrupt"),
        ("ask", Status.ERROR, "EOFError"),
        ("nan", Status.ERROR, "returned nan"),
        ("too_large", Status.ERROR, "returned 1.5"),
        ("wrong_type", Status.ERROR, "returned str"),
        ("verdict_of_nan", Status.ERROR, "returned nan"),
        ("verdict_of_strange_answer", Status.ERROR, "answer a string or None"),
        ("gives_up", Status.TIMEOUT, "the reward function said so"),
        ("segfault", Status.CRASHED, "SIGSEGV"),
        ("exit_politely", Status.CRASHED, "sys.exit(3)"),
        ("exit_at_once", Status.CRASHED, "exit code 7"),
        ("kill_itself", Status.CRASHED, "SIGKILL"),
        ("scribble", Status.CRASHED, "the worker died"),
    ],
)
def test_a_mishap_costs_its_own_rollout_only(pool: Sandbox, mishap: str, status: Status, detail: str) -> None:
    before, bad, after = pool.score([task("constant"), task(mishap), task("constant")])
    assert (bad.outcome, bad.reward, bad.status) == (None, None, status)
    assert detail in bad.detail
    assert "\n" not in bad.detail
    assert before == after == OK
    assert len(children()) == 1


def test_output_of_the_reward_does_not_disturb(pool: Sandbox) -> None:
    scores = pool.score([task("chatter"), task("constant"), task("chatter")])
    assert [score.outcome for score in scores] == [1, 0.5, 1]


def test_a_child_that_returns_into_the_workers_loop_is_not_heard(pool: Sandbox) -> None:
    scores = pool.score([task("constant"), task("fork"), *[task("constant")] * 20])
    assert [score.outcome for score in scores] == [0.5, 1, *[0.5] * 20]


def test_order_is_kept_among_mishaps_with_several_workers() -> None:
    names = ["constant", "exit_at_once", "random_reward", "sleep", "fail", "allocate", "constant", "segfault"] * 2
    with Sandbox(plugin("by_name", workers=3, timeout_s=1), [PLUGINS]) as pool:
        scores = pool.score([task(name) for name in names])
    expected = [Status.OK, Status.CRASHED, Status.OK, Status.TIMEOUT, Status.ERROR, Status.MEMORY, Status.OK]
    assert [score.status for score in scores] == [*expected, Status.CRASHED] * 2


def test_every_score_belongs_to_its_own_task() -> None:
    tasks = [task(f"rollout {number}", outcome=number / 500) for number in range(500)]
    with Sandbox(plugin("echo", workers=3), [PLUGINS]) as pool:
        scores = pool.score(tasks)
    assert [(score.answer, score.outcome) for score in scores] == [(t.completion, t.meta["outcome"]) for t in tasks]


def test_long_completions_cross_whole() -> None:
    text = "\u00bd" * 2_000_000
    with Sandbox(plugin("echo"), [PLUGINS]) as pool:
        assert pool.score([task(text, outcome=1)])[0].answer == text


def test_random_reward_depends_on_the_text_alone() -> None:
    with Sandbox(plugin("random_reward", workers=2), [PLUGINS]) as pool:
        first = [score.outcome for score in pool.score([task(str(number)) for number in range(100)])]
        again = [score.outcome for score in pool.score([task(str(number)) for number in reversed(range(100))])]
    assert first == again[::-1]
    assert 20 < sum(filter(None, first)) < 80


def test_math_in_the_sandbox() -> None:
    with Sandbox(MathReward(), []) as pool:
        texts = [task("#46"), task("#47"), task("46"), task("12+34=", truncated=True), task("#46", label=None)]
        scores = pool.score(texts)
        assert pool.score([]) == []
    assert [score.outcome for score in scores] == [1, 0, 0, 0, None]
    assert [score.status.value for score in scores] == ["ok", "ok", "unparseable", "truncated", "error"]
    assert scores[0].answer == "46"
    assert scores[4].detail == "ValueError: the prompt has no label"


def test_math_that_never_ends_is_a_timeout() -> None:
    with Sandbox(MathReward(timeout_s=1.5, memory_mb=512), []) as pool:
        endless, fine = pool.score([task("\\boxed{9^{9^{9^9}}}", label="2\\sqrt{3}"), task("#46")])
    assert endless.status in (Status.TIMEOUT, Status.MEMORY)
    assert fine.outcome == 1


def test_patterns_that_never_end_are_timeouts() -> None:
    """Of a reward and of a format: neither may hang the process that asks."""
    endless, terms = "(a+)+$", RewardTerms(format=Format(pattern="(a+)+b"))
    config = RegexReward(pattern=endless, terms=terms, timeout_s=1.5)
    text = "a" * 60
    tasks = [
        task(text + "!"),
        task(text + "!", question="answer"),
        task(text, question="format"),
        task("it is a", label="a"),
        task("aab", question="format"),
    ]
    with Sandbox(config, []) as pool:
        scores = pool.score(tasks)
    assert [score.status for score in scores] == [*[Status.TIMEOUT] * 3, Status.OK, Status.OK]
    assert [score.outcome for score in scores[3:]] == [1, 1]


def test_a_sum_in_the_sandbox() -> None:
    parts = (SumPart(reward=MathVerifier(), weight=3), SumPart(reward=PluginVerifier(kind="rewards:constant")))
    with Sandbox(SumReward(parts=parts), [PLUGINS]) as pool:
        scores = pool.score([task("#46"), task("#46", question="answer"), task("46", truncated=True)])
    assert [(score.outcome, score.status, score.answer) for score in scores] == [
        (0.875, Status.OK, "46"),
        (1.0, Status.OK, "46"),
        (0.125, Status.OK, None),
    ]


def test_a_worker_that_died_while_idle_costs_nothing(pool: Sandbox) -> None:
    assert pool.score([task("constant")]) == [OK]
    (worker,) = children()
    os.kill(worker, signal.SIGKILL)
    # A zombie may have threads that still die: its parent is told of its end when the last of them is gone.
    assert eventually(lambda: os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
    assert pool.score([task("constant")]) == [OK]


def test_a_batch_that_was_interrupted_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Sandbox(plugin("by_name"), [PLUGINS]) as pool:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(sandbox, "wait", interrupt)
            pool.score([task("random_reward")])
        assert pool.score([task("constant")]) == [OK]


def test_no_process_is_left_after_close() -> None:
    before = children()
    pool = Sandbox(plugin("constant", workers=2), [PLUGINS])
    assert len(children() - before) == 2
    pool.close()
    pool.close()
    assert children() == before
    with pytest.raises(RuntimeError, match="closed"):
        pool.score([task("constant")])


def test_what_a_worker_writes_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code in the worker, the reward's or what it imports, must not run where scores are collected."""
    witness = tmp_path / "executed"
    monkeypatch.setattr(process, "_TRANSFER_SECONDS", 1)
    written = ["pickle", "garbage", "too_long", "half", "stray"]
    with Sandbox(plugin("hostile"), [PLUGINS]) as pool:
        scores = pool.score([task(told, witness=str(witness)) for told in [*written, "nothing"]])
    assert not witness.exists(), "the parent ran the worker's code"
    assert [(score.outcome, score.status) for score in scores[:-1]] == [(None, Status.CRASHED)] * len(written)
    assert scores[-1] == OK, "the next completion has a new worker"


def test_a_worker_cannot_start_with_code_of_its_own(tmp_path: Path) -> None:
    """It imports the user's module before it says that it is ready."""
    witness = tmp_path / "executed"
    (tmp_path / "evil.py").write_text(f"import hostile\n\nhostile.send('pickle', {str(witness)!r})\n")
    with pytest.raises(UserError, match="its worker died while it started"):
        Sandbox(PluginReward(kind="evil:f"), [str(tmp_path), PLUGINS])
    assert not witness.exists()


def test_hangs_in_a_row_stop_with_the_prompts_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "HANGS_IN_A_ROW", 4)
    with Sandbox(plugin("by_name", timeout_s=0.2), [PLUGINS]) as pool:
        hanging = [replace(task("sleep"), prompt_id=f"train:{n}") for n in range(9)]
        message = (
            "reward.kind 'rewards:by_name' hangs: 4 completions in a row, the last of prompt 'train:3', had no verdict"
        )
        with pytest.raises(RunError, match=message) as caught:
            pool.score(hanging)
        assert "\n" not in str(caught.value)
        assert pool.score([task("constant")]) == [OK], "and leave nothing behind"


def test_hangs_among_other_verdicts_cost_their_own_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row ends with any verdict and with a crash, and one prompt alone makes none."""
    monkeypatch.setattr(sandbox, "HANGS_IN_A_ROW", 2)
    names = ["sleep", "constant", "sleep", "exit_at_once", "sleep", "fail", "gives_up", "gives_up"]
    mixed = [replace(task(name), prompt_id=f"train:{n}") for n, name in enumerate(names)]
    with Sandbox(plugin("by_name", timeout_s=0.3), [PLUGINS]) as pool:
        assert [score.status is Status.TIMEOUT for score in pool.score(mixed)] == [*[True, False] * 3, True, True]
        one = [replace(task("sleep"), prompt_id="train:9")] * 3
        assert [score.status for score in pool.score(one)] == [Status.TIMEOUT] * 3


def test_patience_follows_the_work() -> None:
    """Each completion may hang until its deadline, and then a worker starts anew; workers share them."""
    start = process.START_SECONDS
    assert sandbox.patience(plugin("loop", timeout_s=5), 257) == 257 * (5 + start)
    assert sandbox.patience(plugin("loop", timeout_s=5, workers=4), 257) == 65 * (5 + start)
    assert sandbox.patience(plugin("loop"), 0) == 0


def test_what_a_reward_started_is_killed_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with Sandbox(plugin("start_child", timeout_s=1.5), [PLUGINS]) as pool:
        (score,) = pool.score([task("", pid_file=str(pid_file))])
    assert score.status is Status.TIMEOUT
    child = int(pid_file.read_text())
    assert eventually(lambda: not alive(child))


def test_workers_die_with_their_parent() -> None:
    script = Path(__file__).with_name("sandbox_parent.py")
    parent = subprocess.Popen([sys.executable, str(script), PLUGINS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    workers = children(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.wait(10)
    assert eventually(lambda: not any(alive(worker) for worker in workers))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no_such_module:f", "no module named 'no_such_module'"),
        ("rewards:constnat", "did you mean 'constant'"),
        ("rewards:not_callable", "not a function"),
        ("broken_reward:f", "RuntimeError: the dictionary is missing"),
        ("exiting_reward:f", "SystemExit: usage: exiting_reward FILE"),
        ("dying_reward:f", "died while it started \\(exit code 9\\)"),
    ],
)
def test_a_reward_that_cannot_start_is_the_users_mistake(kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Sandbox(PluginReward(kind=kind, workers=2), [PLUGINS])
    assert "\n" not in str(caught.value)


def test_a_reward_that_breaks_later_is_not_started_for_ever(tmp_path: Path) -> None:
    module = tmp_path / "fleeting.py"
    module.write_text("import os\n\ndef reward(completion, label, meta):\n    os._exit(1)\n")
    config = PluginReward(kind="fleeting:reward")
    with Sandbox(config, [str(tmp_path)]) as pool:
        module.write_text("raise RuntimeError('edited')\n")
        for _ in range(2):
            with pytest.raises(UserError, match="RuntimeError: edited"):
                pool.score([task("1"), task("2")])


def test_an_import_that_hangs_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging.py").write_text("while True:\n    pass\n")
    before = children()
    monkeypatch.setattr(process, "START_SECONDS", 2.0)
    with pytest.raises(UserError, match="does importing it hang"):
        Sandbox(PluginReward(kind="hanging:reward"), [str(tmp_path)])
    assert children() == before


def test_modules_of_the_working_directory_do_not_shadow_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    with Sandbox(ExactReward(), [str(tmp_path)]) as pool:
        assert pool.score([task("#46")])[0].outcome == 1
