"""Runs as Ray jobs, with a client that stands in for a cluster: what is asked of it, and every failure as one line."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_jobs import FakeClient, FakeJob
from ray.exceptions import AuthenticationError
from requests.exceptions import ConnectionError as LostConnection
from typer.main import get_command

from deploy import cli
from deploy.jobs import server
from deploy.jobs.server import name_of

RUN = Path("/shared/runs/quickstart")
ADDRESS = ("--address", "http://head:8265")
Effrl = Callable[..., tuple[object, str, str]]


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """The client that commands get; what they set in the environment is set back after the test."""
    fake = FakeClient()
    monkeypatch.setattr(server, "client_of", lambda address: fake)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://elsewhere:8265")
    return fake


def submit(effrl: Effrl, *arguments: object) -> tuple[object, str, str]:
    return effrl("submit", "quickstart", f"run.dir={RUN}", *arguments, *ADDRESS)


def one_line(error: str) -> str:
    assert error.startswith("effrl: ") and error.count("\n") == 1, error
    return error


def test_a_recipe_is_run_as_it_is_and_ships_nothing(command_line: Effrl, client: FakeClient) -> None:
    code, out, _ = submit(command_line, "learn.lr=1e-5", "data.train=tasks:chain?size=64")
    assert code == 0 and "step 1/2" in out and "ships nothing" in out
    [job] = client.jobs
    assert job.submission_id == name_of(RUN)
    assert job.entrypoint == (
        "python -m effrl train quickstart run.dir=/shared/runs/quickstart learn.lr=1e-5"
        " 'data.train=tasks:chain?size=64' --or-resume"
    )
    assert job.runtime_env == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "300"}}
    assert job.resources == (None, None, None)


def test_two_runs_of_one_name_are_two_jobs() -> None:
    assert name_of(Path("/ann/runs/grpo")) != name_of(Path("/bob/runs/grpo"))
    assert name_of(Path("/ann/runs/my run")).startswith("my-run-")


def test_the_drivers_resources_and_the_runtime_env_reach_ray(
    command_line: Effrl, client: FakeClient, tmp_path: Path
) -> None:
    (tmp_path / "env.yaml").write_text(yaml.safe_dump({"env_vars": {"HF_TOKEN": "x"}, "pip": ["einops"]}))
    resources = ("--driver-cpus", 2, "--driver-memory", 4, "--driver-resource", "driver_node=1")
    code, *_ = submit(command_line, "--runtime-env", "env.yaml", "--grace", 60, *resources)
    assert code == 0
    [job] = client.jobs
    assert job.resources == (2, 4 * 2**30, {"driver_node": 1.0})
    assert job.runtime_env["pip"] == ["einops"]
    assert job.runtime_env["env_vars"] == {"HF_TOKEN": "x", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_the_same_command_again_attaches(status: str, command_line: Effrl, client: FakeClient) -> None:
    submit(command_line, "--no-follow")
    client.jobs[0].status = status
    code, out, _ = submit(command_line)
    assert code == 0 and "is there already" in out and "step 1/2" in out
    assert len(client.jobs) == 1


def test_what_has_succeeded_is_not_run_again(command_line: Effrl, client: FakeClient) -> None:
    submit(command_line)
    code, out, _ = submit(command_line)
    assert code == 0 and "nothing is started" in out and len(client.jobs) == 1


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
def test_what_ended_early_is_gone_on_with_under_a_new_id(status: str, command_line: Effrl, client: FakeClient) -> None:
    for _ in range(3):
        submit(command_line, "--no-follow")
        client.jobs[-1].status = status
    assert [job.submission_id for job in client.jobs] == [name_of(RUN), f"{name_of(RUN)}.2", f"{name_of(RUN)}.3"]
    assert len({job.entrypoint for job in client.jobs}) == 1


def test_a_run_that_succeeded_goes_on_with_more_steps(command_line: Effrl, client: FakeClient) -> None:
    submit(command_line)
    submit(command_line, "run.steps=100")
    assert len(client.jobs) == 2


def test_other_settings_in_the_directory_of_a_running_job_are_refused(command_line: Effrl, client: FakeClient) -> None:
    submit(command_line, "--no-follow")
    code, _, error = submit(command_line, "learn.lr=1e-6")
    assert code == 2 and "with other settings: stop it" in one_line(error)
    assert len(client.jobs) == 1


def test_whoever_is_quicker_starts_the_job(
    command_line: Effrl, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw no job, and one of them is told that the id is taken."""
    submit(command_line, "--no-follow")
    monkeypatch.setattr(client, "list_jobs", lambda: [])
    code, out, _ = submit(command_line)
    assert code == 0 and "step 1/2" in out and len(client.jobs) == 1


@pytest.mark.parametrize(("arguments", "told"), [((), "runs/"), (("run.dir=mine",), "mine")])
def test_a_run_directory_that_ray_would_delete_is_refused(
    arguments: tuple[str, ...], told: str, command_line: Effrl, client: FakeClient
) -> None:
    code, _, error = command_line("submit", "quickstart", *arguments, *ADDRESS)
    assert code == 2 and f"loses what it writes to {told}" in one_line(error) and "run.dir=/mnt/shared" in error
    assert client.jobs == []


def test_train_in_a_ray_job_refuses_it_too(command_line: Effrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a plain ``ray job submit``."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    code, _, error = command_line("train", "quickstart")
    assert code == 2 and "set run.dir to an absolute path" in one_line(error)


def test_a_wrong_config_never_leaves_this_machine(command_line: Effrl, client: FakeClient) -> None:
    code, _, error = submit(command_line, "learn.rl=1e-5")
    assert code == 2 and "learn.rl" in error and client.jobs == []


def test_a_job_that_fails_is_a_failed_run(command_line: Effrl, client: FakeClient) -> None:
    client.ends = "FAILED"
    code, _, error = submit(command_line)
    assert code == 1 and "has failed" in one_line(error)


def test_a_wrong_token_is_one_line(command_line: Effrl, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> Any:
        raise AuthenticationError("Authentication failed: Forbidden: Invalid authentication token\n\nToken …")

    monkeypatch.setattr(server, "client_of", refuse)
    code, _, error = submit(command_line)
    assert code == 2 and "the cluster refuses the token" in one_line(error)


def test_a_token_that_is_not_there_is_asked_for(
    command_line: Effrl, client: FakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, error = submit(command_line)
    assert code == 2 and "there is no token" in one_line(error) and "RAY_AUTH_MODE=disabled" in error
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert submit(command_line)[0] == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionError("Failed to connect to Ray"), "nothing answers at http://head:8265"),
        (KeyError("ray_version"), "not as a Ray dashboard"),
    ],
)
def test_an_address_where_no_cluster_is(
    error: Exception, told: str, command_line: Effrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(address: str) -> Any:
        raise error

    monkeypatch.setattr(server, "client_of", fail)
    code, _, said = submit(command_line)
    assert code == 2 and told in one_line(said)


def test_an_address_is_a_url(command_line: Effrl, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, error = command_line("job", "status", "--address", "head:6379")
    assert code == 2 and "http://HOST:8265" in one_line(error)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    code, _, error = command_line("job", "status")
    assert code == 2 and "say which cluster" in one_line(error)


@pytest.mark.parametrize("method", ["list_jobs", "submit_job", "tail_job_logs", "get_job_info"])
def test_a_connection_that_is_lost_is_one_line(method: str, command_line: Effrl, client: FakeClient) -> None:
    """In the middle of the upload, of the log, or before. A second try finds what was started."""
    client.fails[method] = LostConnection("Connection aborted")
    code, _, error = submit(command_line)
    assert code == 1 and "lost the connection to http://head:8265" in one_line(error)
    client.fails.clear()
    assert submit(command_line)[0] == 0 and len(client.jobs) == 1


def test_a_log_that_ends_before_its_job_is_a_lost_connection(command_line: Effrl, client: FakeClient) -> None:
    client.ends = "RUNNING"
    code, _, error = submit(command_line)
    assert code == 1 and "lost the connection" in one_line(error)


def test_a_server_that_says_nothing_is_not_waited_for(
    command_line: Effrl, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 0.1)
    monkeypatch.setattr(client, "list_jobs", threading.Event().wait)
    code, _, error = submit(command_line)
    assert code == 1 and "gave no answer in" in one_line(error)


def test_what_the_server_says_is_cut_to_its_last_line(command_line: Effrl, client: FakeClient) -> None:
    client.fails["submit_job"] = RuntimeError("Request failed: Traceback\n  File x\nValueError: no such resource\n.")
    code, _, error = submit(command_line)
    assert code == 1 and one_line(error).rstrip().endswith("ValueError: no such resource")


def test_jobs_are_listed_looked_at_and_stopped(command_line: Effrl, client: FakeClient) -> None:
    client.jobs.append(FakeJob("raysubmit_x", "python other.py", None, {}, ()))
    submit(command_line, "--no-follow")
    assert "raysubmit_x" not in command_line("job", "status", *ADDRESS)[1]
    for name in (RUN, name_of(RUN)):
        code, out, _ = command_line("job", "status", name, *ADDRESS)
        assert code == 0 and name_of(RUN) in out and "RUNNING" in out
        assert "step 1/2" in command_line("job", "logs", name, *ADDRESS)[1]
    client.jobs[-1].log += "stopped after step 1 of 2 in 40s: 32 rollouts\n"
    code, out, _ = command_line("job", "stop", RUN, *ADDRESS)
    assert code == 0 and "which has 300 s to save" in out and "stopped after step 1 of 2" in out
    assert command_line("job", "stop", RUN, *ADDRESS)[1].endswith("has ended: STOPPED\n")
    code, _, error = command_line("job", "logs", "/shared/runs/other", *ADDRESS)
    assert code == 2 and "no job of /shared/runs/other" in one_line(error)


def test_a_job_that_was_killed_before_it_had_saved_is_told(
    command_line: Effrl, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(command_line, "--no-follow", "--grace", 1)
    monkeypatch.setattr("deploy.commands.jobs.POLL_S", 1.1)
    monkeypatch.setattr(client, "stop_job", lambda job_id: None)
    states = iter(["RUNNING", "RUNNING", "STOPPED", "STOPPED"])

    def info(job_id: str) -> FakeJob:
        client.jobs[0].status = next(states)
        return client.jobs[0]

    monkeypatch.setattr(client, "get_job_info", info)
    code, _, error = command_line("job", "stop", RUN, *ADDRESS)
    assert code == 1 and "was killed after 1 s, before it had saved" in one_line(error)


def test_resume_is_that_of_the_command_line(command_line: Effrl, client: FakeClient) -> None:
    submit(command_line)
    code, *_ = command_line("job", "resume", RUN, "run.steps=100", *ADDRESS)
    assert code == 0
    assert client.jobs[-1].entrypoint == "python -m effrl resume /shared/runs/quickstart run.steps=100"
    assert client.jobs[-1].submission_id == f"{name_of(RUN)}.2"
    code, _, error = command_line("job", "resume", "runs/quickstart", *ADDRESS)
    assert code == 2 and "a path of this machine" in one_line(error)


def test_whatever_starts_a_job_has_the_same_options_once() -> None:
    """An option that one of them lacked, or had otherwise, would be found out on a cluster."""
    group: Any = get_command(cli.app)
    commands = (group.commands["submit"], group.commands["job"].commands["resume"])
    first, second = [
        {param.opts[0]: param.help for param in command.params if param.opts[0].startswith("--")}
        for command in commands
    ]
    assert first == second and "--driver-resource" in first
    for command in commands:
        names = [name for param in command.params for name in param.opts]
        assert sorted(names) == sorted(set(names))
