"""What scores solutions: the reward function of a run in its sandbox, and an implicit PRM. Both work in one thread."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deploy.serve.rewards.bodies import SolutionsBody, StepScore
from effrl.config.learn import CPU_PASS_TOKENS
from effrl.config.load import load
from effrl.config.reward import AnyReward
from effrl.data.render import Renderer
from effrl.errors import Malformed, UserError
from effrl.learn.packing import layout, pad, unweighted
from effrl.models import read_model
from effrl.preflight.judge import Judge
from effrl.process.steps import solution_score, step_ends, step_rewards
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.run.directory import RunDirectory
from effrl.types import Float32, Int32, Message, Score

Worth = tuple[list[StepScore], float]
"""A solution's steps, and what it is worth."""


class Unreadable(Exception):
    """A prompt and a solution have more tokens than the PRM was made for, or its chat template refuses them."""


def reward_of(run: Path) -> AnyReward:
    """The reward of a run.

    Raises:
        UserError: there is no such run.
    """
    directory = RunDirectory(run)
    if not directory.config.is_file():
        raise UserError(f"{run} is no run (it has no config.yaml): name the run whose reward is to be served")
    return load(str(directory.config)).reward


class OutcomeScorer:
    """The reward function, in worker processes that are killed when they hang."""

    def __init__(self, config: AnyReward) -> None:
        self._sandbox = Sandbox(config, [os.getcwd()])

    def score(self, item: SolutionsBody) -> list[Score]:
        """One score per solution of a prompt that has a label."""
        return self._sandbox.score(
            [ScoringTask(text, item.label, item.meta, False, prompt_id="request") for text in item.completions]
        )


class StepScorer:
    """An implicit PRM. Text is all that a caller has, so it is read as the PRM's own tokenizer writes it."""

    def __init__(self, judge: Judge) -> None:
        from actors.prm.reading import SolutionReader  # reads the environment when it is imported

        self._separator = judge.process.separator
        self._context = read_model(judge.prm).context
        self._reader = SolutionReader(judge)
        self._renderer = Renderer(self._reader.tokenizer)

    def score(self, item: SolutionsBody) -> list[Worth | None]:
        """Steps and worth of each solution; None of one without text.

        Raises:
            Unreadable: one does not fit.
        """
        worths: list[Worth | None] = [None] * len(item.completions)
        rows = [row for row, text in enumerate(item.completions) if text.strip()]
        prompt = self._prompt(item)
        sequences = [unweighted(self._joined(prompt, item.completions[row]), len(prompt)) for row in rows]
        [batches] = layout([len(sequence.ids) for sequence in sequences], 1, CPU_PASS_TOKENS)
        for places in batches:
            read = self._reader.read(pad([sequences[place] for place in places]))
            for place, (values, pieces) in zip(places, read, strict=True):
                worths[rows[place]] = self._steps(values, pieces)
        return worths

    def _prompt(self, item: SolutionsBody) -> Int32:
        content: str | tuple[Message, ...]
        if isinstance(item.prompt, str):
            content = item.prompt
        else:
            content = tuple({"role": turn.role, "content": turn.content} for turn in item.prompt)
        try:
            return self._renderer.ids(content)
        except (Malformed, UserError) as problem:
            raise Unreadable(str(problem)) from problem

    def _joined(self, prompt: Int32, text: str) -> Int32:
        ids = np.asarray(self._reader.tokenizer(text, add_special_tokens=False)["input_ids"], np.int32)
        whole = np.concatenate([prompt, ids])
        if len(whole) > self._context:
            raise Unreadable(
                f"prompt and completion have {len(whole)} tokens, and the PRM was made for {self._context}"
            )
        return whole

    def _steps(self, values: Float32, pieces: Sequence[str]) -> Worth:
        ends = step_ends(pieces, self._separator)
        stops = [int(place) + 1 for place in np.flatnonzero(ends)]
        texts = ["".join(pieces[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)]
        rewards = step_rewards(values, ends).tolist()
        steps = [StepScore(text=text, reward=reward) for text, reward in zip(texts, rewards, strict=True)]
        return steps, solution_score(values, pieces, self._separator)
