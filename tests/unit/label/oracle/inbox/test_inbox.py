"""The inbox in one process: who gets what, when a label is paid, and what cannot happen twice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from reads import step_of

from effrl.label.oracle.inbox.messages import Given, GoldQuestion, InboxItem, Settings
from effrl.label.oracle.inbox.opinions import Conflict, UnknownLease
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import BUDGET_SPENT, Answer, Asked, Label, Question, Refused
from effrl.types import Prompt

QUESTION = Question(Prompt("a", "12+34="), ("46", "45"), ("12+34=46;#46", "12+34=45;#45"), 1.0)


def same(answer: str, others: Sequence[str]) -> int | None:
    """Equal where they are one number."""
    return next((place for place, other in enumerate(others) if float(other) == float(answer)), None)


class Office:
    """An inbox with a clock that stands still, and people who make up their uuids by counting."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.now, self.count = 1000.0, 0
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.inbox = Inbox(self.ledger, lambda: self.now)
        self.inbox.register(Settings.model_validate({"run": "demo", **settings}))

    def ask(self, *names: str, step: int = 1, priority: float = 1.0) -> list[object]:
        made = [replace(QUESTION, prompt=Prompt(name, f"{name}?"), priority=priority) for name in names]
        return list(self.inbox.ask(step_of(step), made))

    def get(self, who: str, holding: Sequence[str] = ()) -> InboxItem | None:
        return next(iter(self.inbox.lease(who, 1, holding)), None)

    def say(self, who: str, item: InboxItem, **given: object) -> str:
        self.count += 1
        uuid = f"u{self.count}"
        self.inbox.answer(who, item.lease, uuid, Given.model_validate({"think_ms": 4000, **given}), same)
        return uuid

    def told(self) -> list[Answer]:
        return self.inbox.answered(0)[1]

    def state(self) -> dict[str, int]:
        return self.inbox.overview().states


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, budget_total=3)


def test_a_question_costs_nothing_until_it_is_answered_and_its_cost_is_held_back(office: Office) -> None:
    assert office.ask("a", "b", "c", "d")[:2] == [Asked("train/1/a"), Asked("train/1/b")]
    assert office.ask("d") == [Refused(BUDGET_SPENT)]
    assert office.ledger.account(1, budget_total=3).bought == 0 and office.ledger.spent() == 3


def test_an_answer_is_paid_owned_and_told_once(office: Office) -> None:
    office.ask("a")
    item = office.get("ann")
    assert item is not None and {one.text for one in item.answers} == {"46", "45"}
    office.say("ann", item, choice=0)
    assert office.told() == [Answer("train/1/a", "a", "46")]
    assert office.ledger.owned(["a"], 2) == {"a": Label("46")}
    assert office.ask("a", step=5) == [Label("46")]


def test_the_same_uuid_again_changes_nothing_and_another_one_is_a_conflict(office: Office) -> None:
    office.ask("a", "b")
    item = office.get("ann")
    assert item is not None
    uuid = office.say("ann", item, choice=0)
    office.inbox.answer("ann", item.lease, uuid, Given(choice=0), same)
    with pytest.raises(Conflict, match="undo"):
        office.inbox.answer("ann", item.lease, "other", Given(choice=1), same)
    second = office.get("ann")
    assert second is not None
    with pytest.raises(Conflict, match="another question"):
        office.inbox.answer("ann", second.lease, uuid, Given(choice=0), same)
    assert len(office.told()) == 1


def test_a_typed_answer_that_equals_a_candidate_is_that_candidate(office: Office) -> None:
    office.ask("a", "b")
    first, second = office.inbox.lease("ann", 2)
    office.say("ann", first, typed=" 46.0 ")
    office.say("ann", second, typed="47")
    assert [entry.answer for entry in office.told()] == ["46", "47"]


def test_nobody_gets_a_question_that_another_holds_until_the_lease_runs_out(office: Office) -> None:
    office.ask("a")
    item = office.get("ann")
    assert item is not None and office.get("bob") is None
    assert office.get("ann") == item, "who lost it in a reload gets it again"
    office.now += 299
    assert office.inbox.heartbeat("ann", [item.lease]) == {item.lease: office.now + 300}
    office.now += 299
    assert office.get("bob") is None
    office.now += 2
    assert office.get("bob") is not None
    assert office.inbox.heartbeat("ann", [item.lease]) == {item.lease: None}


def test_a_late_answer_counts_if_nobody_else_answered(office: Office) -> None:
    office.ask("a", "b")
    ann_a, ann_b = office.inbox.lease("ann", 2)
    office.now += 400
    bob_a, bob_b = office.inbox.lease("bob", 2)
    office.say("bob", bob_a, choice=1)
    office.say("ann", ann_a, choice=0)
    office.say("ann", ann_b, choice=0)
    office.say("bob", bob_b, choice=1)
    assert [entry.answer for entry in office.told()] == ["45", "46"]
    assert office.ledger.spent() == 2
    assert [row["standing"] for row in office.inbox.export()] == ["counts", "late", "counts", "late"]


def test_a_lease_lasts_three_times_as_long_as_people_think_within_bounds(office: Office) -> None:
    office.ask("a", "b", "c")
    for think_ms, lasts in ((100_000, 300), (1_000, 151.5)):
        item = office.get("ann")
        assert item is not None
        office.say("ann", item, choice=0, think_ms=think_ms)
        following = office.get("ann")
        assert following is not None and following.expires_at == office.now + lasts


def test_questions_go_out_by_priority_then_the_newest(office: Office) -> None:
    office.ask("a", step=1)
    office.ask("b", step=2)
    office.ask("c", step=3, priority=2.0)
    assert [item.prompt for item in office.inbox.lease("ann", 3)] == ["c?", "b?", "a?"]


def test_a_skipped_question_goes_to_another_person_once_and_then_never(office: Office) -> None:
    office.ask("a")
    first = office.get("ann")
    assert first is not None
    office.say("ann", first, skip="ambiguous")
    assert office.get("ann") is None and office.told() == []
    second = office.get("bob")
    assert second is not None
    office.say("bob", second, skip="cannot_tell")
    [told] = office.told()
    assert told.answer is None and "ambiguous" in told.reason and "cannot tell" in told.reason
    assert office.ledger.spent() == 0 and office.get("cem") is None
    assert office.ask("a", step=7) == [Refused("people could not tell")]


def test_the_majority_of_several_is_the_label_and_a_tie_asks_one_more(tmp_path: Path) -> None:
    office = Office(tmp_path, opinions=2)
    office.ask("a")
    ann, bob = office.get("ann"), office.get("bob")
    assert ann is not None and bob is not None and office.get("cem") is None, "two are enough"
    office.say("ann", ann, choice=0)
    office.say("bob", bob, choice=1)
    assert office.told() == []
    cem = office.get("cem")
    assert cem is not None and office.get("dan") is None
    office.say("cem", cem, typed="45")
    assert office.told() == [Answer("train/1/a", "a", "45")]
    assert office.inbox.overview().agreement == pytest.approx(2 / 3)


def test_people_who_never_agree_end_without_a_label(tmp_path: Path) -> None:
    office = Office(tmp_path, opinions=2)
    office.ask("a")
    for number, who in enumerate(("ann", "bob", "cem", "dan", "eve")):
        item = office.get(who)
        assert item is not None
        office.say(who, item, typed=str(number))
    assert office.state() == {"disagreed": 1} and office.ledger.spent() == 0
    assert office.told()[0].answer is None and office.ask("a", step=2) == [Refused("people disagree")]


def test_undo_before_the_run_was_told_opens_the_question_again(office: Office) -> None:
    office.ask("a")
    item = office.get("ann")
    assert item is not None
    uuid = office.say("ann", item, choice=0)
    again = office.inbox.undo("ann", uuid)
    assert not again.amends and again.before is not None and again.before.choice == 0
    assert office.state() == {"open": 1} and office.told() == []
    assert office.inbox.undo("ann", uuid) == again, "whose reply was lost asks again"
    office.say("ann", again, choice=1)
    with pytest.raises(Conflict, match="taken back already"):
        office.inbox.undo("ann", uuid)
    assert office.told() == [Answer("train/1/a", "a", "45")] and office.ledger.spent() == 1


def test_undo_after_that_keeps_the_label_and_an_amendment_beside_it(office: Office) -> None:
    office.ask("a")
    item = office.get("ann")
    assert item is not None
    uuid = office.say("ann", item, choice=0)
    assert len(office.told()) == 1
    again = office.inbox.undo("ann", uuid)
    assert again.amends and office.inbox.undo("ann", uuid).lease == again.lease
    office.say("ann", again, choice=1)
    assert office.told() == [Answer("train/1/a", "a", "46")] and office.ask("a", step=4) == [Label("46")]
    assert [(row["standing"], row["amends"]) for row in office.inbox.export()] == [
        ("counts", None),
        ("amendment", uuid),
    ]


def test_undo_of_the_last_skip_holds_the_cost_back_again(office: Office) -> None:
    office.ask("a", "b", "c")
    for who in ("ann", "bob"):
        item = office.get(who)
        assert item is not None
        uuid = office.say(who, item, skip="ambiguous")
    assert office.ledger.spent() == 2
    again = office.inbox.undo("bob", uuid)
    assert office.ledger.spent() == 3 and office.told() == []
    office.say("bob", again, choice=0)
    assert len(office.told()) == 1
    assert office.get("cem") is not None


def test_only_one_s_own_answers_are_undone_and_leases_answered(office: Office) -> None:
    office.ask("a")
    item = office.get("ann")
    assert item is not None
    with pytest.raises(UnknownLease):
        office.say("bob", item, choice=0)
    uuid = office.say("ann", item, choice=0)
    with pytest.raises(UnknownLease):
        office.inbox.undo("bob", uuid)


def test_what_is_withdrawn_or_expires_is_free_again_and_a_late_answer_is_kept_uncharged(tmp_path: Path) -> None:
    office = Office(tmp_path, expires_s=50.0)
    office.ask("a", "b")
    held = office.inbox.lease("ann", 2)
    office.inbox.withdraw(["train/1/a", "train/1/a", "nothing"])
    office.now += 51
    assert [(entry.prompt_id, entry.answer) for entry in office.told()] == [("a", None), ("b", None)]
    assert office.ledger.spent() == 0 and office.state() == {"expired": 1, "withdrawn": 1}
    for item in held:
        office.say("ann", item, choice=0)
    assert office.ledger.spent() == 0 and len(office.told()) == 2
    assert office.ask("a", step=1) == [Asked("train/1/a")], "a resumed step asks it again"
    assert office.state() == {"expired": 1, "open": 1}


def test_gold_questions_and_repeats_measure_people_and_cost_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, checks=0.5)
    office.inbox.register(
        Settings(run="demo", checks=0.25),
        [GoldQuestion(prompt=f"gold {n}?", label="1", candidates=("1", "2")) for n in range(4)],
    )
    office.ask(*(f"p{n:02}" for n in range(60)))
    purposes: list[str] = []
    while (item := office.get("ann")) is not None and len(purposes) < 80:
        assert set(item.model_dump()) == set(InboxItem.model_fields), "a check looks like any other question"
        office.say("ann", item, typed="1" if "gold" in item.prompt else "46")
        purposes.append("gold" if "gold" in item.prompt else "question")
    [ann] = office.inbox.overview().annotators
    assert ann.gold_asked == ann.gold_right == 4 and ann.repeats == ann.repeats_same > 0
    assert ann.reliability == pytest.approx(13 / 14)
    assert office.ledger.spent() == 60 == len(office.told())


def test_a_label_weighs_what_those_who_gave_it_are_worth(tmp_path: Path) -> None:
    office = Office(tmp_path, weigh=True)
    office.ask("a")
    item = office.get("ann")
    assert item is not None
    office.say("ann", item, choice=0)
    assert office.told()[0].weight == pytest.approx(2 * 0.9 - 1)
    assert office.ledger.owned(["a"], 2)["a"].weight == pytest.approx(0.8)


def test_people_see_answers_in_orders_of_their_own_and_no_counts(office: Office) -> None:
    office.ask("a", "b", "c")
    orders = {
        who: tuple(tuple(one.choice for one in item.answers) for item in office.inbox.lease(who, 3)) for who in ("ann",)
    }
    office.now += 1000
    orders |= {
        who: tuple(tuple(one.choice for one in item.answers) for item in office.inbox.lease(who, 3)) for who in ("bob",)
    }
    assert orders["ann"] != orders["bob"] or len(set(orders["ann"])) > 1


def test_two_leases_of_one_person_are_one_opinion(tmp_path: Path) -> None:
    office = Office(tmp_path, opinions=2)
    office.ask("a")
    first = office.get("ann")
    assert first is not None
    office.inbox.release("ann", first.lease)
    second = office.get("ann")
    assert second is not None and second.lease != first.lease
    office.say("ann", first, choice=0)
    with pytest.raises(Conflict, match="undo"):
        office.say("ann", second, choice=0)
    bob = office.get("bob")
    assert bob is not None, "another person is still needed"
    office.say("bob", bob, choice=0)
    assert len(office.told()) == 1


def test_a_question_whose_lease_ran_out_comes_back_to_a_person_who_works_alone(office: Office) -> None:
    office.ask("a", "b")
    first = office.get("ann")
    assert first is not None
    office.now += 301
    second = office.get("ann", [first.lease])
    assert second is not None and second.item != first.item, "what the page still shows does not come twice"
    again = office.get("ann", [second.lease])
    assert again is not None and again.item == first.item and again.lease != first.lease
    assert office.inbox.heartbeat("ann", [first.lease]) == {first.lease: None}
    office.say("ann", first, choice=0)
    assert office.get("ann", [second.lease]) is None


def test_undo_of_a_repeat_leaves_the_label_on_its_way_to_the_run(tmp_path: Path) -> None:
    office = Office(tmp_path, checks=0.5)
    office.ask(*(f"p{n:02}" for n in range(40)))
    answered: set[str] = set()
    while (item := office.get("ann")) is not None and item.item not in answered:
        answered.add(item.item)
        office.say("ann", item, choice=0)
    assert item is not None, "there was a repeat"
    again = office.inbox.undo("ann", office.say("ann", item, choice=1))
    assert not again.amends and len(office.told()) == len(answered) == office.state()["answered"]
    office.say("ann", again, choice=0)
    assert office.inbox.overview().annotators[0].repeats_same == 1


def test_undo_does_not_open_what_the_run_withdrew(tmp_path: Path) -> None:
    office = Office(tmp_path, opinions=2)
    office.ask("a")
    item = office.get("ann")
    assert item is not None
    uuid = office.say("ann", item, choice=0)
    office.inbox.withdraw(["train/1/a"])
    assert office.inbox.undo("ann", uuid).amends
    assert office.state() == {"withdrawn": 1} and office.ledger.spent() == 0


def test_undo_after_a_tie_asks_no_more_people_than_before_it(tmp_path: Path) -> None:
    office = Office(tmp_path, opinions=2)
    office.ask("a")
    ann, bob = office.get("ann"), office.get("bob")
    assert ann is not None and bob is not None
    office.say("ann", ann, choice=0)
    again = office.inbox.undo("bob", office.say("bob", bob, choice=1))
    assert office.get("cem") is None, "bob is at it, and a second opinion is all that is needed"
    office.say("bob", again, choice=0)
    assert office.told() == [Answer("train/1/a", "a", "46")]
