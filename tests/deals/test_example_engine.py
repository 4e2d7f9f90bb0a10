"""The engine that docs/deals.md shows is run as it is written there."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.deals import DealState, Engine, Offline
from ptolemy_core.deals.transport import Answer, NoAnswerError, NotSentError, Request
from ptolemy_core.errors import DealRefusedError, DealUnknownError, ProposalError, ProviderAwayError
from tests.deals.test_values import GOOD

PAGE = (Path(__file__).parents[2] / "docs" / "deals.md").read_text("utf-8")


@pytest.fixture
def example() -> Any:
    """The class in the page."""
    names: dict[str, Any] = {}
    blocks = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "ExampleEngine" in block
    ]
    exec(blocks[0], names)
    return names["ExampleEngine"]


def test_the_example_speaks_the_protocol(example: Any) -> None:
    requests: list[Request] = []
    answers: list[Any] = [
        Answer(200, {}, b'{"state": "accepted"}'),
        Answer(200, {}, b'{"state": "active"}'),
        Answer(503, {}, b"away https://pieces.example/a?sig=x"),
        Answer(400, {}, b"no"),
        NotSentError("no connection"),
        NoAnswerError("no answer in time"),
    ]

    def transport(request: Request) -> Answer:
        requests.append(request)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    engine: Engine = example(transport)
    assert engine.propose(GOOD, sent=False).state == DealState.ACCEPTED
    assert engine.status(GOOD).state == DealState.ACTIVE
    with pytest.raises(ProviderAwayError, match=r"a\?\.\.\."):
        engine.status(GOOD)
    with pytest.raises(DealRefusedError):
        engine.propose(GOOD, sent=True)
    with pytest.raises(ProviderAwayError):
        engine.propose(GOOD, sent=True)
    with pytest.raises(DealUnknownError):
        engine.propose(GOOD, sent=True)
    assert {request.url for request in requests} == {f"https://provider.example/deals/{GOOD.id}"}
    with pytest.raises(ProposalError):
        engine.propose(replace(GOOD, source=Offline()), sent=False)
    assert not answers
