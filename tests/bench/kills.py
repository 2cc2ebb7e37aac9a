"""What the loss of each process costs a run, in each stage of a step: ``python -m tests.bench.kills OUT``.

One run is hit again and again: each of its processes is killed (SIGKILL) or stopped (SIGSTOP) when a stage begins; the
driver at last, which is resumed by hand. Told are what became of it, the steps that were done again, and the seconds
until the run was further than before.

``python -m tests.bench.kills OUT soak`` has a run of 200 steps, of which every 90 seconds a random process dies.
"""

import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from effrl.run import metrics
from effrl.run.groups import tally
from tests.e2e.runs import Command

ROLES = {
    "rollout worker": "ray::RolloutWorker",
    "learner rank": "ray::LearnerRank",
    "PRM rank": "ray::PrmRank",
    "reward actor": "ray::RewardActor",
    "a worker of the reward": "effrl.reward.sandbox.worker",
    "data actor": "ray::DataActor",
    "oracle actor": "ray::OracleActor",
    "node actor": "ray::NodeActor",
}
"""How the processes are found."""
STAGES = ("rollout", "score", "learn", "publish", "commit")
SOAK_STEPS, SOAK_EVERY_S = 200, 90.0
SETTINGS = (
    "rollout.prompts=16",
    "rollout.per_prompt=4",
    "run.save_every=2",
    "eval.every=100000",
    "process={kind: implicit_prm, beta: 0.05, separator: ';'}",
    "advantage.kind=prime",
)
DEADLINE_S = 240.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What one loss has cost."""

    role: str
    stage: str
    signal: str
    outcome: str
    steps_again: int
    seconds: float
    """Until two more steps were committed; one without a loss takes ``step_s``."""
    step_s: float


class Victim:
    """A run, and the signals that it gets."""

    def __init__(self, folder: Path, seed: int, steps: int = 100_000) -> None:
        self.run, self.chance, self.order, self.folder = folder / "run", random.Random(seed), folder / "order", folder
        self.command = self._begun("train", "quickstart", *SETTINGS, f"run.steps={steps}", f"run.dir={self.run}")

    def _begun(self, *arguments: str) -> Command:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        program = (sys.executable, "-m", "tests.bench.staged", str(self.order))
        return Command(arguments, self.folder, {"PYTHONPATH": path}, program)

    @property
    def rows(self) -> list[metrics.MetricsRow]:
        return metrics.read(self.run / "metrics.jsonl")

    def until(self, step: int) -> bool:
        """Wait for the commit of a step; False where the command ends first."""

        def over() -> bool:
            return self.ended or (bool(rows := self.rows) and rows[-1]["step"] >= step)

        self.command.until(over, DEADLINE_S, f"step {step}")
        return not self.ended

    @property
    def ended(self) -> bool:
        return self.command.process.poll() is not None

    def hit(self, role: str, stage: str, number: signal.Signals) -> Loss:
        """Send a signal in a stage, and wait until the run is further than it was."""
        self.until(self.rows[-1]["step"] + 2)
        step_s = median(row["time/step_s"] for row in self.rows[-3:])
        told = self.command.output()
        self._order(f"{stage} {self._one_of(role)} {number.value}")
        self.command.until(lambda: self.ended or not self.order.exists(), DEADLINE_S, f"{stage} of a step")
        began, reached = time.monotonic(), self.rows[-1]["step"]
        lives = self.until(reached + 2)
        seconds = time.monotonic() - began
        again = self.command.output()[len(told) :].replace("\n", " ").split("going on after step ")[1:]
        steps = reached - int(again[-1].split()[0].strip(",;")) if again else 0
        outcome = "the run ends" if not lives else "goes on from the checkpoint" if again else "goes on"
        return Loss(role, stage, number.name, outcome, max(0, steps), round(seconds, 1), round(step_s, 2))

    def hit_driver(self, stage: str) -> Loss:
        """Kill the command itself, and resume it once nothing of it is left."""
        self.until(self.rows[-1]["step"] + 2)
        step_s = median(row["time/step_s"] for row in self.rows[-3:])
        self._order(f"{stage} {self.command.process.pid} {signal.SIGKILL.value}")
        self.command.process.wait(DEADLINE_S)
        left = self.command.orphans()
        assert not left, f"outlived the driver: {left}"
        began, reached = time.monotonic(), self.rows[-1]["step"]
        self.command = self._begun("resume", str(self.run))
        lives = self.until(reached + 2)
        seconds, steps = time.monotonic() - began, reached % 2
        outcome = "ends; `effrl resume` goes on" if lives else "the run ends"
        return Loss("driver", stage, "SIGKILL", outcome, steps, round(seconds, 1), round(step_s, 2))

    def _order(self, text: str) -> None:
        draft = self.order.with_suffix(".new")
        draft.write_text(text)
        draft.rename(self.order)

    def _one_of(self, role: str) -> int:
        victims = [process.pid for process in self.command.processes() if ROLES[role] in " ".join(process.cmdline())]
        return self.chance.choice(victims)

    def soak(self) -> dict[str, object]:
        """Kill a random process at random moments until the run has ended; what it came to."""
        killed, memory = [], []
        while not self.ended:
            began = time.monotonic()
            wait = SOAK_EVERY_S * self.chance.uniform(1.0, 1.2)
            while not self.ended and time.monotonic() - began < wait:
                time.sleep(0.5)
            if not self.ended and self.rows[-1]["step"] < SOAK_STEPS - 5:
                role = self.chance.choice(list(ROLES))
                os.kill(self._one_of(role), signal.SIGKILL)
                killed.append((self.rows[-1]["step"], role))
                print(killed[-1], flush=True)
        memory = [
            sum(value for name, value in row.items() if name.startswith("memory/rss_mb") and value) for row in self.rows
        ]
        return {
            "killed": killed,
            "memory_mb": {"step 20": round(memory[20]), "step 200": round(memory[-1])},
            **self._books(),
        }

    def _books(self) -> dict[str, object]:
        rolled, fates = tally(self.run / "groups")
        return {
            "exit_code": self.command.process.wait(1),
            "steps": self.rows[-1]["step"],
            "groups": rolled,
            "fates": sum(fates.values()),
            "processes_left": len(self.command.orphans()),
        }

    def end(self) -> dict[str, object]:
        """Stop it as a user would; what is left behind."""
        self.command.process.send_signal(signal.SIGINT)
        self.command.end(DEADLINE_S)
        return self._books()


def main(out: Path, seed: int = 1) -> None:
    victim = Victim(Path(mkdtemp(prefix="effrl-kills-")), seed)
    found: list[Loss] = []
    try:
        victim.until(3)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            for role in ROLES:
                for stage in STAGES:
                    found.append(victim.hit(role, stage, number))
                    print(found[-1], flush=True)
        for stage in STAGES:
            found.append(victim.hit_driver(stage))
            print(found[-1], flush=True)
        ended = victim.end()
        print(ended)
    finally:
        if not victim.ended:
            victim.command.kill()
    out.mkdir(parents=True, exist_ok=True)
    (out / "losses.json").write_text(json.dumps({"losses": [asdict(loss) for loss in found], "end": ended}, indent=1))
    (out / "README.md").write_text(table(found, ended))


def soak(out: Path, seed: int = 1) -> None:
    victim = Victim(Path(mkdtemp(prefix="effrl-soak-")), seed, SOAK_STEPS)
    try:
        victim.until(1)
        found = victim.soak()
    finally:
        if not victim.ended:
            victim.command.kill()
    print(found)
    out.mkdir(parents=True, exist_ok=True)
    (out / "soak.json").write_text(json.dumps(found, indent=1))


def table(found: list[Loss], ended: dict[str, object]) -> str:
    """As Markdown: a line for each process and signal, a column for each stage."""
    kinds = dict.fromkeys((loss.role, loss.signal) for loss in found)
    rows = [_row([loss for loss in found if (loss.role, loss.signal) == kind]) for kind in kinds]
    lines = [
        "# What the loss of each process costs\n",
        "One run of half the quickstart's size with a PRM, and a checkpoint every two steps, is hit when a stage of a"
        " step begins. Seconds until it had committed two more steps, and how long these take without a loss. Made by"
        " `python -m tests.bench.kills tests/bench/results/kills`.\n",
        f"| process | signal | outcome | steps done again | {' | '.join(STAGES)} | without |",
        f"|---|---|---|---:|{'---:|' * len(STAGES)}---:|",
        *rows,
        f"\nThen Ctrl-C: {', '.join(f'{name} {value}' for name, value in ended.items())}.\n",
    ]
    return "\n".join(lines)


def _row(losses: list[Loss]) -> str:
    """Of one process and signal, in the order of the stages."""
    first, outcomes = losses[0], " or ".join(dict.fromkeys(loss.outcome for loss in losses))
    again = sorted({loss.steps_again for loss in losses})
    steps = str(again[0]) if len(again) == 1 else f"{again[0]} to {again[-1]}"
    seconds = [str(loss.seconds) for loss in losses]
    without = f"{2 * median(loss.step_s for loss in losses):.1f}"
    return f"| {' | '.join([first.role, first.signal, outcomes, steps, *seconds, without])} |"


if __name__ == "__main__":
    (soak if "soak" in sys.argv else main)(Path(sys.argv[1]))
