"""How people start effrl: ``cli`` names the commands, ``commands/`` has a file for each.

``serve/`` has the apps that outlive a run, ``jobs/`` what runs as Ray jobs need.
"""
