"""The usual transport, over the library requests.

Redirects aren't followed, since a signature is for one path. Passwords of .netrc aren't used. Answers are read up to
a limit of bytes and of time.
"""

import time

import requests
import urllib3
from requests.utils import get_environ_proxies

from ptolemy_core.deals.transport import Answer, NoAnswerError, NotSentError, Request

LONGEST_ANSWER = 1 << 20
_CHUNK = 1 << 14


class _Session(requests.Session):
    """A session that doesn't even look at where a redirect leads.

    Without following it, requests still reads its whole body, without a limit, and breaks on a bad address.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: no redirect is one to follow."""


class HttpTransport:
    """A transport over requests, which keeps connections open. Any number of threads may use it."""

    def __init__(self) -> None:
        self._session = _Session()
        self._session.trust_env = False  # a .netrc would replace our Authorization
        self._session.headers.clear()
        adapter = requests.adapters.HTTPAdapter(pool_connections=32, pool_maxsize=8)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __call__(self, request: Request) -> Answer:
        """The answer; see `Transport`."""
        try:
            with self._session.request(
                request.method,
                request.url,
                headers={"User-Agent": "ptolemy", "Accept-Encoding": "identity", **request.headers},
                data=request.body,
                timeout=request.seconds,
                allow_redirects=False,
                stream=True,
                proxies=get_environ_proxies(request.url),
            ) as answer:
                body, until = bytearray(), time.monotonic() + 2 * request.seconds
                for part in answer.iter_content(_CHUNK):
                    body += part
                    if len(body) > LONGEST_ANSWER:
                        raise NoAnswerError(f"the answer is longer than {LONGEST_ANSWER} bytes")
                    if time.monotonic() > until:
                        raise NoAnswerError("the answer comes too slowly")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status_code, headers, bytes(body))
        except requests.RequestException as error:
            if _before_sending(error):
                raise NotSentError(_reason(error)) from None
            raise NoAnswerError(_reason(error)) from None
        except (
            ValueError,
            urllib3.exceptions.HTTPError,
        ):  # what requests lets through of an answer that is none
            raise NoAnswerError("the answer isn't HTTP") from None


def _before_sending(error: requests.RequestException) -> bool:
    """Whether the connection itself failed."""
    if isinstance(error, requests.exceptions.SSLError):  # others may come later
        return "CERTIFICATE_VERIFY_FAILED" in str(error) or "WRONG_VERSION_NUMBER" in str(error)
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, urllib3.exceptions.MaxRetryError) and isinstance(
        cause.reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
    )


def _reason(error: requests.RequestException) -> str:
    """A short reason; the error's own text has the URL."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "no valid certificate or TLS failed"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy can't be used"
    if _before_sending(error):
        return "no connection"
    return "the connection broke"
