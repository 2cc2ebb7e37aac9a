"""CARE, with all that could carry a label: poison in the labels that were not bought is nowhere (invariant 2).

Groups are replayed and scored anew, DOTS rolls out references, probes learn, and the run is killed in between.
"""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, copy_when_bought, deterministic, groups, purchases, rows

from effrl.tasks.source import problems

POISON = "918273645"
SETTINGS = (
    *SMALL,
    "label={kind: care, budget: {per_step: 0.5}, rest: {kind: gate, warmup: 1}}",
    "select={kind: dots, reference: 4, warmup: 1, epochs: 2}",
    "replay={fresh: 0.5, capacity: 8, warmup: 1}",
    "rollout.refill=0",
    "learn.updates=2",
    "run={steps: 4, save_every: 2, sinks: []}",
    "eval.prompts=2",
)


def write(data: Path, sound: set[str] | None = None) -> None:
    """128 problems; of those that are not among ``sound``, where that is given, the label is poison."""
    drawn = enumerate(problems("chain", "train", 128, 0, range(5), "abcdefgh"))
    lines = [{"id": f"p{n}", "prompt": problem.prompt, "label": problem.answer} for n, problem in drawn]
    spoilt = [line if sound is None or line["id"] in sound else {**line, "label": POISON} for line in lines]
    data.write_text("".join(json.dumps(line) + "\n" for line in spoilt))


def told(run: Path) -> dict[str, Any]:
    """All that a run decided and learned. The monitor alone may look at labels that nobody bought."""
    last = run / "checkpoints" / "step_4"
    metrics = [
        {name: value for name, value in deterministic(row).items() if not name.startswith(("monitor/", "label/vote"))}
        for row in rows(run)
    ]
    fates = [{k: v for k, v in entry.items() if k != "id"} for step in (1, 2, 3, 4) for entry in groups(run, step)]
    return {
        "metrics": metrics,
        "groups": fates,
        "purchases": purchases(run),
        "policy": (last / "hf" / "model.safetensors").read_bytes(),
        "probes": {path.name: path.read_bytes() for path in (last / "labeller").glob("*")},
    }


def contents(path: Path) -> list[bytes]:
    """Of a file, unpacked where it is packed."""
    if path.suffix == ".gz":
        return [gzip.decompress(path.read_bytes())]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            return [packed.read(name) for name in packed.namelist()]
    return [path.read_bytes()]


def test_poison_is_nowhere_but_in_the_data(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, clean, poisoned, cut = (tmp_path / name for name in ("train.jsonl", "clean", "poisoned", "cut"))
    write(data)
    here("train", "quickstart", *SETTINGS, f"data.train={data}", f"run.dir={clean}")
    expected = told(clean)
    found = expected["metrics"]
    assert sum(row["groups/replay_uses"] for row in found[1:]) > 0 and found[3]["scout/prompts"] == 4
    assert {"count_probe.pt", "vote_probe.pt"} < expected["probes"].keys() and "label/gate_loss" in found[4]

    write(data, {prompt_id for _, prompt_id, *_ in expected["purchases"]})
    copy_when_bought(monkeypatch, poisoned, cut, step=4)
    here("train", "quickstart", *SETTINGS, f"data.train={data}", f"run.dir={poisoned}")
    assert "resuming after step 2" in here("resume", cut)
    for run in (poisoned, cut):
        actual = told(run)
        assert all(actual[name] == value for name, value in expected.items())
        files = [path for path in run.rglob("*") if path.is_file()]
        poisonous = [path for path in files for text in contents(path) if POISON.encode() in text]
        assert len(files) > 20 and poisonous == []
        assert [deterministic(row) for row in rows(run)] != [deterministic(row) for row in rows(clean)], (
            "the monitor alone has seen it"
        )
    assert [path for path in tmp_path.glob("*") if path.is_file() and POISON in path.read_text()] == [data]
