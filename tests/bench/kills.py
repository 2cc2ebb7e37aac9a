"""What the loss of each process costs a run: ``python -m tests.bench.kills OUT``.

One run is hit again and again: each of its processes is killed (SIGKILL) or stopped (SIGSTOP) while it works, at a
seeded random moment of a step. Told are what became of it, the steps that were done again, and the seconds until the
run was further than before.
"""

import json
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
SETTINGS = (
    "rollout.prompts=16",
    "rollout.per_prompt=4",
    "run.save_every=2",
    "run.steps=100000",
    "eval.every=100000",
    "process={kind: implicit_prm, beta: 0.05, separator: ';'}",
    "advantage.kind=prime",
)
DEADLINE_S = 240.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What one loss has cost."""

    role: str
    signal: str
    outcome: str
    steps_again: int
    seconds: float
    """Until a step was committed that had not been before; a step without a loss takes ``step_s``."""
    step_s: float

    @property
    def row(self) -> str:
        """Of a table."""
        told = (self.role, self.signal, self.outcome, self.steps_again, f"{self.seconds} ({2 * self.step_s:.1f})")
        return f"| {' | '.join(map(str, told))} |"


class Victim:
    """A run, and the signals that it gets."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.run, self.chance = folder / "run", random.Random(seed)
        self.command = Command(("train", "quickstart", *SETTINGS, f"run.dir={self.run}"), folder)

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

    def hit(self, role: str, number: signal.Signals) -> Loss:
        """Send a signal, and wait until the run is further than it was."""
        at = self.rows[-1]["step"]
        self.until(at + 3)
        step_s = median(row["time/step_s"] for row in self.rows[-3:])
        time.sleep(self.chance.uniform(0, step_s))
        told = self.command.output()
        reached = self.rows[-1]["step"]
        victims = [process for process in self.command.processes() if ROLES[role] in " ".join(process.cmdline())]
        self.chance.choice(victims).send_signal(number)
        began = time.monotonic()
        lives = self.until(reached + 2)
        seconds = time.monotonic() - began
        again = [
            line for line in self.command.output()[len(told) :].replace("\n", " ").split("going on after step ")[1:]
        ]
        steps = reached - int(again[-1].split()[0].strip(",;")) if again else 0
        outcome = "the run ends" if not lives else "goes on from the checkpoint" if again else "goes on"
        return Loss(role, number.name, outcome, max(0, steps), round(seconds, 1), round(step_s, 2))

    def end(self) -> dict[str, object]:
        """Stop it as a user would; what is left behind."""
        self.command.process.send_signal(signal.SIGINT)
        code = self.command.end(DEADLINE_S)
        rolled, fates = tally(self.run / "groups")
        return {
            "exit_code": code,
            "steps": self.rows[-1]["step"],
            "groups": rolled,
            "fates": sum(fates.values()),
            "processes_left": len(self.command.orphans()),
        }


def main(out: Path, seed: int = 1) -> None:
    victim = Victim(Path(mkdtemp(prefix="effrl-kills-")), seed)
    found: list[Loss] = []
    try:
        victim.until(3)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            for role in ROLES:
                found.append(victim.hit(role, number))
                print(found[-1], flush=True)
        ended = victim.end()
        print(ended)
    finally:
        if not victim.ended:
            victim.command.kill()
    out.mkdir(parents=True, exist_ok=True)
    (out / "losses.json").write_text(json.dumps({"losses": [asdict(loss) for loss in found], "end": ended}, indent=1))
    (out / "README.md").write_text(table(found, ended))


def table(found: list[Loss], ended: dict[str, object]) -> str:
    """As Markdown."""
    lines = [
        "# What the loss of each process costs\n",
        "One run of half the quickstart's size with a PRM, and a checkpoint every two steps. Seconds until the run had"
        " committed two more steps, in brackets how long these take without a loss. Made by"
        " `python -m tests.bench.kills tests/bench/results/kills`.\n",
        "| process | signal | outcome | steps done again | seconds |",
        "|---|---|---|---:|---:|",
        *(loss.row for loss in found),
        f"\nThen Ctrl-C: {', '.join(f'{name} {value}' for name, value in ended.items())}.\n",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
