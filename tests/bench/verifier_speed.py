"""Completions that the verifier judges in a second of one core, printed: GSM8K's, right and wrong, with its labels.

``python verifier_speed.py ROOT``: ROOT has the data's reader; the verifier is that of PYTHONPATH, which may be older.
"""

import os
import sys
import time

sys.path.append(sys.argv[1])
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from effrl.reward import verifiers  # noqa: E402
from tests.gsm8k import FORMS, MUTATIONS, published  # noqa: E402

PUBLISHED = ("as published", "boxed", "dollars")
MUTATED = ("plus one", "an intermediate number")

solutions = published()
tasks = [(FORMS[form](each), each) for form in PUBLISHED for each in solutions]
tasks += [(each.ending(other), each) for name in MUTATED for each in solutions for other in MUTATIONS[name](each)]
labels = [solution.ending(solution.final) for _, solution in tasks]

began = time.process_time()
for (completion, _), label in zip(tasks, labels, strict=True):
    verifiers.math(completion, label, {})
print(len(tasks) / (time.process_time() - began))
