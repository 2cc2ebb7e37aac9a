"""Before anything starts: ``check`` reads model and data and finds what cannot work, ``plan`` says what a run costs."""
