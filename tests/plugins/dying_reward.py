"""A module whose import kills the process, as a broken C extension does."""

import os

os._exit(9)
