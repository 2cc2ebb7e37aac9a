"""Apps that outlive a run: ``inbox``, where people answer the questions of a run, and ``policy``, which answers as the
trained model does. ``length`` is what both ask of a body.
"""
