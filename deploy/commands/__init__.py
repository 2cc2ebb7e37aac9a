"""The commands of ``effrl``, a file each; :mod:`deploy.cli` names them."""
