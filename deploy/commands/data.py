"""Looking at data sources and writing them, as the command line does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from effrl.acceptable import listed
from effrl.config import load
from effrl.config.data import DataConfig, Source
from effrl.config.schema import Config
from effrl.config.template import PLAIN, ChatArgument
from effrl.data.audit import Audit, Findings, Ruler, audit, shared
from effrl.data.doubts import DOUBTFUL, PREFILLED
from effrl.data.preview import Preview, previews
from effrl.data.render import Renderer
from effrl.data.tokenizer import check_tokenizer, load_tokenizer
from effrl.data.write import write
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model
from effrl.report.show import printable


@dataclass(frozen=True, slots=True)
class Look:
    """The options of ``effrl data check``."""

    model: str | None
    """That measures the prompts of bare sources; a config names its own."""
    max_tokens: int
    limit: int
    """Problems of each kind to tell."""
    show: int
    """Prompts of each source to show."""


def check(targets: Sequence[str], look: Look, console: Console) -> None:
    """Say everything that is wrong with some sources, or with the data of a config.

    Raises:
        UserError: there are errors in the data; the terminal says which.
    """
    if _is_config(targets[0]):
        if look.model is not None or look.max_tokens:
            raise UserError(f"--model and --max-tokens are for sources: write model.path=… after {targets[0]}")
        _conclude(_check_config(load.load(targets[0], targets[1:]), look, console))
        return
    _conclude(_check_sources({target: load.source(target) for target in targets}, look, console))


def make(source: str, path: Path, console: Console) -> None:
    """Write any source as JSON Lines; raises as :func:`effrl.data.write.write` does."""
    rows, labelled = write(load.source(source), path)
    console.print(Text(f"{path}  {rows:,} rows, {labelled:,} with a label"), soft_wrap=True)


def _is_config(target: str) -> bool:
    return target in load.recipes() or target.endswith((".yaml", ".yml"))


def _check_sources(sources: Mapping[str, Source], look: Look, console: Console) -> list[str]:
    """Look at sources by their short forms; returns what is wrong."""
    if look.model is None and look.show:
        raise UserError("--show renders prompts as a model gets them: add --model, or check a config")
    renderer, ruler = None, None
    if look.model is not None:
        model = find_model(look.model)
        renderer = _renderer(model, {})
        ruler = _ruler(renderer, model.context - look.max_tokens)
    problems: list[str] = []
    for name, source in sources.items():
        problems += _tell(name, audit(source, ruler=ruler, limit=look.limit), ruler, console)
    if renderer is not None:
        for name, source in sources.items():
            _show(name, previews(source, PLAIN, renderer, look.show), console)
    return problems


def _check_config(config: Config, look: Look, console: Console) -> list[str]:
    data, model = config.data, find_model(config.model.path)
    renderer = _renderer(model, config.model.chat_template_kwargs)
    context = model.context_up_to(config.model.context)
    ruler = _ruler(renderer, context - config.rollout.max_tokens)
    train = audit(data.train, data.form, ruler, look.limit)
    problems = _tell("data.train", train, ruler, console)
    ruler = _ruler(renderer, context - config.eval_max_tokens)
    for name, source in data.held_out.items():
        held_out = audit(source, data.form, ruler, look.limit)
        problems += _check_held_out(data.eval_field(name), train, held_out, ruler, console)
    for field, source in {"data.train": data.train, **_eval_fields(data)}.items():
        _show(field, previews(source, data.form, renderer, look.show), console)
    return problems


def _eval_fields(data: DataConfig) -> dict[str, Source]:
    return {data.eval_field(name): source for name, source in data.held_out.items()}


def _check_held_out(field: str, train: Audit, held_out: Audit, ruler: Ruler, console: Console) -> list[str]:
    problems = _tell(field, held_out, ruler, console)
    if missing := held_out.rows - held_out.labelled:
        problems.append(f"{missing:,} of {field} without a label")
    leaked = shared(train, held_out, held_out.repeated.limit)
    console.print(Text(f"data.train and {field}", "bold"))
    _tell_findings("in both", leaked, console)
    return problems + ([f"{leaked.count:,} of {field} are trained on"] if leaked.count else [])


def _renderer(model: ModelFacts, arguments: Mapping[str, ChatArgument]) -> Renderer:
    check_tokenizer(model.path, model.vocabulary)
    return Renderer(load_tokenizer(model.path), arguments)


def _ruler(renderer: Renderer, room: int) -> Ruler:
    return Ruler(lambda prompt: len(renderer.ids(prompt.content)), room)


def _tell(name: str, found: Audit, ruler: Ruler | None, console: Console) -> list[str]:
    """Print what was found; returns what of it are errors."""
    console.print(Text(printable(name), "bold"), soft_wrap=True)
    share = f" ({found.labelled / found.rows:.0%})" if found.rows else ""
    _tell_fact("rows", Text(f"{found.rows:,}, {found.labelled:,} with a label{share}"), console)
    _tell_findings("malformed", found.malformed, console)
    _tell_findings("repeated", found.repeated, console, "yellow")
    _tell_findings("conflicting", found.conflicts, console)
    # Both are legal, so that they are told only where they are.
    if found.prefilled.count:
        _tell_findings("prefilled", found.prefilled, console, "yellow", f"prompts {PREFILLED}")
    if found.doubtful.count:
        _tell_findings("doubtful", found.doubtful, console, "yellow", f"labels {DOUBTFUL}")
    if ruler is not None and len(found.lengths):
        lengths = " · ".join(f"{name} {length:,}" for name, length in found.quantiles().items())
        _tell_fact("tokens", Text(lengths), console)
        _tell_findings(f"over {ruler.room:,}", found.too_long, console)
    errors = {"malformed": found.malformed, "conflicting": found.conflicts, "too long": found.too_long}
    return [f"{errors[what].count:,} {what} in {name}" for what in errors if errors[what].count]


def _tell_fact(name: str, fact: Text, console: Console) -> None:
    console.print(Text.assemble((f"  {name:<12} ", "dim"), fact), soft_wrap=True)


def _tell_findings(name: str, found: Findings, console: Console, style: str = "red", of: str = "") -> None:
    _tell_fact(name, Text(f"{found.count:,} {of}".rstrip(), style) if found.count else Text("none", "dim"), console)
    for line in found.lines:
        console.print(Text(f"      {printable(line)}"), soft_wrap=True)
    if found.count > len(found.lines) > 0:
        console.print(Text(f"      … and {found.count - len(found.lines):,} more (--limit)", "dim"))


def _show(name: str, shown: Sequence[Preview], console: Console) -> None:
    """Print prompts, each beside a bar, so that the lines and blanks at its ends are seen too."""
    if shown:
        title = f"\nthe first {len(shown)} of {printable(name)}, as the model gets them"
        console.print(Text(title, "bold"), soft_wrap=True)
    for prompt in shown:
        label = Text("no label", "dim") if prompt.label is None else Text(f"label {_label(prompt.label)}", "green")
        facts = Text.assemble((printable(prompt.id), "cyan"), f"  {prompt.tokens:,} tokens · ", label)
        console.print(facts, soft_wrap=True)
        for line in _text(prompt).split("\n", allow_blank=True):
            console.print(Text("  │ ", "dim").append_text(line), soft_wrap=True)


def _label(label: str) -> str:
    return printable(listed(label)).replace("\n", " ⏎ ")


def _text(prompt: Preview) -> Text:
    found = Text()
    for piece in prompt.pieces:
        found.append(printable(piece.text), "magenta" if piece.special else "")
    blanks = len(found.plain) - len(found.plain.rstrip(" "))
    if blanks:  # at the very end they are tokens of their own in most vocabularies, and nobody sees them
        found.right_crop(blanks)
        found.append("␣" * blanks, "yellow")
    return found


def _conclude(problems: Sequence[str]) -> None:
    if problems:
        raise UserError(f"errors in the data: {', '.join(problems)}")
