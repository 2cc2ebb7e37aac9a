"""What people see of a run: the HTML page, ``effrl show``, charts and plots, the ``profile``, and the progress line.
It reads run directories and metrics, and is read by nothing.
"""
