"""Kill the inbox's server again and again while people answer: is an answer lost, doubled, or paid twice?

    python -m tests.bench.inbox.kills --kills 500

Ten clients answer without pause; the server dies by SIGKILL at random moments and is started again. Afterwards every
answer that a client saw acknowledged is looked up in the ledger.
"""

import argparse
import json
import random
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.inbox.office import Client, ledger_with, serving

CLIENTS = 10
MOST_ANSWERS, LONGEST_S = 30, 5.0
"""Of a server's life: then it dies, within a moment that is drawn too."""


def run(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    path, draw = folder / "ledger.sqlite", random.Random(seed)
    tokens = ledger_with(path, questions=40 * kills)
    stop = threading.Event()
    with serving(path) as server:
        base = f"http://127.0.0.1:{server.port}"
        clients = [Client(base, f"person-{n}", tokens.by_role["annotator"]) for n in range(CLIENTS)]

        def work(client: Client) -> None:
            while not stop.is_set() and client.answer_one():
                pass

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for _ in range(kills):
            live(clients, draw)
            server.kill()
            server.start()
            server.answers()
        stop.set()
        for thread in threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in threads), "a client hangs"
    found = {"kills": kills, "seed": seed, "clients": CLIENTS, "seconds": round(time.monotonic() - began, 1)}
    return found | {"retries": sum(client.retries for client in clients)} | books(path, clients)


def live(clients: list[Client], draw: random.Random) -> None:
    """Until so many answers more were acknowledged, and a moment longer."""
    answered, until = sum(len(client.acked) for client in clients), time.monotonic() + LONGEST_S
    wanted = answered + draw.randint(0, MOST_ANSWERS)
    while sum(len(client.acked) for client in clients) < wanted and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.02))


def books(path: Path, clients: list[Client]) -> dict[str, int]:
    """What the ledger has of what clients saw acknowledged."""
    acked = {name: item for client in clients for name, item in client.acked.items()}
    with sqlite3.connect(path) as connection:
        kept = connection.execute("select uuid, item, standing from inbox_opinions").fetchall()
        paid = connection.execute("select prompt_id from purchases where state = 'committed'").fetchall()
        told = connection.execute("select query_id from answers where answer is not null").fetchall()
        answered = connection.execute("select count(*) from inbox_questions where state = 'answered'").fetchone()[0]
    by_uuid = Counter(uuid for uuid, _, _ in kept)
    items = {uuid: item for uuid, item, _ in kept}
    counting = Counter(item for _, item, standing in kept if standing == "counts")
    return {
        "acked": len(acked),
        "lost": sum(items.get(uuid) != item for uuid, item in acked.items()),
        "doubled": sum(count > 1 for count in by_uuid.values()) + sum(count > 1 for count in counting.values()),
        "charged_twice": len(paid) - len(set(paid)),
        "told_twice": len(told) - len(set(told)),
        "books_disagree": abs(len(paid) - answered) + abs(len(told) - answered),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), wish.kills, wish.seed)
    print(json.dumps(found, indent=1))
    if wish.out is not None:
        wish.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
