"""What a learner's step is made of, apart from the engine: ``packing`` of sequences, the ``schedule`` of the learning
rate, and the ``canary`` that proves what is served.
"""
