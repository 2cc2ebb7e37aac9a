"""What is served: a run whose checkpoints come and go, one of its checkpoints, or a model that stays."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from effrl.config.load import load
from effrl.config.schema import ModelConfig
from effrl.models import locate
from effrl.run.checkpoint import MANIFEST, MODEL, verify
from effrl.run.directory import RunDirectory
from effrl.run.trained import Trained, find, pick


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """Weights with a name that answers carry."""

    name: str
    """``demo@step-24``, or the name of a model that has no steps."""
    model: Path
    """Its Hugging Face directory."""
    mark: str = ""
    """Of its manifest: a run that was taken back writes another checkpoint of the same step."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a policy is to be sampled: as its run did."""

    model: ModelConfig
    stop: tuple[int | str, ...] = ()
    """Texts and token ids that end an answer, unless a request has stops of its own."""
    kv_cache_gb: float = 1.0
    gpu_memory: float = 0.9


class WeightsSource:
    """Where versions come from. Its methods read files: call them in a thread."""

    def __init__(self, target: str, which: str = "best") -> None:
        """Look at what a user names.

        Args:
            target: a run, one of its checkpoints, or any model.
            which: of a run, as :func:`effrl.run.trained.pick` takes it.

        Raises:
            UserError: there is no such thing, or no such checkpoint yet.
        """
        path = Path(target).absolute()
        run, trained = RunDirectory(path), None
        self._which = which
        self._run = run if run.config.is_file() else None
        if self._run is None:
            trained = find(path)
            self._fixed = _version(trained) if trained else ServedVersion(path.name, locate(target))
        self.name = path.name if self._run else self._fixed.name.partition("@")[0]
        self.manner = _manner(self._run or (trained.run if trained else None))

    @property
    def moves(self) -> bool:
        """Whether there may be a newer version later."""
        return self._run is not None and not self._which.isdecimal()

    def wanted(self) -> ServedVersion:
        """What should be served now; its files have not been looked at.

        Raises:
            UserError: there is no such checkpoint.
        """
        return _version(pick(self._run, self._which)) if self._run else self._fixed

    def prove(self, version: ServedVersion) -> str:
        """The digest of a version's weights, after comparing the files of a run's with their manifest.

        Raises:
            UserError: one is missing or damaged.
        """
        from deploy.serve.policy.weights import digest_of  # torch takes a second

        if version.mark:
            verify(version.model.parent, f"{MODEL}/")
        return digest_of(version.model)


def _version(trained: Trained) -> ServedVersion:
    step = trained.checkpoint.name.removeprefix("step_")
    mark = blake2b((trained.checkpoint / MANIFEST).read_bytes(), digest_size=8).hexdigest()
    return ServedVersion(f"{trained.run.path.name}@step-{step}", trained.model, mark)


def _manner(run: RunDirectory | None) -> Manner:
    if run is None or not run.config.is_file():
        return Manner(ModelConfig())
    config = load(str(run.config))
    return Manner(config.model, config.rollout.stop, config.rollout.kv_cache_gb, config.rollout.gpu_memory)
