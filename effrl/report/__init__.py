"""What people see of a run: the HTML page, ``effrl show``, charts and plots, the ``profile``, the progress line,
and what is ``coloured`` by process rewards. It reads run directories and metrics, and is read by nothing.
"""
