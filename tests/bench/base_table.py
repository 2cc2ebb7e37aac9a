"""What a base model does on every family, level and kind: ``python -m tests.bench.base_table tiny``.

Samples eight completions of fresh ``dev`` problems with the real engine, and asks the model to check what it proposed.
Writes ``results/base/NAME.json`` (pass rate of every level and kind) and ``NAME.md`` (the table). About two minutes.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from actors.rollout.sampling import EngineOptions, SampleRequest
from effrl.models import locate
from effrl.reward.reading import by_text, clusters
from effrl.reward.verifiers import task_answer
from effrl.seeds import derive
from effrl.tasks.problem import Problem, reflection
from effrl.tasks.source import FAMILIES, problems
from effrl.tiny.make import MODELS
from effrl.types import Int32, Prompt

RESULTS = Path(__file__).parent / "results" / "base"
SAMPLES, PER_CELL, MAX_TOKENS = 8, 12, 64
CHECKS = 4
"""Samples of a reflection prompt."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem, its sampled answers, and the answers of those who were asked to check them."""

    family: str
    problem: Problem
    answers: tuple[str | None, ...]
    checked: tuple[str | None, ...]

    @property
    def right(self) -> int:
        return self.answers.count(self.problem.answer)

    @property
    def clusters(self) -> tuple[int | None, ...]:
        [found] = clusters([(self.problem.prompt, self.answers)], by_text)
        return found

    @property
    def share(self) -> float:
        """Share of the vote."""
        return self.clusters.count(0) / len(self.answers)

    @property
    def vote_right(self) -> bool:
        return 0 in self.clusters and self.answers[self.clusters.index(0)] == self.problem.answer


def row(asked: Sequence[Asked]) -> dict[str, float]:
    """The figures of one row of the table."""
    passes = np.array([entry.right / SAMPLES for entry in asked])
    wrong = np.array([not entry.vote_right for entry in asked])
    misled = np.array([not entry.vote_right and entry.share >= 0.5 and entry.right > 0 for entry in asked])
    reflected = [entry for entry in asked if entry.checked]
    return {
        "pass rate": float(passes.mean()),
        "vote wrong": float(wrong.mean()),
        "misled": float(misled.mean()),
        "pass@8 - avg@8": float((passes > 0).mean() - passes.mean()),
        "effective": float(((passes > 0) & (passes < 1)).mean()),
        "AUC": auc([entry.share for entry in asked], [entry.vote_right for entry in asked]),
        "reflection gain": float(np.mean([_gain(entry) for entry in reflected])) if reflected else float("nan"),
    }


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """Probability that a right vote has a larger share than a wrong one, ties half."""
    good = np.array([score for score, yes in zip(scores, right, strict=True) if yes])
    bad = np.array([score for score, yes in zip(scores, right, strict=True) if not yes])
    if not len(good) or not len(bad):
        return float("nan")
    return float(((good[:, None] > bad) + 0.5 * (good[:, None] == bad)).mean())


def _gain(entry: Asked) -> float:
    return entry.checked.count(entry.problem.answer) / len(entry.checked) - entry.right / SAMPLES


class Sampler:
    """A real engine in this process."""

    def __init__(self, model: str) -> None:
        from actors.environment import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT

        os.environ.update({**COMMON_ENVIRONMENT, **CPU_ENVIRONMENT, **ENGINE_ENVIRONMENT})
        from actors.rollout.engine import Engine
        from actors.rollout.transfer import ShmTransfer

        self.engine = Engine(EngineOptions(str(locate(model)), "float32", 256, 0, 0, 0.5, 0), ShmTransfer)

    def __call__(self, family: str, prompts: Sequence[str], count: int) -> list[tuple[str | None, ...]]:
        """``count`` final answers per prompt."""
        from actors.rollout.outputs import rollout

        for index, prompt in enumerate(prompts):
            ids: Int32 = np.asarray(self.engine.tokenizer(prompt).input_ids, np.int32)
            seeds = tuple(derive(0, "base table", prompt, n) for n in range(count))
            request = SampleRequest(Prompt(str(index), prompt), seeds, MAX_TOKENS, temperature=1.0)
            for n, seed in enumerate(seeds):
                self.engine.sample(f"{index}/{n}", ids, seed, request.parameters())
        outputs = {}
        while len(outputs) < len(prompts) * count:
            outputs |= self.engine.step()
        texts = [
            [rollout(outputs[f"{index}/{n}"], version=0).text for n in range(count)] for index in range(len(prompts))
        ]
        return [tuple(task_answer(text, {"family": family}) for text in group) for group in texts]


def ask(sampler: Sampler, family: str) -> Iterator[Asked]:
    """Sample the family, then have the model check what it proposed where it proposed more than one answer."""
    module = FAMILIES[family]
    size = PER_CELL * len(module.KINDS) * len(module.LEVELS)
    drawn = list(problems(family, "dev", size, 7, range(len(module.LEVELS)), module.KINDS))
    answers = sampler(family, [problem.prompt for problem in drawn], SAMPLES)
    proposed = [tuple(dict.fromkeys(a for a in group if a is not None))[:3] for group in answers]
    doubtful = [index for index, several in enumerate(proposed) if len(several) > 1]
    prompts = [reflection(drawn[index].prompt, proposed[index]) for index in doubtful]
    checked = dict(zip(doubtful, sampler(family, prompts, CHECKS), strict=True))
    for index, problem in enumerate(drawn):
        yield Asked(family, problem, answers[index], checked.get(index, ()))


def table(asked: Sequence[Asked]) -> str:
    """Markdown: one line per family and level, per kind, and overall."""
    names = ["pass rate", "vote wrong", "misled", "pass@8 - avg@8", "effective", "AUC", "reflection gain"]
    lines = [f"| family | level or kind | prompts | {' | '.join(names)} |", "|" + "---|" * (len(names) + 3)]
    for family, part, chosen in _parts(asked):
        values = " | ".join(f"{value:.2f}" for value in row(chosen).values())
        lines.append(f"| {family} | {part} | {len(chosen)} | {values} |")
    return "\n".join(lines) + "\n"


def _parts(asked: Sequence[Asked]) -> Iterator[tuple[str, str, list[Asked]]]:
    for family in dict.fromkeys(entry.family for entry in asked):
        module = FAMILIES[family]
        mine = [entry for entry in asked if entry.family == family]
        for level in range(len(module.LEVELS)):
            yield family, f"level {level}", [entry for entry in mine if entry.problem.level == level]
        for kind in module.KINDS:
            yield family, f"kind {kind}", [entry for entry in mine if entry.problem.kind == kind]
        yield family, "**all**", mine
    yield "**all**", "", list(asked)


def pass_rates(asked: Sequence[Asked]) -> dict[str, float]:
    """Mean pass rate of each ``family/level/kind``."""
    rates: dict[str, list[float]] = {}
    for entry in asked:
        key = f"{entry.family}/{entry.problem.level}/{entry.problem.kind}"
        rates.setdefault(key, []).append(entry.right / SAMPLES)
    return {key: round(float(np.mean(values)), 3) for key, values in sorted(rates.items())}


def main(
    model: Annotated[str, typer.Argument(help="A built-in model or a directory.")],
    families: Annotated[
        list[str] | None, typer.Argument(help="Those that a built-in model was shown by default, else all.")
    ] = None,
    out: Path = RESULTS,
) -> None:
    sampler = Sampler(model)
    shown = MODELS[model].families if model in MODELS else tuple(FAMILIES)
    asked = [entry for family in families or shown for entry in ask(sampler, family)]
    out.mkdir(parents=True, exist_ok=True)
    name = Path(model).name
    (out / f"{name}.json").write_text(json.dumps({"pass_rates": pass_rates(asked)}, indent=1) + "\n")
    command = " ".join(("python -m tests.bench.base_table", name, *(families or ())))
    head = f"# {name}\n\nMade by `{command}`: {SAMPLES} samples of each prompt.\n\n"
    (out / f"{name}.md").write_text(head + table(asked))
    typer.echo(table(asked))


if __name__ == "__main__":
    typer.run(main)
