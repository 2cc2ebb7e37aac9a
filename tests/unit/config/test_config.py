"""The config: documented, strict, frozen, read, and the same after a round trip through its file."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import effrl
from effrl.config import fields, load
from effrl.config.data import ONE_SOURCE, SEVERAL_SOURCES, JsonlSource, TaskSource
from effrl.config.reward import ExactReward, MathReward, PluginReward
from effrl.config.schema import Config
from effrl.config.section import Section
from effrl.errors import UserError

ROOT = Path(effrl.__file__).parents[1]
MINIMAL = {"data": {"train": "tasks:chain"}}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's annotation names, in unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def walk(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for child in models_in(field.annotation):
            yield from walk(child)


MODELS = list(dict.fromkeys(walk(Config)))
FIELDS = [(model, name, field) for model in MODELS for name, field in model.model_fields.items()]
VALUES = [(model, name, field) for model, name, field in FIELDS if not models_in(field.annotation)]
"""The fields that hold a value, not a section."""


def named(fields: list[tuple[type[BaseModel], str, FieldInfo]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("model", "name", "field"), fields, ids=[f"{model.__name__}.{name}" for model, name, _ in fields]
    )


def loaded(*overrides: str) -> Config:
    return load.load("quickstart", overrides)


# --- the fields


@named(VALUES)
def test_every_field_is_documented(model: type[BaseModel], name: str, field: FieldInfo) -> None:
    """A kind may be documented by its model instead."""
    assert field.description or (name == "kind" and model.__doc__), "write a docstring under the field"


@named([entry for entry in FIELDS if not entry[2].is_required()])
def test_every_default_would_be_accepted(model: type[BaseModel], name: str, field: FieldInfo) -> None:
    """Pydantic does not validate defaults: one outside its own bounds would fail only when it is written down."""
    bounds: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    assert TypeAdapter(bounds).validate_python(field.get_default()) == field.get_default()


def test_every_section_is_strict_and_frozen() -> None:
    for model in MODELS:
        assert issubclass(model, Section), model
        assert (model.model_config.get("extra"), model.model_config.get("frozen")) == ("forbid", True), model


def test_nothing_changes_after_validation() -> None:
    config = loaded()
    with pytest.raises(ValidationError, match="frozen"):
        config.learn.lr = 1.0  # type: ignore[misc]


def attributes_read() -> set[str]:
    """Names after a dot or in a ``case`` in code; of the config itself only in what others call, not in checks."""
    files = [file for folder in ("effrl", "actors", "deploy") for file in (ROOT / folder).rglob("*.py")]
    nodes = [node for file in files for node in _outside_validators(ast.parse(file.read_text()))]
    matched = {name for node in nodes if isinstance(node, ast.MatchClass) for name in node.kwd_attrs}
    return matched | {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def _outside_validators(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        decorators = child.decorator_list if isinstance(child, ast.FunctionDef) else []
        if not any("_validator" in ast.unparse(decorator) for decorator in decorators):
            yield from _outside_validators(child)


def test_every_field_is_read_somewhere() -> None:
    """A field that nobody reads is a promise that is not kept."""
    read = attributes_read()
    unread = [f"{model.__name__}.{name}" for model, name, _ in FIELDS if name not in read and name != "kind"]
    assert not unread


def test_there_are_few_fields() -> None:
    """Each is a choice that every user meets; what only one kind needs, or an option, lives in that one's own model."""
    options = {
        child
        for model, _, field in FIELDS
        if field.default in (None, ()) or "kind" in model.model_fields
        for child in models_in(field.annotation)
    }
    owners = {(_owner(model, name), name) for model, name, _ in VALUES if model not in options}
    shared = [f"{owner.__name__}.{name}" for owner, name in owners if "kind" not in owner.model_fields]
    assert 20 < len(shared) <= 70


def _owner(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model that declares a field which others inherit."""
    return next(base for base in reversed(model.__mro__) if issubclass(base, BaseModel) and name in base.model_fields)


# --- sources


def test_short_forms_of_sources() -> None:
    tasks = loaded("data.train=tasks:chain?split=dev&size=128&seed=3").data.train
    assert tasks == TaskSource(name="chain", split="dev", size=128, seed=3)
    rows = loaded("data.train=some/rows.jsonl?prompt=question&label=answer").data.train
    assert rows == JsonlSource(path=Path("some/rows.jsonl"), prompt="question", label="answer")
    assert loaded("data.train={kind: jsonl, path: rows.jsonl}").data.train == JsonlSource(path=Path("rows.jsonl"))
    assert loaded("data.eval=null").data.eval is None


@pytest.mark.parametrize(
    ("sets", "main", "dev"),
    [
        ("tasks:chain?split=dev", "dev", "dev"),
        ("tasks:chain?split=test", "dev", None),
        ("{kind: tasks, name: chain, split: test}", "dev", None),
        ("['tasks:chain?split=dev', 'folder:rows?split=test']", "dev", None),
        ("{a: a.jsonl, dev: d.jsonl}", "dev", "dev"),
        ("{a: a.jsonl, b: b.jsonl}", "a", "a"),
        ("{test: t.jsonl, b: b.jsonl}", "b", "b"),
        ("{dev: 'hf:x/y?split=test', b: b.jsonl}", "b", "b"),
        ("{Test_aime: t.jsonl, test: t.jsonl}", "Test_aime", None),
        ("null", None, None),
    ],
)
def test_no_set_to_test_on_chooses(sets: str, main: str | None, dev: str | None) -> None:
    data = loaded(f"data.eval={sets}").data
    assert (data.main_set, data.dev_set) == (main, dev)


def test_several_sets_survive_a_round_trip(tmp_path: Path) -> None:
    config = loaded("data.eval={dev: 'tasks:chain?split=dev', mixed: ['a.jsonl', 'tasks:chain?split=test']}")
    (tmp_path / "config.yaml").write_text(load.dump(config))
    again = load.load(str(tmp_path / "config.yaml"))
    assert again == config and list(again.data.held_out) == ["dev", "mixed"]
    assert load.load(str(tmp_path / "config.yaml"), ["data.eval.dev=d.jsonl"]).data.held_out["dev"] == JsonlSource(
        path=Path("d.jsonl")
    )


def test_evaluation_samples_as_the_rollouts_do_unless_it_says_otherwise() -> None:
    same, own = loaded("rollout.temperature=0.7"), loaded("eval.temperature=0", "eval.max_tokens=9")
    assert (same.eval_temperature, same.eval_max_tokens) == (0.7, 64)
    assert (own.eval_temperature, own.eval_max_tokens) == (0.0, 9)


def test_overrides_alone_are_enough_to_evaluate() -> None:
    data = load.load_overrides(["data.eval={test: 'tasks:chain?split=test', dev: d.jsonl}", "reward.kind=exact"]).data
    assert list(data.held_out) == ["test", "dev"] and data.train == data.held_out["test"]
    assert load.load_overrides(["data.eval=d.jsonl"]).data.train == JsonlSource(path=Path("d.jsonl"))
    assert load.load_overrides(["data.eval=d.jsonl", "data.train=tasks:chain"]).data.train == TaskSource(name="chain")
    with pytest.raises(UserError, match="say what to evaluate on"):
        load.load_overrides(["reward.kind=exact"])


@pytest.mark.parametrize(
    "query",
    ["size=many", "size=0", "split=eval", "szie=3", "size=", "levels=two", "levels=2-9", "kinds=ax", "levels=3-1"],
)
def test_a_short_form_is_as_strict_as_the_long_one(query: str) -> None:
    with pytest.raises(UserError, match=r"^quickstart: .*data\.train"):
        loaded(f"data.train=tasks:chain?{query}")


# --- kinds


def test_a_reward_is_math_unless_it_says_otherwise() -> None:
    assert Config.model_validate(MINIMAL).reward == MathReward()
    assert loaded("reward.timeout_s=3").reward == MathReward(timeout_s=3)
    assert loaded("reward.kind=exact").reward == ExactReward()
    assert loaded("reward.kind=my.rewards:score").reward == PluginReward(kind="my.rewards:score")


# --- overrides


def test_overrides_make_the_sections_that_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("data: {train: 'tasks:chain'}")
    config = load.load(str(file), ["label.budget.total=5", "cluster.learner.per_node=2"])
    assert (config.label.budget.total, config.cluster.learner.per_node) == (5, 2)


def test_the_last_override_wins() -> None:
    assert loaded("run.steps=3", "run.steps=4").run.steps == 4


def test_values_are_yaml() -> None:
    assert loaded("learn.betas=[0.8, 0.9]").learn.betas == (0.8, 0.9)
    assert loaded("model.context=null").model.context is None
    assert (
        loaded("data={train: 'tasks:chain?size=7'}").data
        == Config.model_validate({"data": {"train": {"kind": "tasks", "name": "chain", "size": 7}}}).data
    )
    assert loaded("run.dir=a=b").run.dir == Path("a=b"), "only the first = separates"


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4"])
def test_numbers_in_scientific_notation(text: str) -> None:
    """YAML 1.1 takes ``1e-4`` for text."""
    assert loaded(f"learn.lr={text}").learn.lr == 1e-4


@pytest.mark.parametrize("name", ["2026-01-31", "2026-13-31", "2026-01-31 10:00:00"])
def test_a_directory_may_be_named_by_a_date(name: str) -> None:
    """YAML makes dates of such text, and PyYAML fails with a ValueError where there is no such day."""
    assert loaded(f"run.dir={name}").run.dir == Path(name)


# --- recipes and round trips


def test_there_are_recipes() -> None:
    assert "quickstart" in load.recipes()


@pytest.mark.parametrize("name", load.recipes())
def test_every_recipe_loads_and_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    """A resume reads the dump: what it loses, the second half of the run does without."""
    config = load.load(name)
    file = tmp_path / "config.yaml"
    file.write_text(load.dump(config))
    assert load.load(str(file)) == config


def test_a_round_trip_keeps_what_is_not_default(tmp_path: Path) -> None:
    overrides = ("learn.lr=1e-7", "reward.kind=my.rewards:score", "run.dir=2026-01-31", "data.train=x.jsonl?label=a")
    config = loaded(*overrides, "data.eval=null", "label.budget.total=9", "learn.betas=[0.8, 0.9]")
    file = tmp_path / "config.yaml"
    file.write_text(load.dump(config))
    assert load.load(str(file)) == config


def test_the_dump_spells_out_every_default() -> None:
    """Or a later version with other defaults would change what an old run was."""
    dumped = yaml.safe_load(load.dump(Config.model_validate(MINIMAL)))

    def check(model: type[BaseModel], section: dict[str, Any]) -> None:
        assert section.keys() == model.model_fields.keys()
        for name, field in model.model_fields.items():
            for child in models_in(field.annotation)[:1]:
                if section[name] not in (None, []):
                    check(child, section[name])

    check(Config, dumped)


# --- did you mean


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("rolout.prompts=3", "rollout"),
        ("rollout.promtps=3", "rollout.prompts"),
        ("cluster.learner.gpu=1", "cluster.learner.gpus"),
        ("label.oracel={}", "label.oracle"),
        ("reward={kind: plug.in:f, timeout=3: 1, memory: 3}", "reward.memory_mb"),
        ("reward.kind=exakt", "exact"),
        ("data.eval={kind: task, name: chain}", "tasks"),
        ("data.eval={dev: 'a.jsonl?promt=x'}", "data.eval.dev.prompt"),
    ],
)
def test_did_you_mean(override: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        loaded(override)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("task:chain", "no kind of source is called task; did you mean tasks:chain?"),
        ("HF:a/b?split=test", "no kind of source is called HF; did you mean hf:a/b?"),
        ("huggingface:a/b", "no kind of source is called huggingface; did you mean hf:a/b?"),
        ("https://example.org/a.jsonl", "effrl reads files of this machine and data sets of the hub: download it"),
        ("s3://bucket/a.jsonl", "effrl reads files of this machine and data sets of the hub: download it"),
    ],
)
def test_a_source_that_is_none(source: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        load.source(source)
    assert line in str(caught.value)


def test_a_file_may_have_a_colon_in_its_name() -> None:
    assert load.source("run:3.jsonl") == JsonlSource(path=Path("run:3.jsonl"))


def test_far_from_every_name_all_are_listed() -> None:
    with pytest.raises(UserError, match="known: every, max_tokens, pass_at, per_prompt, prompts, temperature"):
        loaded("eval.xyz=1")


def test_the_tags_of_kinds_are_known_to_messages() -> None:
    """Pydantic puts them into locations; a new kind whose tag stayed there would make messages name no such key."""
    kinds = {kind for model, name, field in FIELDS if name == "kind" for kind in get_args(field.annotation)}
    assert kinds == set(fields.TAGS) - {"plugin", ONE_SOURCE, SEVERAL_SOURCES}
