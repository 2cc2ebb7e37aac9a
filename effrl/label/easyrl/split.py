"""Which prompts are easy: the tenth whose labels EasyRL begins with (section 2.1; the sources leave the cut open)."""

from collections.abc import Mapping, Sequence
from math import inf

from effrl.columns import difficulty_of
from effrl.config.stages import EasySplit
from effrl.seeds import derive
from effrl.types import Prompt


def easy_ids(
    prompts: Sequence[Prompt], of: int, split: EasySplit, seed: int, values: Mapping[str, float]
) -> frozenset[str]:
    """Ids of the easiest prompts; of equals, the smaller id.

    Args:
        prompts: those that have a label.
        of: how many there are with and without one, of which ``split.share`` are taken.
        seed: of the run; what is drawn at random does not depend on the order of the prompts.
        values: for ``certainty`` and ``pass_rate``, in [0, 1] by prompt id, larger where easier. A prompt of which
            nothing could be found out is harder than all others.

    Raises:
        UserError: a row has no number in the column.
    """
    hardness = {prompt.id: _hardness(prompt, split, seed, values) for prompt in prompts}
    return frozenset(sorted(hardness, key=lambda name: (hardness[name], name))[: split.count(of)])


def _hardness(prompt: Prompt, split: EasySplit, seed: int, values: Mapping[str, float]) -> float:
    match split.by:
        case "column":
            return difficulty_of(prompt, split.column, "easy.column")
        case "random":
            return derive(seed, "easy", prompt.id)
        case "certainty" | "pass_rate":
            return -values.get(prompt.id, -inf)
