"""No header, whatever is in it, makes the server fail: it is answered, or refused with a reason."""

import itertools

import pytest

from tests.http_api.client import Api

NAMES = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "origin",
    "range",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
]

VALUES = [
    b"",
    b" ",
    b"http://[",
    b"http://]",
    b"http://[::1",
    b"http://[x]:y",
    b"http://\xff",
    b"//",
    b"\xff\xfe\x80",
    "é".encode(),
    "٣".encode(),
    b"\xb2",
    b"-1",
    b"+1",
    b"0x10",
    b"1_000",
    b"1e9",
    b"9" * 5000,
    b"bytes=0-0,-1,5-1",
    b"bytes=" + b"0-," * 500,
    b"a;b=\x80;q=x",
    b'"',
    b"[::1]:99999",
    b"[::1%25eth0]",
    b"127.0.0.1:8000:8000",
    b"%00",
    b"Bearer " + b"x" * 3000,
    b"Bearer \xff\xff",
    b"Basic ====",
    b"multipart/form-data; boundary=",
    b"application/json; charset=nonsense",
    b"=; =;;",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_a_header_is_a_failure(api: Api, name: str) -> None:
    for value, (method, path) in itertools.product(
        VALUES, (("GET", "/v0/projects"), ("POST", "/v0/create/delta"), ("GET", "/docs"))
    ):
        answer = api.http.request(
            method, path, headers=[(name.encode(), value)], content=b"{}" if method == "POST" else None
        )
        assert answer.status_code < 500, (name, value, method, path, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (name, value, answer.text)


def test_an_origin_that_is_no_address_is_refused_and_no_failure(api: Api) -> None:
    for origin in ("http://[", "[", "http://127.0.0.1:8000]", "http://127.0.0.1:8000\\@x", "file://", "null"):
        assert api.get("/v0/projects", 403, origin=origin)["type"].endswith(":other-origin")
