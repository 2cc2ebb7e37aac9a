"""What `effrl plan` predicts, beside what was measured: memory and CPU seconds of a rank, CPU seconds of whole runs.

``python -m tests.bench.plan_check measure [NAME…]`` runs each case in processes of its own, one thread each, and writes
``tests/bench/results/plan/NAME.json``; ``… runs [SIZE…]`` does the same with short runs of ``effrl train``, into
``runs/SIZE.json``, on a machine that does nothing else; ``… show`` prints the tables of docs/plan.md.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from effrl.config.learn import LearnConfig
from effrl.config.schema import Config
from effrl.models import find_model
from effrl.preflight.calibration import calibrate, done
from effrl.preflight.devices import CPU
from effrl.preflight.forecast import Scene, forecast
from effrl.preflight.memory import LIBRARIES, rank_memory
from effrl.preflight.pools import layout
from effrl.preflight.seconds import Team, learn_s, learner_passes, work_of
from effrl.preflight.shape import Shape, shape_of
from tests.bench.learner_memory import SHAPES, make
from tests.bench.speed.effrl_arm import effrl_steps
from tests.bench.speed.rows import Row
from tests.bench.speed.sizes import ROOT, SIZES, Size, model_of, write_prompts

RESULTS = ROOT / "tests" / "bench" / "results" / "plan"
SPEED, LATER = RESULTS.parent / "speed", RESULTS / "runs"
RUNS = {SPEED: ("tiny", "22.7m", "100m"), LATER: ("tiny", "22.7m", "smollm2")}
"""Sizes of the speed bench whose rows are kept: those of docs/speed.md, on whose machine the device's constants were
set, and those of :func:`runs`, on another machine."""
STEPS = 3
"""Of such a run, after one that warms up."""
PROMPT = 26
"""Tokens of its prompts."""
BASE = "22.7m"
"""The case that other cases' seconds are calibrated on: all ran on a machine that did much else."""


def _shape(vocabulary: int, width: int, inner: int, layers: int, heads: int, kv_heads: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


SHAPES |= {
    "tiny": _shape(64, 128, 384, 5, 4, 2),
    "22.7m": _shape(128, 512, 1408, 8, 8, 2),
    "smollm2": _shape(49152, 576, 1536, 30, 9, 3),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Two optimizer steps of ``sequences`` of ``prompt + sampled`` tokens on each rank."""

    shape: str
    sequences: int
    prompt: int
    sampled: int
    learn: dict[str, Any] = field(default_factory=dict)
    ranks: int = 1


CASES = {
    "tiny": Case("tiny", 64, 25, 40, {"micro_batch_tokens": 1024}),
    "22.7m": Case("22.7m", 16, 25, 90, {"micro_batch_tokens": 1024}),
    "smollm2": Case("smollm2", 8, 16, 48, {"micro_batch_tokens": 256}),
    "smollm2-1024": Case("smollm2", 16, 16, 48, {"micro_batch_tokens": 1024, "zero": 2}),
    "100m": Case("100m", 8, 16, 48, {"micro_batch_tokens": 256}),
    "100m-zero3": Case("100m", 8, 16, 48, {"micro_batch_tokens": 256, "zero": 3}),
    "100m-lora": Case("100m", 8, 16, 48, {"micro_batch_tokens": 512, "lora": {"rank": 16}}),
    "10m-60k": Case("10m", 32, 16, 48, {"micro_batch_tokens": 2048}),
    "22.7m-two-ranks": Case("22.7m", 8, 25, 90, {"micro_batch_tokens": 512}, ranks=2),
    "22.7m-4096": Case("22.7m", 32, 28, 100, {"micro_batch_tokens": 4096}),
    "22.7m-4096-checkpointed": Case(
        "22.7m", 32, 28, 100, {"micro_batch_tokens": 4096, "activation_checkpointing": True}
    ),
}


def measure(*names: str) -> None:
    """Run the cases, all by default, and keep what they took."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names or CASES:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as directory:
            make(case.shape, Path(directory))
            found = _ranks(name, case, Path(directory))
        (RESULTS / f"{name}.json").write_text(json.dumps({"case": name, "ranks": found}, indent=1) + "\n")
        print(name, json.dumps(found), flush=True)


def _ranks(name: str, case: Case, model: Path) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "tests.bench.plan_check", "rank", name, str(model)]
    group = {"WORLD_SIZE": str(case.ranks), "LOCAL_SIZE": str(case.ranks), "MASTER_ADDR": "127.0.0.1"}
    # One thread: threads that wait for each other on a busy machine burn CPU seconds, ten times what the work takes.
    common = {**os.environ, **group, "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE
        )
        for rank in range(case.ranks)
    ]
    told = [process.communicate()[0] for process in started]
    assert all(process.returncode == 0 for process in started), f"a rank of {name} failed"
    return [json.loads(lines.splitlines()[-1]) for lines in told]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def rank(name: str, model: str) -> None:
    """In the process of one rank: two steps; prints one line of JSON."""
    case = CASES[name]
    from tests.bench import learner_memory

    learner_memory.SEQUENCES, learner_memory.PROMPT, learner_memory.SAMPLED = case.sequences, case.prompt, case.sampled
    learn = LearnConfig.model_validate(case.learn)
    engine = learner_memory.start(Path(model), learn)
    row = {"start_gib": _peak_gib()}
    for number in (1, 2):
        began = time.process_time()
        learner_memory.step(engine, learn, SHAPES[case.shape]["vocab_size"])
        row |= {f"step_{number}_cpu_s": time.process_time() - began, f"step_{number}_gib": _peak_gib()}
    print(json.dumps({key: round(value, 3) for key, value in row.items()}))


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def predicted_gib(case: Case) -> float:
    """Peak of a rank of a case, libraries included."""
    learn = LearnConfig.model_validate(case.learn)
    tokens = learn.micro_batch_tokens
    return (rank_memory(shape(case.shape), learn, case.ranks, tokens, 4).peak + LIBRARIES["rank"]) / 2**30


def shape(name: str) -> Shape:
    """Of one of the models, which need not be made for it."""
    sizes = SHAPES[name]
    width, inner, layers = (sizes[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    head = width // sizes["num_attention_heads"]
    keys = head * sizes["num_key_value_heads"]
    each = {"q_proj": 2 * width, "o_proj": 2 * width, "k_proj": width + keys, "v_proj": width + keys}
    each |= dict.fromkeys(("gate_proj", "up_proj", "down_proj"), width + inner)
    layer = 2 * width**2 + 2 * width * keys + 3 * width * inner + 3 * width + 2 * keys  # with norms and Qwen2's biases
    parameters = layers * layer + sizes["vocab_size"] * width + width
    linear = {name: float(both * layers) for name, both in each.items()}
    return Shape(parameters, layers, width, width, keys, inner, sizes["vocab_size"], True, linear)


def memory_table() -> str:
    """As Markdown: what ranks took at their peak beside what is predicted."""
    lines = ["| case | parameters | predicted, GiB | measured, GiB | off |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, case in CASES.items():
        if (file := RESULTS / f"{name}.json").is_file():
            measured = max(rank["step_2_gib"] for rank in json.loads(file.read_text())["ranks"])
            told = predicted_gib(case)
            count = shape(case.shape).parameters / 1e6
            lines.append(f"| `{name}` | {count:.1f}M | {told:.2f} | {measured:.2f} | {told / measured - 1:+.0%} |")
    return "\n".join(lines)


def runs(*names: str) -> None:
    """Train each size for some steps, all by default, and keep the rows of its steps after the first."""
    LATER.mkdir(parents=True, exist_ok=True)
    for name in names or RUNS[LATER]:
        with tempfile.TemporaryDirectory(prefix="plan-") as directory:
            prompts, run = Path(directory, "prompts.jsonl"), Path(directory, "effrl")
            write_prompts(prompts)
            model = model_of(SIZES[name], Path(directory))
            rows, _ = effrl_steps(SIZES[name], model, prompts, 1 + STEPS, run)
        (LATER / f"{name}.json").write_text(json.dumps({"rounds": [{"effrl": rows[1:]}]}, indent=1) + "\n")
        print(name, json.dumps(rows), flush=True)


def scene(size: Size) -> Scene:
    """Of a run of the speed bench."""
    sampling = {"prompts": size.prompts, "per_prompt": size.per_prompt, "max_tokens": size.max_tokens, "refill": 0}
    config = Config.model_validate({"data": {"train": "prompts.jsonl"}, "rollout": sampling})
    model = shape_of(find_model("tiny")) if size.name == "tiny" else shape(size.name)
    work = work_of(config, PROMPT, size.max_tokens, on_gpus=False)
    return Scene(config, model, layout(config, 1, 0), CPU, work, {})


def measured(folder: Path, size: Size) -> list[dict[str, float]]:
    """Its steps, named as in ``metrics.jsonl``."""
    rounds = json.loads((folder / f"{size.name}.json").read_text())["rounds"]
    rows: list[Row] = [row for arms in rounds for row in arms["effrl"]]
    times = {f"time/{stage}_s": f"{stage}_s" for stage in ("rollout", "learn", "publish")}
    names = {**times, "time/step_s": "wall_s", "cpu/all_s": "cpu_s", "rollout/count": "rollouts"}
    named = [{told: row[name] for told, name in names.items()} | {"rollout/tokens": row["tokens"]} for row in rows]
    trained = [size.prompts * row["learned_tokens"] / row["tokens"] for row in rows]
    return [{**row, "step": 2, "groups/trained": groups} for row, groups in zip(named, trained, strict=True)]


def off(folder: Path, calibrated: str, predicted: str) -> float:
    """By how much CPU seconds of a step are missed, as a share, when calibrated on another size."""
    factors = calibrate(scene(SIZES[calibrated]), measured(folder, SIZES[calibrated])).factors
    own, rows = replace(scene(SIZES[predicted]), factors=factors), measured(folder, SIZES[predicted])
    told = [forecast(replace(own, work=done(own.work, row))).step / row["cpu/all_s"] for row in rows]
    return fmean(told) - 1


def seconds_table(folder: Path) -> str:
    """As Markdown: a row for each run that is calibrated on, a column for each that is predicted."""
    names = RUNS[folder]
    head = [f"| calibrated on | {' | '.join(names)} |", f"| --- | {' | '.join('---:' for _ in names)} |"]
    rows = [f"| `{one}` | {' | '.join(f'{off(folder, one, other):+.0%}' for other in names)} |" for one in names]
    return "\n".join(head + rows)


def passes_table() -> str:
    """As Markdown: CPU seconds of a rank's step, calibrated on one case."""
    lines = ["| case | predicted, CPU s | measured, CPU s | off |", "| --- | ---: | ---: | ---: |"]
    cases = {name: case for name, case in CASES.items() if case.ranks == 1 and (RESULTS / f"{name}.json").is_file()}
    factor = _took(BASE) / _predicted_s(CASES[BASE])
    for name, case in cases.items():
        told, took = factor * _predicted_s(case), _took(name)
        lines.append(f"| `{name}` | {told:.1f} | {took:.1f} | {told / took - 1:+.0%} |")
    return "\n".join(lines)


def _took(name: str) -> float:
    [row] = json.loads((RESULTS / f"{name}.json").read_text())["ranks"]
    return float(row["step_2_cpu_s"])


def _predicted_s(case: Case) -> float:
    learn, model = LearnConfig.model_validate(case.learn), shape(case.shape)
    config = Config.model_validate({"data": {"train": "prompts.jsonl"}, "learn": case.learn})
    work = replace(work_of(config, case.prompt, case.sampled, on_gpus=False), learned=case.sequences)
    passes, trained = learner_passes(config), model.trained(learn.lora)
    return learn_s(work, model, CPU, Team(1, 1, learn.zero, 1, trained, passes, work.pass_tokens), 4)


def show() -> None:
    """Print the tables."""
    print(memory_table(), *map(seconds_table, RUNS), passes_table(), sep="\n\n")


if __name__ == "__main__":
    {"measure": measure, "rank": rank, "runs": runs, "show": show}[sys.argv[1]](*sys.argv[2:])
