"""Write the dashboard and the alerts into a directory: ``python -m deploy.observe k8s/components/prometheus``."""

import json
import sys
from pathlib import Path

import yaml

from deploy.observe.alerts import alerts
from deploy.observe.dashboard import dashboard

OPERATOR = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "effrl", "namespace": "effrl"},
}
"""What the Prometheus operator takes has the same rules in it."""


def write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dashboard.json").write_text(json.dumps(dashboard(), indent=1) + "\n")
    for name, rules in {"alerts.yml": alerts(), "rules.yaml": OPERATOR | {"spec": alerts()}}.items():
        (directory / name).write_text(yaml.safe_dump(rules, sort_keys=False, width=120))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
