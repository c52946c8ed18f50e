# SPDX-License-Identifier: MIT
"""The HTTP server under the pages withstands slow, large and strange requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent

from ldapgw.web.http import MAX_BODY_SIZE
from ldapgw.web.site import IDLE_SECONDS, MAX_READ_SIZE, REFUSED_SECONDS, REQUEST_SECONDS, WebChannel, WebSite
from tests.support.stage.web import Connection, Stage

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(stage: Stage, clock: Clock) -> Iterator[Connection]:
    connection = Connection(stage.site(clock=clock))
    yield connection
    connection.close()
    assert clock.getDelayedCalls() == []


def test_requests_one_after_another(connection: Connection, clock: Clock) -> None:
    """A connection serves several requests, with pauses between them, whole or in pieces."""
    for _ in range(3):
        assert connection.send(GET).startswith(b"HTTP/1.1 200 OK\r\n")
        clock.advance(IDLE_SECONDS - 1)
    for octet in GET[:-1]:
        assert connection.send(bytes([octet])) == b""
    assert connection.send(GET[-1:]).startswith(b"HTTP/1.1 200 OK\r\n")
    assert not connection.ended


def test_pipelined_requests(connection: Connection) -> None:
    assert connection.send(GET * 3).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "head",
    [b"", b"GET /heal", b"POST /acme/sync HTTP/1.1\r\nContent-Length: 900\r\n\r\n", GET],
    ids=["nothing", "a line", "a form", "a second request"],
)
def test_a_request_that_trickles(connection: Connection, clock: Clock, head: bytes) -> None:
    """A request that is not whole in time is cut off, however steadily it comes; each request has its own time."""
    connection.send(head)
    if head == GET:
        clock.advance(IDLE_SECONDS - 1)
        connection.send(b"GET")
    for _ in range(int(REQUEST_SECONDS) - 1):
        connection.send(b"x")
        clock.advance(1)
        assert not connection.ended
    clock.advance(1)
    assert connection.ended


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 80000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n13880\r\n"],
    ids=["length", "chunked"],
)
def test_a_large_body_is_refused_and_not_kept(connection: Connection, head: bytes) -> None:
    """The sender gets a page with the reason; the server does not keep the rest of the body."""
    connection.send(b"POST /acme/sync HTTP/1.1\r\n" + FORM + head)
    request = connection.channel.requests[0]
    connection.send(b"x" * 79999)
    assert request.content.seek(0, 2) == MAX_BODY_SIZE + 1
    answer = connection.send(b"x\r\n0\r\n\r\n" if b"chunked" in head else b"x")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Content-Security-Policy" in answer
    assert b"The request is too large" in answer


def test_an_endless_body_is_cut_off(connection: Connection) -> None:
    connection.send(b"POST /acme/sync HTTP/1.1\r\n" + FORM + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(MAX_READ_SIZE // 65536):
        connection.send(chunk)
    assert not connection.ended
    connection.send(chunk)
    assert connection.ended


def test_no_file_is_opened_for_a_long_body(connection: Connection) -> None:
    """Twisted would open a file for a body that is announced to be long."""
    connection.send(b"POST /acme/sync HTTP/1.1\r\n" + FORM + b"Content-Length: 99999999\r\n\r\n")
    assert type(connection.channel.requests[0].content).__name__ == "BytesIO"


@pytest.mark.parametrize(
    "target", [b"*", b"http://evil.example/", b"/%00", b"/\x01", b"/acme/?%zz&&=;", b"/" + b"a" * 9000]
)
def test_strange_targets(connection: Connection, target: bytes) -> None:
    answer = connection.send(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))
    assert b"Server:" not in answer
    assert b"Traceback" not in answer
    assert b"evil" not in answer


@pytest.mark.parametrize(
    "host", [b"", b"evil.example", b"[", b"a:b:c", b"\xff\xfe", b"x" * 300, b"..", b"xn--a.example"]
)
def test_strange_hosts(connection: Connection, host: bytes) -> None:
    """The Host header changes nothing in the redirect."""
    answer = connection.send(b"GET /acme HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nLocation: /acme/\r\n" in answer


def test_nothing_is_logged_of_an_address(stage: Stage, clock: Clock, tmp_path: Any) -> None:
    """The address of the callback has the code, so the server writes no access log."""
    site = stage.site(clock=clock)
    site.startFactory()
    written: list[str] = []
    site._logFile = type("Log", (), {"write": lambda _, line: written.append(line), "close": lambda _: None})()
    connection = Connection(site)
    connection.send(b"GET /oauth/callback?code=SECRET HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.close()
    site.stopFactory()
    assert written == []


# --- too many ---------------------------------------------------------------------------------------------------------


def let_in(site: WebSite, *peers: str) -> str:
    """Return a + for each peer whose connection is taken, and a - for each other peer."""
    return "".join("-" if Connection(site, peer).is_refused else "+" for peer in peers)


def test_one_network_does_not_take_all_connections(stage: Stage, clock: Clock) -> None:
    """A network is an IPv4 address or an IPv6 /64; a connection that ends makes room."""
    site = stage.site(10, 2, clock=clock)
    first = Connection(site, "192.0.2.1")
    assert let_in(site, "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2") == "+-+"
    assert let_in(site, "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1") == "++-+"
    first.close()
    assert let_in(site, "192.0.2.1", "192.0.2.1") == "+-"


def test_the_page_has_so_many_connections_and_no_more(stage: Stage, clock: Clock) -> None:
    """The limit includes connections of proxies and of this machine, because each one takes a file descriptor."""
    stage.trusts = lambda address: address == "192.0.2.9"
    site = stage.site(5, 2, clock=clock)
    first = Connection(site, "192.0.2.1")
    assert let_in(site, "192.0.2.9", "192.0.2.9", "192.0.2.9", "192.0.2.2", "192.0.2.3", "192.0.2.9") == "++++--"
    local = UNIXAddress(b"/run/ldapgw.sock")
    assert site.buildProtocol(local) is None
    first.close()
    assert site.buildProtocol(local) is not None


def test_clients_of_a_proxy_are_counted_by_requests(stage: Stage, clock: Clock) -> None:
    """A network behind a proxy may have some requests under way, and further ones get 429.

    Other networks are answered.
    """
    stage.trusts = lambda address: address == "192.0.2.9"
    site = stage.site(20, 2, clock=clock)
    body = b"POST /acme/sync HTTP/1.1\r\nX-Forwarded-For: %s\r\nContent-Length: 1\r\n\r\n"
    get = b"GET /healthz HTTP/1.1\r\nX-Forwarded-For: %s\r\n\r\n"
    under_way = [Connection(site, "192.0.2.9") for _ in range(2)]
    assert [one.send(body % b"198.51.100.7") for one in under_way] == [b"", b""]
    refused = Connection(site, "192.0.2.9").send(get % b"198.51.100.7")
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 30\r\n" in refused
    assert b"\r\nContent-Security-Policy: " in refused
    assert b"Too many requests" in refused
    other = Connection(site, "192.0.2.9")
    for who in (b"198.51.100.8", b"192.0.2.9", b"198.51.100.8"):
        assert other.send(get % who).startswith(b"HTTP/1.1 200 ")
    assert under_way[0].send(b"x").startswith(b"HTTP/1.1 403 ")
    assert other.send(get % b"198.51.100.7").startswith(b"HTTP/1.1 200 ")
    assert under_way[0].send(body % b"198.51.100.7") == b""
    assert other.send(get % b"198.51.100.7").startswith(b"HTTP/1.1 429 ")
    under_way[1].close()
    assert other.send(get % b"198.51.100.7").startswith(b"HTTP/1.1 200 ")


def test_a_proxy_that_names_no_client_has_no_limit_of_its_own(stage: Stage, clock: Clock) -> None:
    """Otherwise all clients of the proxy would share the limit of one network."""
    stage.trusts = lambda address: address == "192.0.2.9"
    site = stage.site(20, 1, clock=clock)
    body = b"POST /acme/sync HTTP/1.1\r\nContent-Length: 1\r\n\r\n"
    under_way = [Connection(site, "192.0.2.9") for _ in range(3)]
    assert [one.send(body) for one in under_way] == [b""] * 3
    assert [one.send(b"x")[:13] for one in under_way] == [b"HTTP/1.1 403 "] * 3


@pytest.mark.parametrize(
    ("rest", "seconds", "ended"),
    [(b"", REFUSED_SECONDS, (False, True)), (b"x" * 9, REQUEST_SECONDS, (True, False))],
    ids=["it trickles", "it is complete"],
)
def test_a_refused_request(stage: Stage, clock: Clock, rest: bytes, seconds: float, ended: tuple[bool, bool]) -> None:
    """A refused request has less time than other requests.

    The connection of a refused request that is complete goes on.
    """
    stage.trusts = lambda address: address == "192.0.2.9"
    site = stage.site(20, 1, clock=clock)
    body = b"POST /acme/sync HTTP/1.1\r\nX-Forwarded-For: 198.51.100.7\r\nContent-Length: 9\r\n\r\n"
    counted, refused = (Connection(site, "192.0.2.9") for _ in range(2))
    counted.send(body)
    assert refused.send(body + rest).startswith(b"HTTP/1.1 429 " if rest else b"")
    clock.advance(seconds)
    assert (counted.ended, refused.ended) == ended


def test_what_is_too_much_is_logged_by_count(stage: Stage, logged: list[LogEvent]) -> None:
    """The log has a line a minute for each kind and network, and no lines of Twisted's."""
    stage.misuse.startService()
    site = stage.site(1000, 100)
    connections = [Connection(site) for _ in range(150)]
    taken = [connection for connection in connections if not connection.is_refused]
    assert len(taken) == 100
    stage.clock.advance(REQUEST_SECONDS)
    assert all(connection.ended for connection in taken)
    assert lines_of(logged) == [
        "web: too many connections, from 192.0.2.1",
        "web: a connection that timed out, from 192.0.2.1",
    ]
    for connection in taken:
        connection.close()
    idle = Connection(site)
    idle.send(GET)
    stage.clock.advance(IDLE_SECONDS)
    assert idle.ended
    idle.close()
    stage.clock.advance(60)
    stage.misuse.stopService()
    assert lines_of(logged)[2:] == [
        "web: too many connections, from 192.0.2.1, 49 times",
        "web: a connection that timed out, from 192.0.2.1, 99 times",
    ]


def test_a_connection_that_stays_open_after_its_timeout_is_aborted(stage: Stage, clock: Clock) -> None:
    """A client that does not close an idle connection has some seconds more; one that closes it is forgotten."""
    site = stage.site(clock=clock)
    stubborn, obedient = Connection(site), Connection(site)
    stubborn.send(GET)
    obedient.send(GET)
    clock.advance(IDLE_SECONDS)
    assert (stubborn.ended, stubborn.transport.disconnected) == (True, False)
    obedient.close()
    clock.advance(WebChannel.abortTimeout)
    assert (stubborn.transport.disconnected, obedient.transport.disconnected) == (True, False)
    stubborn.close()
    assert clock.getDelayedCalls() == []


def lines_of(logged: list[LogEvent]) -> list[str]:
    """Return the lines of the log."""
    return [formatEvent(event) for event in logged if event["log_level"] >= LogLevel.info]
