"""The quickstart's first step as a new user has it: an empty HOME, and no C++ compiler on PATH."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from runs import SMALL, groups, rows

from effrl.run.groups import tally

COMPILERS = {"cc", "c++", "gcc", "g++", "clang", "clang++", "c89", "c99", "ninja", "nvcc"}


def path_without_compilers(directory: Path) -> str:
    """Everything that is on PATH but compilers."""
    directory.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            link = directory / program.name
            if program.name.split("-")[0] not in COMPILERS and "gcc" not in program.name and not link.exists():
                link.symlink_to(program.resolve())
    assert shutil.which("gcc", path=str(directory)) is None and shutil.which("lscpu", path=str(directory))
    return str(directory)


def test_quickstart_without_a_compiler(effrl: Any, command_line: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = effrl(
        "train", "quickstart", *SMALL, "run.steps=1", HOME=str(home), PATH=path_without_compilers(tmp_path / "bin")
    )
    assert command.end() == 0, command.output()
    run = tmp_path / "runs" / "quickstart"
    base, first = rows(run)
    assert base["step"] == 0 and 0 <= base["eval/accuracy"] <= 1
    assert first["groups/trained"] > 0 and first["policy/version"] == 1
    assert first["sync/verified"] is True and first["sync/gap"] < 1e-4 and first["mismatch/kl"] < 1e-6
    assert first["label/bought"] == first["label/bought_total"] == first["groups/rolled"]
    assert {"policy/staleness_max": 0, "label/budget_left": None}.items() <= first.items()
    used = {role: first[f"cpu/{role}_s"] for role in ("driver", "ray", "data", "oracle", "reward")}
    assert all(seconds >= 0 for seconds in used.values()), used
    assert first["cpu/rollout-0_s"] > 0 and first["cpu/learner-0_s"] > 0
    assert 0 < first["time/overhead_ratio"] < 0.9, "1 if sampling and learning are called otherwise than WORK says"
    rolled, fates = tally(run / "groups")
    assert rolled == first["groups/rolled"] == sum(fates.values())
    assert len(groups(run, 1)) == rolled
    manifest = json.loads((run / "checkpoints" / "step_1" / "manifest.json").read_text())
    learner = manifest["parts"]["learner"]
    assert learner["state"] == {"version": 1, "ranks": 1} and "hf/model.safetensors" in learner["files"]
    assert "data/state.json.gz" in manifest["parts"]["data"]["files"]
    assert "</svg>" in (run / "report.html").read_text() and list((run / "tensorboard").iterdir())
    output = command.output()
    assert "every publish verified" in output and "Traceback" not in output and "Triton" not in output
    assert len(output.splitlines()) < 12, "no wall of logs"
    assert command.orphans() == []
    code, shown, _ = command_line("show", "runs/quickstart", "1")
    assert code == 0 and "chain/" in shown
