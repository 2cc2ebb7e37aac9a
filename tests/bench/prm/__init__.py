"""What an implicit PRM learns and what that is worth, without training a policy on it.

- ``recorder``, ``recorded``: what a run learned from, kept; ``record`` makes such runs, ``drift`` the same in this
  process, ``sample`` groups at the base
- ``model``: an implicit PRM in this process; ``offline`` lets several learn from the same rollouts, ``pairs`` says
  which pairs of a right and a wrong one they order
- ``branch``: where their rewards stand, beside the tokens that decide (``decided``)
- ``variance``: how noisy the policy gradient is with them and with controls (``advantages``, ``moments``)
- ``report``: the tables; ``cost``: time and memory of a PRM in a run
"""
