"""Model directories whose chat templates are like those of well-known models, or broken."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}{% if add_generation_prompt %}<model>\n{% endif %}"
)
QWEN3 = TURNS + (
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)
SYNTAX = "{% for m in messages %}\n{{ m['content'] \n{% endfor %}"
UNDEFINED = "{{ today_in_words('%d') }}" + TURNS
DEAF = "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['content'] }}{% endif %}{% endfor %}"


def with_template(model: Path, out: Path, template: str | Mapping[str, str] | None) -> Path:
    """A copy of a model with another chat template, with several by name (as a list in its config), or without."""
    shutil.copytree(model, out)
    (out / "chat_template.jinja").unlink()
    if isinstance(template, str):
        (out / "chat_template.jinja").write_text(template)
    elif template is not None:
        file = out / "tokenizer_config.json"
        listed = [{"name": name, "template": text} for name, text in template.items()]
        file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": listed}))
    return out
