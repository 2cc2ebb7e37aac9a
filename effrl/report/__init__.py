"""What people see of a run: the HTML page, ``effrl show``, charts and plots, the ``profile``, the progress line,
what is ``coloured`` by process rewards, and what is ``exported`` to Prometheus. It reads run directories and metrics.
"""
