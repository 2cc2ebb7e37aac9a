"""Who may import whom: the floors of the house, the wall around labels, and what a library costs to import."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator

import effrl.config
from effrl.config.section import Section
from tests.unit.sources import FILES, MODULES, ROOT, place, tree

FLOORS = (
    (
        "effrl",
        "effrl.acceptable",
        "effrl.chunks",
        "effrl.errors",
        "effrl.fleet",
        "effrl.saved",
        "effrl.seeds",
        "effrl.tasks",
        "effrl.types",
    ),
    (
        "effrl.columns",
        "effrl.config",
        "effrl.models",
        "effrl.plugins",
        "effrl.questions",
        "effrl.sequences",
        "effrl.stateless",
        "effrl.tiny",
    ),
    ("effrl.batch", "effrl.learn"),
    ("effrl.loss", "effrl.protocols"),
    ("effrl.run",),
    ("effrl.advantage", "effrl.difficulty", "effrl.label", "effrl.process", "effrl.replay", "effrl.reward"),
    ("effrl.data", "effrl.stages"),
    ("effrl.select",),
    ("effrl.advice",),
    ("effrl.preflight", "effrl.report"),
    ("effrl.evaluation", "effrl.loop"),
    (
        "actors",
        "actors.environment",
        "actors.machine",
        "actors.placement",
        "actors.role",
        "actors.session",
        "actors.snapshot",
        "actors.wait",
    ),
    ("actors.ranks", "actors.reservation"),
    ("actors.data", "actors.learner", "actors.node", "actors.oracle", "actors.prm", "actors.reward", "actors.rollout"),
    ("actors.cluster",),
    ("actors.driver",),
    ("deploy", "deploy.doctor", "deploy.jobs", "deploy.observe", "deploy.render", "deploy.serve"),
    ("deploy.commands",),
    ("deploy.cli",),
    ("effrl.__main__",),
)
"""Who may import whom: a room imports those of lower floors, and none beside it. A new room needs a floor."""

KNOW_KINDS = (
    "actors/driver/pools.py",
    "actors/oracle/desks.py",
    "effrl/config/",
    *(f"effrl/{section}/build.py" for section in ("advantage", "label", "loss", "process", "replay", "select")),
    "effrl/data/reader.py",
    "effrl/reward/reading.py",
    "effrl/reward/verifiers.py",
)
"""Where a section's kind may be looked at: in the config, and where its part is built."""

SEE_LABELS = (
    "effrl/data/",  # splits a row into prompt and label
    "effrl/label/oracle/",
    "effrl/reward/",  # is told the label that supervises a group
    "effrl/evaluation.py",  # compares with held-out labels
    "deploy/commands/data.py",
    "deploy/commands/score.py",
    "deploy/commands/reward.py",
    "deploy/serve/rewards/",  # is sent the label of what it scores
)
"""Where code may read the label of a row; outside of these commands nothing else of a run has one."""

NO_LIBRARY = ("effrl.tiny.make", "effrl.__main__")
"""A script that needs torch and transformers by nature, and the command line."""
TENSORS = (
    "effrl.advantage.gae",
    *(f"effrl.label.{name}" for name in ("buy.care", "care.network", "care.training", "rest.gate")),
    "effrl.process.losses",
    *(f"effrl.loss.{name}" for name in ("build", "cispo", "clipped", "gspo", "head", "importance", "policy", "tokens")),
    *(
        f"effrl.difficulty.{name}"
        for name in ("attention", "network", "offline", "online", "predictor", "saved", "training")
    ),
)
"""The modules of the library where torch is the point."""

IMPORT_LIBRARY = f"""
import importlib, pkgutil, sys
import effrl
names = [module.name for module in pkgutil.walk_packages(effrl.__path__, "effrl.")]
for name in names:
    if name not in {NO_LIBRARY + TENSORS}:
        importlib.import_module(name)
print(len(names), *({{"torch", "ray", "vllm", "deepspeed"}} & sys.modules.keys()))
for name in {TENSORS}:
    importlib.import_module(name)
print(*({{"ray", "vllm", "deepspeed"}} & sys.modules.keys()))
"""
IMPORT_TIME = """
import time
start = time.perf_counter()
import effrl
print(time.perf_counter() - start)
"""


def python(code: str) -> list[str]:
    """The lines that a fresh interpreter prints."""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def loaded_with(module: str, *names: str) -> list[str]:
    """Which of ``names`` are loaded once ``module`` is imported."""
    [line] = python(f"import sys, {module}; print(*({{*{names}}} & sys.modules.keys()))")
    return line.split()


# --- what an import costs


def test_the_library_knows_no_cluster() -> None:
    """Or its tests, its command line and a user's own code would need Ray and two engines, and their seconds."""
    counted, tensors = python(IMPORT_LIBRARY)
    number, *heavy = counted.split()
    assert int(number) > 30, "the modules were found"
    assert heavy == [], "imported by a module that is not about tensors"
    assert tensors == ""


def test_the_library_is_imported_at_once() -> None:
    """Best of three: the machine may be busy."""
    assert min(float(python(IMPORT_TIME)[0]) for _ in range(3)) < 1


def test_the_command_line_answers_at_once() -> None:
    """``effrl --help`` must not load an engine."""
    assert loaded_with("deploy.cli", "torch", "ray", "vllm", "deepspeed", "transformers", "matplotlib") == []


def test_the_driver_loads_no_engine() -> None:
    """vLLM and DeepSpeed read their environment when they are imported, and that is set for their actors alone."""
    assert loaded_with("actors.driver.run", "ray", "vllm", "deepspeed") == ["ray"]


# --- floors and walls


def names_of(node: ast.AST) -> list[str]:
    """The modules of ours that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in MODULES]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in MODULES else node.module for name in submodules if node.module in MODULES]
    return []


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a module that run when it is imported."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    for child in ast.iter_child_nodes(node):
        yield from at_import(child)


def room(module: str) -> str:
    """The top-level module or folder that a module belongs to: ``effrl.select`` for ``effrl.select.ufo.zone``."""
    return ".".join(module.split(".")[:2])


def test_no_arrow_points_upwards() -> None:
    """Also not within a function, or for a type alone: whoever reads a room must be able to leave out those above."""
    floors = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    assert sorted({*map(room, MODULES)} - floors.keys()) == [], "rooms without a floor"
    upwards = {
        f"{room(module)} -> {room(name)} ({place(file, node)})"
        for module, file in MODULES.items()
        for node in ast.walk(tree(file))
        for name in names_of(node)
        if room(name) != room(module) and floors[room(name)] >= floors[room(module)]
    }
    assert sorted(upwards) == []


def test_no_import_circle() -> None:
    """Who can be imported once all that it imports is there, is taken away; what stays waits for itself."""
    left = {
        module: {name for node in at_import(tree(file)) for name in names_of(node)} - {module}
        for module, file in MODULES.items()
    }
    while free := [module for module, wanted in left.items() if not wanted & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == []


def test_only_the_oracle_s_actor_reaches_the_oracle() -> None:
    """Labels lie in its process alone: what imports its vault or its ledger could hold them somewhere else.

    The inbox is where people give labels, which are in no vault: its server and its commands open the ledger.
    """
    inside = ("effrl.label.oracle", "actors.oracle")
    people = ("deploy.serve.inbox", "deploy.commands.inbox", "deploy.commands.answers")
    others = [
        place(file, node)
        for module, file in MODULES.items()
        for node in ast.walk(tree(file))
        for name in names_of(node)
        if name.startswith("effrl.label.oracle") and not module.startswith(inside)
        if not module.startswith(people) or name == "effrl.label.oracle.vault"
    ]
    assert others == []


def test_nobody_else_reads_a_label() -> None:
    """``row.label`` is what the budget is about. ``config.label`` is a section."""
    read = [
        place(file, node)
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and node.attr == "label" and not _of_a_config(node.value)
    ]
    assert [where for where in read if not where.startswith((*SEE_LABELS, "effrl/config/"))] == []


def _of_a_config(value: ast.expr) -> bool:
    return ast.unparse(value).rpartition(".")[2] == "config"


def test_kinds_are_looked_at_where_they_are_built() -> None:
    """Elsewhere a new kind would have to be added to checks that nobody finds: facts are properties of sections."""
    for module in pkgutil.iter_modules(effrl.config.__path__, "effrl.config."):
        importlib.import_module(module.name)
    sections = {model.__name__ for model in _subclasses(Section)}
    looks = [
        place(file, node)
        for file in FILES
        if not str(file.relative_to(ROOT)).startswith(KNOW_KINDS)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.expr) and _looks_at_a_kind(node, sections)
    ]
    assert looks == []


def _subclasses(model: type) -> Iterator[type]:
    yield model
    for child in model.__subclasses__():
        yield from _subclasses(child)


def _looks_at_a_kind(node: ast.expr, sections: set[str]) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
        return bool({*re.findall(r"\w+", ast.unparse(node.args[1]))} & sections)
    if isinstance(node, ast.Compare):
        return any(ast.unparse(side).endswith(".kind") for side in (node.left, *node.comparators))
    return False
