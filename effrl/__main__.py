"""``python -m effrl`` is the command ``effrl``."""

from deploy.cli import main

main()
