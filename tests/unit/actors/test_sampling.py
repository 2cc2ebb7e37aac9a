"""What a rollout asks of the engine."""

import pytest

from actors.rollout.sampling import SampleRequest
from effrl.config import load
from effrl.types import Prompt


def test_without_stops_nothing_but_the_end_token_ends_a_completion() -> None:
    parameters = SampleRequest(Prompt("a", "1+1="), (1,), 24, 0.7).parameters()
    assert parameters == {
        "max_tokens": 24,
        "temperature": 0.7,
        "stop": [],
        "stop_token_ids": [],
        "include_stop_str_in_output": False,
        "logprobs": 0,
    }


def test_stops_are_texts_and_token_ids_and_part_of_the_completion() -> None:
    parameters = SampleRequest(Prompt("a", "1+1="), (1,), 24, 1.0, ("</answer>", 7, "\n\n")).parameters()
    assert (parameters["stop"], parameters["stop_token_ids"]) == (["</answer>", "\n\n"], [7])
    assert parameters["include_stop_str_in_output"]


@pytest.mark.parametrize(
    ("text", "stop"),
    [("</answer>", ("</answer>",)), ("7", (7,)), ("'7'", ("7",)), ("['</answer>', 7]", ("</answer>", 7)), ("[]", ())],
)
def test_how_stops_are_written(text: str, stop: tuple[int | str, ...]) -> None:
    config = load.load("quickstart", [f"rollout.stop={text}"])
    assert config.rollout.stop == stop
    assert load.validate(config.model_dump(mode="json"), "dumped").rollout.stop == stop
