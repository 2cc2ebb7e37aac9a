"""``run.storage``: a place away from the machine that gets a copy of the run."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from effrl.config.section import PositiveFloat, PositiveInt, Section, expanded


def _url(text: str) -> str:
    if not re.match(r"[a-z][a-z0-9+.-]*://.", text):
        raise ValueError("storage is an address: write s3://BUCKET/NAME, or file:///PATH for another disk")
    return text


class StorageConfig(Section):
    """One place for each run, and how patient it is with it; an address alone will do."""

    url: Annotated[str, BeforeValidator(expanded), AfterValidator(_url)]
    """An address that fsspec reads: ``s3://BUCKET/NAME``, ``gs://BUCKET/NAME``, ``file:///PATH``."""
    wait_s: PositiveFloat = 900.0
    """Deadline for the upload of one checkpoint, in seconds; it runs beside the steps."""
    failures: PositiveInt = 3
    """Checkpoints in a row that may fail to be stored; then the run ends, since its machine's loss would lose it."""


def _named(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


AnyStorage = Annotated[StorageConfig, BeforeValidator(_named)]
