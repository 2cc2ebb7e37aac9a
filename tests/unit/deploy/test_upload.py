"""What of a folder is shipped with a job: what Ray ships, told before it is sent, and refused where it is too much."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_jobs import FakeClient
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

from deploy.jobs import server, upload
from deploy.jobs.upload import survey

SUBMIT = ("submit", "my.yaml", "run.dir=/shared/runs/my", "--address", "http://head:8265")
Effrl = Callable[..., tuple[object, str, str]]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(server, "client_of", lambda address: fake)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a config, own code and data, and much that no job needs."""
    sizes = {
        "rows.jsonl": 3_000,
        "my_rewards.py": 300,
        "runs/quickstart/checkpoints/step_10/model.safetensors": 90_000,
        ".git/objects/pack": 50_000,
        ".venv/bin/python": 50_000,
        "notes/secret.txt": 10,
        "notes/plan.txt": 20,
        "old/weights.bin": 40_000,
        "cache.tmp": 70,
    }
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    (tmp_path / ".gitignore").write_text("*.tmp\n")
    (tmp_path / "notes" / ".rayignore").write_text("secret.txt\n")
    (tmp_path / "my.yaml").write_text("data: {train: 'rows.jsonl?label=answer'}\n")
    return tmp_path


def test_it_is_what_ray_packs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = survey(folder, ["/old"])
    package = tmp_path_factory.mktemp("package") / "package.zip"
    excludes = [*get_runtime_env_default_excludes(), *found.runtime_env["excludes"]]
    create_package(found.runtime_env["working_dir"], package, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(package) as packed:
        assert found.files == {entry.filename: entry.file_size for entry in packed.infolist()}
    assert {"my.yaml", "rows.jsonl", "my_rewards.py", "notes/plan.txt"} <= found.files.keys()
    assert not any(name.startswith(("runs", ".git/", ".venv", "old")) for name in found.files)
    assert not {"cache.tmp", "notes/secret.txt"} & found.files.keys()


def test_a_file_ships_its_folder_and_says_what_is_in_it(folder: Path, command_line: Effrl, client: FakeClient) -> None:
    code, out, _ = command_line(*SUBMIT)
    assert code == 0 and "the biggest old/weights.bin (39 KiB), rows.jsonl (3 KiB)" in out
    [job] = client.jobs
    assert job.entrypoint == "python -m effrl train my.yaml run.dir=/shared/runs/my --or-resume"
    assert job.runtime_env["working_dir"] == str(folder)
    assert job.runtime_env["excludes"] == ["/runs"]


def test_another_folder_is_where_the_config_is_looked_for(
    folder: Path, command_line: Effrl, client: FakeClient
) -> None:
    (folder / "configs").mkdir()
    (folder / "configs" / "tasks.yaml").write_text("data: {train: 'tasks:chain'}\n")
    arguments = ("submit", "configs/tasks.yaml", "run.dir=/shared/runs/my", "--address", "http://head:8265")
    assert command_line(*arguments, "--working-dir", "configs")[0] == 0
    assert client.jobs[0].entrypoint.startswith("python -m effrl train tasks.yaml ")
    code, _, error = command_line(*arguments, "--working-dir", "notes")
    assert code == 2 and "the command names ../configs/tasks.yaml, which is not shipped" in error
    (folder / "configs" / "rows.yaml").write_text("data: {train: rows.jsonl}\n")
    elsewhere = ("submit", "configs/rows.yaml", *arguments[2:], "--working-dir", "configs")
    code, _, error = command_line(*elsewhere)
    assert code == 2 and "data.train.path names rows.jsonl, which is not shipped" in error
    code, _, error = command_line(*arguments, "--working-dir", "nowhere")
    assert code == 2 and "nowhere is no directory" in error


@pytest.mark.parametrize("hide", [(), ("--exclude", "*.jsonl")])
def test_data_that_would_stay_behind_are_named(
    hide: tuple[str, ...], folder: Path, command_line: Effrl, client: FakeClient
) -> None:
    """Rows in a .gitignore are the rule in a repository."""
    if not hide:
        (folder / ".gitignore").write_text("*.jsonl\n")
    code, _, error = command_line(*SUBMIT, *hide)
    assert code == 2 and "data.train.path names rows.jsonl, which is not shipped" in error and client.jobs == []


def test_too_much_is_refused_with_what_to_leave_out(
    folder: Path, command_line: Effrl, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "LIMIT", 20_000)
    code, _, error = command_line(*SUBMIT)
    assert code == 2 and error.count("\n") == 1 and client.jobs == []
    assert "--exclude '/old' saves 39 KiB" in error and "rows.jsonl' saves" not in error
    assert command_line(*SUBMIT, "--exclude", "/old")[0] == 0


def test_a_recipe_with_own_code_or_rows_ships_the_folder(folder: Path, command_line: Effrl, client: FakeClient) -> None:
    (folder / "my_rewards.py").write_text("def half(completion, label, meta): return 0.5\n")
    for number, override in enumerate(("reward.kind=my_rewards:half", "data.train=rows.jsonl?label=answer")):
        run = f"run.dir=/shared/runs/{number}"
        assert command_line("submit", "quickstart", run, override, "--address", "http://head:8265")[0] == 0
    assert [job.runtime_env["working_dir"] for job in client.jobs] == [str(folder)] * 2


def test_a_runtime_env_may_not_ship_unseen(folder: Path, command_line: Effrl, client: FakeClient) -> None:
    (folder / "env.yaml").write_text("working_dir: /\n")
    code, _, error = command_line(*SUBMIT, "--runtime-env", "env.yaml")
    assert code == 2 and "sets working_dir: use --working-dir" in error
    (folder / "env.yaml").write_text("[1]\n")
    code, _, error = command_line(*SUBMIT, "--runtime-env", "env.yaml")
    assert code == 2 and "must hold fields of a runtime_env" in error
