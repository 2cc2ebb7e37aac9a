"""Taking a trained model elsewhere, as the command line does it."""

import shutil
from pathlib import Path

from rich.console import Console

from effrl.errors import UserError, one_line
from effrl.run.trained import find


def export(target: Path, out: Path, console: Console) -> None:
    """Copy the Hugging Face directory of a checkpoint to ``out``, and load it once.

    Raises:
        UserError: there is no such checkpoint, it is damaged or does not load, or ``out`` is there already.
    """
    trained = find(target)
    if trained is None:
        raise UserError(f"{target} is neither a run nor a checkpoint: give runs/NAME, or runs/NAME/checkpoints/step_N")
    try:
        shutil.copytree(trained.model, out)
    except OSError as error:
        raise UserError(
            f"cannot write {out} ({error.strerror or error}): choose a directory that does not exist"
        ) from error
    console.print(f"{out}  {trained.name}, {_parameters(out):,} parameters", highlight=False, soft_wrap=True)


def _parameters(model: Path) -> int:
    """Load model and tokenizer as anybody would."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(model)
        return int(AutoModelForCausalLM.from_pretrained(model, dtype="auto").num_parameters())
    except Exception as error:  # transformers raises whatever it stumbles over
        raise UserError(f"{model} was written, but does not load: {one_line(error)}") from error
