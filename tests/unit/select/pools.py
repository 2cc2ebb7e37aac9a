"""Prompts and observations by hand."""

from collections.abc import Sequence

from effrl.types import Observation, Prompt


def pool(size: int) -> list[Prompt]:
    return [Prompt(f"p/{number}", f"{number}=", {"level": number}) for number in range(size)]


def numbers(prompts: Sequence[Prompt]) -> list[int]:
    return [int(prompt.id.removeprefix("p/")) for prompt in prompts]


def seen(number: int, passes: float, tries: int = 8) -> Observation:
    return Observation(Prompt(f"p/{number}", f"{number}="), passes, tries)
