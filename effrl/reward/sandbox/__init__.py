"""Runs reward functions where they can do no harm: ``pool`` shares work over ``process``es, each of which runs
``worker``; they speak in ``messages``. Only ``worker`` knows the user's code, and only ``process`` knows processes.
"""
