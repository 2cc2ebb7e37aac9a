"""How people start effrl: the command line and the check of an installation."""
