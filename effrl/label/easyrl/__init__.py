"""Pools that the model labels itself (EasyRL): ``split`` says which prompts are easy, ``items`` what is known of a
prompt, ``looks`` keeps it, ``reflection`` asks once more, ``tiers`` decides, ``anchor`` says how right
that is and ``measures`` what it cost, ``pool_work`` is one round over a pool, ``store`` its file, ``rounds`` what the
next one draws and when the last was reached, ``labeller`` supervises with it.

Nothing here sees a label: who judges the anchor is handed in, and tells right from wrong alone.
"""
