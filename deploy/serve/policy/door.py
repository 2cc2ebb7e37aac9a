"""Who is in: answers that are under way, none of which may meet a change of weights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from effrl.errors import DeadlineError


class Full(Exception):
    """As many requests as are taken at a time are in, or wait to be."""


class Door:
    """Lets requests in side by side, and a change of weights alone: an answer is of one version from end to end.

    While a change waits for those that are in, newcomers wait at the door. They are neither refused nor answered by a
    version that they are not told.
    """

    def __init__(self, places: int) -> None:
        """Args: places: requests that may be in or wait at the door."""
        self.places = places
        self.inside = 0
        self._waiting = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """Be in; waits for a change that is under way, which has a deadline of its own.

        Raises:
            Full: there is no place; nothing was waited for.
        """
        if self.inside + self._waiting >= self.places:
            raise Full
        self._waiting += 1
        try:
            while not self._open.is_set():  # another change may have begun before this request woke up
                await self._open.wait()
        finally:
            self._waiting -= 1
        self.inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.inside -= 1
            if not self.inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self, wait_s: float) -> AsyncIterator[None]:
        """Be in alone. One change at a time.

        Raises:
            DeadlineError: answers were still under way after so many seconds; newcomers are let in again.
        """
        self._open.clear()
        try:
            try:
                await asyncio.wait_for(self._empty.wait(), wait_s)
            except TimeoutError as error:
                raise DeadlineError(f"{self.inside} answers were still under way after {wait_s:g} s") from error
            yield
        finally:
            self._open.set()
