"""Policy objectives on tokens, in torch. ``build`` picks one by its config section, and ``policy`` sums it up;
``importance`` corrects for what older policies sampled; ``head`` has the log-probs without the logits of a whole batch;
``tokens`` is what an objective reads; the others are one objective each.
"""
