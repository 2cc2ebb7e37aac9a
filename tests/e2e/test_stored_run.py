"""A run whose directory is lost with its machine goes on from its storage, and is the run that it would have been.

The storage is a folder, or what the environment names: ``EFFRL_TEST_STORAGE=s3://BUCKET``, with what its library needs.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, START_S, STEP_S, Here, assert_same, groups, rows

from effrl.run.checkpoint import read_manifest
from effrl.run.mirror import newest
from effrl.run.storage import Storage

pytestmark = pytest.mark.slow

SETTINGS = (*SMALL, "run.steps=6", "learn.updates=2", "select={kind: calibrated, reference: 8}")


def test_lost_with_its_directory_equals_uninterrupted(effrl: Any, here: Here, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "lost"
    url = f"{os.environ.get('EFFRL_TEST_STORAGE', 'file://')}{tmp_path}/run"
    here("train", "quickstart", *SETTINGS, f"run.dir={whole}")

    first = effrl("train", "quickstart", *SETTINGS, f"run.dir={run}", f"run.storage={url}")

    def three_steps_are_stored() -> bool:
        found = newest(Storage(url))
        return found is not None and found.step >= 3

    first.until(three_steps_are_stored, START_S + 5 * STEP_S, "a third step in the storage")
    first.kill()
    assert first.orphans() == []
    shutil.rmtree(run)

    told = here("train", "quickstart", *SETTINGS, f"run.dir={run}", f"run.storage={url}", "--or-resume")
    assert f"from {url}" in told and "resuming after step" in told

    found = rows(run)
    assert all(row["storage/failed"] == 0 for row in found)
    without = [{name: value for name, value in row.items() if not name.startswith("storage/")} for row in found]
    assert_same(rows(whole), without, whole, run)
    assert [_plain(whole, step) for step in (4, 5, 6)] == [_plain(run, step) for step in (4, 5, 6)]
    assert _model(whole) == _model(run), "bit for bit"

    fetched = tmp_path / "fetched"
    here("fetch", url, fetched)
    assert _model(fetched) == _model(run) and rows(fetched) == found and (fetched / "report.html").is_file()


def _plain(run: Path, step: int) -> list[dict[str, Any]]:
    """Groups without their ids, which begin with the attempt that rolled them out."""
    return [{**group, "id": ""} for group in groups(run, step)]


def _model(run: Path) -> dict[str, str]:
    """Digests of the last model's files."""
    files = read_manifest(run / "checkpoints" / "step_6").files
    return {name: file.digest for name, file in files.items() if name.startswith("hf/")}
