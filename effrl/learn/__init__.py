"""What a learner's step is made of, apart from the engine: how sequences are packed, the learning rate's schedule, and
the canary that proves what is served.
"""
