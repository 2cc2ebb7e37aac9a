"""Model directories as people have them: what is told of each before anything starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_models import TURNS, with_template

CommandLine = Callable[..., tuple[object, str, str]]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    return with_template(random_model, tmp_path / "model", TURNS)


@pytest.fixture
def check(command_line: CommandLine, model: Path) -> CommandLine:
    """``effrl config check`` of the model, with prompts of messages."""
    base = (f"model.path={model}", "data.train=tasks:chain?size=8", "data.eval=null", "data.template=chat")
    return lambda *overrides: command_line("config", "check", "quickstart", *base, *overrides)


def edit(file: Path, **fields: Any) -> None:
    """Change fields of a JSON file; None takes one out."""
    found = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def add_tokens(model: Path, *names: str) -> list[int]:
    """Special tokens for the tokenizer, without embeddings; returns their numbers."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"additional_special_tokens": list(names)})
    tokenizer.save_pretrained(model)
    return [int(number) for number in tokenizer.convert_tokens_to_ids(list(names))]


# --- models that cannot be trained


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("adapter_config.json", "it is an adapter: merge it into its base"),
        ("weights.gguf", "GGUF is a format of other engines"),
        ("pytorch_model-00001-of-00002.bin", "save it as safetensors, with save_pretrained"),
        ("README.md", "a Hugging Face directory has config.json and *.safetensors"),
    ],
)
def test_what_is_there_instead_of_a_model(check: CommandLine, model: Path, file: str, words: str) -> None:
    (model / "model.safetensors").rename(model / file)
    code, _, err = check()
    assert code == 2 and words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantised (gptq), and training needs plain weights"),
        ({"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"}, "needs code of its authors"),
        ({"architectures": ["BertModel"]}, "is a BertModel, which generates no text"),
    ],
)
def test_a_model_that_cannot_be_trained(check: CommandLine, model: Path, fields: dict[str, Any], words: str) -> None:
    edit(model / "config.json", **fields)
    code, _, err = check()
    assert code == 2 and words in err and err.count("\n") == 1


def test_code_beside_an_architecture_that_is_known_is_not_needed(check: CommandLine, model: Path) -> None:
    edit(model / "config.json", auto_map={"AutoConfig": "own.Own"})
    assert check()[0] == 0


def test_sizes_by_their_old_names(command_line: CommandLine, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GPT-2's."""
    from transformers import GPT2Config, GPT2LMHeadModel

    (model / "model.safetensors").unlink()
    GPT2LMHeadModel(
        GPT2Config(vocab_size=128, n_positions=256, n_embd=32, n_layer=2, n_head=2, eos_token_id=1, bos_token_id=1)
    ).save_pretrained(model)
    capsys.readouterr()  # the progress of the saving
    plan = ("train", "--dry-run", "quickstart", f"model.path={model}", "data.eval=null")
    code, out, err = command_line(*plan)
    assert (code, err) == (0, "") and "key-value cache 1 GiB" in out
    edit(model / "config.json", n_layer=None)
    code, _, err = command_line(*plan)
    assert code == 2 and "config.json has no num_hidden_layers" in err and err.count("\n") == 1


# --- tokenizers


def test_a_tokenizer_without_a_token_to_pad_with(check: CommandLine, model: Path) -> None:
    """Nothing pads text."""
    edit(model / "tokenizer_config.json", pad_token=None)
    edit(model / "config.json", pad_token_id=None)
    code, out, _ = check()
    assert code == 0 and "note: " not in out


def test_a_vocabulary_without_a_fast_tokenizer(check: CommandLine, model: Path) -> None:
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    (model / "tokenizer.json").unlink()
    (model / "vocab.json").write_text(json.dumps(vocabulary))
    (model / "merges.txt").write_text("#version: 0.2\n")
    edit(model / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    assert check()[0] == 0
    assert check("data.template=plain")[0] == 0
    (model / "vocab.json").unlink()
    (model / "tokenizer.model").write_bytes(b"junk")
    edit(model / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    for template in ("chat", "plain"):
        code, _, err = check(f"data.template={template}")
        assert code == 2 and "cannot be loaded" in err and "download the model again" in err and err.count("\n") == 1


def test_a_tokenizer_of_another_model(check: CommandLine, model: Path) -> None:
    edit(model / "config.json", vocab_size=64)
    code, _, err = check("data.template=plain")
    assert code == 2 and "and the model 64: it is of another model" in err


def test_a_special_token_without_an_embedding(check: CommandLine, model: Path) -> None:
    *_, number = add_tokens(model, *(f"<|{name}|>" for name in range(60)), "<|im_start|>")
    assert number >= 128 and check()[0] == 0, "it is in no prompt"
    (model / "chat_template.jinja").write_text("<|im_start|>" + TURNS)
    code, _, err = check()
    assert code == 2 and f"the token <|im_start|>, number {number}, and the model has embeddings of 128 tokens" in err


# --- what ends a completion


ENDLESS = "note: neither generation_config.json nor tokenizer_config.json names an end-of-sequence token"


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_model_that_nothing_ends(check: CommandLine, model: Path, template: str) -> None:
    edit(model / "tokenizer_config.json", eos_token=None)
    edit(model / "config.json", eos_token_id=None)
    (model / "generation_config.json").unlink()
    form = f"data.template={template}"
    assert ENDLESS in check(form)[1]
    assert ENDLESS not in check(form, 'rollout.stop=["#"]')[1]
    (model / "generation_config.json").write_text('{"eos_token_id": [1, 5]}')
    assert ENDLESS not in check(form)[1]
    (model / "generation_config.json").unlink()
    edit(model / "tokenizer_config.json", eos_token={"content": "<eos>"})
    assert ENDLESS not in check(form)[1]


def test_a_template_whose_turns_end_otherwise_than_completions(check: CommandLine, model: Path) -> None:
    """A base model with the template of its instruct sister: its end-of-sequence token is that of texts."""
    _, end = add_tokens(model, "<|im_start|>", "<|im_end|>")
    (model / "chat_template.jinja").write_text(CHATML)
    note = "note: the chat template ends a turn with <|im_end|>, which ends no completion of this model: set"
    assert f"{note} rollout.stop=[{end}] if the policy writes it\n" in check()[1]
    assert note not in check(f"rollout.stop=[{end}]")[1]
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, end]}))
    assert note not in check()[1]
    (model / "generation_config.json").unlink()
    edit(model / "tokenizer_config.json", eos_token="<|im_end|>")
    assert note not in check()[1]
