"""What a writer says of its files, and the state of a part that is too large for a manifest."""

import random
from hashlib import blake2b
from pathlib import Path

import pytest

from effrl.errors import UserError
from effrl.run.files import CHUNK, damaged, read_state, unseen, write_state, written


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_a_file_is_its_size_and_the_digest_of_all_of_it(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(content)
    [(name, file)] = written(tmp_path, [tmp_path / "deep" / "file"]).items()
    assert (name, file.size, file.digest) == ("deep/file", size, blake2b(content, digest_size=16).hexdigest())
    assert file.host


def test_more_files_than_threads_keep_their_digests(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    files = written(tmp_path, tmp_path.iterdir())
    assert files["31"].digest == blake2b(b"31", digest_size=16).hexdigest()
    assert len(files) == 40 and damaged(tmp_path, files) == [] == unseen(tmp_path, files)
    (tmp_path / "7").write_bytes(b"8")
    (tmp_path / "9").unlink()
    (tmp_path / "11").write_bytes(b"1")
    assert sorted(damaged(tmp_path, files)) == ["11", "7", "9"]
    assert sorted(unseen(tmp_path, files)) == ["11", "9"], "of what only its content tells, nothing is read"


def test_a_state_comes_back_to_the_bit_and_gives_the_same_bytes_again(tmp_path: Path) -> None:
    state = {"floats": [0.1, 1e-300, random.Random(1).random()], "text": "数\udc80", "none": None}
    for name in ("one", "two"):
        write_state(tmp_path / name / "state.json.gz", state)
    assert read_state(tmp_path / "one" / "state.json.gz") == state
    assert (tmp_path / "one" / "state.json.gz").read_bytes() == (tmp_path / "two" / "state.json.gz").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "no archive", "cut", "flipped"])
def test_a_damaged_state_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.json.gz"
    write_state(path, {"some": ["state"] * 50})
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes({"no archive": b"{}", "cut": content[:-9], "flipped": flipped}[damage])
    with pytest.raises(UserError, match="is missing or damaged"):
        read_state(path)
