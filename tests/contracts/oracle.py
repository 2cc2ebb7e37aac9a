"""What every :class:`effrl.protocols.Oracle` must do. To check your own, subclass and say how to make one::

from tests.contracts.oracle import OracleContract

class TestMyOracle(OracleContract):
    def make(self, labels, budget):
        return MyOracle(labels, budget)

One whose answers come later says so, and says how to give one::

    answers_at_once = False

    async def give(self, oracle, query, answer):
        oracle.inbox.answer(query, answer)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from reads import step_of

from effrl.protocols import Oracle
from effrl.questions import Asked, Label, Question, Refused, Reply
from effrl.types import LOOK_AHEAD, Prompt, Step

LABELS: Mapping[str, str | None] = {**{name: f"label of {name}" for name in "abcdef"}, "unlabelled": None}


def questions(names: Sequence[str]) -> list[Question]:
    return [Question(Prompt(name, f"what is {name}?"), ("1", "2")) for name in names]


def ahead_of(step: Step) -> Step:
    """The look ahead of a step, which comes before the step's own decisions."""
    return replace(step, stage=LOOK_AHEAD)


class OracleContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    answers_at_once = True

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        """A fresh oracle over ``labels`` by prompt id (None: nobody knows it); a label costs 1."""
        raise NotImplementedError

    async def give(self, oracle: Oracle, query: str, answer: str | None) -> None:
        """Let the late answer to a query come; None: nobody can give one."""
        raise NotImplementedError

    async def buy(self, oracle: Oracle, step: int | Step, *names: str) -> list[Reply]:
        """Replies about prompts; an answer that comes late comes now."""
        at = step if isinstance(step, Step) else step_of(step)
        replies = list(await oracle.buy(at, questions(names)))
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, Asked):
                await self.give(oracle, reply.query, LABELS[name])
        return replies

    async def own(self, oracle: Oracle, step: int, *names: str) -> list[str | None]:
        """The labels that are owned before a step."""
        standing = await oracle.owned(step_of(step), names)
        return [known.answer if isinstance(known, Label) else None for known in standing]

    async def test_asked_for_nothing_replies_nothing(self) -> None:
        oracle = self.make(LABELS, None)
        assert list(await oracle.buy(step_of(1), [])) == [] == list(await oracle.owned(step_of(1), []))

    async def test_one_reply_per_question_in_order(self) -> None:
        replies = await self.buy(self.make(LABELS, None), 1, "c", "a", "c", "b")
        if self.answers_at_once:
            assert replies == [Label(f"label of {name}") for name in "cacb"]
        else:
            assert all(isinstance(reply, Asked) for reply in replies)
            assert len({reply.query for reply in replies if isinstance(reply, Asked)}) == 3, "one query per prompt"

    async def test_what_was_not_bought_is_not_owned(self) -> None:
        oracle = self.make(LABELS, None)
        await self.buy(oracle, 1, "a")
        assert await self.own(oracle, 2, "b", "unlabelled", "c") == [None] * 3

    async def test_what_was_bought_is_owned_from_the_next_step_on(self) -> None:
        oracle = self.make(LABELS, None)
        await self.buy(oracle, 2, "b", "a")
        expected = ["label of a", None, "label of b"]
        assert [await self.own(oracle, step, "a", "c", "b") for step in (1, 2)] == [[None] * 3] * 2
        assert [await self.own(oracle, step, "a", "c", "b") for step in (3, 9)] == [expected] * 2

    async def test_what_a_look_ahead_bought_is_owned_by_its_own_step(self) -> None:
        oracle = self.make(LABELS, None)
        await self.buy(oracle, ahead_of(step_of(2)), "a")
        assert [await self.own(oracle, step, "a") for step in (1, 2)] == [[None], ["label of a"]]

    async def test_a_step_that_is_repeated_finds_and_gets_what_it_did(self) -> None:
        """A resume takes the learner back, never the oracle: steps 2 and 3 come twice, and then step 3 again."""
        oracle = self.make(LABELS, 5)
        steps = {1: ("a", "unlabelled"), 2: ("b", "a", "c"), 3: ("d", "b", "e", "f")}
        first = {
            step: (await self.own(oracle, step, *LABELS), await self.buy(oracle, step, *names))
            for step, names in steps.items()
        }
        for step in (2, 3, 3):
            owned, replies = await self.own(oracle, step, *LABELS), await self.buy(oracle, step, *steps[step])
            assert owned == first[step][0]
            if self.answers_at_once:
                assert replies == first[step][1]
        assert isinstance((await self.buy(oracle, 4, "f"))[0], Refused), "five of six labels are paid, and none twice"

    async def test_a_label_is_paid_once(self) -> None:
        oracle = self.make(LABELS, 2)
        for step in (1, 1, 2, 5):
            await self.buy(oracle, step, "a", "a")
        assert not isinstance((await self.buy(oracle, 6, "b"))[0], Refused)
        assert isinstance((await self.buy(oracle, 7, "c"))[0], Refused)

    @pytest.mark.parametrize("budget", [1, 4, 6])
    async def test_the_budget_is_never_exceeded(self, budget: int) -> None:
        oracle = self.make(LABELS, budget)
        for step, names in enumerate(("ab", "bcd", "def", "abcdef"), start=1):
            await self.buy(oracle, step, *names)
        owned = await self.own(oracle, 9, *"abcdef")
        assert sum(label is not None for label in owned) == budget
        assert all(label in (None, LABELS[name]) for name, label in zip("abcdef", owned, strict=True))

    async def test_what_is_refused_costs_nothing(self) -> None:
        oracle = self.make(LABELS, 1)
        unlabelled, a, b = [(await self.buy(oracle, 1, name))[0] for name in ("unlabelled", "a", "b")]
        assert not isinstance(unlabelled, Label) and not isinstance(a, Refused)
        assert isinstance(b, Refused) and b.reason
        assert await self.own(oracle, 2, "unlabelled", "a", "b") == [None, "label of a", None]

    async def test_late_answers_come_once_and_in_order(self) -> None:
        oracle = self.make(LABELS, None)
        cursor, none = await oracle.answered(0)
        assert list(none) == []
        for name in "ab":
            await self.buy(oracle, 1, name)
        later, answers = await oracle.answered(cursor)
        late = [] if self.answers_at_once else ["a", "b"]
        assert [(entry.prompt_id, entry.answer) for entry in answers] == [(name, LABELS[name]) for name in late]
        assert [entry.query for entry in (await oracle.answered(cursor))[1]] == [entry.query for entry in answers]
        assert await oracle.answered(later) == (later, []), "nothing comes twice"

    async def test_a_query_that_is_withdrawn_is_free_again(self) -> None:
        if self.answers_at_once:
            pytest.skip("nothing is open")
        oracle = self.make(LABELS, 1)
        asked, refused = await oracle.buy(step_of(1), questions("ab"))
        assert isinstance(asked, Asked) and isinstance(refused, Refused), "an open query holds its cost back"
        assert list(await oracle.open()) == [asked.query]
        await oracle.withdraw([asked.query])
        assert list(await oracle.open()) == []
        _, told = await oracle.answered(0)
        assert [(entry.query, entry.answer) for entry in told] == [(asked.query, None)], "who waits for it is told"
        assert isinstance((await oracle.buy(step_of(2), questions("b")))[0], Asked)
        assert await self.own(oracle, 3, "a", "b") == [None, None]

    async def test_an_open_query_is_known_from_the_next_step_on(self) -> None:
        if self.answers_at_once:
            pytest.skip("nothing is open")
        oracle = self.make(LABELS, None)
        [asked] = await oracle.buy(step_of(2), questions("a"))
        assert [list(await oracle.owned(step_of(step), ["a", "b"])) for step in (2, 3)] == [[None] * 2, [asked, None]]
        assert await oracle.buy(step_of(5), questions("a")) == [asked], "who asks again attaches to it"

    async def test_to_withdraw_what_was_answered_changes_nothing(self) -> None:
        oracle = self.make(LABELS, 1)
        replies = await self.buy(oracle, 1, "a")
        await oracle.withdraw([reply.query for reply in replies if isinstance(reply, Asked)])
        assert await self.own(oracle, 2, "a") == ["label of a"]
        assert isinstance((await self.buy(oracle, 2, "b"))[0], Refused)
