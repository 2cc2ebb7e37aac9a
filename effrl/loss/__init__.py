"""Policy objectives on tokens, in torch. ``policy`` picks one by its config section and sums it up; ``importance``
corrects for what older policies sampled; ``head`` has the log-probs without the logits of a whole batch; the others are
one objective each.
"""
