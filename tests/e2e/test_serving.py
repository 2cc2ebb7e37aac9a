"""A policy that is served and changed twice under the official client: nothing fails, and every answer tells the truth.

What each version says is known beforehand, from transformers: greedy answers to prompts on which the versions differ.
"""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import psutil
import pytest
import yaml
from runs import EFFRL, Command

from deploy.render.services import policy_config
from deploy.render.sizes import WorkerGroup
from effrl.models import BUILT_IN
from effrl.run.checkpoint import Checkpoint, Checkpoints
from effrl.run.files import written
from effrl.saved import Saved

pytestmark = pytest.mark.slow

TOKEN = "a token of the tests, long enough"
VERSIONS = {1: "tiny", 2: "tiny-sound", 3: "tiny"}
"""Models of the steps. Back to the first: a swap that changes nothing would go unseen in one direction only."""
PROMPTS = [f"{a}+{b}*{c}=" for a, b, c in itertools.product((7, 12, 38), (3, 46), (5, 9))]
TOKENS, CALLERS, REQUESTS = 24, 16, 500
START_S, SERVE_S = 300.0, 600.0


def checkpoint(run: Path, step: int) -> None:
    """Seal a checkpoint that has the model of a step, as a learner does."""
    checkpoints = Checkpoints(run / "checkpoints", keep=2)
    draft = checkpoints.begin(step)
    shutil.copytree(BUILT_IN[VERSIONS[step]], draft / "hf")
    files = [file for file in (draft / "hf").rglob("*") if file.is_file()]
    checkpoints.seal(draft, Checkpoint(step, {"learner": Saved(written(draft, files), {"version": step})}))


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, str]]:
    """What each model goes on with, by prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found: dict[str, dict[str, str]] = {}
    for name in {*VERSIONS.values()}:
        model = AutoModelForCausalLM.from_pretrained(BUILT_IN[name], dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(BUILT_IN[name])
        found[name] = {}
        for prompt in PROMPTS:
            ids = tokenizer(prompt, return_tensors="pt")
            whole = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)
            found[name][prompt] = tokenizer.decode(whole[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert found["tiny"] != found["tiny-sound"], "or answers of two versions could not be told apart"
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "demo"
    path.mkdir()
    (path / "config.yaml").write_text("data: {train: 'tasks:chain?size=64'}\nrollout: {kv_cache_gb: 0.25}\n")
    checkpoint(path, 1)
    return path


@pytest.fixture(params=["alone", "ray serve"])
def served(request: pytest.FixtureRequest, run: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server that follows the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"EFFRL_SERVE_TOKEN": TOKEN, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    command = (_alone if request.param == "alone" else _under_ray)(run, tmp_path, port, environment)
    address = f"http://127.0.0.1:{port}"
    try:
        command.until(lambda: _healthy(address), START_S, "answer to /healthz")
        yield address
    finally:
        command.process.send_signal(signal.SIGINT)
        psutil.wait_procs([psutil.Process(command.process.pid)], timeout=60)
        for process in command.processes():
            process.kill()
        print(command.output()[-4000:])


def _alone(run: Path, folder: Path, port: int, environment: dict[str, str]) -> Command:
    words = ("serve", "policy", str(run), "--checkpoint", "newest", "--look-s", "0.5", "--port", str(port))
    return Command(words, folder, environment)


def _under_ray(run: Path, folder: Path, port: int, environment: dict[str, str]) -> Command:
    """By the Serve config that a RayService has, on a Ray of its own."""
    config = policy_config(str(run), WorkerGroup("replicas", 1, 1, 2, 0, 4, {}), has_prm=False)
    config["applications"] = config["applications"][:1]
    config["applications"][0]["args"] |= {"checkpoint": "newest", "look_s": 0.5}
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    program = str(Path(EFFRL).with_name("serve"))
    return Command(("run", "serve.yaml", "--address", "local"), folder, environment, (program,))


def _healthy(address: str) -> bool:
    time.sleep(0.5)
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Asker:
    """Callers who ask one after the other, streamed and not, completions and chats."""

    client: openai.AsyncOpenAI
    expected: dict[str, dict[str, str]]
    answers: Counter[str] = field(default_factory=Counter)
    """By version and kind of request."""
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    reached: defaultdict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    """By number of answers."""
    heard: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    """By version."""

    @property
    def versions(self) -> set[str]:
        return {name.split()[0] for name in self.answers}

    async def ask_until(self, deadline: float) -> None:
        """Ask until there were enough requests and each version has answered."""
        while self.answers.total() < REQUESTS or len(self.versions) < len(VERSIONS):
            assert time.monotonic() < deadline, f"only {self.answers} in {SERVE_S} s"
            number = next(self.numbers)
            began = time.monotonic()
            version, text, prompt, kind = await (self._chat if number % 4 == 3 else self._complete)(number)
            self.seconds.append(time.monotonic() - began)
            self.answers[f"{version} {kind}"] += 1
            self.reached[self.answers.total()].set()
            self.heard[version].set()
            model = VERSIONS[int(version.removeprefix("demo@step-"))]
            if kind.startswith("completion") and text != self.expected[model][prompt]:
                self.wrong.append(f"{version} on {prompt}: {text!r}, not {self.expected[model][prompt]!r}")

    async def _complete(self, number: int) -> tuple[str, str, str, str]:
        prompt = PROMPTS[number % len(PROMPTS)]
        asked = {"model": "demo", "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
        if number % 2:
            whole = await self.client.completions.create(**asked)
            return whole.model, whole.choices[0].text, prompt, "completion"
        parts = [part async for part in await self.client.completions.create(**asked, stream=True)]
        [version] = {part.model for part in parts}
        return version, "".join(part.choices[0].text for part in parts), prompt, "completion streamed"

    async def _chat(self, number: int) -> tuple[str, str, str, str]:
        asked = {"model": "demo", "messages": [{"role": "user", "content": PROMPTS[0]}], "max_completion_tokens": 8}
        if number % 8 == 3:
            whole = await self.client.chat.completions.create(**asked, n=2)
            return whole.model, whole.choices[1].message.content, PROMPTS[0], "chat"
        parts = [part async for part in await self.client.chat.completions.create(**asked, stream=True)]
        [version] = {part.model for part in parts}
        return version, "", PROMPTS[0], "chat streamed"


async def _swapped_twice(run: Path, asker: Asker) -> None:
    deadline = time.monotonic() + SERVE_S
    async with asyncio.timeout(SERVE_S + 120), asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(asker.ask_until(deadline))
        for step in (2, 3):
            await asker.reached[REQUESTS * (step - 1) // 3].wait()
            await asker.heard[f"demo@step-{step - 1}"].wait()
            await asyncio.to_thread(checkpoint, run, step)


def test_five_hundred_requests_while_the_weights_change_twice(
    served: str, run: Path, expected: dict[str, dict[str, str]]
) -> None:
    async def play() -> Asker:
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=TOKEN, max_retries=0, timeout=120) as client:
            asker = Asker(client, expected)
            await _swapped_twice(run, asker)
            names = [model.id async for model in client.models.list()]
            assert names == ["demo@step-3", "demo"]
            with pytest.raises(openai.NotFoundError, match="demo@step-1"):
                await client.completions.create(model="demo@step-1", prompt="1+1=")
            with pytest.raises(openai.UnprocessableEntityError, match="best_of: Extra inputs"):
                await client.completions.create(model="demo", prompt="1+1=", best_of=2)
            with pytest.raises(openai.BadRequestError, match=r"context length"):
                await client.completions.create(model="demo", prompt="1+1=" * 2000)
            with pytest.raises(openai.BadRequestError, match="non-empty"):
                await client.completions.create(model="demo", prompt="")
            with pytest.raises(openai.BadRequestError, match="ask for 1024"):
                await client.completions.create(model="demo", prompt="1+1=", max_tokens=1025)
            long = await client.completions.create(model="demo", prompt="1+1=" * 490, temperature=2)
            assert long.usage is not None and long.usage.total_tokens <= 2048, "what room there is"
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="another token").models.list()
            return asker

    began = time.monotonic()
    asker = asyncio.run(play())
    took, latencies = time.monotonic() - began, sorted(asker.seconds)
    slow = latencies[int(len(latencies) * 0.95)]
    print(f"{asker.answers.total()} answers in {took:.1f} s, p95 {slow:.2f} s, longest {latencies[-1]:.2f} s")
    print(dict(asker.answers), os.getloadavg())
    assert asker.wrong == []
    assert asker.versions == {"demo@step-1", "demo@step-2", "demo@step-3"} and asker.answers.total() >= REQUESTS
    assert len({name.split(maxsplit=1)[1] for name in asker.answers}) == 4, "streamed and not, completions and chats"
