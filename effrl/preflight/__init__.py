"""Before anything starts: ``check`` reads model and data and finds what cannot work, ``prompts`` tries prompts on the
chat template, ``plan`` says what a run costs.
"""
