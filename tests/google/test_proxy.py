# SPDX-License-Identifier: MIT
"""The tests use a real proxy, the environment's proxy, and proxies that behave badly.

Only a real proxy shows that the client sends what a proxy expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.web.client import BrowserLikePolicyForHTTPS

from ldapgw.errors import GoogleError, NetworkFailure
from ldapgw.google.connections import environment_proxy
from ldapgw.google.endpoints import Proxy
from ldapgw.google.http import GoogleHttpClient, http_client
from tests.support.certificates import issue
from tests.support.inspection import Tls
from tests.support.proxies import proxy_with_password

from .double import NOW, RudeServer, clock_at
from .test_http import HEAD

PASSWORD = "p@ss: word/"


@pytest.fixture
def tinyproxy(tmp_path: Path) -> Iterator[int]:
    with proxy_with_password(tmp_path) as port:
        yield port


async def get(reactor, url, proxy, trust=None):
    client = http_client(reactor, BrowserLikePolicyForHTTPS(trust) if trust else None, proxy)
    return (await GoogleHttpClient(client, clock_at(NOW)).get(url, [], "ya29.EXAMPLE")).body


@pytest_twisted.ensureDeferred
async def test_a_real_proxy_carries_tls(reactor, serve, tinyproxy, tmp_path):
    """The proxy sees only the destination. The client checks the certificate of Google itself."""
    tls = Tls(issue(authority=True))
    server = RudeServer(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
    url = await serve(server, tls)
    proxy = Proxy.parse(f"http://max:secret@127.0.0.1:{tinyproxy}")
    assert await get(reactor, url, proxy, tls.trust) == b"{}"
    assert b"Authorization: Bearer ya29.EXAMPLE" in server.received
    assert "ya29" not in (tmp_path / "log").read_text()
    with pytest.raises(NetworkFailure, match="certificate verify failed"):
        await get(reactor, url, proxy)


@pytest.mark.parametrize("user", ["", "max:wrong@"])
@pytest_twisted.ensureDeferred
async def test_a_real_proxy_that_wants_a_password(reactor, tinyproxy, user):
    """The error has the status, and not the password."""
    with pytest.raises(NetworkFailure, match=r"^the proxy refuses: HTTP 40[17]$"):
        await get(reactor, "https://127.0.0.1:9/", Proxy.parse(f"http://{user}127.0.0.1:{tinyproxy}"))


@pytest.mark.parametrize(
    ("answer", "hang_up", "detail"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, "the proxy refuses: HTTP 503"),
        (b"220 mail.example ESMTP\r\n\r\n", False, "the proxy does not speak HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", False, "the proxy does not speak HTTP"),
        (b"HTTP/1.1 200", True, "the proxy has closed the connection"),
        (b"", True, "the proxy has closed the connection"),
        (b"X" * 70_000, False, "the proxy's answer is too large"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_behaves_badly(reactor, serve, answer, hang_up, detail):
    """The network failure names the problem, and the token was not sent."""
    server = RudeServer(answer, hang_up=hang_up)
    proxy = Proxy.parse(await serve(server))
    with pytest.raises(GoogleError) as failed:
        await get(reactor, "https://people.example/", proxy)
    assert (type(failed.value), failed.value.detail) == (NetworkFailure, detail)
    assert server.received.startswith(b"CONNECT people.example:443 HTTP/1.1\r\nHost: people.example:443\r\n\r\n")
    assert b"ya29" not in server.received


@pytest.mark.parametrize(
    ("url", "host", "port", "authorization"),
    [
        ("http://proxy:8080", "proxy", 8080, ""),
        ("http://proxy.example/", "proxy.example", 3128, ""),
        ("http://[fd00::1]:3128", "fd00::1", 3128, ""),
        ("http://max:p%40ss%3A%20word%2F@proxy", "proxy", 3128, "Basic bWF4OnBAc3M6IHdvcmQv"),
        ("http://max@proxy", "proxy", 3128, "Basic bWF4Og=="),
    ],
)
def test_the_address_of_a_proxy(url: str, host: str, port: int, authorization: str) -> None:
    """User and password are percent-encoded as in any URL, and the repr has neither."""
    proxy = Proxy.parse(url)
    assert (proxy.host, proxy.port, proxy.authorization) == (host, port, authorization)
    assert "Basic" not in repr(proxy)


@pytest.mark.parametrize(
    "url",
    [
        *("proxy:3128", "https://proxy", "socks5://proxy", "http://", "http://proxy/x", "http://p:x", "http://a b"),
        *("http://max:secret", "http://max:sec[ret@proxy"),
    ],
)
def test_what_is_no_address_of_a_proxy(url: str) -> None:
    """The message shows nothing of the address, which may hold a password."""
    with pytest.raises(ValueError, match=r"^expected http://proxy:3128$"):
        Proxy.parse(url)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:8080"}, Proxy("proxy", 8080)),
        ({"https_proxy": "proxy:8080"}, Proxy("proxy", 8080)),
        ({"HTTPS_PROXY": "http://proxy:8080", "NO_PROXY": "localhost,.googleapis.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:8080", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:8080", "NO_PROXY": "example.com"}, Proxy("proxy", 8080)),
        ({"HTTP_PROXY": "http://proxy:8080"}, None),
    ],
)
def test_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], proxy: Proxy | None
) -> None:
    """The environment is read by the same rules as in other programs."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy("people.googleapis.com") == proxy


@pytest_twisted.ensureDeferred
async def test_the_environments_proxy_carries_tls_alone(reactor, serve, monkeypatch):
    """Plain HTTP to a local sandbox uses no proxy. A wrong address of a proxy is an error."""
    server = RudeServer(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://max:secret@proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await get(reactor, await serve(server), None) == b"{}"
    with pytest.raises(NetworkFailure, match=r"^HTTPS_PROXY: expected http://proxy:3128$"):
        await get(reactor, "https://people.example/", None)
