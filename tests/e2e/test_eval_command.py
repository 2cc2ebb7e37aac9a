"""Two sets in a run; the checkpoint that was best on dev stays; what was measured in the run is measured again."""

import json
from pathlib import Path
from typing import Any

from runs import SMALL, START_S, Here, rows

from effrl.models import read_model

STEPS = 4
SETS = "data.eval={test: 'tasks:chain?split=test&size=8', dev: 'tasks:chain?split=dev&size=24'}"
SETTINGS = (*SMALL, SETS, "eval.every=1", "eval.pass_at=[1, 2]", f"run.steps={STEPS}", "run.keep=1", "learn.lr=5e-4")


def test_a_run_its_best_checkpoint_and_what_that_is_worth(effrl: Any, here: Here, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "quickstart"
    training = here("train", "quickstart", *SETTINGS)
    trained = rows(run)
    accuracies = {row["step"]: row["eval/accuracy"] for row in trained if row["step"] > 0}
    best = max(accuracies, key=lambda step: (accuracies[step], -step))
    kept = {path.name for path in (run / "checkpoints").iterdir()}
    assert kept == {f"step_{best}", f"step_{STEPS}"}, "run.keep=1, and the best by dev"
    assert f"best    step {best}, {accuracies[best]:.2f} on dev" in training
    assert f"best checkpoint: step {best}" in (run / "report.html").read_text()
    assert all({"eval/maj@4", "eval/test/accuracy", "eval/test/pass@2"} <= row.keys() for row in trained)
    assert all(row["eval/pass@1"] == row["eval/accuracy"] for row in trained)

    measured = effrl("eval", "runs/quickstart", "--show", "2", "--out", "found.json")
    assert measured.end(START_S) == 0, measured.output()
    assert f"runs/quickstart, step {best} (best by dev: {accuracies[best]:.2f})" in measured.output()
    found = json.loads((tmp_path / "found.json").read_text())["sets"]
    expected = trained[best]
    for name, prefix in {"dev": "eval/", "test": "eval/test/"}.items():
        for metric, value in found[name]["metrics"].items():
            assert value["mean"] == expected[prefix + metric], "the same samples, from the files of the checkpoint"
    assert [len(found[name]["prompts"]) for name in ("dev", "test")] == [24, 8]
    assert measured.output().count("(held out)") == 4 and "Traceback" not in measured.output()
    assert measured.orphans() == []

    taken = here("export", "runs/quickstart", "model")
    assert f"{read_model(tmp_path / 'model').parameters:,} parameters" in taken
