"""What a user can get wrong is one line that names it and says what to do, with exit code 2, before anything starts.

A traceback, or a run that dies minutes later for something that could be seen at once, fails these tests.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import written

from deploy import cli
from deploy.commands import train as training
from effrl.config import load
from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory

ROWS = ({"prompt": "1+1=", "label": "2"}, {"prompt": "2+2=", "label": "4"})
MAX_TOKENS = 100
"""Of the recipe."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said on stderr."""

    code: object
    lines: list[str]

    def says(self, *words: str) -> None:
        """Assert that it was the user's mistake, told on one line that has all of ``words``."""
        assert self.code == 2, self.lines
        assert len(self.lines) == 1, self.lines
        assert all(word in self.lines[0] for word in words), self.lines[0]


def ended(code: object, stderr: str) -> Ended:
    return Ended(code, [line for line in stderr.splitlines() if line.strip()])


Command = Callable[..., Ended]


@pytest.fixture
def effrl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The real command line, in this process and in an empty directory; nothing may get as far as starting actors."""

    def started(*_: object) -> None:
        raise AssertionError("the mistake was not found: a run was about to start")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["effrl", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return ended(end.value.code, capsys.readouterr().err)

    monkeypatch.setattr(training, "_attempt", started)
    monkeypatch.chdir(tmp_path)
    return run


def real_effrl(directory: Path, *arguments: object) -> Ended:
    """The command line as a process of its own; also asserts that nothing else was printed."""
    command = [sys.executable, "-m", "effrl", *map(str, arguments)]
    process = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120)
    assert process.stdout == ""
    return ended(process.returncode, process.stderr)


@pytest.fixture
def train(effrl: Command, random_model: Path) -> Command:
    """``effrl train quickstart`` with a random model and few rows, and the overrides of a test."""
    return lambda *overrides: effrl("train", "quickstart", *base(random_model), *overrides)


def base(model: Path) -> tuple[str, ...]:
    return (f"model.path={model}", "data.train=tasks:chain?size=16", "data.eval=null", "run.dir=run")


def write(path: Path, *rows: Any) -> Path:
    """A JSON Lines file; a row that is text is written as it is."""
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


# --- the config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("learn.lrr=1", ["unknown key 'learn.lrr'", "did you mean 'learn.lr'?"]),
        ("lern.lr=1", ["unknown key 'lern'", "did you mean 'learn'?"]),
        ("loss.clip_hihg=0.3", ["unknown key 'loss.clip_hihg'", "did you mean 'loss.clip_high'?"]),
        ("reward.timeouts=3", ["unknown key 'reward.timeouts'", "did you mean 'reward.timeout_s'?"]),
        ("label.budget.totl=5", ["unknown key 'label.budget.totl'", "did you mean 'label.budget.total'?"]),
        ("data.train=tasks:chain?szie=3", ["unknown key 'data.train.szie'", "did you mean 'data.train.size'?"]),
        ("math=1", ["unknown key 'math'", "known: ", "reward"]),  # the name of a kind, not of a key
        ("learn.lr=fast", ["learn.lr: write a number", "'fast'"]),
        ("learn.lr=0", ["learn.lr", "greater than 0", "0"]),
        ("learn=3", ["learn is a section", "lr", "not '3'"]),
        ("run.steps=-3", ["run.steps", "greater than or equal to 1", "-3"]),
        ("rollout.per_prompt=1", ["rollout.per_prompt", "greater than or equal to 2", "got 1"]),
        ("rollout.per_prompt=0x_", ["rollout.per_prompt: write a whole number", "'0x_'"]),
        ("model.context=64", ["rollout.max_tokens (64)", "model.context (64)", "lower the one or raise the other"]),
        ("learn.lr", ["'learn.lr' is not an override", "section.key=value"]),
        ("=3", ["'=3' is not an override", "section.key=value"]),
        ("run.steps.x=3", ["'run.steps.x=3'", "steps is a plain value"]),
        ("reward.kind=maths", ["reward.kind=maths", "did you mean 'math'?"]),
        ("reward.kind=gpt", ["reward.kind=gpt", "math, exact", "package.module:function"]),
        ("reward.kind=my-rewards.py:score", ["reward.kind", "'my-rewards.py:score'", "package.module:function"]),
        ("reward=exact", ["reward is a section, not a value", "kind", "'exact'"]),
        ("advantage=rloo", ["advantage is a section, not a value", "kind", "'rloo'"]),
        ("advantage.kind=grop", ["advantage.kind=grop", "did you mean 'grpo'?"]),
        ("advantage.kind=ppo-like", ["grpo, rloo, reinforce_pp", "an import path package.module:function"]),
        ("advantage.kind=no_such_module:f", ["advantage.kind 'no_such_module:f'", "no module named 'no_such_module'"]),
        ("advantage={kind: rloo, std: none}", ["unknown key 'advantage.std'; known: kind"]),  # it is GRPO's
        ("advantage.std=population", ["advantage.std", "'sample' or 'none'", "'population'"]),
        ("loss=gspo", ["loss is a section, not a value", "kind", "'gspo'"]),
        ("loss.kind=cisop", ["loss.kind=cisop", "did you mean 'cispo'?"]),
        ("loss.kind=nowhere:loss", ["loss.kind 'nowhere:loss'", "no module named 'nowhere'"]),
        ("loss.reduce=tokens", ["loss.reduce", "'token', 'sequence' or 'constant'", "'tokens'"]),
        ("loss.kl=-1", ["loss.kl", "greater than or equal to 0", "-1"]),
        ("loss={kind: gspo, clip_hihg: 1}", ["unknown key 'loss.clip_hihg'", "did you mean 'loss.clip_high'?"]),
        ("learn.updates=33", ["learn.updates (33)", "rollout.prompts (32)", "lower it"]),
        ("learn.updates=0", ["learn.updates", "greater than or equal to 1"]),
        ("learn.warmup=20", ["learn.warmup (20)", "run.steps (20)", "lower it"]),
        ("replay.fresh=1", ["replay.fresh", "less than 1"]),
        ("replay.fresh=0", ["replay.fresh", "greater than 0"]),
        ("replay.frehs=0.5", ["unknown key 'replay.frehs'", "did you mean 'replay.fresh'?"]),
        ("replay=0.5", ["replay is a section, not a value", "capacity, clip, fresh, kind", "0.5"]),
        ("replay.capacity=15", ["replay.capacity (15)", "16 groups", "raise it"]),
        ("replay.warmup=20", ["replay.warmup (20)", "run.steps (20)", "lower it"]),
        ("replay.clip=center", ["replay.clip", "'centered' or 'paper'", "'center'"]),
        ("learn.schedule=cosin", ["learn.schedule", "'constant', 'linear' or 'cosine'", "'cosin'"]),
        (
            "reward.terms.overlong.buffer=65",
            ["reward.terms.overlong.buffer (65)", "rollout.max_tokens (64)", "lower it"],
        ),
        (
            "reward.terms.overlong.penalty=1",
            ["reward.terms.overlong.buffer is missing", "reward.terms.overlong.buffer=…"],
        ),
        ("reward={kind: choice, letters: abc}", ["reward.letters", "a capital letter, such as ABCD", "'abc'"]),
        ("reward={kind: choice, letters: ABA}", ["reward.letters", "name each option once"]),
        ("reward={kind: choice, leters: AB}", ["unknown key 'reward.leters'", "did you mean 'reward.letters'?"]),
        ("reward={kind: regex}", ["reward.pattern is missing", "reward.pattern=…"]),
        (
            "reward={kind: regex, pattern: 'Answer: .*'}",
            ["reward.pattern", "0 groups", "exactly one around the answer"],
        ),
        ("reward={kind: regex, pattern: '(a)|(b)'}", ["reward.pattern", "2 groups", "write (?:…) for the others"]),
        ("reward={kind: regex, pattern: 'a)('}", ["reward.pattern", "no regular expression", "unbalanced", "mend it"]),
        ("reward.terms.format.pattern='(?<x'", ["reward.terms.format.pattern", "no regular expression", "mend it"]),
        ("reward.terms.format={pattern: x, weight: 0}", ["reward.terms.format.weight", "greater than 0"]),
        ("reward.terms.lenght={}", ["unknown key 'reward.terms.lenght'", "did you mean 'reward.terms.length'?"]),
        ("reward={kind: sum, parts: []}", ["reward.parts", "name at least one"]),
        ("reward={kind: sum}", ["reward.parts is missing"]),
        ("reward={kind: sum, parts: [{reward: {kind: maths}}]}", ["reward.parts.0.reward.kind=maths", "'math'"]),
        (
            "reward={kind: sum, parts: [{reward: {kind: math, timeout_s: 1}}]}",
            ["unknown key 'reward.parts.0.reward.timeout_s'"],
        ),
        ("reward={kind: sum, parts: [{wieght: 1, reward: {}}]}", ["did you mean 'reward.parts.0.weight'?"]),
        ("reward.terms.overlong=20", ["reward.terms.overlong is a section", "buffer, penalty", "20"]),
        ("data.train=tasks:chian", ["data.train.name", "'chain'", "'chian'"]),
        ("data.train=tasks:chain?levels=3-9", ["levels of tasks:chain are 0-4"]),
        ("data.train=tasks:chain?kinds=axy", ["kinds of tasks:chain are abcdefgh, not xy"]),
        (
            "data.train=tasks:countdown?kinds=a",
            ["tasks:countdown has no levels, no kinds and no solutions", "leave them out"],
        ),
        ("label={kind: random}", ["rollout.refill (0.5)", "set rollout.refill=0 with label.kind=random"]),
        ("label.kind=vot", ["label.kind=vot", "did you mean 'vote'?"]),
        ("label.budget.per_step=0.1", ["unknown key 'label.budget.per_step'"]),
        ("select.kind=dts", ["select.kind=dts", "did you mean 'dots'?"]),
        ("select.kind=greedy", ["select.kind=greedy", "uniform", "package.module:function"]),
        ("select={kind: band, low: 0.9}", ["select.low (0.9) is above select.high (0.875)", "swap"]),
        ("select={kind: band, hihg: 1}", ["unknown key 'select.hihg'", "did you mean 'select.high'?"]),
        ("select={kind: curriculum, column: hops}", ["'hops' of prompt chain/", "is not there", "level"]),
        ("select={kind: ufo, prfix: x}", ["unknown key 'select.prfix'", "did you mean 'select.prefix'?"]),
        ("select={kind: ufo, center: mode}", ["select.center", "'mean', 'median' or 'calibrated'", "'mode'"]),
        ("select={kind: ufo, ratio: 0}", ["select.ratio", "greater than 0"]),
        (
            "select={kind: ufo, prefix: '#'}",
            ["select.ratio=0.1 keeps 1 of the 16 prompts", "rollout.prompts=32", "raise select.ratio"],
        ),
        ("select.kind=nowhere:selector", ["select.kind 'nowhere:selector'", "no module named 'nowhere'"]),
        ("label={kind: 'nowhere:labeller'}", ["rollout.refill"]),
        ("data.train={kind: json, path: x}", ["data.train.kind=json", "did you mean 'jsonl'?"]),
        ("data.train={path: x}", ["data.train.kind is missing", "data.train.kind=…"]),
        ("data.train=hf:x/y?confg=main", ["unknown key 'data.train.confg'", "did you mean 'data.train.config'?"]),
        ("data.train=rows.parquet?promt=x", ["unknown key 'data.train.promt'", "did you mean 'data.train.prompt'?"]),
        ("data.train=[]", ["data.train.parts", "name at least one"]),
        (
            "data.train=[tasks:chain?size=8]",
            ["is not YAML: quote what is inside", "['a.jsonl?label=answer', 'b.jsonl']"],
        ),
        ("data.train=['tasks:chian']", ["data.train.parts.0.source.name", "'chain'", "'chian'"]),
        ("data.train=[{source: 'tasks:chain', wieght: 2}]", ["did you mean 'data.train.parts.0.weight'?"]),
        ("data.train=[{source: 'tasks:chain', weight: 0}]", ["data.train.parts.0.weight", "greater than 0"]),
        ("data.train=[{weight: 2}]", ["data.train.parts.0.source is missing"]),
        ("data.template=boxd", ["data.template", "did you mean 'boxed'?", "'boxd'"]),
        ("data.template=Solve this.", ["data.template", "write {prompt} where the row's prompt goes"]),
        ("data.system=''", ["data.system", "leave it out"]),
        ("rollout.stop=['']", ["rollout.stop", "a text or a token id", '["</answer>", 2]']),
        ("rollout.stop=-1", ["rollout.stop", "a text or a token id"]),
        ("rollout.stop=[1.5]", ["rollout.stop", "a text or a token id"]),
        ("data.eval={}", ["data.eval", "name at least one source"]),
        ("data.eval={a/b: x.jsonl}", ["data.eval", "'a/b'", "letters, digits"]),
        ("data.eval={dev: 'tasks:chian'}", ["data.eval.dev.name", "'chain'", "'chian'"]),
        ("eval.pass_at=8", ["eval.pass_at (8)", "eval.per_prompt is 4", "lower the one or raise the other"]),
        ("eval.temperature=-1", ["eval.temperature", "greater than or equal to 0", "-1"]),
        ("data=null", ["data is a section", "train"]),
    ],
)
def test_a_value_that_does_not_fit(train: Command, override: str, words: list[str]) -> None:
    train(override).says(*words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rollout.prompts=1", ["replay.fresh (0.5)", "rollout.prompts (1)", "raise rollout.prompts"]),
        ("loss.kind=gspo", ["replay.clip=paper", "not gspo", "set replay.clip=centered"]),
        ("advantage.kind=gae", ["advantage.kind=gae", "older policies", "use grpo, rloo or reinforce_pp"]),
    ],
)
def test_what_replay_does_not_go_with(train: Command, override: str, words: list[str]) -> None:
    train("replay.clip=paper", override).says(*words)


def test_certainties_of_labels_that_nobody_buys(train: Command) -> None:
    for label in ("vote", "random"):
        overrides = ("select={kind: ufo, ratio: 1, prefix: ''}", f"label.kind={label}", "rollout.refill=0")
        train(*overrides).says(f"label.kind={label} does not buy", "set select.target=pseudo_answer")
    own = ("select={kind: ufo, target: pseudo_answer, prefix: ''}", "reward.kind=my_rewards:score")
    train(*own).says("votes on answers", "my_rewards:score does not tell")


def test_an_advantage_of_your_own_is_looked_for_where_the_run_starts(train: Command, tmp_path: Path) -> None:
    """Nothing else puts that directory on the path: an installed ``effrl`` starts without it."""
    (tmp_path / "lies_here.py").write_text("def best(rewards):\n    return rewards\n")
    train("advantage.kind=lies_here:bets").says("module lies_here has no function 'bets'", "did you mean 'best'?")


def test_every_problem_of_a_config_has_its_own_line(train: Command) -> None:
    """Or a config with three mistakes takes three attempts."""
    found = train("learn.lrr=1", "run.steps=-3")
    assert found.code == 2
    assert [("learn.lrr" in line, "run.steps" in line) for line in found.lines] == [(True, False), (False, True)]


def test_a_config_that_is_not_there(effrl: Command) -> None:
    effrl("train", "quikstart").says("quikstart", "neither a file nor a recipe", "did you mean 'quickstart'?")
    effrl("train", "mine.yaml").says(
        "mine.yaml",
        "recipes: care, care_human, dapo, dots_rr, dr_grpo, easyrl, effrl_all, grpo, gsm8k-qwen2.5-0.5b, ppo",
        "prime, pure",
        "quickstart, rloo, trapo, ttrl, ufo_rl, ufo_rl_paper",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {train: x.jsonl\nrun: [", ["my.yaml is not YAML", "line 2"]),
        ("- data", ["my.yaml must hold sections", "data:"]),
        ("", ["my.yaml must hold sections", "data:"]),
        ("run: {steps: 3}", ["my.yaml: data is missing", "data.train=…"]),
    ],
)
def test_a_broken_config_file(effrl: Command, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "my.yaml").write_text(text)
    effrl("train", "my.yaml").says(*words)


def test_the_other_commands_fail_alike(effrl: Command) -> None:
    effrl("config", "show", "quickstart", "learn.lrr=1").says("did you mean 'learn.lr'?")
    effrl("config", "check", "quikstart").says("did you mean 'quickstart'?")


# --- the data


def test_a_data_file_that_is_not_there(train: Command, tmp_path: Path) -> None:
    train("data.train=rows.jsonl").says("rows.jsonl: no such file", str(tmp_path))


def test_an_empty_data_file(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    train("data.train=rows.jsonl").says("rows.jsonl: the file is empty", "one JSON object per line")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"prompt": "1+1="', ["not JSON", "one JSON object per line"]),
        ('["1+1="]', ["not an object but a list", "one JSON object per line"]),
        ({"question": "1+1="}, ['no key "prompt"', 'data.train="rows.jsonl?prompt=question"']),
        ({"prompt": "1+1=", "label": True}, ['"label" is true or false', "null for no label"]),
    ],
)
def test_a_malformed_row(train: Command, tmp_path: Path, row: Any, words: list[str]) -> None:
    write(tmp_path / "rows.jsonl", *ROWS, row)
    train("data.train=rows.jsonl").says("rows.jsonl:3: ", *words)


def test_an_id_that_is_used_twice(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *({**row, "id": "sum"} for row in ROWS))
    train("data.train=rows.jsonl").says("rows.jsonl:2: ", 'id "sum"', "line 1", "make ids unique")


def test_a_directory_as_a_file(train: Command, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    train("data.train=rows").says("rows: this is a directory", "folder:rows")
    train("data.train=folder:rows").says("folder:rows has no files", "Parquet and JSON Lines")
    train("data.train=folder:nowhere").says("folder:nowhere: no such directory", str(tmp_path))


def test_a_file_that_is_no_parquet_file(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.parquet", *ROWS)
    train("data.train=rows.parquet").says("rows.parquet: no readable Parquet file", "download it again")


def test_a_data_set_that_the_hub_does_not_give(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    train("data.train=hf:openai/gsm8k?config=main").says("hf:openai/gsm8k?config=main cannot be had from the hub")


def test_a_part_of_a_mix_without_labels(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *({"prompt": row["prompt"]} for row in ROWS))
    train("data.train=['tasks:chain?size=8', rows.jsonl]").says("no row of rows.jsonl in data.train has one", "label=")


def test_messages_for_a_model_without_a_chat_template(train: Command, tmp_path: Path, random_model: Path) -> None:
    """The tokenizer would refuse them, but only in the middle of the start-up."""
    model = tmp_path / "model"
    shutil.copytree(random_model, model)
    (model / "chat_template.jinja").unlink()
    for override in ("data.template=boxed", "data.system=Be brief."):
        train(f"model.path={model}", override).says("16 of 16 prompts of data.train", "no chat template", "plain text")


def test_a_stop_that_is_no_token(train: Command) -> None:
    """vLLM would refuse it, but only when the first prompt is sampled."""
    train("rollout.stop=[5000]").says("rollout.stop: 5000 is no token id", "vocabulary has", "write an id below")


def test_a_path_is_shown_as_it_is(train: Command, tmp_path: Path) -> None:
    """Rich would show ``:b:`` as an emoji, and ``[b]`` as bold: a path that nobody can find."""
    write(tmp_path / "a:b:[b]c.jsonl")
    train("data.train=a:b:[b]c.jsonl").says("a:b:[b]c.jsonl: the file is empty")


def test_labels_are_needed_but_there_are_none(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *({"prompt": row["prompt"], "answer": row["label"]} for row in ROWS))
    train("data.train=rows.jsonl").says("label.kind=gold", "data.train", "?label=answer")


def test_held_out_rows_without_a_label(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *ROWS, {"prompt": "3+3="})
    train("data.eval=rows.jsonl").says("1 of 3 rows of data.eval", "?label=answer")


def test_every_set_is_looked_at(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *ROWS, {"prompt": "3+3="})
    train("data.eval={dev: 'tasks:chain?split=dev&size=4', hard: rows.jsonl}").says("of 3 rows of data.eval.hard")
    write(tmp_path / "rows.jsonl", {"prompt": "1" * 1984, "label": "1", "id": "long"})
    sets = "data.eval={hard: rows.jsonl}"
    train(sets, "eval.max_tokens=65").says("data.eval.hard: prompt long has 1984 tokens", "lower eval.max_tokens")
    train(sets, "eval.max_tokens=2048").says("eval.max_tokens (2048)", "lower it")


# --- evaluation and export


def test_what_cannot_be_evaluated(effrl: Command, tmp_path: Path, random_model: Path) -> None:
    """Nothing may get as far as starting actors: these take seconds."""
    effrl("eval", "tiny").says("say what to evaluate on", "data.eval=")
    effrl("eval", "tiny", "quikstart").says("quikstart", "neither a file nor a recipe")
    effrl("eval", "tiny", "quickstart", "grpo").says("one recipe or file", "quickstart, grpo")
    effrl("eval", "./tinny", "quickstart").says("./tinny", "is no model directory")
    effrl("eval", "tiny", "quickstart", "data.eval=null").says("nothing to evaluate on", "set data.eval")
    effrl("eval", "tiny", "data.eval=rows.jsonl").says("rows.jsonl: no such file")
    effrl("eval", "tiny", "quickstart", "--out", "no/where.json").says("cannot write no/where.json", "no directory no")
    (tmp_path / "config.yaml").touch()
    effrl("eval", tmp_path).says(f"{tmp_path} has no checkpoint yet")


def test_what_cannot_be_exported(effrl: Command, run: Path, tmp_path: Path) -> None:
    effrl("export", tmp_path, "out").says("neither a run nor a checkpoint", "runs/NAME")
    (tmp_path / "out").mkdir()
    effrl("export", run, "out").says("cannot write out", "choose a directory that does not exist")
    effrl("export", run, "model").says("model was written, but does not load")


# --- the model and its context


@pytest.mark.parametrize("kind", ["empty", "missing", "file"])
def test_a_path_that_is_no_model(train: Command, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.touch()
    remedy = "config.json and *.safetensors" if kind == "empty" else "give a directory, a hub name, or one of tiny"
    train(f"model.path={path}").says(f"model.path={path} is no model", remedy)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{", ["config.json is not JSON", "download"]),
        ("config.json", b'{"max_position_embeddings": null}', ["max_position_embeddings", "set model.context"]),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", ["model.safetensors", "download"]),
        ("model.safetensors", b"\x40\0\0\0\0\0\0\0{", ["model.safetensors", "cut off"]),
    ],
)
def test_a_damaged_model(
    train: Command, tmp_path: Path, random_model: Path, name: str, content: bytes, words: list[str]
) -> None:
    """A download that was cut off, or a clone without its large files."""
    model = tmp_path / "model"
    model.mkdir()
    for file in ("config.json", "model.safetensors"):
        (model / file).write_bytes(content if file == name else (random_model / file).read_bytes())
    train(f"model.path={model}").says(*words)


def test_completions_longer_than_the_context(train: Command) -> None:
    train("rollout.max_tokens=2048").says("rollout.max_tokens (2048)", "2048 tokens", "lower it")


def test_a_context_longer_than_the_models(train: Command) -> None:
    """vLLM would refuse it, but only after a minute of loading."""
    train("model.context=4096").says("model.context (4096)", "2048", "lower it")


def test_a_prompt_longer_than_the_context(tmp_path: Path, random_model: Path) -> None:
    """As a process of its own: tokenizers like to warn of long texts on stderr, which would be a second line."""
    write(tmp_path / "rows.jsonl", *ROWS, {"prompt": "1" * 1985, "label": "1", "id": "long"})
    found = real_effrl(tmp_path, "train", "quickstart", *base(random_model), "data.train=rows.jsonl")
    found.says("data.train: prompt long has 1985 tokens", "max_tokens=64", "2048 leaves 1984", "shorten or remove it")


def test_a_template_that_makes_prompts_too_long(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", {"prompt": "1" * 1976, "label": "1"})
    train("data.train=rows.jsonl", "data.template=question").says("prompt rows:1 has ", "leaves 1984")


def test_a_prompt_that_just_fits(train: Command, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", {"prompt": "1" * 1984, "label": "1"})
    with pytest.raises(AssertionError, match="about to start"):
        train("data.train=rows.jsonl")


# --- the run directory


def test_a_directory_that_cannot_be_written(train: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    train("run.dir=file/run").says("cannot write a run to file/run", "Not a directory", "choose another run.dir")
    train("run.dir=file").says("cannot write a run to file", "choose another run.dir")


def test_a_directory_in_use(train: Command, tmp_path: Path, hold: Callable[[Path], Any]) -> None:
    holder = hold(tmp_path / "run")
    train().says("run is in use by process", str(holder.pid), "choose another run.dir")


@pytest.fixture
def run(tmp_path: Path, random_model: Path) -> Path:
    """A run of 20 steps with a checkpoint of step 10, as one learner rank writes it."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.config.write_text(load.dump(load.load("quickstart", (*base(random_model), "run.steps=20"))))
    written.write(Checkpoints(directory.checkpoints, keep=2), 10)
    return directory.path


def test_the_synthetic_run_itself_could_be_resumed(effrl: Command, run: Path) -> None:
    """Or the tests below would pass for a reason of their own."""
    with pytest.raises(AssertionError, match="about to start"):
        effrl("resume", run)


def test_resume_of_what_is_no_run(effrl: Command, tmp_path: Path) -> None:
    effrl("resume", tmp_path).says(f"{tmp_path} holds no run", "effrl train")
    effrl("resume", "runs/quikstart").says("runs/quikstart holds no run", "effrl train")


def test_resume_of_a_run_in_use(effrl: Command, run: Path, hold: Callable[[Path], Any]) -> None:
    holder = hold(run)
    effrl("resume", run).says(f"{run} is in use by process {holder.pid}", "wait for it")


def test_resume_of_a_run_that_cannot_be_written(effrl: Command, run: Path) -> None:
    (run / ".lock").mkdir()
    effrl("resume", run).says(f"cannot write a run to {run}", "choose another run.dir")


def test_resume_of_a_finished_run(effrl: Command, run: Path) -> None:
    effrl("resume", run, "run.steps=10").says("finished at step 10", f"effrl resume {run} run.steps=20")


def test_resume_with_another_number_of_ranks(effrl: Command, run: Path) -> None:
    effrl("resume", run, "cluster.learner.per_node=2").says("step_10", "1 learner ranks, not 2", "set cluster.learner")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("select.kind=band", ["select.kind", '"uniform"', '"band"']),
        ("model.path=tiny", ["model.path", '"tiny"']),
        ("learn.lr=1e-5", ["learn.lr", "it is 0.0002, not 1e-05"]),
        ("replay={fresh: 0.5}", ["replay", "it is null"]),
        ("rollout.prompts=8", ["rollout.prompts", "it is 32, not 8"]),
        ("run.dir=elsewhere", ["run.dir"]),
    ],
)
def test_resume_with_another_training(effrl: Command, run: Path, override: str, words: list[str]) -> None:
    """A state of another selector ends in a KeyError; another model would be named in the headline and not trained."""
    before = (run / "config.yaml").read_text()
    found = effrl("resume", run, override)
    found.says("cannot change", *words, "leave it out", f"model.path={run}/checkpoints/step_10/hf")
    assert (run / "config.yaml").read_text() == before


def test_resume_with_what_may_change(effrl: Command, run: Path) -> None:
    for override in ("run.steps=30", "eval.every=5", "label.budget.total=900", "cluster.rollout.per_node=2"):
        with pytest.raises(AssertionError, match="about to start"):
            effrl("resume", run, override)
    resumed = load.load(str(run / "config.yaml"))
    assert (resumed.run.steps, resumed.eval.every, resumed.label.budget.total) == (30, 5, 900)


def test_resume_that_cannot_start_leaves_the_config_as_it_was(
    effrl: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> None:
        raise UserError("the workers of one node need 900 CPUs")

    monkeypatch.setattr(training, "_attempt", too_large)
    before = load.load(str(run / "config.yaml"))
    effrl("resume", run, "cluster.rollout.cpus=900").says("need 900 CPUs")
    assert load.load(str(run / "config.yaml")) == before


def test_resume_of_a_checkpoint_of_an_earlier_version(effrl: Command, run: Path) -> None:
    path = run / "checkpoints" / "step_10"
    written.as_before(path)
    effrl("resume", run).says(f"{path} is a checkpoint of format 1", "model.path=", "the version that wrote it")


def test_resume_of_a_corrupted_checkpoint(run: Path) -> None:
    weights = run / "checkpoints" / "step_10" / "hf" / "model.safetensors"
    weights.write_bytes(b"weightz")
    found = real_effrl(run.parent, "resume", run)
    found.says(f"{weights} is damaged", f"delete {weights.parents[1]} to resume from the checkpoint before it")
