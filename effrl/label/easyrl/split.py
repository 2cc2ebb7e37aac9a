"""Which prompts are easy: the tenth whose labels EasyRL begins with (section 2.1; the sources leave the cut open)."""

from collections.abc import Mapping, Sequence
from math import ceil, inf, isfinite

from effrl.config.stages import EasySplit
from effrl.errors import UserError
from effrl.seeds import derive
from effrl.types import Prompt


def easy_ids(prompts: Sequence[Prompt], split: EasySplit, seed: int, values: Mapping[str, float]) -> frozenset[str]:
    """Ids of the easiest ``split.share`` of the prompts, rounded up; of equals, the smaller id.

    Args:
        seed: of the run; what is drawn at random does not depend on the order of the prompts.
        values: for ``certainty`` and ``pass_rate``, in [0, 1] by prompt id, larger where easier. A prompt of which
            nothing could be found out is harder than all others.

    Raises:
        UserError: a row has no number in the column.
    """
    hardness = {prompt.id: _hardness(prompt, split, seed, values) for prompt in prompts}
    count = min(len(prompts), max(1, ceil(split.share * len(prompts) - 1e-9)))
    return frozenset(sorted(hardness, key=lambda name: (hardness[name], name))[:count])


def _hardness(prompt: Prompt, split: EasySplit, seed: int, values: Mapping[str, float]) -> float:
    match split.by:
        case "column":
            return _number(prompt, split.column)
        case "random":
            return derive(seed, "easy", prompt.id)
        case "certainty" | "pass_rate":
            return -values.get(prompt.id, -inf)


def _number(prompt: Prompt, column: str) -> float:
    value = prompt.meta.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        what = f"{value!r:.40}, which is no number" if column in prompt.meta else "not there"
        raise UserError(
            f"prompt {prompt.id}: {column} (easy.column) is {what}: name a column that has a number in every row, or"
            " set easy.by=certainty, which needs none"
        )
    return value
