"""What Prometheus gets of each row: the names, units and explanations of the metrics that a run exports.

The exporter, the dashboard, the alerts and a test of the docs all read this one table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from effrl.advice.advise import RULES
from effrl.advice.rule import PREFIX
from effrl.run.metrics import MetricsRow, plain

MEBIBYTE = 2.0**20


@dataclass(frozen=True, slots=True)
class Exported:
    """One metric, or a family of them with a label.

    Example: ``Exported("effrl_memory_bytes", "memory/rss_mb/*", "Memory of …", tag="role", scale=MEBIBYTE)``.
    """

    name: str
    """As Prometheus wants it: base units at the end, ``_total`` where it counts. Ray puts ``ray_`` before it."""
    source: str
    """The metric of a row; a ``*`` in it is the value of ``tag``."""
    help: str
    counts: bool = False
    """Whether it adds up what the rows say."""
    tag: str | None = None
    """Name of the label that tells the metrics of a family apart."""
    scale: float = 1.0
    """From the row's unit to the base unit."""

    @property
    def series(self) -> str:
        """The name that a query uses."""
        return f"ray_{self.name}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Besides Ray's own."""
        return ("run",) if self.tag is None else ("run", self.tag)


@dataclass(frozen=True, slots=True)
class ExportedValue:
    """A value for one metric."""

    exported: Exported
    value: float
    tagged: str = ""
    """Of the family; nothing where it is none."""


def counter(name: str, source: str, help: str, tag: str | None = None) -> Exported:
    return Exported(name, source, help, counts=True, tag=tag)


COMMITTED = Exported("effrl_commit_timestamp_seconds", "", "Unix time of the last commit; a run that stalls has none")
ADVICE = Exported("effrl_advice", f"{PREFIX}*", "1 while the newest step shows what a rule is about", tag="rule")

TABLE = (
    COMMITTED,
    ADVICE,
    Exported("effrl_step", "step", "The last committed step"),
    Exported("effrl_stage", "stage/number", "The stage of a run that has several"),
    Exported("effrl_step_seconds", "time/step_s", "Wall time of the last step"),
    Exported("effrl_phase_seconds", "time/*_s", "Wall time of a phase of the last step", tag="phase"),
    Exported("effrl_overhead_ratio", "time/overhead_ratio", "Share of a step in which no engine and no learner worked"),
    Exported("effrl_outcome_ratio", "reward/outcome_mean", "Mean outcome of the rollouts that were scored"),
    Exported("effrl_reward_term", "reward/terms/*", "Mean of a term on top of the outcome", tag="term"),
    counter("effrl_scores_total", "reward/status/*", "Rollouts by how their scoring ended", "status"),
    counter("effrl_rollouts_total", "rollout/count", "Rollouts of training steps"),
    counter("effrl_rollouts_failed_total", "rollout/failed", "Rollouts that an engine aborted"),
    counter("effrl_tokens_total", "rollout/tokens", "Tokens generated for training steps"),
    counter("effrl_workers_lost_total", "rollout/workers_lost", "Rollout workers that were lost"),
    Exported("effrl_truncated_ratio", "rollout/truncated_fraction", "Share of rollouts that hit the token limit"),
    counter("effrl_groups_rolled_total", "groups/rolled", "Groups that were rolled out"),
    counter("effrl_groups_replayed_total", "groups/replay_uses", "Groups of earlier steps, learned from again"),
    counter("effrl_groups_joined_total", "groups/joined", "Groups that were parked until their label came"),
    counter("effrl_groups_total", "groups/*", "Groups by their fate", "fate"),
    Exported("effrl_signal_ratio", "select/effective_ratio", "Share of groups that were learned from"),
    counter("effrl_labels_bought_total", "label/bought", "Labels that were bought"),
    Exported("effrl_labels_owned", "label/bought_total", "Labels that the run owns, of earlier attempts too"),
    Exported("effrl_labels_left", "label/budget_left", "Labels that the budget still buys"),
    Exported("effrl_labels_open", "label/open", "Questions that nobody has answered yet"),
    Exported("effrl_supervision_ratio", "label/token_share/*", "Share of tokens by their supervision", tag="source"),
    Exported("effrl_majority_ratio", "label/majority_share", "Mean share of a group with its most frequent answer"),
    Exported("effrl_answer_entropy_nats", "label/answer_entropy", "Mean entropy of a group's answers"),
    Exported("effrl_vote_accuracy_ratio", "label/vote_accuracy", "Share of votes that are right, as a monitor knows"),
    Exported("effrl_eval_accuracy_ratio", "eval/accuracy", "Accuracy on held-out prompts"),
    Exported("effrl_eval_pass_ratio", "eval/pass@*", "Held-out prompts that one of k samples solves", tag="k"),
    Exported("effrl_loss_policy", "loss/policy", "Policy loss per token"),
    Exported("effrl_loss_kl_nats", "loss/kl", "KL from the initial model per token"),
    Exported("effrl_learning_rate", "learn/lr", "Learning rate of the last update"),
    Exported("effrl_policy_version", "policy/version", "Version of the policy that is served"),
    Exported("effrl_policy_entropy_nats", "policy/entropy", "Entropy of the policy per token"),
    Exported("effrl_policy_gradient_norm", "policy/grad_norm", "Norm of the gradient before it is clipped"),
    Exported("effrl_policy_clipped_ratio", "policy/clip_fraction", "Share of tokens whose ratio was clipped"),
    Exported("effrl_staleness_versions", "policy/staleness_max", "Versions by which the oldest rollout was behind"),
    Exported("effrl_mismatch_kl_nats", "mismatch/kl", "KL from engine to learner per token"),
    Exported("effrl_mismatch_sample_ratio", "mismatch/ess", "Effective sample size, as a share of the tokens"),
    Exported("effrl_publish_verified", "sync/verified", "1 if the last publish was proven to be served, 0 if not"),
    Exported("effrl_publish_bytes", "sync/bytes", "Size of the last publish"),
    Exported("effrl_process_reward", "process/reward_mean", "Mean sum of a solution's process rewards"),
    Exported("effrl_memory_bytes", "memory/rss_mb/*", "Memory of a role's processes", tag="role", scale=MEBIBYTE),
    counter("effrl_cpu_seconds_total", "cpu/*_s", "CPU time of a role's processes", "role"),
)
"""In the order of the docs. A metric of a row belongs to the first source that fits it."""


def samples(row: MetricsRow, now: float) -> Iterator[ExportedValue]:
    """What a row, written at ``now`` (Unix seconds), exports; what is None or text is left out."""
    yield ExportedValue(COMMITTED, now)
    shown = {name: row.get(name) or 0.0 for name in (rule.metric for rule in RULES)}
    for name, value in plain({**row, **shown}).items():
        exported = next((entry for entry in TABLE if fnmatchcase(name, entry.source)), None)
        if exported is not None and isinstance(value, int | float):
            yield ExportedValue(exported, float(value) * exported.scale, _between(name, exported.source))


def _between(name: str, source: str) -> str:
    """What stands in the place of ``*``."""
    before, star, after = source.partition("*")
    return name[len(before) : len(name) - len(after)] if star else ""
