"""A process that owns a sandbox, for a test that kills it: prints ready, then scores for ever."""

import sys

from effrl.config.reward import PluginReward
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox


def main(plugins: str) -> None:
    config = PluginReward(kind="rewards:loop", workers=2, timeout_s=600)
    with Sandbox(config, [plugins]) as sandbox:
        print("ready", flush=True)
        sandbox.score([ScoringTask("", None, {}, False)])


if __name__ == "__main__":
    main(sys.argv[1])
