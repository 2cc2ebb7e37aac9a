"""Sections of a config that do not go together, where saying so takes more than a line."""

from effrl.kinds import AnyLabel, AnySelect, GoldLabel, UfoSelect
from effrl.reward.kinds import AnyReward, answering


def check_scored_targets(select: AnySelect, label: AnyLabel, reward: AnyReward) -> None:
    """That the targets of UFO-RL can be had: from labels that are bought, or from votes on answers.

    Raises:
        ValueError: they cannot; says what to set.
    """
    if not isinstance(select, UfoSelect):
        return
    if select.buys_labels and not isinstance(label, GoldLabel):
        raise ValueError(
            f"select.target={select.target} reads the true label of every prompt, which label.kind={label.kind} does"
            " not buy: set select.target=pseudo_answer, or label.kind=gold"
        )
    if not select.buys_labels and answering(reward) is None:
        raise ValueError(
            f"select.target=pseudo_answer votes on answers, which your own reward {reward.kind} does not tell: use"
            " reward.kind math, exact, task, choice or regex, or a sum with such a part"
        )
