"""Prompts to try a chat template on: a template that takes one conversation may refuse the next."""

from effrl.types import Prompt

FIRST, MOST = 3, 32


class Conversations:
    """Of the prompts that are messages, the first ones, and the first of each further order of roles."""

    def __init__(self) -> None:
        self.kept: list[Prompt] = []
        self.count = 0
        self._orders: set[tuple[str, ...]] = set()

    def add(self, prompt: Prompt) -> None:
        """Count a prompt, and keep it if it shows something new; plain text is neither."""
        if isinstance(prompt.content, str):
            return
        self.count += 1
        order = tuple(message["role"] for message in prompt.content)
        if self.count <= FIRST or (order not in self._orders and len(self.kept) < MOST):
            self.kept.append(prompt)
        self._orders.add(order)
