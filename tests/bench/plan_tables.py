"""What docs/plan.md shows of ``effrl plan``: ``python -m tests.bench.plan_tables`` writes it into the page again.

A step on 1 to 1,024 GPUs, the output of a command, and forecasts beside what was measured
(:mod:`tests.bench.plan_check`). tests/test_plan_page.py holds the page to it.
"""

import io
from collections.abc import Callable

from rich.console import Console

from deploy.commands.forecast import ClusterWish, scene_of, show_forecast
from effrl.config import load
from effrl.preflight.forecast import Scene, forecast
from effrl.preflight.memory import GIB
from effrl.preflight.remedies import too_large
from tests.bench.plan_check import LATER, SPEED, memory_table, passes_table, seconds_table
from tests.bench.speed.sizes import ROOT

PAGE = ROOT / "docs" / "plan.md"
RECIPE = "gsm8k-qwen2.5-0.5b"
SHARED = (
    "cluster.colocate=true",
    "rollout.gpu_memory=0.4",
    "rollout.max_staleness=0",
    "learn.zero=1",
)
"""For one GPU, on which engine and learner take turns."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PER_NODE = 8
TABLES = {
    "0.5b": (5e8, ("rollout.prompts=256",)),
    "7b": (7e9, ("rollout.prompts=512", "learn.zero=3")),
}
"""Parameters, and what is set besides."""
HEAD = (
    "| GPUs | engines, ranks | a rank, GiB | rollout | learn | publish | a step, s | bound by |",
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)


def table(name: str, gpu: str = "h100") -> str:
    """One of them, as Markdown."""
    return "\n".join((*HEAD, *(_row(gpus, _scene(name, gpus, gpu)) for gpus in SIZES)))


def _scene(name: str, gpus: int, gpu: str) -> Scene:
    params, overrides = TABLES[name]
    config = load.load(RECIPE, (*overrides, *(SHARED if gpus == 1 else ())))
    nodes, each = (1, gpus) if gpus < PER_NODE else (gpus // PER_NODE, PER_NODE)
    return scene_of(config, ClusterWish(nodes, each, params, gpu, prompt_tokens=128, completion_tokens=512))


def _row(gpus: int, scene: Scene) -> str:
    found, layout = forecast(scene), scene.layout
    pools = "one of each, in turns" if layout.colocated else f"{layout.workers('rollout')}, {layout.workers('learner')}"
    if any(too_large(scene, found)):
        return f"| {gpus:,} | {pools} | {found.learner.peak / GIB:.1f} | | | | does not fit | |"
    cells = (found.seconds["rollout"], found.seconds["learn"], found.seconds["publish"], found.step)
    told = " | ".join(f"{seconds:,.1f}" for seconds in cells)
    return f"| {gpus:,} | {pools} | {found.learner.peak / GIB:.1f} | {told} | {found.bound} |"


def example() -> str:
    """What the page's command prints."""
    out = io.StringIO()
    wish = ClusterWish(64, 8, 7e9, completion_tokens=512)
    show_forecast(RECIPE, ["learn.zero=3", "rollout.prompts=512"], wish, Console(file=out, width=110))
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(("```text", *lines, "```"))


SECTIONS: dict[str, Callable[[], str]] = {
    "example": example,
    "0.5b": lambda: table("0.5b"),
    "7b": lambda: table("7b"),
    "memory": memory_table,
    "seconds": lambda: seconds_table(SPEED),
    "later": lambda: seconds_table(LATER),
    "passes": passes_table,
}


def filled(page: str) -> str:
    """A page with each ``<!-- made: NAME -->`` section as it is made now."""
    for name, make in SECTIONS.items():
        begin, end = f"<!-- made: {name} -->", "<!-- end -->"
        before, found, rest = page.partition(begin)
        assert found, f"the page has a section {name}"
        page = f"{before}{begin}\n{make()}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
