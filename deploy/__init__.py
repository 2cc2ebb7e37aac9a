"""How people start effrl: ``cli`` names the commands, ``commands/`` has a file for each."""
