"""The two ways a command can fail, and the exit code of each."""


class UserError(Exception):
    """A mistake that the user can mend: one line that says what to do, exit code 2."""


class RunError(Exception):
    """A run that could not go on: one block that says what failed, exit code 1."""


class WeightsNotServedError(RunError):
    """A policy version was published, but the engine does not serve it (docs/design.md, invariant 4)."""


class DeadlineError(RunError):
    """A wait outlasted its deadline; the message names what was waited for."""


def one_line(error: BaseException) -> str:
    """Type and message of an error, on one line of bounded length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class Malformed(Exception):
    """What is wrong with one row, and what to do; the reader adds the place."""
