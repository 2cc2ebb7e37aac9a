"""What every :class:`effrl.protocols.Part` must do, a labeller or process rewards of your own among them.

To check your own, subclass and say how to make one, and how it comes to a state that is worth saving::

from tests.contracts.part import PartContract

class TestMyLabeller(PartContract):
    def make(self):
        return MyLabeller(config, oracle)

    async def use(self, part):
        await part.learn(step, settled)
"""

import asyncio
import json
from hashlib import blake2b
from pathlib import Path

import pytest

from effrl.errors import UserError
from effrl.protocols import Part
from effrl.run.checkpoint import MODEL, Checkpoint, Checkpoints, verify
from effrl.run.files import written
from effrl.saved import Saved

SMALL = 4096
"""Bytes of state that may go into the manifest; more belongs into a file."""


class PartContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    def make(self) -> Part:
        """A part as a run starts with it; two of them must not share anything."""
        raise NotImplementedError

    async def use(self, part: Part) -> None:
        """Change what the part knows, each time to something else. What has no state needs nothing."""

    def test_says_every_file_that_it_wrote(self, tmp_path: Path) -> None:
        saved = save(self._used(), tmp_path)
        files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
        assert saved.files.keys() == files.keys(), "what it does not say is neither verified nor missed"

    def test_says_sizes_and_digests_of_what_is_on_disk(self, tmp_path: Path) -> None:
        for name, file in save(self._used(), tmp_path).files.items():
            content = (tmp_path / name).read_bytes()
            assert (file.size, file.digest) == (len(content), blake2b(content, digest_size=16).hexdigest())

    def test_leaves_only_a_little_to_the_manifest(self, tmp_path: Path) -> None:
        saved = save(self._used(), tmp_path)
        text = json.dumps(saved.state)
        assert json.loads(text) == saved.state and len(text) <= SMALL

    def test_saving_changes_nothing(self, tmp_path: Path) -> None:
        part = self._used()
        assert save(part, tmp_path / "one") == save(part, tmp_path / "two")

    def test_goes_on_from_what_was_saved(self, tmp_path: Path) -> None:
        """What is loaded is saved again as it was, and what comes next is the same as well."""
        part, resumed = self._used(), self.make()
        saved = save(part, tmp_path / "saved")
        asyncio.run(resumed.load(tmp_path / "saved", through_json(saved)))
        assert save(resumed, tmp_path / "again") == saved
        for each in (part, resumed):
            asyncio.run(self.use(each))
        assert save(part, tmp_path / "whole") == save(resumed, tmp_path / "resumed")

    def test_loading_forgets_what_came_after(self, tmp_path: Path) -> None:
        part = self._used()
        saved = save(part, tmp_path / "saved")
        asyncio.run(self.use(part))
        asyncio.run(part.load(tmp_path / "saved", through_json(saved)))
        assert save(part, tmp_path / "again") == saved

    def test_a_flipped_byte_in_any_of_its_files_is_found_before_it_is_loaded(self, tmp_path: Path) -> None:
        draft = Checkpoints(tmp_path, keep=1).begin(1)
        parts = {"model": model(draft), "part": save(self._used(), draft)}
        path = Checkpoints(tmp_path, keep=1).seal(draft, Checkpoint(1, parts))
        assert verify(path).parts["part"] == parts["part"]
        for name in parts["part"].files:
            content = (path / name).read_bytes()
            (path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(UserError, match="is damaged"):
                verify(path)
            (path / name).write_bytes(content)

    def _used(self) -> Part:
        part = self.make()
        asyncio.run(self.use(part))
        return part


def save(part: Part, into: Path) -> Saved:
    into.mkdir(exist_ok=True)
    return asyncio.run(part.save(into))


def through_json(saved: Saved) -> dict[str, object]:
    """The state as a manifest gives it back."""
    state: dict[str, object] = json.loads(json.dumps(saved.state))
    return state


def model(draft: Path) -> Saved:
    """What every checkpoint needs besides."""
    file = draft / MODEL / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    return Saved(written(draft, [file]), {})
