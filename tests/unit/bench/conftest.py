"""The bench is imported as ``tests.bench``, from the root of the repository: it is in no wheel."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
