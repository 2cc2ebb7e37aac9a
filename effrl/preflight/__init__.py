"""Before anything starts: ``check`` reads model and data and finds what cannot work, ``prompts`` tries prompts on the
chat template, ``model`` says whether a model can be trained and what ends its completions, ``plan`` says what a run
costs, ``stages`` how long each of its stages is, ``selection`` when a selector pays, ``judge`` finds the PRM that is to
pick the best of several samples, and ``places`` tries to write where a run will.

Of clusters one does not have: ``shape`` is a model's sizes, ``devices`` what GPUs can do, ``pools`` who gets which GPU,
``memory`` and ``seconds`` the formulas, ``forecast`` all of it together, ``remedies`` what does not fit and what helps,
and ``calibration`` how far a measured run is off.
"""
