"""What each process of an engine over several devices imports: it makes effrl's transport known there.

vLLM's worker gets the methods of such a class. This one has none, since importing its module is all that is needed.
"""

from actors.rollout.transfer import ShmTransfer, register

register(ShmTransfer)


class Extension:
    """Of vLLM's worker."""
