"""From a config's ``label.oracle`` to the desk that a run's questions go to."""

import json

from pydantic import ValidationError

from actors.oracle.remote import RemoteInbox
from actors.oracle.teacher import Teacher
from effrl import plugins
from effrl.config import load
from effrl.config.label_base import LabelConfig
from effrl.config.oracle import AnyOracle, DatasetOracle, HumanOracle, ModelOracle, PluginOracle
from effrl.errors import UserError, one_line
from effrl.label.oracle.address import note_place, open_ledger
from effrl.label.oracle.desk import AnswererDesk, DatasetDesk, Desk, PeopleDesk
from effrl.label.oracle.inbox.messages import GoldQuestion, Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.reuse import reuse
from effrl.label.oracle.vault import LabelVault
from effrl.protocols import Answerer
from effrl.run.directory import RunDirectory


def open_desk(run: RunDirectory, config: LabelConfig, vault: LabelVault) -> Desk:
    """Open the ledger of a run, or find the inbox that owns it, and whoever answers.

    Raises:
        UserError: one of them is not to be had.
    """
    oracle: AnyOracle = config.oracle
    if config.is_remote and isinstance(oracle, HumanOracle):
        remote = RemoteInbox(str(config.ledger))
        remote.register(_settings(run, config, oracle), _gold(oracle))
        return remote
    ledger = open_ledger(run, config.ledger)
    if config.reuse:
        note_place(run, config.ledger)  # or a resume would take the labels that came in for those of another run
        reuse(ledger, config.reuse)
    match oracle:
        case DatasetOracle():
            return DatasetDesk(ledger, config, vault)
        case HumanOracle():
            inbox = Inbox(ledger)
            inbox.register(_settings(run, config, oracle), _gold(oracle))
            return PeopleDesk(ledger, config, inbox)
        case ModelOracle():
            return _started(ledger, config, Teacher(oracle))
        case PluginOracle(kind=kind):
            return _started(ledger, config, plugins.load("label.oracle.kind", kind)(config))


def _started(ledger: Ledger, config: LabelConfig, answerer: Answerer) -> AnswererDesk:
    desk = AnswererDesk(ledger, config, answerer)
    desk.start()
    return desk


def _settings(run: RunDirectory, config: LabelConfig, oracle: HumanOracle) -> Settings:
    return Settings(
        run=run.path.name,
        budget_total=config.budget.total,
        price=oracle.price,
        opinions=config.opinions,
        expires_s=oracle.expires_s,
        checks=oracle.checks,
        weigh=oracle.weigh,
        guidelines=oracle.guidelines,
        reading=load.load(str(run.config), []).reward.model_dump(mode="json") if run.config.exists() else None,
    )


def _gold(oracle: HumanOracle) -> list[GoldQuestion]:
    """The questions of ``label.oracle.gold``.

    Raises:
        UserError: the file is missing, or a line of it is no such question.
    """
    if oracle.gold is None:
        return []
    try:
        lines = oracle.gold.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"label.oracle.gold: cannot read {oracle.gold} ({error.strerror})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(GoldQuestion.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            wanted = '{"prompt": …, "label": …}'
            raise UserError(
                f"label.oracle.gold: line {number} of {oracle.gold} is no {wanted}: {one_line(error)}"
            ) from error
    return found
