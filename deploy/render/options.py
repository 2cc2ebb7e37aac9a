"""What a cluster must say besides the config: ``k8s.NAME=VALUE`` of ``effrl render``."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from effrl.config.explain import closest
from effrl.config.overrides import override
from effrl.config.section import PositiveFloat, PositiveInt, Section
from effrl.errors import UserError

PREFIX = "k8s."
LONGEST_NAME = 47
"""Characters that KubeRay leaves for the name of a RayJob."""


def _dns_label(name: str) -> str:
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{name!r} names no object of Kubernetes: use at most {LONGEST_NAME} small letters, digits and dashes, a"
            " letter first"
        )
    return name


def _image(image: str) -> str:
    name, at, digest = image.partition("@")
    if ":" in name.rpartition("/")[2]:
        raise ValueError(f"{image}: a tag can be moved to another image; write NAME@sha256:DIGEST")
    if at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{image}: a digest is sha256: and 64 hexadecimal digits")
    return image


ObjectName = Annotated[str, AfterValidator(_dns_label)]
Image = Annotated[str, AfterValidator(_image)]


class RenderOptions(Section):
    """Each has a default but the image."""

    image: Image
    """Image by digest, ``REPOSITORY@sha256:…``; a bare name is one that a kustomization replaces (``images:``)."""
    name: ObjectName
    """Name of the objects, and of the run; that of the config by default."""
    namespace: ObjectName = "effrl"
    """Namespace, which ``k8s/base`` creates."""
    parameters: PositiveFloat | None = None
    """Parameters of the model, for its sizes; read from the model where it is on this machine."""
    head_cpus: PositiveInt = 4
    """Cores of the head pod: driver, data, labels, and the processes of the reward."""
    head_memory_gib: PositiveInt = 16
    """Memory of the head pod, its object store included."""
    worker_cpus: PositiveInt | None = None
    """Cores of a worker pod; two for each of its workers by default, eight where it has a GPU."""
    worker_memory_gib: PositiveInt | None = None
    """Memory of a worker pod, /dev/shm included; estimated from model and workers by default."""
    store_gib: PositiveInt | None = None
    """Ray's object store of a worker pod; two versions of the weights and half a GiB by default. /dev/shm has 1 GiB
    more."""
    ledger_gib: PositiveInt = 1
    """Volume of the label ledger."""
    grace_s: Annotated[int, Field(ge=120)] = 900
    """How long a pod that is told to stop may take, in seconds: a step and a checkpoint must fit."""
    retries: Annotated[int, Field(ge=0)] = 3
    """New clusters that a failed job gets (``backoffLimit``); each goes on at the newest checkpoint."""
    pending_s: PositiveInt = 3600
    """How long the job may wait for its pods, in seconds."""
    deadline_s: PositiveInt = 604_800
    """How long the job may take in all, retries included, in seconds."""
    keep_s: Annotated[int, Field(ge=0)] = 3600
    """How long the head stays when the job has ended, for its dashboard; workers go at once."""
    replicas: PositiveInt = 2
    """Most engines of a served policy; Ray's autoscaler asks for their pods while requests wait."""
    schedule: str = "0 3 * * *"
    """When a nightly evaluation begins (UTC), in cron's notation."""

    @model_validator(mode="after")
    def _has_time_to_stop(self) -> "RenderOptions":
        if self.deadline_s <= self.pending_s:
            raise ValueError(f"deadline_s ({self.deadline_s}) is over while pods may still be waited for: raise it")
        return self

    @property
    def stop_s(self) -> int:
        """How long a pod that is told to stop waits for the run, in seconds: the rest is for Ray's own end."""
        return self.grace_s - 60


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the config, and options without their prefix."""
    options = [word.removeprefix(PREFIX) for word in words if word.startswith(PREFIX)]
    return [word for word in words if not word.startswith(PREFIX)], options


def options_of(words: Sequence[str], recipe_or_file: str) -> RenderOptions:
    """The options of a render.

    Raises:
        UserError: one is unknown or does not fit, or there is no image; one line per problem.
    """
    given = {"name": _named_after(recipe_or_file)} | override({}, words)
    if "image" not in given:
        raise UserError(
            f"which image? Build one of deploy/images and push it, then say {PREFIX}image=REPOSITORY@sha256:DIGEST"
        )
    try:
        return RenderOptions.model_validate(given)
    except ValidationError as error:
        raise UserError("\n".join(map(_told, error.errors()))) from error


def _named_after(recipe_or_file: str) -> str:
    file = re.sub(r"\.ya?ml$", "", PurePath(recipe_or_file).name.lower())
    name = "-".join(re.findall(r"[a-z0-9]+", file))
    return (name if name[:1].isalpha() else f"run-{name}")[:LONGEST_NAME].rstrip("-")


def _told(problem: object) -> str:
    assert isinstance(problem, dict)
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = list(RenderOptions.model_fields)
        match = closest(name, known)
        hint = f"did you mean {PREFIX}{match}?" if match else f"known: {', '.join(known)}"
        return f"unknown option {PREFIX}{name}; {hint}"
    return f"{PREFIX}{name}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})"
