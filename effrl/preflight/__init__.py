"""Before anything starts: ``check`` reads model and data and finds what cannot work, ``prompts`` tries prompts on the
chat template, ``model`` says whether a model can be trained and what ends its completions, ``plan`` says what a run
costs, ``stages`` how long each of its stages is, ``selection`` when a selector pays, ``judge`` finds the PRM that is to
pick the best of several samples.
"""
