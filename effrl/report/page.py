"""One self-contained HTML page about a run, or about several next to each other: no network, no scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from effrl.advice.advise import told
from effrl.config.buy import DIAGNOSTIC
from effrl.errors import UserError
from effrl.report.charts import charts, known
from effrl.report.coloured import SHADES, Contrast, contrast
from effrl.report.plots import compact
from effrl.report.progress import duration
from effrl.report.show import GroupRecord, printable, read_groups
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.groups import settled_steps
from effrl.run.metrics import EXTRA_ROLLOUTS, PHASES, TOKENS, total

_NONE = "—"
_SAMPLE_GROUPS, _SAMPLE_ROLLOUTS, _SAMPLE_CHARACTERS = 2, 4, 4000


@dataclass(frozen=True)
class Run:
    """What a report reads of a run directory."""

    name: str
    path: Path
    rows: list[dict[str, Any]]
    """Rows of ``metrics.jsonl`` by step; row 0 is the base."""
    config: dict[str, Any]
    """The resolved config, flat: ``{"learn.lr": 1e-6, …}``."""
    config_text: str

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The rows of optimizer steps, without the base."""
        return [row for row in self.rows if row["step"] > 0]


@dataclass(frozen=True)
class Summary:
    """The headline of one run, in words."""

    name: str
    state: str
    finished: bool
    base: str
    final: str
    gain: str
    best: str
    """The checkpoint that was best on the dev set."""
    cautions: list[str]
    """What a reader must know before believing any of it."""
    facts: dict[str, str]
    publishes: str
    publishes_mood: str
    """good, warn, bad or none."""


@dataclass(frozen=True)
class Sample:
    """Some rollouts of one step."""

    step: int
    groups: list[GroupRecord]


def write_report(runs: Sequence[Path], out: Path) -> None:
    """Write a report of the run directories; what a run did not record is left out.

    Raises:
        UserError: one of them is not a run directory.
    """
    assert runs, "a report needs a run"
    paths = list(dict.fromkeys(path.resolve() for path in runs))
    loaded = [_load(path, str(path) if _ambiguous(path, paths) else path.name) for path in paths]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(_render(loaded), encoding="utf-8")


def _ambiguous(path: Path, runs: Sequence[Path]) -> bool:
    return sum(other.name == path.name for other in runs) > 1


def _load(path: Path, name: str) -> Run:
    log = path / "metrics.jsonl"
    if not log.exists():
        raise UserError(f"{path} is not a run directory: it has no metrics.jsonl")
    config_file = path / "config.yaml"
    text = config_file.read_text(encoding="utf-8") if config_file.exists() else ""
    rows = sorted(metrics.read(log), key=lambda row: int(row["step"]))
    return Run(printable(name), path, rows, dict(_flatten(yaml.safe_load(text))), text)


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def _render(runs: Sequence[Run]) -> str:
    from jinja2 import Environment, StrictUndefined

    # Everything that a model or a user wrote is escaped; only our own SVG is marked as safe, in the template.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"visible": _visible, "number": _number, "words": lambda name: name.replace("_", " ")}
    source = resources.files("effrl.report") / "page.html.j2"
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(
        runs=runs,
        headline=_headline(runs[0]),
        summaries=[_summary(run) for run in runs],
        charts=charts({run.name: run.rows for run in runs}),
        samples={run.name: _samples(run.path) for run in runs},
        contrasts={run.name: found for run in runs if (found := _contrast(run)) is not None},
        shades=SHADES,
        differences=_differences(runs),
    )


def _headline(run: Run) -> str:
    words = {
        "model.path": "{}",
        "rollout.prompts": "{} prompts",
        "rollout.per_prompt": "{} rollouts each",
        "run.seed": "seed {}",
    }
    return " · ".join(form.format(run.config[field]) for field, form in words.items() if field in run.config)


def _visible(text: str) -> str:
    text = printable(text)
    left_out = len(text) - _SAMPLE_CHARACTERS
    return text if left_out <= 0 else f"{text[:_SAMPLE_CHARACTERS]}\n[… {left_out:,} more characters]"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _summary(run: Run) -> Summary:
    done = run.rows[-1]["step"] if run.rows else 0
    wanted = None if run.config.get("stages") else run.config.get("run.steps")
    base = known([row for row in run.rows if row["step"] == 0], "eval/accuracy")
    final = known(run.steps, "eval/accuracy")
    best = Checkpoints(run.path / "checkpoints", keep=1).best()
    publishes, mood = _publishes(run)
    return Summary(
        name=run.name,
        state=_state(done, wanted) + _stages(run),
        finished=wanted is None or done >= wanted,
        base=f"{base[-1]:.3f}" if base else _NONE,
        final=f"{final[-1]:.3f}" if final else _NONE,
        gain=f"{final[-1] - base[-1]:+.3f}" if base and final else "",
        best=f"best checkpoint: step {best[0]}, {best[1]:.3f}" if best else "",
        cautions=_cautions(run),
        facts=_facts(run),
        publishes=publishes,
        publishes_mood=mood,
    )


def _cautions(run: Run) -> list[str]:
    diagnostic = [DIAGNOSTIC] if any(known(run.rows, "label/diagnostic")) else []
    return diagnostic + [str(found) for found in told(run.rows)]


def _state(done: int, wanted: int | None) -> str:
    if wanted is None:
        return f"{done} steps"
    return f"all {done} steps done" if done >= wanted else f"unfinished: {done} of {wanted} steps"


def _stages(run: Run) -> str:
    """The steps of each stage; nothing of a run that is one."""
    steps: dict[str, list[int]] = {}
    for row in run.steps:
        if (name := row.get("stage/name")) is not None:
            steps.setdefault(name, []).append(row["step"])
    told = ", ".join(f"{name} {found[0]} to {found[-1]}" for name, found in steps.items())
    return f" ({told})" if told else ""


def _facts(run: Run) -> dict[str, str]:
    labels = known(run.rows, "label/bought_total")
    rolled, trained = sum(known(run.rows, "groups/rolled")), sum(known(run.rows, "groups/trained"))
    looked = (
        {"Rollouts to choose or label": _shown_total(run, EXTRA_ROLLOUTS)} if total(run.rows, EXTRA_ROLLOUTS) else {}
    )
    return {
        "Rollouts": _shown_total(run, ("rollout/count",)),
        **looked,
        "Tokens": _shown_total(run, TOKENS),
        "Labels bought": f"{labels[-1]:,.0f}" if labels else _NONE,
        "Groups not trained": f"{1 - trained / rolled:.0%}" if rolled else _NONE,
        "Duration": _duration(run),
    }


def _shown_total(run: Run, names: Sequence[str]) -> str:
    if not any(known(run.rows, name) for name in names):
        return _NONE
    found = total(run.rows, names)
    return compact(found) if found >= 1e5 else f"{found:,}"


def _duration(run: Run) -> str:
    seconds = known(run.rows, "time/step_s") or [
        value for stage in PHASES for value in known(run.rows, f"time/{stage}_s")
    ]
    return duration(sum(seconds)) if seconds else _NONE


def _publishes(run: Run) -> tuple[str, str]:
    """In words, and how good that is; a step that published nothing has no ``sync/verified``."""
    results = [row["sync/verified"] for row in run.steps if "sync/verified" in row]
    failed = sum(result is not None and not result for result in results)
    unclear = sum(result is None for result in results)
    if not results:
        return "none recorded", "none"
    if failed:
        return f"{failed} of {len(results)} failed", "bad"
    if unclear:
        return f"{len(results) - unclear} of {len(results)} verified, {unclear} inconclusive", "warn"
    return f"all {len(results)} verified", "good"


def _samples(run: Path) -> list[Sample]:
    """The first groups of the first, the middle and the last step; trained ones first, as they show a contrast."""
    steps = settled_steps(run / "groups")
    chosen = sorted({steps[0], steps[len(steps) // 2], steps[-1]}) if steps else []
    return [Sample(step, _sample_groups(read_groups(run, step))) for step in chosen]


def _sample_groups(groups: list[GroupRecord]) -> list[GroupRecord]:
    first = sorted(groups, key=lambda group: group["fate"] != "trained")[:_SAMPLE_GROUPS]
    return [{**group, "rollouts": group["rollouts"][:_SAMPLE_ROLLOUTS]} for group in first]


def _contrast(run: Run) -> Contrast | None:
    """Only of a run that had process rewards: to find none, all groups of a run would be read."""
    return contrast(run.path) if "process.kind" in run.config else None


def _differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Config fields in which the runs differ, and the value in each run."""
    fields = dict.fromkeys(field for run in runs for field in run.config)
    values = {field: [str(run.config.get(field, _NONE)) for run in runs] for field in fields}
    return {field: row for field, row in values.items() if len(set(row)) > 1 and field != "run.dir"}
