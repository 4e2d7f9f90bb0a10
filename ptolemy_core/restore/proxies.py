"""The HTTP proxy for a server, as the environment names it: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

As in most programs: the names in lower case count too, and first; this machine itself is never asked through a proxy.
"""

import base64
import ipaddress
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host, port: where it listens.
        headers: that it needs: the user and password of its URL.
    """

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def proxy_for(url: str) -> Proxy | None:
    """The proxy for the server of a URL; None to connect to it directly.

    Raises:
        ValueError: the environment names one that can't be used; without its password.
    """
    parts = urlsplit(url)
    found = urllib.request.getproxies_environment()
    named = found.get(parts.scheme) or found.get("all")
    host = parts.hostname or ""
    if not named or is_loopback(host) or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    try:
        port = proxy.port or 80
    except ValueError:
        port = 0
    if proxy.scheme != "http" or not proxy.hostname or not port:
        raise ValueError(
            f"the environment names a proxy for {parts.scheme} that isn't http://HOST:PORT: "
            f"correct {parts.scheme.upper()}_PROXY, or name {host} in NO_PROXY"
        )
    if proxy.username is None:
        return Proxy(proxy.hostname, port)
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return Proxy(
        proxy.hostname, port, {"Proxy-Authorization": "Basic " + base64.b64encode(secret).decode("ascii")}
    )


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"
