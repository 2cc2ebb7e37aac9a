"""The ledger under real processes: two that race for one budget, and one that is killed again and again."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import effrl
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.purchases import Purchase, State

_ROOT = Path(effrl.__file__).parents[1]
_WORKER = Path(__file__).with_name("ledger_worker.py")


def start(path: Path, name: str, prompts: int, budget: int, refunds: float = 0.0) -> "subprocess.Popen[str]":
    command = [sys.executable, str(_WORKER), str(path), name, str(prompts), str(budget), str(refunds)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def go(*workers: "subprocess.Popen[str]") -> None:
    """Let them open the ledger and work, once all of them are ready."""
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()


def race(path: Path, budget: int, refunds: float) -> list[list[str]]:
    """The logs of two processes that buy from one new ledger at once, which never overspends meanwhile."""
    workers = [start(path, name, prompts=150, budget=budget, refunds=refunds) for name in ("one", "two")]
    go(*workers)
    watcher = Ledger(path)
    while any(worker.poll() is None for worker in workers):
        assert watcher.spent() <= budget
        time.sleep(0.002)
    watcher.close()
    return [finish(worker) for worker in workers]


def finish(worker: "subprocess.Popen[str]") -> list[str]:
    output, _ = worker.communicate(timeout=120)
    lines = output.splitlines()
    assert worker.returncode == 0 and lines[-1] == "done"
    return lines


def rows_of(path: Path) -> dict[str, Purchase]:
    ledger = Ledger(path)
    rows = {row.query_id: row for row in ledger.rows()}
    ledger.close()
    assert len({row.prompt_id for row in rows.values()}) == len(rows), "one line per prompt"
    return rows


def test_two_processes_never_overspend(tmp_path: Path) -> None:
    path, budget = tmp_path / "ledger.sqlite", 140  # enough for the second to get a turn on a single core too
    logs = race(path, budget, refunds=0.0)
    reserved = [line for log in logs for line in log if line.startswith("R")]
    assert len(reserved) == len(set(reserved)) == budget, "each label was charged to one of the two"
    rows = rows_of(path)
    assert len(rows) == budget
    assert {row.state for row in rows.values()} == {State.COMMITTED}
    assert {row.answered_by for row in rows.values()} == {"one", "two"}, "both took part"


def test_two_processes_that_also_refund_never_overspend(tmp_path: Path) -> None:
    path, budget = tmp_path / "ledger.sqlite", 25
    logs = race(path, budget, refunds=0.4)
    rows = rows_of(path)
    count = {kind: sum(line.startswith(kind) for log in logs for line in log) for kind in "RCF"}
    assert count["R"] == count["C"] + count["F"]
    assert sum(row.state is State.COMMITTED for row in rows.values()) == count["C"] <= budget
    assert not any(row.state is State.RESERVED for row in rows.values())


def test_a_killed_process_loses_nothing_and_charges_nothing_twice(tmp_path: Path) -> None:
    path, prompts, rng = tmp_path / "ledger.sqlite", 400, random.Random(1)
    acknowledged: set[str] = set()
    answered: dict[str, str | None] = {}
    for attempt in range(5):
        worker = start(path, "one", prompts, budget=prompts)
        go(worker)
        assert worker.stdout is not None
        for _ in range(rng.randint(20, 90)):
            acknowledged.add(worker.stdout.readline().strip())
        worker.kill()  # SIGKILL, wherever it is
        acknowledged.update(line.strip() for line in worker.stdout if line.endswith("\n"))
        worker.wait()
        rows = rows_of(path)
        for line in acknowledged - {"done"}:
            kind, _, name = line.partition(" ")
            assert name in rows, f"attempt {attempt} lost {line}"
            assert kind == "R" or rows[name].state is State.COMMITTED, f"attempt {attempt} lost {line}"
        for name, answered_at in answered.items():
            assert rows[name].answered_at == answered_at, "an answer is written once"
        answered = {name: row.answered_at for name, row in rows.items() if row.state is State.COMMITTED}
        assert sum(row.state is State.RESERVED for row in rows.values()) <= 1, "what the last attempt had in hand"
    assert "done" not in acknowledged, "every attempt was killed in the middle"
    last = start(path, "one", prompts, budget=prompts)
    go(last)
    finish(last)
    rows = rows_of(path)
    assert len(rows) == prompts
    assert all(row.answer == f"answer {row.prompt_id}" for row in rows.values())
