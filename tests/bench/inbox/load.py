"""How fast the inbox is, alone on its machine: answers and leases of ten people, and the owner's list.

    python -m tests.bench.inbox.load --seconds 60

The server has a process of its own, each person another; nobody thinks, so that the server never rests.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.bench.inbox.office import Client, Server, ledger_with, serving

PEOPLE = 10


def percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2), "count": len(times)}


def person(base: str, name: str, token: str, seconds: float, pause_s: float, told: Any) -> None:
    client, until = Client(base, name, token), time.monotonic() + seconds
    while time.monotonic() < until and client.answer_one():
        time.sleep(pause_s)
    told.put((client.put_ms, client.lease_ms))


def people(server: Server, token: str, seconds: float, pause_s: float) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    told, base = context.Queue(), f"http://127.0.0.1:{server.port}"
    arguments = [(base, f"person-{n}", token, seconds, pause_s, told) for n in range(PEOPLE)]
    workers = [context.Process(target=person, args=one) for one in arguments]
    for worker in workers:
        worker.start()
    times = [told.get(timeout=seconds + 60) for _ in workers]
    for worker in workers:
        worker.join(30)
    puts, leases = ([value for one in times for value in one[kind]] for kind in (0, 1))
    return {"put": percentiles(puts), "lease": percentiles(leases), "answers_per_s": round(len(puts) / seconds, 1)}


def lists(server: Server, token: str, calls: int = 200) -> dict[str, Any]:
    http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers={"Authorization": f"Bearer {token}"})
    times: dict[str, list[float]] = {"list": [], "overview": []}
    after = 0
    for _ in range(calls):
        for name, path in (("list", f"/api/items?after={after}&limit=100"), ("overview", "/api/overview")):
            began = time.perf_counter()
            reply = http.get(path).raise_for_status().json()
            times[name].append(1000 * (time.perf_counter() - began))
            after = reply["next"] or 0 if name == "list" else after
    return {name: percentiles(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between a person's answers")
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        busy, long = Path(folder) / "busy.sqlite", Path(folder) / "list" / "long.sqlite"
        long.parent.mkdir()
        tokens, owner = ledger_with(busy, wish.open), ledger_with(long, wish.items)
        with serving(busy) as server:
            found = people(server, tokens.by_role["annotator"], wish.seconds, wish.pause)
        with serving(long) as server:
            found |= lists(server, owner.by_role["owner"])
            found["rss_mb"] = round(psutil.Process(server.pid).memory_info().rss / 2**20)
    found |= {"people": PEOPLE, "pause_s": wish.pause, "open": wish.open, "items": wish.items}
    print(json.dumps(found, indent=1))
    if wish.out is not None:
        wish.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
