"""Alert rules of Prometheus: one for each rule of advice, and what no row of metrics can tell."""

from typing import Any

from effrl.advice.advise import RULES
from effrl.advice.rule import AdviceRule
from effrl.report.exported import ADVICE, COMMITTED, TABLE

STALLED_S, STALLED_STEPS = 600, 10
"""A run stalls that has committed nothing for so many seconds, and for so many times its last step."""
NAMED = {entry.name: entry.series for entry in TABLE}


def alerts() -> dict[str, Any]:
    """A file of rules, as ``promtool check rules`` and ``rule_files`` of Prometheus take it."""
    return {"groups": [{"name": "effrl", "rules": [_stalled(), _spent(), *map(_advised, RULES)]}]}


def alert_name(rule: AdviceRule) -> str:
    """``EffrlNoSignal`` for ``no_signal``."""
    return "Effrl" + "".join(word.capitalize() for word in rule.name.split("_"))


def _advised(rule: AdviceRule) -> dict[str, Any]:
    """The threshold is the rule's own: the driver has looked, and Prometheus passes it on."""
    expression = f'max by (run) ({ADVICE.series}{{rule="{rule.name}"}}) == 1'
    return _alert(alert_name(rule), expression, rule.means, f"{rule.remedy}.")


def _stalled() -> dict[str, Any]:
    since = f"time() - max by (run) ({COMMITTED.series})"
    usual = f"{STALLED_STEPS} * max by (run) ({NAMED['effrl_step_seconds']})"
    return _alert(
        "EffrlStalled",
        f"{since} > clamp_min({usual}, {STALLED_S})",
        "Nothing was committed for long",
        "Look at the terminal or logs/driver.log for what is waited for, and at logs/ROLE.log of who is waited for.",
    )


def _spent() -> dict[str, Any]:
    return _alert(
        "EffrlLabelsSpent",
        f"max by (run) ({NAMED['effrl_labels_left']}) == 0",
        "The label budget is spent",
        "Prompts without a label go by their vote or are dropped; effrl resume RUN label.budget.total=N raises it.",
        severity="info",
    )


def _alert(name: str, expression: str, summary: str, description: str, severity: str = "warning") -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "labels": {"severity": severity},
        "annotations": {"summary": f"{{{{ $labels.run }}}}: {summary}", "description": description},
    }
