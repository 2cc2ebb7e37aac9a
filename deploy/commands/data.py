"""Looking at data sources and writing them, as the command line does it."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from effrl.config import load
from effrl.config.schema import Config
from effrl.data.audit import Audit, Findings, Ruler, audit, shared
from effrl.data.render import render
from effrl.data.write import write
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model
from effrl.report.show import printable
from effrl.types import Prompt


def check(targets: Sequence[str], model: str | None, max_tokens: int, limit: int, console: Console) -> None:
    """Say everything that is wrong with some sources, or with the data of a config.

    Raises:
        UserError: there are errors in the data; the terminal says which.
    """
    if _is_config(targets[0]):
        if model is not None or max_tokens:
            raise UserError(f"--model and --max-tokens are for sources: write model.path=… after {targets[0]}")
        _conclude(_check_config(load.load(targets[0], targets[1:]), limit, console))
        return
    ruler = _ruler(find_model(model), None, max_tokens) if model is not None else None
    problems: list[str] = []
    for target in targets:
        found = audit(load.source(target), ruler=ruler, limit=limit)
        problems += _tell(target, found, ruler, console)
    _conclude(problems)


def make(source: str, path: Path, console: Console) -> None:
    """Write any source as JSON Lines; raises as :func:`effrl.data.write.write` does."""
    rows, labelled = write(load.source(source), path)
    console.print(Text(f"{path}  {rows:,} rows, {labelled:,} with a label"), soft_wrap=True)


def _is_config(target: str) -> bool:
    return target in load.recipes() or target.endswith((".yaml", ".yml"))


def _check_config(config: Config, limit: int, console: Console) -> list[str]:
    data, model = config.data, find_model(config.model.path)
    ruler = _ruler(model, config.model.context, config.rollout.max_tokens)
    train = audit(data.train, data.form, ruler, limit)
    problems = _tell("data.train", train, ruler, console)
    ruler = _ruler(model, config.model.context, config.eval_max_tokens)
    for name, source in data.held_out.items():
        problems += _check_held_out(
            data.eval_field(name), train, audit(source, data.form, ruler, limit), ruler, console
        )
    return problems


def _check_held_out(field: str, train: Audit, held_out: Audit, ruler: Ruler, console: Console) -> list[str]:
    problems = _tell(field, held_out, ruler, console)
    if missing := held_out.rows - held_out.labelled:
        problems.append(f"{missing:,} of {field} without a label")
    leaked = shared(train, held_out, held_out.repeated.limit)
    console.print(Text(f"data.train and {field}", "bold"))
    _tell_findings("in both", leaked, console)
    return problems + ([f"{leaked.count:,} of {field} are trained on"] if leaked.count else [])


def _ruler(model: ModelFacts, context: int | None, max_tokens: int) -> Ruler:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.path)

    def tokens(prompt: Prompt) -> int:
        if not model.has_chat_template and not isinstance(prompt.content, str):
            raise UserError(f"prompt {prompt.id} is messages, but {model.path} has no chat template: use another model")
        return len(render(tokenizer, prompt.content))

    return Ruler(tokens, model.context_up_to(context) - max_tokens)


def _tell(name: str, found: Audit, ruler: Ruler | None, console: Console) -> list[str]:
    """Print what was found; returns what of it are errors."""
    console.print(Text(printable(name), "bold"), soft_wrap=True)
    share = f" ({found.labelled / found.rows:.0%})" if found.rows else ""
    _tell_fact("rows", Text(f"{found.rows:,}, {found.labelled:,} with a label{share}"), console)
    _tell_findings("malformed", found.malformed, console)
    _tell_findings("repeated", found.repeated, console, "yellow")
    _tell_findings("conflicting", found.conflicts, console)
    if ruler is not None and found.rows:
        lengths = " · ".join(f"{name} {length:,}" for name, length in found.quantiles().items())
        _tell_fact("tokens", Text(lengths), console)
        _tell_findings(f"over {ruler.room:,}", found.too_long, console)
    errors = {"malformed": found.malformed, "conflicting": found.conflicts, "too long": found.too_long}
    return [f"{errors[what].count:,} {what} in {name}" for what in errors if errors[what].count]


def _tell_fact(name: str, fact: Text, console: Console) -> None:
    console.print(Text.assemble((f"  {name:<12} ", "dim"), fact), soft_wrap=True)


def _tell_findings(name: str, found: Findings, console: Console, style: str = "red") -> None:
    _tell_fact(name, Text(f"{found.count:,}", style) if found.count else Text("none", "dim"), console)
    for line in found.lines:
        console.print(Text(f"      {printable(line)}"), soft_wrap=True)
    if found.count > len(found.lines) > 0:
        console.print(Text(f"      … and {found.count - len(found.lines):,} more (--limit)", "dim"))


def _conclude(problems: Sequence[str]) -> None:
    if problems:
        raise UserError(f"errors in the data: {', '.join(problems)}")
