"""A run that is lost with its machine goes on from its storage: what the commands do before anything is started."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import written

from deploy.commands import train as training
from effrl.config import load
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.mirror import Membership, newest
from effrl.run.storage import Storage
from effrl.run.stored import begin_uploads, note_on_labels

Effrl = Callable[..., tuple[object, str, str]]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps after which attempts begin; each does ten more, stores them as a run does, and is stopped."""
    begun: list[int] = []

    def attempt(config: Any, directory: RunDirectory, found: Any, start: Any, console: Any) -> None:
        uploads = begin_uploads(config, directory, print)
        begun.append(start.step)
        do_ten_more(directory, start.step + 10)
        uploads.close()

    monkeypatch.setattr(training, "_attempt", attempt)
    return begun


def do_ten_more(directory: RunDirectory, step: int) -> None:
    with closing(sqlite3.connect(directory.ledger)) as ledger:
        ledger.execute("CREATE TABLE IF NOT EXISTS bought (step INTEGER)")
        ledger.execute("INSERT INTO bought VALUES (?)", (step,))
        ledger.commit()
    with directory.metrics.open("a") as log:
        log.write(f'{{"step": {step}}}\n')
    written.write(Checkpoints(directory.checkpoints, keep=2), step)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/run"


@pytest.fixture
def settings(random_model: Path, url: str) -> tuple[str, ...]:
    rows = ("data.train=tasks:chain?size=16", "data.eval=null")
    return (f"model.path={random_model}", *rows, "run.dir=run", f"run.storage={url}", "run.steps=100")


def train(effrl: Effrl, *overrides: str) -> tuple[object, str, str]:
    return effrl("train", "quickstart", *overrides, "--or-resume")


def test_a_run_whose_directory_is_lost_goes_on(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], url: str
) -> None:
    assert train(command_line, *settings)[0] == 1 and attempts == [0]
    whole = Path("run/metrics.jsonl").read_text()
    shutil.rmtree("run")
    code, out, _ = train(command_line, *settings)
    assert code == 1 and attempts == [0, 10]
    assert f"fetched step 10 from {url}" in out and "resuming after step 10" in out
    assert Path("run/metrics.jsonl").read_text().startswith(whole)
    with closing(sqlite3.connect("run/ledger.sqlite")) as ledger:
        assert [row[0] for row in ledger.execute("SELECT step FROM bought")] == [10, 20]
    found = newest(Storage(url))
    assert found is not None and found.step == 20 and found.attempt.number == 2


def test_a_directory_that_is_ahead_is_not_fetched(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...]
) -> None:
    train(command_line, *settings)
    do_ten_more(RunDirectory(Path("run")), 20)
    code, out, _ = train(command_line, *settings)
    assert code == 1 and attempts == [0, 20] and "fetched" not in out


def test_a_directory_that_was_gone_on_with_elsewhere_is_set_aside(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...]
) -> None:
    """A job that comes back to the first of two machines: its disk holds what was lost, and more steps of that."""
    train(command_line, *settings)
    shutil.copytree("run", "first")
    do_ten_more(RunDirectory(Path("first")), 90)
    shutil.rmtree("run")
    train(command_line, *settings)  # on the second machine
    shutil.rmtree("run")
    Path("first").rename("run")
    code, out, _ = train(command_line, *settings)
    assert code == 1 and attempts == [0, 10, 20] and "set aside as run.behind-1" in out
    assert Path("run.behind-1/checkpoints/step_90").is_dir(), "nothing is deleted"


def test_resume_goes_by_the_storage_too(command_line: Effrl, attempts: list[int], settings: tuple[str, ...]) -> None:
    train(command_line, *settings)
    shutil.copytree("run", "first")
    shutil.rmtree("run")
    train(command_line, *settings)
    assert "fetched step 20" in command_line("resume", "first")[1]
    assert attempts == [0, 10, 20]


def test_a_new_run_takes_no_storage_of_another(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], url: str
) -> None:
    train(command_line, *settings)
    code, _, error = command_line("train", "quickstart", *settings)
    assert code == 2 and f"{url} holds a run, and it is not that of run-2" in error and attempts == [0]
    assert not Path("run-2/config.yaml").exists()


def test_a_directory_of_another_run_is_refused(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], url: str
) -> None:
    train(command_line, *settings)
    Path("run/.storage.json").unlink()
    code, _, error = train(command_line, *settings)
    assert code == 2 and "holds a run, and it is not that of run" in error and error.count("\n") == 1


def test_another_training_is_refused(command_line: Effrl, attempts: list[int], settings: tuple[str, ...]) -> None:
    train(command_line, *settings)
    shutil.rmtree("run")
    code, _, error = train(command_line, *settings, "learn.lr=1e-5")
    assert code == 2 and "cannot change learn.lr" in error and attempts == [0]


def test_a_ledger_of_its_own_address_is_put_there(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], tmp_path: Path
) -> None:
    place = tmp_path / "disk" / "ledger.sqlite"
    train(command_line, *settings)
    shutil.rmtree("run")
    code, out, _ = train(command_line, *settings, f"label.ledger={place}")
    assert code == 1 and f"the stored ledger is put to {place}" in out
    with closing(sqlite3.connect(place)) as ledger:
        assert ledger.execute("SELECT step FROM bought").fetchone() == (10,)


def test_a_finished_run_is_stored_if_it_is_not_yet(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], url: str
) -> None:
    train(command_line, *settings)
    do_ten_more(RunDirectory(Path("run")), 100)
    code, out, _ = train(command_line, *settings)
    found = newest(Storage(url))
    assert code == 0 and "is finished at step 100" in out and found is not None and found.step == 100
    assert train(command_line, *settings)[0] == 0
    assert newest(Storage(url)) == found, "once"


def test_fetch_brings_a_run_to_look_at(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], url: str
) -> None:
    train(command_line, *settings)
    code, out, _ = command_line("fetch", url, "here/run")
    assert code == 0 and "step 10" in out and "effrl resume here/run" in out
    noted, found = Membership.of(RunDirectory(Path("here/run"))), newest(Storage(url))
    assert noted is not None and found is not None and noted == Membership(found.run, found.attempt)
    code, _, error = command_line("fetch", url, "here/run")
    assert code == 2 and "name one that does not exist" in error
    assert [path.name for path in Path("here").iterdir()] == ["run"], "a fetch that fails leaves nothing"


def test_an_empty_storage_says_so(command_line: Effrl, url: str) -> None:
    code, _, error = command_line("fetch", url, "here")
    assert code == 2 and "holds no run" in error and not Path("here").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("bucket/run", "write s3://BUCKET/NAME"),
        ("nowhere://bucket/run", "no such storage can be opened"),
        ("oci://bucket/run", "needs a package"),
        ("file:///proc/1/run", "cannot write"),
    ],
)
def test_an_address_that_does_not_do_is_one_line(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...], address: str, told: str
) -> None:
    code, _, error = train(command_line, *settings, f"run.storage={address}")
    assert code == 2 and told in error and error.count("\n") == 1 and attempts == []


def test_a_ledger_that_cannot_be_written_is_found_before(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...]
) -> None:
    code, _, error = train(command_line, *settings, "label.ledger=/proc/1/ledger.sqlite")
    assert code == 2 and "label.ledger: cannot write to /proc/1" in error and attempts == []


def test_an_inbox_that_does_not_answer_is_found_before(
    command_line: Effrl, attempts: list[int], settings: tuple[str, ...]
) -> None:
    inbox = ("label.kind=care", "label.oracle.kind=human", "rollout.refill=0", "label.ledger=http://127.0.0.1:9")
    code, _, error = train(command_line, *settings, *inbox)
    assert code == 2 and "no inbox answers at http://127.0.0.1:9" in error and attempts == []


def test_labels_that_cost_money_get_a_note(settings: tuple[str, ...]) -> None:
    def noted(*overrides: str) -> list[str]:
        return note_on_labels(load.load("quickstart", (*settings, *overrides)))

    people = ("label.kind=care", "label.oracle.kind=human", "rollout.refill=0")
    assert noted() == [] and noted(*people, "run.storage=null") == []
    assert len(noted(*people)) == 1 and "bought again" in noted(*people)[0]
    assert noted(*people, "label.ledger=http://inbox:8000") == []
