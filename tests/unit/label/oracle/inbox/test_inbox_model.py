"""The inbox against a naive model in memory, over random histories in which processes die where they commit."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from effrl.label.oracle.inbox.leases import LONGEST_S, SHORTEST_S, digest
from effrl.label.oracle.inbox.messages import Given, InboxItem, Settings
from effrl.label.oracle.inbox.opinions import Conflict
from effrl.label.oracle.inbox.store import CLOSED
from effrl.label.oracle.ledger import query_id
from effrl.questions import BUDGET_SPENT, Asked, Label, Question, Refused, Reply
from effrl.types import Prompt, Step
from tests.unit.label.oracle.inbox.mortal import Died, office
from tests.unit.label.oracle.inbox.records import Asking, Handed, Opinion, Told

CANDIDATES = ("1", "2")
SAYINGS = ({"choice": 0}, {"choice": 1}, {"typed": " 2"}, {"typed": "3"}, {"skip": "ambiguous"})
MEANINGS = ("1", "2", "2", "3", None)
GIVEN_BACK = len(SAYINGS)
PEOPLE = st.sampled_from(["ann", "bob", "cem"])
DEATHS = st.sampled_from([None, None, 1, 2])
"""The commit of an operation at which its process dies; an operation has one or two."""


def same(answer: str, others: Sequence[str]) -> int | None:
    return others.index(answer) if answer in others else None


class InboxModel(RuleBasedStateMachine):
    """Lists of what was asked, handed out, said and told, and the rules written down as plainly as possible."""

    @initialize(
        total=st.none() | st.integers(0, 5),
        opinions=st.integers(1, 3),
        patience=st.sampled_from([500, 5000]),
        asked=st.integers(0, 4),
    )
    def start(self, total: int | None, opinions: int, patience: int, asked: int) -> None:
        self.office, self.inbox = office(), office().inbox
        self.office.clear()
        self.now, self.uuids, self.cursor = 10_000.0, 0, 0
        self.total, self.opinions, self.patience = total, opinions, patience
        self.questions: dict[str, Asking] = {}
        self.leases: dict[str, Handed] = {}
        self.log: list[Told] = []
        run = Settings(run="model", budget_total=total, opinions=opinions, expires_s=float(patience))
        self.inbox.register(run)
        self.asks_for("abcd"[:asked], 1, None)

    @property
    def now(self) -> float:
        return self.office.now

    @now.setter
    def now(self, now: float) -> None:
        self.office.now = now

    def attempt(self, death: int | None, call: Callable[[], Any]) -> Any:
        """The result of an operation of one transaction; Died where there was none, or the Conflict that it met."""
        with self.office.process(death):
            try:
                return call()
            except (Died, Conflict) as error:
                return error

    # --- the rules of the model

    def spent(self) -> int:
        return sum(one.state in ("open", "answered") for one in self.questions.values())

    def of_prompt(self, prompt: str, *states: str) -> list[Asking]:
        return [one for one in self.questions.values() if one.prompt == prompt and one.state in states]

    def is_affordable(self) -> bool:
        return self.total is None or self.spent() + 1 <= self.total

    def is_live(self, lease: Handed) -> bool:
        return lease.live and lease.expires_at > self.now

    def is_wanted(self, asking: Asking, who: str) -> bool:
        if asking.state != "open" or asking.has_heard(who):
            return False
        at_work = sum(
            self.is_live(one) and one.query == asking.query and one.who != who for one in self.leases.values()
        )
        given = len(asking.answers())
        return given + at_work < max(self.opinions, given + 1)

    def following(self, who: str, holding: Sequence[str]) -> Asking | None:
        def in_hand(asking: Asking) -> bool:
            return any(
                one.live and one.who == who and one.query == asking.query and (self.is_live(one) or name in holding)
                for name, one in self.leases.items()
            )

        order = sorted(self.questions.values(), key=lambda one: (-one.priority, -one.step, one.number))
        return next((one for one in order if self.is_wanted(one, who) and not in_hand(one)), None)

    def grant(self, item: InboxItem, asking: Asking, who: str, amends: str | None = None) -> None:
        assert item.item == digest(asking.query) and item.lease not in self.leases
        assert self.now + SHORTEST_S <= item.expires_at <= self.now + LONGEST_S
        assert item.amends == (amends is not None)
        self.end(asking.query, who)
        self.leases[item.lease] = Handed(asking.query, who, item.expires_at, amends=amends)

    def end(self, query: str, who: str) -> None:
        for lease in self.leases.values():
            if (lease.query, lease.who) == (query, who):
                lease.live = False

    def close(self, asking: Asking, state: str, label: str | None = None) -> None:
        asking.state, asking.label = state, label
        self.log.append(Told(asking.query, label))

    def settle(self, asking: Asking) -> None:
        answers = asking.answers()
        if len(asking.counted()) - len(answers) >= 2:
            self.close(asking, "skipped")
            return
        votes = Counter(answers)
        most = max(votes.values(), default=0)
        first = [text for text, count in votes.items() if count == most]
        if len(answers) >= self.opinions and len(first) == 1:
            self.close(asking, "answered", first[0])
        elif len(answers) >= 2 * self.opinions + 1:
            self.close(asking, "disagreed")

    # --- the run

    @rule(prompts=st.lists(st.sampled_from("abcde"), min_size=1, max_size=4), step=st.integers(1, 3), death=DEATHS)
    def ask(self, prompts: list[str], step: int, death: int | None) -> None:
        self.asks_for(prompts, step, death)

    def asks_for(self, prompts: Sequence[str], step: int, death: int | None) -> None:
        made = [Question(Prompt(one, f"{one}?"), CANDIDATES, priority=float(one < "c")) for one in prompts]
        found = self.attempt(death, lambda: self.inbox.ask(Step(step, "train", step, 60), made))
        if isinstance(found, Died):
            return
        expected = {prompt: self.asks(prompt, step) for prompt in dict.fromkeys(prompts)}
        assert found == [expected[prompt] for prompt in prompts]

    def asks(self, prompt: str, step: int) -> Reply:
        for closed in self.of_prompt(prompt, *CLOSED):
            return Refused(CLOSED[closed.state])
        for known in self.of_prompt(prompt, "answered", "open"):
            return Label(known.label) if known.label is not None else Asked(known.query)
        if not self.is_affordable():
            return Refused(BUDGET_SPENT)
        query, ends = query_id("train", step, prompt), self.now + self.patience
        fresh = Asking(query, prompt, step, float(prompt < "c"), ends, len(self.questions))
        again = self.questions.get(query, fresh)
        self.questions[query] = replace(fresh, number=again.number, said=again.said)
        return Asked(query)

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), death=DEATHS)
    def withdraw(self, data: st.DataObject, death: int | None) -> None:
        query = data.draw(st.sampled_from(sorted(self.questions)))
        found = self.attempt(death, lambda: self.inbox.withdraw([query]))
        if not isinstance(found, Died) and self.questions[query].state == "open":
            self.close(self.questions[query], "withdrawn")

    @rule(death=DEATHS)
    def fetch(self, death: int | None) -> None:
        """First what is too old is closed, then the run is told: two transactions, and death between them."""
        due = [one for one in self.questions.values() if one.state == "open" and one.expires_at <= self.now]
        with self.office.process(death):
            try:
                found = self.inbox.answered(self.cursor)
            except Died:
                found = None
            committed = self.office.commits - (found is None)
        if due and committed:
            for one in sorted(due, key=lambda one: one.number):
                self.close(one, "expired")
        if found is None:
            return
        new = [row for row in self.log if not row.fetched]
        self.cursor, answers = found
        assert sorted((one.query, one.answer or "") for one in answers) == sorted(
            (row.query, row.answer or "") for row in new
        ), "every row once"
        for row in new:
            row.told = row.fetched = True

    # --- people

    @rule(who=PEOPLE, count=st.integers(1, 3), remembers=st.booleans(), death=DEATHS)
    def lease(self, who: str, count: int, remembers: bool, death: int | None) -> None:
        """A page that was reloaded without its memory gets what it held first."""
        self.lease_for(who, count, remembers, death)

    def lease_for(self, who: str, count: int, remembers: bool, death: int | None) -> None:
        holding = [name for name, one in self.leases.items() if remembers and one.who == who and one.live]
        found = self.attempt(death, lambda: self.inbox.lease(who, count, holding))
        if isinstance(found, Died):
            return
        mine = [name for name, one in self.leases.items() if one.who == who and self.is_live(one)]
        kept = [name for name in mine if name not in holding][:count]
        assert [item.lease for item in found[: len(kept)]] == kept
        for item in found[len(kept) :]:
            asking = self.following(who, holding)
            assert asking is not None, "more people at work than are needed"
            self.grant(item, asking, who)
        assert len(found) == count or self.following(who, holding) is None

    @rule(turns=st.lists(st.tuples(PEOPLE, st.integers(0, GIVEN_BACK)), min_size=1, max_size=6))
    def work(self, turns: list[tuple[str, int]]) -> None:
        """People take the next question and answer it or give it back, one after the other."""
        for who, saying in turns:
            self.lease_for(who, 1, False, None)
            mine = [name for name, one in self.leases.items() if one.who == who and self.is_live(one)]
            if mine and saying == GIVEN_BACK:
                self.gives_back(mine[0], None)
            elif mine:
                self.says(mine[0], saying, 20, None)

    @rule(who=PEOPLE, death=DEATHS)
    def heartbeat(self, who: str, death: int | None) -> None:
        """Of all that this person was ever given."""
        own = {name: one for name, one in self.leases.items() if one.who == who}
        lost = {name for name, one in own.items() if self.is_lost(one)}
        found = self.attempt(death, lambda: self.inbox.heartbeat(who, list(own)))
        if isinstance(found, Died):
            return
        assert {name for name, ends in found.items() if ends is None} == lost
        for name in own.keys() - lost:
            own[name].expires_at = found[name]

    def is_lost(self, lease: Handed) -> bool:
        if not lease.live or self.is_live(lease) or lease.amends is not None:
            return not lease.live
        return not self.is_wanted(self.questions[lease.query], lease.who)

    @rule()
    def everybody_looks_for_work(self) -> None:
        for who in ("cem", "bob", "ann"):
            self.lease_for(who, 1, True, None)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), death=DEATHS)
    def release(self, data: st.DataObject, death: int | None) -> None:
        self.gives_back(data.draw(st.sampled_from(list(self.leases))), death)

    def gives_back(self, name: str, death: int | None) -> None:
        if not isinstance(self.attempt(death, lambda: self.inbox.release(self.leases[name].who, name)), Died):
            self.leases[name].live = False

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        saying=st.integers(0, 4),
        seconds=st.sampled_from([0, 20, 900]),
        tabs=st.booleans(),
        death=DEATHS,
    )
    def answer(self, data: st.DataObject, saying: int, seconds: int, tabs: bool, death: int | None) -> None:
        """Of any lease that ever was: a page that was away for long sends what it has, and so do its other tabs."""
        name = data.draw(st.sampled_from(list(self.leases)))
        self.says(name, saying, seconds, death)
        asking, who = self.questions[self.leases[name].query], self.leases[name].who
        for other in [other for other in self.leases if tabs and other != name and self.holds(other, asking, who)]:
            self.says(other, saying, seconds, death)

    def says(self, name: str, saying: int, seconds: int, death: int | None) -> None:
        lease, self.uuids = self.leases[name], self.uuids + 1
        asking, uuid = self.questions[lease.query], f"u{self.uuids}"
        given = Given.model_validate({**SAYINGS[saying], "think_ms": 1000 * seconds})
        found = self.attempt(death, lambda: self.inbox.answer(lease.who, name, uuid, given, same))
        used = any(one.lease == name for one in asking.said)
        if isinstance(found, Died):
            return
        if used or (lease.amends is None and asking.has_heard(lease.who)):
            assert isinstance(found, Conflict)
            return
        assert found is None
        standing = "amendment" if lease.amends is not None else "counts" if asking.state == "open" else "late"
        asking.said.append(Opinion(uuid, name, lease.who, MEANINGS[saying], standing, lease.amends))
        self.end(asking.query, lease.who)
        if standing == "counts":
            self.settle(asking)

    @precondition(lambda self: any(one.said for one in self.questions.values()))
    @rule(data=st.data(), death=DEATHS)
    def answer_again(self, data: st.DataObject, death: int | None) -> None:
        """What was acknowledged, and the page does not know it: the same uuid, under its lease or a wrong one."""
        opinion = data.draw(st.sampled_from(self.all_said()))
        name = data.draw(st.sampled_from([opinion.lease, *self.leases]))
        call = (self.leases[name].who, name, opinion.uuid, Given(choice=1), same)
        found = self.attempt(death, lambda: self.inbox.answer(*call))
        assert found is None if name == opinion.lease else isinstance(found, Conflict)

    def all_said(self) -> list[Opinion]:
        return [opinion for asking in self.questions.values() for opinion in asking.said]

    @precondition(lambda self: any(one.said for one in self.questions.values()))
    @rule(data=st.data(), death=DEATHS)
    def undo(self, data: st.DataObject, death: int | None) -> None:
        opinion = data.draw(st.sampled_from(self.all_said()))
        asking = self.questions[self.leases[opinion.lease].query]
        found = self.attempt(death, lambda: self.inbox.undo(opinion.who, opinion.uuid))
        if isinstance(found, Died):
            return
        names = list(self.leases)
        later = names[names.index(opinion.lease) + 1 :]
        own = [name for name in later if self.leases[name].live and self.holds(name, asking, opinion.who)]
        if own:
            assert [found.lease] == own, "whose reply was lost asks again"
        elif opinion.standing == "void":
            assert isinstance(found, Conflict)
        elif opinion.standing == "amendment" or (opinion.standing == "counts" and not self.can_reopen(asking)):
            self.grant(found, asking, opinion.who, opinion.amends or opinion.uuid)
        else:
            self.takes_back(found, opinion, asking)

    def holds(self, name: str, asking: Asking, who: str) -> bool:
        return (self.leases[name].query, self.leases[name].who) == (asking.query, who)

    def can_reopen(self, asking: Asking) -> bool:
        untold = any(row.query == asking.query and not row.told for row in self.log)
        return asking.state == "open" or (asking.state in ("answered", *CLOSED) and untold)

    def takes_back(self, found: Any, opinion: Opinion, asking: Asking) -> None:
        if opinion.standing == "counts" and asking.state != "open":
            if asking.state in CLOSED and not self.is_affordable():
                assert isinstance(found, Conflict)
                return
            self.log = [row for row in self.log if row.query != asking.query or row.told]
            asking.state, asking.label = "open", None
        opinion.standing = "void"
        self.grant(found, asking, opinion.who)

    @rule(seconds=st.sampled_from([1, 100, 200, 1000, -150]))
    def time_passes(self, seconds: int) -> None:
        """Or the clock is set back."""
        self.now += seconds

    # --- what always holds

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.office.file.execute(query).fetchall()

    @invariant()
    def model_and_inbox_agree(self) -> None:
        found = self.rows("select query_id, state, answer from inbox_questions")
        assert sorted(found) == sorted((query, one.state, one.label) for query, one in self.questions.items())

    @invariant()
    def nothing_that_was_acknowledged_is_lost_or_doubled(self) -> None:
        found = self.rows("select uuid, answer, standing, amends from inbox_opinions")
        assert sorted(found) == sorted((one.uuid, one.text, one.standing, one.amends) for one in self.all_said())

    @invariant()
    def what_is_held_back_and_paid_is_what_is_open_and_answered(self) -> None:
        lines = {query: line for query, *line in self.rows("select query_id, state, answer, cost from purchases")}
        states = {"open": "reserved", "answered": "committed"}
        assert lines == {
            query: [states.get(one.state, "refunded"), one.label, 1.0] for query, one in self.questions.items()
        }
        paid = Counter(one.prompt for one in self.questions.values() if one.state in states)
        assert all(count == 1 for count in paid.values()), "no label twice"
        assert self.total is None or self.spent() <= self.total

    @invariant()
    def the_log_has_every_closed_question_once(self) -> None:
        found = self.rows("select query_id, answer, told from answers order by number")
        assert Counter(found) == Counter((row.query, row.answer, int(row.told)) for row in self.log)


class TestInboxModel(InboxModel.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
