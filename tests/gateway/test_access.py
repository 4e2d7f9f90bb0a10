"""Who may have what: tokens, signed URLs, and what a refusal doesn't tell."""

import pytest

from ptolemy_core.gateway.access import Access, Grant, parse_tokens, signed_url
from ptolemy_core.gateway.answer import Refusal

TOKEN, KEY, PATH = "a-token-of-some-length", b"a-key-of-some-length", "/piece/baga"


def grant(
    access: Access, authorization: str | None = None, now: float = 1000, **query: str
) -> Grant | Refusal:
    return access.grant(PATH, query, authorization, now)


def signed(expires: int, path: str = PATH, key: bytes = KEY) -> dict[str, str]:
    query = signed_url(key, "https://x/", path, expires).partition("?")[2]
    return dict(pair.split("=") for pair in query.split("&"))


def refused(found: Grant | Refusal) -> str:
    assert isinstance(found, Refusal)
    assert found.status == 401
    assert "Bearer" in found.headers["WWW-Authenticate"]
    assert TOKEN not in found.detail
    return found.detail


def test_without_a_proof_there_is_what_is_public() -> None:
    for access in (Access(), Access((TOKEN,), KEY)):
        assert grant(access) is Grant.PUBLIC
        assert grant(access, "Basic abc") is Grant.PUBLIC
    assert grant(Access(), f"Bearer {TOKEN}") is Grant.PUBLIC


def test_each_of_the_tokens_opens_all() -> None:
    access = Access(("first-token-of-this", TOKEN))
    assert grant(access, f"Bearer {TOKEN}") is Grant.ALL
    assert grant(access, "bearer  first-token-of-this ") is Grant.ALL
    assert "isn't one" in refused(grant(access, f"Bearer {TOKEN}x"))
    assert "isn't one" in refused(grant(access, "Bearer "))


def test_a_signed_url_opens_its_path_until_it_expires() -> None:
    access = Access(key=KEY)
    assert grant(access, now=1999, **signed(2000)) is Grant.ALL
    assert "expired" in refused(grant(access, now=2001, **signed(2000)))
    assert "signature" in refused(grant(access, **signed(2000, path="/piece/other")))
    assert "signature" in refused(grant(access, **signed(2000, key=b"another-key-of-length")))
    assert "signature" in refused(grant(access, **(signed(2000) | {"expires": "3000"})))


@pytest.mark.parametrize("expires", ["", "x", "-5", "١", "9" * 30, "0" * 20 + "9" * 5000])
def test_a_signed_url_needs_a_time(expires: str) -> None:
    assert "expires" in refused(grant(Access(key=KEY), **(signed(2000) | {"expires": expires})))


def test_a_signature_says_nothing_to_a_server_without_key() -> None:
    assert grant(Access(), **signed(2000)) is Grant.PUBLIC


def test_a_file_of_tokens_may_have_comments_and_empty_lines() -> None:
    assert parse_tokens(["# of May", "", " one ", "two\n", "one"]) == ("one", "two")


def test_no_representation_shows_a_token_or_key() -> None:
    shown = repr(Access((TOKEN,), KEY))
    assert TOKEN not in shown
    assert KEY.decode() not in shown
