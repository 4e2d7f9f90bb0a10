"""Templates of URLs: what they may name, and that none carries a secret."""

import pytest

from ptolemy_core import url_template


@pytest.mark.parametrize(
    "template",
    [
        "https://pieces.example/piece/{piece_cid}",
        "http://127.0.0.1:8080/{file_name}?token={secret}",
        "https://x.example/{piece_cid_v1}?{signature}",
        "https://x.example/?cid={payload_cid}&download=1",
    ],
)
def test_a_template_with_a_piece_in_it_is_taken(template: str) -> None:
    url_template.check("piece_url", template)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("https://x.example/piece", "names no piece"),
        ("https://x.example/{secret}", "names no piece"),
        ("https://x.example/{cid}", "has {cid}"),
        ("https://x.example/{piece_cid", "lone braces"),
        ("https://x.example/ {piece_cid}", "without blanks"),
        ("ftp://x.example/{piece_cid}", "http(s)"),
        ("/piece/{piece_cid}", "http(s)"),
        ("https://x.example:port/{piece_cid}", "http(s)"),
        ("https://x.example/{piece_cid}#a", "fragment"),
        ("https://anna:pass@x.example/{piece_cid}", "user or password"),
        ("https://x.example/{piece_cid}?sig=0123456789abcdef", "write {secret}"),
        ("https://x.example/{piece_cid}" + "a" * 2048, "at most 2048"),
    ],
)
def test_a_template_that_gives_no_urls_or_has_a_secret_in_it_is_refused(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        url_template.check("piece_url", template)
    assert words in str(error.value)
    assert "0123456789abcdef" not in str(error.value)
    assert "pass@" not in str(error.value)


def test_names_are_filled_in_and_values_are_not_templates() -> None:
    filled = url_template.fill(
        "https://x/{piece_cid}?t={secret}", {"piece_cid": "baf", "secret": "{piece_cid}"}
    )
    assert filled == "https://x/baf?t={piece_cid}"
