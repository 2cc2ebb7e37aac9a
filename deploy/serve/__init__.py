"""Apps that outlive a run: ``inbox``, where people answer its questions, ``policy``, which answers as the trained model
does, and ``rewards``, which scores what was answered. ``length`` is what all of them ask of a body.
"""
