"""A short look for requests that the inbox stumbles over; ``tests.bench.inbox.fuzz`` is the long one."""

import schemathesis
from conftest import Site

from tests.bench.inbox.fuzz import Fuzz


def test_no_request_of_the_schema_or_beside_it_is_a_5xx(site: Site) -> None:
    fuzz = Fuzz(schemathesis.openapi.from_asgi("/openapi.json", site.client.app), site.client, site.tokens)
    fuzz.round(seed=1, examples=2)
    assert not fuzz.findings
    statuses = {name.split()[0] for name in fuzz.replies}
    assert fuzz.replies.total() > 50 and {"200", "422"} <= statuses, "it gets in, and it sends nonsense"
