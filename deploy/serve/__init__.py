"""Apps that outlive a run: ``inbox``, where people answer the questions of a run."""
