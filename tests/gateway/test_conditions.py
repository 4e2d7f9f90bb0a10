"""Ranges and conditions: RFC 9110, rule by rule."""

import pytest

from ptolemy_core.gateway.conditions import Decision, Outcome, decide

TAG = '"baga"'
WHOLE = Decision(Outcome.WHOLE, 0, 1000)


def of(range_: str, size: int = 1000, method: str = "GET", **more: str) -> Decision:
    headers = {"range": range_, **{name.replace("_", "-"): value for name, value in more.items()}}
    return decide(method, headers, TAG, size)


@pytest.mark.parametrize(
    ("asked", "first", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-999", 0, 1000),
        ("bytes=0-", 0, 1000),
        ("bytes=999-", 999, 1),
        ("bytes=10-19", 10, 10),
        ("bytes=990-5000", 990, 10),
        (f"bytes=990-{10**30}", 990, 10),
        ("bytes=-1", 999, 1),
        ("bytes=-1000", 0, 1000),
        ("bytes=-5000", 0, 1000),
        ("Bytes= 5-9 ", 5, 5),
    ],
)
def test_a_range_within_the_content_is_given(asked: str, first: int, length: int) -> None:
    found = of(asked)
    assert found == Decision(Outcome.PART, first, length)
    assert found.content_range(1000) == f"bytes {first}-{first + length - 1}/1000"


@pytest.mark.parametrize(
    "asked", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", f"bytes={10**18}-", f"bytes={10**30}-"]
)
def test_a_range_outside_the_content_is_refused_with_its_size(asked: str) -> None:
    found = of(asked)
    assert found.outcome is Outcome.OUTSIDE
    assert found.content_range(1000) == "bytes */1000"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=--5",
        "bytes=",
        "bytes=-",
        "items=0-5",
        "bytes=0x1-5",
        "bytes=١-5",
        "bytes=1-5;",
        f"bytes={'9' * 400}-",
    ],
)
def test_what_is_no_single_range_of_bytes_is_as_if_it_were_not_there(asked: str) -> None:
    assert of(asked) == WHOLE


def test_a_range_is_for_get_alone() -> None:
    assert of("bytes=0-9", method="HEAD") == WHOLE


def test_a_range_is_given_only_of_the_version_that_if_range_names() -> None:
    assert of("bytes=0-9", if_range=TAG).outcome is Outcome.PART
    assert of("bytes=0-9", if_range='"other"') == WHOLE
    assert of("bytes=0-9", if_range=f"W/{TAG}") == WHOLE
    assert of("bytes=0-9", if_range="Wed, 21 Oct 2015 07:28:00 GMT") == WHOLE


@pytest.mark.parametrize("listed", [TAG, f"W/{TAG}", f'"a", {TAG}, "b"', "*", f'"a",W/{TAG}'])
def test_who_has_it_already_is_told_so_also_where_a_range_is_asked_for(listed: str) -> None:
    assert of("bytes=0-9", if_none_match=listed).outcome is Outcome.SAME
    assert decide("HEAD", {"if-none-match": listed}, TAG, 1000).outcome is Outcome.SAME


def test_who_has_another_version_gets_it() -> None:
    assert decide("GET", {"if-none-match": '"other", W/"bag"'}, TAG, 1000) == WHOLE


def test_if_match_compares_strongly() -> None:
    assert decide("GET", {"if-match": f'"x", {TAG}'}, TAG, 1000) == WHOLE
    assert decide("GET", {"if-match": "*"}, TAG, 1000) == WHOLE
    assert decide("GET", {"if-match": f"W/{TAG}"}, TAG, 1000).outcome is Outcome.OTHER
    assert decide("GET", {"if-match": '"x"'}, TAG, 1000).outcome is Outcome.OTHER
