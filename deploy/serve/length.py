"""How long a body may be: it is told by its header, before anything of it is read."""

from collections.abc import Mapping


def unfit_length(headers: Mapping[bytes, bytes], most: int) -> tuple[int, str] | None:
    """Status and reason to refuse a request whose body is longer than ``most`` bytes, or of unknown length."""
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers:
        return 411, "send the body with a Content-Length"
    if not length.isdigit() or len(length) > 20 or int(length) > most:
        return 413, f"the body is longer than {most} bytes: send less at a time"
    return None
