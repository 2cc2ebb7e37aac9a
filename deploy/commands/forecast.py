"""Shows what a step takes on a cluster that one may not have: ``effrl plan CONFIG --nodes 64 --gpus-per-node 8``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.commands.notes import tell_notes
from effrl.config import load
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.models import find_model
from effrl.preflight.calibration import MeasuredRun, calibrate
from effrl.preflight.devices import CPU, Device, gpu_called
from effrl.preflight.forecast import Forecast, Scene, forecast
from effrl.preflight.memory import GIB, LIBRARIES, RankMemory
from effrl.preflight.pools import layout, nodes_of
from effrl.preflight.remedies import better, notes, too_large
from effrl.preflight.seconds import STAGES, work_of
from effrl.preflight.shape import shape_of, shape_with
from effrl.run.directory import RunDirectory
from effrl.run.metrics import read

PROMPT_TOKENS = 128
"""Of a prompt, where nobody says it."""


@dataclass(frozen=True, slots=True)
class ClusterWish:
    """What is asked about; what is None is the config's."""

    nodes: int | None = None
    gpus_per_node: int | None = None
    params: float | None = None
    gpu: str | None = None
    calibration: Path | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def is_asked(self) -> bool:
        """Whether any of it was said."""
        return self != ClusterWish()


def show_forecast(recipe: str, overrides: list[str], wish: ClusterWish, console: Console) -> None:
    """Print pools, batches, memory and seconds; nothing is started, and no data is read.

    Raises:
        UserError: config, model or cluster make no sense.
    """
    scene = scene_of(load.load(recipe, overrides), wish)
    found = forecast(scene)
    console.print(_title(scene), highlight=False, soft_wrap=True)
    tell_notes(notes(scene, found), console)
    tables = [("pools", _pools(scene)), ("each step", _batches(scene)), ("memory", _memory(scene, found))]
    fits = not any(too_large(scene, found))
    if fits:
        tables.append(("seconds" if scene.device.is_gpu else "CPU seconds of all workers", _seconds(found)))
    for title, rows in tables:
        table = Table(title=Text(title, "bold"), title_justify="left", show_header=False, box=None, pad_edge=False)
        table.add_column(min_width=24)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in _verdict(scene, found) if fits else ():
        console.print(line, highlight=False, soft_wrap=True)


def scene_of(config: Config, wish: ClusterWish) -> Scene:
    """What a wish is about.

    Raises:
        UserError: parts of it contradict each other.
    """
    if wish.gpus_per_node is not None and wish.nodes is None:
        raise UserError("--gpus-per-node says what each node has: say how many there are, such as --nodes 1")
    nodes = wish.nodes or nodes_of(config)
    gpus = wish.gpus_per_node or 0 if wish.nodes else _gpus_of_a_node(config)
    if wish.gpu and not gpus:
        raise UserError(f"--gpu {wish.gpu} is for nodes with GPUs: say --nodes and --gpus-per-node")
    device = gpu_called(wish.gpu or "h100") if gpus else CPU
    shape = shape_of(find_model(config.model.path)) if wish.params is None else shape_with(wish.params)
    prompt = wish.prompt_tokens or PROMPT_TOKENS
    measured = _calibration(wish.calibration, device, prompt) if wish.calibration else MeasuredRun({}, 1.0, 0)
    sampled = wish.completion_tokens or config.rollout.max_tokens * measured.length
    if sampled > config.rollout.max_tokens:
        raise UserError(
            f"--completion-tokens {sampled} are more than rollout.max_tokens ({config.rollout.max_tokens}): lower the"
            " one or raise the other"
        )
    work = work_of(config, prompt, sampled, device.is_gpu)
    return Scene(config, shape, layout(config, nodes, gpus), device, work, measured.factors)


def _gpus_of_a_node(config: Config) -> int:
    """The most that a pool's workers use on one node."""
    return max(pool.gpus for pool in config.pools())


def _calibration(run: Path, device: Device, prompt_tokens: int) -> MeasuredRun:
    directory = RunDirectory(run)
    if not directory.config.is_file():
        raise UserError(f"--calibrate {run} is no run directory: it has no config.yaml")
    config = load.load(str(directory.config))
    on_gpus = _gpus_of_a_node(config)
    if bool(on_gpus) != device.is_gpu:
        has, plans = ("GPUs", "a CPU") if on_gpus else ("CPUs", f"an {device.name}")
        raise UserError(
            f"--calibrate {run} ran on {has}, which says nothing of {plans}: calibrate with a run on the same kind"
        )
    shape = shape_of(find_model(config.model.path))
    work = work_of(config, prompt_tokens, config.rollout.max_tokens, device.is_gpu)
    own = layout(config, nodes_of(config), on_gpus)
    return calibrate(Scene(config, shape, own, device, work, {}), read(directory.metrics))


def _title(scene: Scene) -> str:
    found, name = scene.layout, scene.device.name
    where = f"{found.nodes} node(s) x {found.gpus} {name}" if found.gpus else f"{found.nodes} node(s) without GPUs"
    factors = ", ".join(f"{stage} {factor:.2f}" for stage, factor in scene.factors.items())
    told = f" · calibrated: {factors}" if factors else " · by data sheets, not calibrated"
    return f"{_amount(scene.shape.parameters)} parameters · {scene.config.algorithm} · {where}{told}"


def _amount(count: float) -> str:
    for unit, name in ((1e9, "B"), (1e6, "M")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:,.0f}"


def _pools(scene: Scene) -> Iterator[tuple[str, str]]:
    found = scene.layout
    for kind, pool in found.pools.items():
        bundle = f"{{CPU: {pool.cpus:g}" + (f", GPU: {pool.gpus}}}" if pool.gpus and not found.colocated else "}")
        shared = ", on a GPU shared with the others" if found.colocated else ""
        yield kind, f"{pool.workers:,} bundles of {bundle}{shared}"


def _batches(scene: Scene) -> Iterator[tuple[str, str]]:
    work, ranks = scene.work, scene.layout.workers("learner")
    engines = scene.layout.workers("rollout")
    tokens = work.learned * work.length
    passes = tokens / work.updates / ranks / work.pass_tokens
    yield "groups", f"{work.prompts:,.0f} of {scene.config.rollout.per_prompt}: {work.rollouts:,.0f} rollouts"
    yield "tokens", f"{work.rollouts * work.sampled_tokens:,.0f} sampled, {tokens:,.0f} learned from with prompts"
    yield "an engine", f"{work.rollouts / engines:,.1f} rollouts"
    yield "optimizer steps", f"{work.updates}, of {work.learned / work.updates:,.0f} sequences on all ranks"
    yield "micro-batches of a rank", f"{max(1.0, passes):,.1f} in each, of at most {work.pass_tokens:,} tokens"


def _memory(scene: Scene, found: Forecast) -> Iterator[tuple[str, str]]:
    yield "a learner rank", _rank(scene, found.learner)
    if found.prm is not None:
        yield "a rank of the PRM", _rank(scene, found.prm)
    engine, longest = found.engine, scene.work.prompt_tokens + scene.work.longest
    told = f"weights {engine.weights / GIB:.1f} GiB, cache {max(0.0, engine.cache) / GIB:.1f} GiB"
    base = "" if scene.device.is_gpu else f", libraries {LIBRARIES['engine'] / GIB:.1f} GiB"
    yield "an engine", f"{told}{base}: {engine.sequences:,.0f} sequences of {longest:,.0f} tokens"


def _rank(scene: Scene, memory: RankMemory) -> str:
    base = 0.0 if scene.device.is_gpu else LIBRARIES["rank"]
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "reference": memory.reference,
        "activations": memory.activations,
        "libraries": base,
    }
    told = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items() if size)
    return f"{(memory.peak + base) / GIB:.2f} GiB at most: {told}, copies in passing"


def _seconds(found: Forecast) -> Iterator[tuple[str, str]]:
    for stage in STAGES:
        if found.seconds[stage]:
            yield stage, f"{found.seconds[stage]:,.2f}"
    yield "a step", f"{found.step:,.2f}" + (", sampling beside learning" if found.ahead else "")


def _verdict(scene: Scene, found: Forecast) -> Iterator[str]:
    share = found.seconds[found.bound] / found.step
    yield f"{found.bound} bounds it: {share:.0%} of a step"
    if (change := better(scene, found)) is not None:
        text, seconds = change
        yield f"better: {text} ({seconds:,.2f} s a step)"
