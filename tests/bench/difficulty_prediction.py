"""How well pass rates are predicted: from the groups of finished runs, per snapshot of their policies.

``python -m tests.bench.difficulty_prediction runs/a runs/b --out difficulty.json``. Held out are a fifth of the
prompts, the last quarter of every run, and in a second fit for each family all of its prompts. Beside the fitted
network stand the same attention without any fit, kernel ridge on the references alone (``calibrated``) and with the
network's prediction as a hint (``both``), the mean of the references, and what a person would do: look up the mean of
the references of the same family, level and length.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import typer

from effrl.config import load
from effrl.data.reader import read
from effrl.difficulty.calibrated import CalibratedPredictor, Evidence
from effrl.difficulty.embedding import embedded
from effrl.difficulty.gather import snapshots
from effrl.difficulty.metrics import noise_ceiling_of_labels, pearson
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.offline import HeldOutSplit, Predictions, predict, split, untrained
from effrl.difficulty.training import Fit, fit
from effrl.models import locate
from effrl.run.directory import RunDirectory
from effrl.types import Float32, Float64

METHODS = ("fitted", "untrained", "calibrated", "both", "mean", "lookup")
LENGTH = 4
"""Characters that one cell of a lookup spans."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a lookup knows of a prompt."""

    family: str
    level: int
    length: int

    @property
    def cells(self) -> tuple[Hashable, ...]:
        """From the narrowest to the widest."""
        return ((self.family, self.level, self.length), (self.family, self.level), self.family, None)


@dataclass(frozen=True, slots=True)
class Line:
    """One snapshot: correlations of predictions with measured pass rates, by method."""

    run: str
    first: int
    last: int
    unseen: bool
    held_out: str
    """``prompts``, or the family that nothing was fitted on."""
    prompts: int
    ceiling: float
    overall: Mapping[str, float]
    within_level: Mapping[str, float]
    """Mean over the levels, by their number of prompts: what is left once the level is known."""


def main(
    runs: list[Path],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    embeddings: str = "tiny",
    window: int = 4,
    reference: int = 256,
    epochs: int = 20,
    hidden: int = 128,
    layers: int = 3,
    seed: int = 1,
) -> None:
    """Fit, predict, and write one line per snapshot."""
    found = snapshots(runs, window)
    texts = sorted({text for snapshot in found for text in snapshot.rates})
    kinds = kinds_of(runs)
    rows = embedded(locate(embeddings), texts).rows
    wide = embedded(locate(embeddings), texts, pooling="layers").rows
    how = Fit(epochs=epochs, references=reference, seed=seed)

    def fitted(data: HeldOutSplit) -> DifficultyNetwork:
        network = untrained(rows.shape[1], hidden, layers, seed)
        fit(network, data.examples(), how)
        return network

    data = split(rows, texts, found, seed)
    lines = list(measure(data, "prompts", fitted, kinds, reference, seed, wide))
    families = sorted({kind.family for kind in kinds.values()})
    for family in families if len(families) > 1 else ():
        part = without(data, family, kinds)
        lines += measure(part, family, fitted, kinds, reference, seed, wide, refer_to_family=True)
    out.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    print(table(lines))


def kinds_of(runs: Sequence[Path]) -> dict[str, Kind]:
    """Family, level and length of every prompt of the runs' data, by its text."""
    found = {}
    for run in runs:
        config = load.load(str(RunDirectory(run).config))
        for row in read(config.data.train, config.data.form):
            found[row.prompt.text] = kind_of(row.prompt.text, row.prompt.meta)
    return found


def kind_of(text: str, meta: Mapping[str, Any]) -> Kind:
    """Data without families and levels are of one, so that their lookup is by length alone."""
    return Kind(str(meta.get("family", "")), int(meta.get("level", 0)), len(text) // LENGTH)


def without(data: HeldOutSplit, family: str, kinds: Mapping[str, Kind]) -> HeldOutSplit:
    """Hold out a whole family, and no other prompts."""
    return replace(data, held_out=frozenset(text for text in data.places if kinds[text].family == family))


def measure(
    data: HeldOutSplit,
    held_out: str,
    fitted: Callable[[HeldOutSplit], DifficultyNetwork],
    kinds: Mapping[str, Kind],
    references: int,
    seed: int,
    wide: Float32,
    refer_to_family: bool = False,
) -> Iterator[Line]:
    """One line per snapshot with at least eight held-out prompts.

    With ``refer_to_family`` four fifths of the held-out prompts may be references and a fifth is predicted, as in a run
    that comes to new prompts: nothing was fitted on any of them. ``wide`` are embeddings of three layers, for what is
    calibrated.
    """
    network = fitted(data)
    if refer_to_family:
        data = replace(data, held_out=split(data.embeddings, [*data.held_out], [], seed).held_out)
    for number, snapshot in enumerate(data.snapshots):
        if len(data.hidden(snapshot)) < 8 or len(data.shown(snapshot)) < 2:
            continue
        found = predict(network, data, number, references, seed)
        tries = round(snapshot.tries)
        predicted = by_method(found, kinds) | {
            "calibrated": calibrated(found, wide, data.places, tries, {}),
            "both": calibrated(found, wide, data.places, tries, {"network": found.network}),
        }
        levels = [kinds[text].level for text in found.texts]
        yield Line(
            run=snapshot.run,
            first=snapshot.first,
            last=snapshot.last,
            unseen=number in data.unseen,
            held_out=held_out,
            prompts=len(found.texts),
            ceiling=noise_ceiling_of_labels(found.true, round(snapshot.tries)),
            overall={name: pearson(values, found.true) for name, values in predicted.items()},
            within_level={name: within(values, found.true, levels) for name, values in predicted.items()},
        )


def by_method(found: Predictions, kinds: Mapping[str, Kind]) -> dict[str, np.ndarray]:
    """Predictions of what a run or a person knows without kernel ridge."""
    references = [(kinds[text], rate) for text, rate in found.references.items()]
    looked_up = lookup(references, [kinds[text] for text in found.texts])
    return {"fitted": found.fitted, "untrained": found.untrained, "mean": found.mean, "lookup": looked_up}


def calibrated(
    found: Predictions, wide: Float32, places: Mapping[str, int], tries: int, hints: Mapping[str, Float64]
) -> np.ndarray:
    """Predictions of kernel ridge on the references, by the embeddings and what else is known of every prompt."""
    count = len(found.references)
    rows = np.asarray(wide[[places[text] for text in [*found.references, *found.texts]]])
    rates, sampled = np.fromiter(found.references.values(), np.float64), np.full(count, float(tries))
    seen = Evidence(np.arange(count), rates * sampled, sampled, 0 * sampled, sampled > 0)
    predicted, _ = CalibratedPredictor(rows).fit(seen, hints)
    return predicted(np.arange(count, len(rows)))


def lookup(references: Sequence[tuple[Kind, float]], queries: Sequence[Kind]) -> np.ndarray:
    """[n] means of the references in each query's narrowest cell that has any."""
    rates = defaultdict[Hashable, list[float]](list)
    for kind, rate in references:
        for cell in kind.cells:
            rates[cell].append(rate)
    return np.array([fmean(next(rates[cell] for cell in kind.cells if cell in rates)) for kind in queries])


def within(predicted: np.ndarray, true: np.ndarray, levels: Sequence[int]) -> float:
    """Mean correlation inside of each level, by its number of prompts; levels without any spread are left out."""
    weights, values = [], []
    for level in sorted(set(levels)):
        rows = np.flatnonzero(np.array(levels) == level)
        if len(rows) > 2 and np.ptp(true[rows]) > 0:
            weights.append(len(rows))
            values.append(pearson(predicted[rows], true[rows]))
    return float(np.average(values, weights=weights)) if values else 0.0


def table(lines: Sequence[Line]) -> str:
    """Markdown: means over snapshots, for each thing that was held out, seen and unseen policies apart."""
    within_level = ("fitted", "untrained", "calibrated", "both", "lookup")
    heads = [
        "held out",
        "policies",
        "snapshots",
        "ceiling",
        *METHODS,
        *(f"within a level: {name}" for name in within_level),
    ]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for held_out in dict.fromkeys(line.held_out for line in lines):
        for unseen in (False, True):
            part = [line for line in lines if (line.held_out, line.unseen) == (held_out, unseen)]
            if part:
                numbers = [fmean(line.ceiling for line in part)]
                numbers += [fmean(line.overall[name] for line in part) for name in METHODS]
                numbers += [fmean(line.within_level[name] for line in part) for name in within_level]
                cells = [held_out, "unseen" if unseen else "seen", str(len(part)), *(f"{n:.2f}" for n in numbers)]
                rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    typer.run(main)
