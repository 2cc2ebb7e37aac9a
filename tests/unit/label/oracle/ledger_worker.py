"""A process of its own that works on a ledger, for tests that race and kill it.

``ledger_worker.py LEDGER NAME PROMPTS BUDGET REFUND_SHARE``: print ``ready`` and wait for a line on stdin; then buy
prompt 0 to PROMPTS - 1 in an order of its own, each after its own reservation, and give some back. Every change that
the ledger confirmed is a line on stdout: R (new reservation), C (committed) or F (refunded) and the query id; at the
end, ``done``.
"""

import random
import sys
import time

from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import Outcome


def main(path: str, name: str, prompts: int, budget: int, refund_share: float) -> None:
    rng = random.Random(name)
    print("ready", flush=True)
    sys.stdin.readline()
    ledger = Ledger(path)
    for number in rng.sample(range(prompts), prompts):
        prompt = f"p{number}"
        time.sleep(rng.random() / 500)  # SQLite's lock is not fair: let the other process have it now and then
        reservation = ledger.reserve(query_id("train", number % 7, prompt), prompt, "dataset", 0, budget_total=budget)
        if reservation.outcome is Outcome.RESERVED:
            print("R", reservation.query_id, flush=True)
            if rng.random() < refund_share:
                ledger.refund(reservation.query_id)
                print("F", reservation.query_id, flush=True)
                continue
        # Where refunds are about, a pending reservation may be given back by its owner at any moment: leave it alone.
        pending = reservation.outcome is Outcome.PENDING and refund_share == 0
        if pending or reservation.outcome is Outcome.RESERVED:
            ledger.commit(reservation.query_id, f"answer {prompt}", name)
            print("C", reservation.query_id, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
