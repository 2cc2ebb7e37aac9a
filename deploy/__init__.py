"""How people start effrl: ``cli`` names the commands, ``commands/`` has a file for each, and ``serve/`` is what outlives
a run.
"""
