"""TRL's GRPO trainer on the CPU, out of a folder of its own, with the environment's torch and transformers."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.bench.speed.coin import coin
from tests.bench.speed.processes import run, run_module
from tests.bench.speed.rows import Clock, Row, read, write
from tests.bench.speed.sizes import ROOT, Size

PINS = Path(__file__).with_name("trl.txt")
FOLDER = ROOT / "build" / "trl"


def install() -> None:
    """Put what ``trl.txt`` lists into ``build/trl``, unless it is there; the environment itself is left alone."""
    stamp = FOLDER / "installed.txt"
    if stamp.is_file() and stamp.read_text() == PINS.read_text():
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    run([*pip, "--target", FOLDER, "-r", PINS], FOLDER / "install.log", {})
    stamp.write_text(PINS.read_text())


def trl_steps(size: Size, model: Path, prompts: Path, steps: int, directory: Path) -> list[Row]:
    """Rows of the steps."""
    directory.mkdir()
    work = {
        "model": str(model),
        "prompts": str(prompts),
        "per_step": size.prompts * size.per_prompt,
        "per_prompt": size.per_prompt,
        "max_tokens": size.max_tokens,
        "steps": steps,
        "out": str(directory / "trainer"),
    }
    (directory / "work.json").write_text(json.dumps(work))
    environment = {"PYTHONPATH": str(FOLDER), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    found = directory / "steps.jsonl"
    run_module("trl_arm", [directory / "work.json", found], directory / "trl.log", environment)
    return read(found)


def train(work: dict[str, Any], found: Path) -> None:
    """In TRL's process: train, and write a row for each step."""
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    rows: list[Row] = []

    class Laps(TrainerCallback):
        """A lap from the end of one step to that of the next; tokens come with the log, which follows."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.clock = Clock()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            rows.append({**self.clock.lap(), "rollouts": work["per_step"]})

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "completions/mean_length" in logs:
                rows[-1]["tokens"] = rows[-1]["learned_tokens"] = logs["completions/mean_length"] * work["per_step"]

    settings = GRPOConfig(
        output_dir=work["out"],
        per_device_train_batch_size=work["per_step"],
        num_generations=work["per_prompt"],
        max_completion_length=work["max_tokens"],
        max_steps=work["steps"],
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        beta=0.0,
        loss_type="dapo",  # a mean over tokens, as effrl's default
        temperature=1.0,
        top_k=0,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
    )
    tokenizer = AutoTokenizer.from_pretrained(work["model"], padding_side="left")
    trainer = GRPOTrainer(
        model=work["model"],
        reward_funcs=lambda completions, **_: list(map(coin, completions)),
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in read(Path(work["prompts"]))]),
        processing_class=tokenizer,
        callbacks=[Laps()],
    )
    trainer.train()
    write(found, rows)


if __name__ == "__main__":
    train(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
