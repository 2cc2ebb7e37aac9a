"""The command line: ``effrl``, or ``python -m effrl``."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console

import effrl
from deploy.commands.arguments import Overrides, Recipe
from deploy.commands.config import config_app
from deploy.commands.doctor import doctor
from deploy.commands.fetch import fetch
from deploy.commands.jobs import job_app, submit
from deploy.commands.render import render
from deploy.commands.selection import plan
from deploy.commands.serve import serve_app
from deploy.commands.stop import stop
from effrl.errors import RunError, UserError

app = typer.Typer(
    help="Reinforcement learning for language models when labels, rollouts and GPU hours are scarce.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(name="data", help="Check data sources, and write them.", no_args_is_help=True)
reward_app = typer.Typer(name="reward", help="Check a reward.", no_args_is_help=True)
labels_app = typer.Typer(
    name="labels", help="Answer questions of a run, look at labels and votes.", no_args_is_help=True
)
dots_app = typer.Typer(name="dots", help="Predict how hard prompts are.", no_args_is_help=True)
for part in (config_app, data_app, reward_app, labels_app, dots_app, job_app, serve_app):
    app.add_typer(part)
console = Console()
errors = Console(stderr=True, emoji=False)  # a path may hold `:b:`

RunPath = Annotated[Path, typer.Argument(help="A run directory.")]
OrResume = Annotated[bool, typer.Option("--or-resume", help="If there is a run in run.dir, go on with it.")]
Profile = Annotated[bool, typer.Option("--profile", help="Write who worked when to RUN/profile, and show a table.")]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    state["debug"] = debug


state = {"debug": False}


@app.command()
def train(
    recipe: Recipe,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what the run will do and need, and stop.")] = False,
    profile: Profile = False,
    or_resume: OrResume = False,
) -> None:
    """Train a model: effrl train quickstart, or effrl train my.yaml learn.lr=1e-5."""
    if dry_run:
        from deploy.commands.plan import show_plan

        show_plan(recipe, overrides or [], console)
        return
    from deploy.commands import train as training

    (training.train_or_resume if or_resume else training.train)(recipe, overrides or [], console, profile)


for command in (plan, submit, stop, fetch, render, doctor):
    app.command()(command)


@app.command()
def resume(run: RunPath, overrides: Overrides = None, profile: Profile = False) -> None:
    """Go on with a run from its newest checkpoint."""
    from deploy.commands import train as training

    training.resume(run, overrides or [], console, profile)


@app.command("eval")
def evaluate(
    target: Annotated[str, typer.Argument(help="A run, a checkpoint, a model directory, or a model's name.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE] [OVERRIDES]...", help="A recipe or YAML file, and dotted overrides."),
    ] = None,
    best_of: Annotated[int | None, typer.Option(min=2, help="Samples per prompt, of which the PRM picks one.")] = None,
    prm: Annotated[Path | None, typer.Option(help="The run, or checkpoint, whose implicit PRM picks.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Prompts of each set to show, with samples and verdicts.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write: metrics, and every sample.")] = None,
) -> None:
    """Measure a model: effrl eval runs/quickstart, or effrl eval tiny data.eval=rows.jsonl."""
    from deploy.commands import evaluate as evaluation

    evaluation.evaluate(target, evaluation.EvalWish(arguments or [], best_of, prm, show, out), console)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A run, or one of its checkpoints.")],
    out: Annotated[Path, typer.Argument(help="Directory to write; it must not exist.")],
) -> None:
    """Copy the model of a checkpoint as a Hugging Face directory, and see that it loads."""
    from deploy.commands import export

    export.export(target, out, console)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run directory, or several to compare.")],
    out: Annotated[Path | None, typer.Option(help="File to write; report.html in the first run by default.")] = None,
) -> None:
    """Write one HTML page with plots and sample rollouts."""
    from effrl.report.page import write_report

    path = out or runs[0] / "report.html"
    write_report(runs, path)
    console.print(path, highlight=False)


@app.command()
def show(
    run: RunPath,
    step: Annotated[int, typer.Argument(help="Step to look at.")],
    limit: Annotated[int, typer.Option(min=1, help="Groups to show.")] = 5,
    process: Annotated[bool, typer.Option("--process", help="Colour tokens by their process rewards.")] = False,
) -> None:
    """Show prompts, rollouts, rewards, labels and fates of one step."""
    from effrl.report.coloured import show_process
    from effrl.report.show import show_step

    (show_process if process else show_step)(run, step, console, limit)


@app.command()
def score(
    source: Annotated[str, typer.Argument(metavar="DATA", help="Any source, such as 'rows.jsonl?label=answer'.")],
    model: Annotated[str, typer.Option(help="A model directory, a hub name, or tiny.")],
    ratio: Annotated[float, typer.Option(min=0, max=1, help="Share of the rows to select.")] = 0.1,
    center: Annotated[Literal["mean", "median"], typer.Option(help="Middle of the zone.")] = "mean",
    normalise: Annotated[
        Literal["none", "length"], typer.Option(help="Product of the target's token probabilities, or geometric mean.")
    ] = "none",
    target: Annotated[
        Literal["final_answer", "full_solution"] | None,
        typer.Option(help="What of a label is scored; by default its work, if most labels have any."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Text between prompt and answer; by default what prompts or reward say.")
    ] = None,
    template: Annotated[str, typer.Option(help="As data.template: a name, or a text with {prompt}.")] = "plain",
    system: Annotated[str | None, typer.Option(help="System prompt, as data.system.")] = None,
    chat_template_kwargs: Annotated[
        str, typer.Option(help="As model.chat_template_kwargs: '{enable_thinking: false}'.")
    ] = "{}",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a forward pass, padding included.")] = 16384,
    workers: Annotated[int, typer.Option(min=1, help="Actors of the pool; each loads the model.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each worker (not run on a GPU yet).")] = 0,
    out: Annotated[Path, typer.Option(help="JSON Lines or Parquet file to write; a picture lies beside it.")] = Path(
        "scores.jsonl"
    ),
    check: Annotated[
        int | None, typer.Option(min=8, help="Roll out so many prompts, to see whether the score tells anything.")
    ] = None,
    reward: Annotated[str | None, typer.Option(help="As reward.kind: how outcomes are read.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of a rollout of --check.")] = 256,
) -> None:
    """Find the rows worth training on, one forward pass each: effrl score 'tasks:chain' --model tiny --prefix '#'."""
    from deploy.commands import score

    wish = score.Wish(
        model, ratio, center, normalise, target, prefix, template, system, chat_template_kwargs, batch_tokens, workers,
        gpus, out, check, reward, max_tokens,
    )  # fmt: skip
    score.score(source, wish, console)


@data_app.command("check")
def data_check(
    targets: Annotated[list[str], typer.Argument(help="Sources, or a config with its overrides.")],
    model: Annotated[str | None, typer.Option(help="Measure prompts of sources in tokens of this model.")] = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Leave this room for completions.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="Problems of each kind to show.")] = 10,
    show: Annotated[int, typer.Option(min=0, help="Prompts of each source to show as the model gets them.")] = 0,
) -> None:
    """Find everything that is wrong with data: effrl data check rows.jsonl, or effrl data check my.yaml."""
    from deploy.commands import data

    data.check(targets, data.Look(model, max_tokens, limit, show), console)


@data_app.command("make")
def data_make(
    source: Annotated[str, typer.Argument(help="Any source, such as tasks:chain?size=512.")],
    out: Annotated[Path, typer.Argument(help="JSON Lines file to write; it must not exist.")],
) -> None:
    """Write the rows of a source: effrl data make 'hf:openai/gsm8k?config=main&prompt=question' gsm8k.jsonl."""
    from deploy.commands import data

    data.make(source, out, console)


@reward_app.command("check")
def reward_check(
    recipe: Recipe,
    overrides: Overrides = None,
    rows: Annotated[int, typer.Option(min=1, help="Labelled rows to check with.")] = 64,
    form: Annotated[str | None, typer.Option(help="How a completion puts its answer: 'Answer: {answer}'.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Unexpected verdicts of each kind to show.")] = 5,
) -> None:
    """Score golds, golds of other rows and mutated golds before any GPU is booked."""
    from deploy.commands import reward

    reward.check(recipe, overrides or [], rows, form, limit, console)


@labels_app.command("probe")
def probe_labels(
    recipe: Recipe,
    overrides: Overrides = None,
    prompts: Annotated[int, typer.Option(min=1, help="Training prompts to roll out, the first ones.")] = 32,
    every: Annotated[bool, typer.Option("--all", help="Roll out every training prompt.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON Lines file to write, for label.reference of restrain.")] = None,
) -> None:
    """See whether votes can be trusted, before a budget is set: effrl labels probe care."""
    from deploy.commands import labels

    labels.probe(recipe, overrides or [], None if every else prompts, out, console)


Person = Annotated[str | None, typer.Option("--name", help="Who answers; your user name by default.")]
InboxPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or the file of a ledger.")]


@labels_app.command("serve")
def serve_labels(
    target: InboxPath,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")] = 8321,
    webhook: Annotated[str | None, typer.Option(help="URL that gets signed hints that people are wanted.")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Let other machines reach it.")] = False,
) -> None:
    """Open the inbox in which people answer a run's questions: effrl labels serve runs/care_human."""
    from deploy.commands import inbox

    inbox.serve(target, host, port, webhook, allow_remote, console)


@labels_app.command("next")
def next_question(target: InboxPath, name: Person = None) -> None:
    """Show the question that you hold, or the next one."""
    from deploy.commands import answers

    answers.show_next(target, name, console)


@labels_app.command("answer")
def answer_question(
    target: InboxPath,
    choice: Annotated[str, typer.Argument(help="Number of an answer, as `next` shows it.")] = "",
    typed: Annotated[str, typer.Option(help="The right answer, where none of them is.")] = "",
    skip: Annotated[str, typer.Option(help="Why you pass: cannot_tell, ambiguous, bad_prompt or none_right.")] = "",
    note: Annotated[str, typer.Option(help="Anything that the owner of the run should know.")] = "",
    name: Person = None,
) -> None:
    """Answer the question that you hold: effrl labels answer runs/care_human 2."""
    from deploy.commands import answers

    answers.answer(target, answers.Said(choice, typed, skip, note), name, console)


@labels_app.command("list")
def list_questions(
    target: InboxPath,
    state: Annotated[str | None, typer.Option(help="Such as open, answered or skipped.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest questions to show.")] = 20,
) -> None:
    """List the questions of a run, and how they stand."""
    from deploy.commands import answers

    answers.list_questions(target, state, limit, console)


@labels_app.command("export")
def export_labels(
    target: InboxPath,
    out: Annotated[Path, typer.Argument(help="FILE.jsonl or .parquet: all answers; .csv: questions to fill in.")],
    count: Annotated[int, typer.Option(min=1, help="Questions of a .csv.")] = 50,
    name: Person = None,
) -> None:
    """Write all answers with where they come from, or questions to fill in offline."""
    from deploy.commands import answers

    answers.export(target, out, count, name, console)


@labels_app.command("import")
def import_labels(
    target: InboxPath,
    table: Annotated[Path, typer.Argument(help="A .csv of `export` that was filled in.")],
) -> None:
    """Take the answers of a table that was filled in; twice is as good as once."""
    from deploy.commands import answers

    answers.import_answers(target, table, console)


@dots_app.command("fit")
def dots_fit(
    runs: Annotated[list[Path], typer.Argument(help="Run directories whose measured pass rates to learn from.")],
    out: Annotated[Path, typer.Option(help="File to write, for select.predictor.")],
    embeddings: Annotated[str | None, typer.Option(help="Model that embeds; the runs' base model by default.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Steps whose groups count as one policy's.")] = 4,
    reference: Annotated[int, typer.Option(min=2, help="References that a step of the fit draws.")] = 256,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over all groups.")] = 20,
    hidden: Annotated[int, typer.Option(min=1, help="Width of the network.")] = 896,
    layers: Annotated[int, typer.Option(min=1, help="Linear layers of an adapter.")] = 3,
    seed: Annotated[int, typer.Option(help="Of weights, order and what is held out.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one CPU each.")] = 1,
) -> None:
    """Fit a difficulty predictor on finished runs, and say how well it predicts prompts that it was not shown."""
    from deploy.commands.dots import Options, fit_predictor
    from effrl.difficulty.training import Fit

    fit = Fit(epochs=epochs, references=reference, seed=seed)
    fit_predictor(runs, Options(out, embeddings, window, fit, hidden, layers, workers), console)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(effrl.__version__)


def main() -> NoReturn:
    """Run a command; exit code 2 for the user's mistake, 1 for a failed run, 130 after Ctrl-C."""
    sys.exit(_guarded(app))


def _guarded(command: Callable[[], None]) -> int | str | None:
    try:
        command()
    except SystemExit as end:
        return end.code
    except UserError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        errors.print("stopped", highlight=False)
        return 130
    return 0


def _fail(error: Exception, code: int) -> int:
    if state["debug"]:
        traceback.print_exception(error)
    else:
        errors.print(f"effrl: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    return code
