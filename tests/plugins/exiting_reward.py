"""A script without a main guard: importing it ends the process."""

import sys

sys.exit("usage: exiting_reward FILE")
