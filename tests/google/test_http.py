# SPDX-License-Identifier: MIT
"""The tests limit calls in time and size, and name every kind of failure."""

from __future__ import annotations

import gzip
import tracemalloc
from datetime import UTC, datetime

import pytest
import pytest_twisted
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import DNSLookupError, NoRouteError, UserError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseNeverReceived

from ldapgw import __version__
from ldapgw.errors import BadResponse, GoogleUnavailable, NetworkFailure, QuotaExceeded
from ldapgw.google import http
from ldapgw.google.connections import GoogleEndpointFactory
from ldapgw.google.endpoints import CallSource
from ldapgw.google.http import GoogleHttpClient, GoogleResponse, http_client
from tests.support.certificates import issue
from tests.support.inspection import Tls
from tests.support.results import result_of

from .double import NOW, Google, RudeServer, clock_at

URL = "https://people.googleapis.com/v1/things"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def call(google: Google, token: str = "ya29.EXAMPLE") -> GoogleResponse:
    return result_of(GoogleHttpClient(google.http, clock_at(NOW)).get(URL, [("a", "1"), ("a", "2")], token))


@pytest.fixture
def agent(reactor):
    """Return an agent on real sockets that keeps no connection open."""
    pool = HTTPConnectionPool(reactor, persistent=False)
    return Agent(reactor, pool=pool)


def test_get():
    """A GET has the token, the headers for gzip and language, and repeated parameters."""
    google = Google((404, {}, b"gone"))
    assert call(google) == GoogleResponse(404, b"gone", media_type="text/html")
    (request,) = google.requests
    assert (request.method, request.url, request.args) == ("GET", URL, {"a": ["1", "2"]})
    assert {
        "authorization": "Bearer ya29.EXAMPLE",
        "user-agent": f"ldapgw/{__version__} (gzip)",
        "accept-language": "en",
        "accept-encoding": "gzip",
        "accept": "application/json",
    }.items() <= request.headers.items()


def test_post():
    """A POST has the form, and no token."""
    google = Google((200, {}, b"{}"))
    answer = result_of(GoogleHttpClient(google.http, clock_at(NOW)).post(URL, "a=%26&b=2"))
    assert answer == GoogleResponse(200, b"{}", media_type="text/html")
    (request,) = google.requests
    assert (request.method, request.args) == ("POST", {"a": ["&"], "b": ["2"]})
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers


def test_answer_hides_body():
    """The repr may get into a log, so the repr has no body."""
    assert repr(GoogleResponse(200, b"secret")) == "GoogleResponse(status=200, retry_after=None)"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect(status):
    """A redirect is not followed, because the token would go elsewhere."""
    google = Google((status, {"Location": "https://evil.example/"}, b""))
    answer = call(google)
    assert (answer.status, type(answer.error), len(google.requests)) == (status, BadResponse, 1)


@pytest.mark.parametrize(
    ("statuses", "trouble"),
    [((200, 400, 401, 404), None), ((429,), QuotaExceeded), ((500, 502, 503, 504, 599), GoogleUnavailable)],
)
def test_trouble(statuses, trouble):
    """Some statuses mean the same for every endpoint, and carry the waiting time."""
    for status in statuses:
        found = GoogleResponse(status, b"", 30.0).error
        assert (type(found), found.retry_after) == (trouble, 30.0) if trouble else found is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("999999999", 86400.0),
        ("1000000000", 86400.0),
        ("99999999999999999999", 86400.0),
        ("9" * 5000, 86400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Mon, 21 Sep 2026 14:16:00 GMT", 60.0),
        ("Monday, 21-Sep-26 14:16:00 GMT", 60.0),
        ("Mon, 21 Sep 2026 14:16:00 -0000", 60.0),
        ("Mon, 21 Sep 2026 14:00:00 GMT", 0.0),
        ("Mon, 21 Sep 2099 14:00:00 GMT", 86400.0),
        ("Mon, 99 Sep 2026 14:16:00 GMT", None),
        ("Mon, 21 Sep 99999 14:16:00 GMT", None),
        (";" * 5000, None),
    ],
)
def test_retry_after(value, seconds):
    """Retry-After is read as seconds or as a date, at most a day. Other values are ignored."""
    now = datetime(2026, 9, 21, 14, 15, tzinfo=UTC).timestamp()
    caller = GoogleHttpClient(Google((429, {"Retry-After": value}, b"")).http, clock_at(now))
    assert result_of(caller.get(URL, [], "t")).retry_after == seconds


@pytest.mark.parametrize(
    ("encoding", "body", "detail"),
    [
        ("gzip", b"not gzip", "damaged gzip body"),
        ("gzip", gzip.compress(b"x" * 100)[:-9], "gzip body cut off"),
        ("gzip", gzip.compress(b"x") + b"x", "octets behind the end of a gzip body"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x")), "content encoding not asked for"),
        ("br", b"x", "content encoding not asked for"),
        ("gzip", gzip.compress(b"\0" * (http.LARGEST_BODY + 1)), "body too large"),
        ("", b"\0" * (http.LARGEST_BODY + 1), "body too large"),
    ],
    ids=["not-gzip", "cut-off", "junk-behind", "twice", "brotli", "bomb", "large"],
)
def test_bad_body(encoding, body, detail):
    """A body that is damaged, has another encoding or is too large is a bad response."""
    google = Google((200, {"Content-Encoding": encoding} if encoding else {}, body))
    with pytest.raises(BadResponse) as caught:
        call(google)
    assert caught.value.detail == detail


def test_bomb_is_not_unpacked():
    """The client stops unpacking a hostile body before the body takes much memory."""
    google = Google((200, {"Content-Encoding": "gzip"}, gzip.compress(b"\0" * (6 * http.LARGEST_BODY), 1)))
    tracemalloc.start()
    try:
        with pytest.raises(BadResponse):
            call(google)
        assert tracemalloc.get_traced_memory()[1] < 3 * http.LARGEST_BODY
    finally:
        tracemalloc.stop()


def test_largest_body():
    """A body of the largest size is accepted. The limit of a token answer is far smaller."""
    body = b"\0" * http.LARGEST_BODY
    assert call(Google((200, {"Content-Encoding": "gzip"}, gzip.compress(body)))).body == body
    google = Google((200, {}, b"\0" * (http.LARGEST_TOKEN + 1)))
    with pytest.raises(BadResponse, match="too large"):
        result_of(GoogleHttpClient(google.http, clock_at(NOW)).post(URL, ""))


class FixedAgent:
    """The agent gives all requests the same outcome."""

    def __init__(self, outcome: Deferred[object]) -> None:
        self.outcome = outcome

    def request(self, *_: object) -> Deferred[object]:
        return self.outcome


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (DNSLookupError("people.googleapis.com"), "DNSLookupError"),
        (NoRouteError(), "NoRouteError"),
        (UserError(), "UserError"),
        (OSError(101, "Network is unreachable"), "OSError"),
        (
            ResponseNeverReceived([Failure(SSL.Error([("SSL routines", "", "certificate verify failed")]))]),
            "TLS: certificate verify failed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_network(error, detail):
    """An error below HTTP is a network failure with the kind of the error alone."""
    caller = GoogleHttpClient(HTTPClient(FixedAgent(fail(error))), clock_at(NOW))
    with pytest.raises(NetworkFailure) as caught:
        result_of(caller.get(URL, [], "t"))
    assert caught.value.detail == detail


def test_calls_are_observed():
    """The observer gets the subject, the status or None, and the duration of a call."""
    clock, seen = clock_at(NOW), []

    def observe(*call: object) -> None:
        seen.append(call)

    answering = GoogleHttpClient(Google((429, {}, b"")).http, clock, observe)
    result_of(answering.get(URL, [], "t", CallSource.DIRECTORY))
    result_of(GoogleHttpClient(Google((200, {}, b"")).http, clock, observe).post(URL, "", CallSource.REVOCATION))
    result_of(GoogleHttpClient(Google((200, {}, b"")).http, clock, observe).get_photo(URL))
    result_of(GoogleHttpClient(Google((404, {}, b"")).http, clock, observe).get_public(URL))
    silent = HTTPClient(FixedAgent(Deferred()))
    call = Deferred.fromCoroutine(GoogleHttpClient(silent, clock, observe).post(URL, ""))
    clock.advance(http.TIMEOUT)
    call.addErrback(lambda failure: failure.trap(NetworkFailure))
    assert seen == [
        (CallSource.DIRECTORY, 429, 0.0),
        (CallSource.REVOCATION, 200, 0.0),
        (CallSource.PHOTOS, 200, 0.0),
        (CallSource.KEYS, 404, 0.0),
        (CallSource.TOKENS, None, http.TIMEOUT),
    ]


def test_deadline_before_headers():
    """A silent server costs only the allowed time. An answer leaves no timer behind."""
    clock = clock_at(NOW)
    result_of(GoogleHttpClient(Google((200, {}, b"{}")).http, clock).get(URL, [], "t"))
    assert clock.getDelayedCalls() == []
    silent = HTTPClient(FixedAgent(Deferred()))
    call = Deferred.fromCoroutine(GoogleHttpClient(silent, clock).get(URL, [], "t"))
    clock.advance(http.TIMEOUT - 0.1)
    assert not call.called
    clock.advance(0.2)
    outcome: list[Failure] = []
    call.addErrback(outcome.append)
    assert (outcome[0].type, outcome[0].value.detail) == (NetworkFailure, "no whole answer within 60 s")
    assert clock.getDelayedCalls() == []


def get(http, url, clock=None):
    return GoogleHttpClient(http, clock or clock_at(NOW)).get(url, [], "t")


@pytest_twisted.ensureDeferred
async def test_deadline_in_body(serve, agent):
    """An unfinished body ends at the same deadline, together with its connection."""
    clock = clock_at(NOW)
    server = RudeServer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    call = Deferred.fromCoroutine(get(HTTPClient(agent), await serve(server), clock))
    await server.asked
    clock.advance(http.TIMEOUT)
    with pytest.raises(NetworkFailure, match="no whole answer"):
        await call
    await server.lost


def status(client, url):
    return http.get_status(client, clock_at(NOW), url)


@pytest.mark.parametrize("ask", [get, status])
@pytest.mark.parametrize(
    "answer", [b"", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"], ids=["", "in the body"]
)
@pytest_twisted.ensureDeferred
async def test_cancelled(serve, agent, ask, answer):
    """A cancelled call is no network failure, and its connection is closed."""
    server = RudeServer(answer)
    call = Deferred.fromCoroutine(ask(HTTPClient(agent), await serve(server)))
    await server.asked
    call.cancel()
    with pytest.raises(CancelledError):
        await call
    await server.lost


@pytest.mark.parametrize(
    ("answer", "is_whole"),
    [
        (HEAD + b"Content-Length: 100\r\n\r\n{}", False),
        (b"", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (HEAD + b"\r\n{}", True),
    ],
    ids=["cut-off", "nothing", "not-http", "without-length"],
)
@pytest_twisted.ensureDeferred
async def test_hang_up(serve, agent, answer, is_whole):
    """An early end of the connection is a network failure, but ends a body of unknown length properly."""
    server = RudeServer(answer, hang_up=True)
    call = get(HTTPClient(agent), await serve(server))
    if is_whole:
        assert (await call).body == b"{}"
    else:
        with pytest.raises(NetworkFailure):
            await call
    await server.lost


# The header lines are short, but have no end.
HEADERS = (b"X-Filler: " + b"x" * 100 + b"\r\n") * 100


@pytest.mark.parametrize(
    ("head", "endless", "detail"),
    [(HEAD + b"\r\n", b"x" * 65536, "body too large"), (HEAD, HEADERS, "headers too large")],
    ids=["body", "headers"],
)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest_twisted.ensureDeferred
async def test_endless_answer(reactor, serve, head, endless, detail, is_tls):
    """The client closes the connection at the limit, even if the server does not agree to end TLS."""
    tls = Tls(issue(authority=True)) if is_tls else None
    server = RudeServer(head, endless=endless)
    policy = BrowserLikePolicyForHTTPS(tls.trust) if tls else None
    with pytest.raises(BadResponse, match=detail):
        await get(http_client(reactor, policy), await serve(server, tls))
    await server.lost


@pytest.mark.parametrize("piece", [1, 2, 3])
def test_one_connection_for_several_calls(piece):
    """The headers of each response are limited anew. An idle connection is closed."""
    reactor = MemoryReactorClock()
    client = http_client(reactor)
    head = HEAD + (b"X-Filler: " + b"x" * 8000 + b"\r\n") * 7 + b"Content-Length: 200000\r\n\r\n"
    protocol, transport = None, StringTransportWithDisconnection()
    for _ in range(2):
        call = Deferred.fromCoroutine(get(client, "http://127.0.0.1/", reactor))
        if protocol is None:
            ((_, _, factory, _, _),) = reactor.tcpClients
            protocol = transport.protocol = factory.buildProtocol(None)
            protocol.makeConnection(transport)
        protocol.dataReceived(head[: piece - 4])
        protocol.dataReceived(head[piece - 4 :] + b"x" * 200_000)
        assert result_of(call).body == b"x" * 200_000
    reactor.advance(http.IDLE_SECONDS - 1)
    assert (len(reactor.tcpClients), transport.connected) == (1, True)
    reactor.advance(1)
    assert not transport.connected


class NotingPolicy(BrowserLikePolicyForHTTPS):
    """Notes for which hosts TLS is prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[bytes] = []

    def creatorForNetloc(self, hostname, port):  # noqa: N802  the interface's name
        self.hosts.append(hostname)
        return super().creatorForNetloc(hostname, port)


def test_tls_is_prepared_for_new_connections_alone():
    """Preparing TLS takes long, and most calls use an open connection."""
    policy = NotingPolicy()
    endpoint = GoogleEndpointFactory(MemoryReactorClock(), policy).endpointForURI(URI.fromBytes(b"https://127.0.0.1/"))
    assert policy.hosts == []
    endpoint.connect(Factory())
    assert policy.hosts == [b"127.0.0.1"]


@pytest.mark.parametrize("size", [0, 60_000, 200_000])
@pytest_twisted.ensureDeferred
async def test_large_body_behind_headers(reactor, serve, size):
    """The limit of headers ends at the empty line, even if the body arrives together with the headers."""
    filler = b"X-Filler: " + b"x" * 8000 + b"\r\n"
    head = HEAD + filler * 7 + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size
    client, url = http_client(reactor), await serve(RudeServer(head + b"x" * size))
    for _ in range(2):
        assert (await get(client, url)).body == b"x" * size


@pytest_twisted.ensureDeferred
async def test_untrusted_certificate(reactor, serve):
    """The gateway's own client checks certificates, and sends nothing to an untrusted server."""
    server = RudeServer(HEAD + b"Content-Length: 2\r\n\r\n{}")
    with pytest.raises(NetworkFailure, match="certificate verify failed"):
        await get(http_client(reactor), await serve(server, Tls(issue())))
    assert server.received == b""


@pytest_twisted.ensureDeferred
async def test_no_cookies(reactor, serve):
    """The gateway's own client never returns a cookie."""
    server = RudeServer(HEAD + b"Set-Cookie: NID=1; Path=/\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    client, url = http_client(reactor), await serve(server)
    for _ in range(2):
        assert (await get(client, url)).body == b"{}"
    assert server.received.count(b"GET / ") == 2
    assert b"cookie" not in server.received.lower()


@pytest.mark.parametrize(
    ("answer", "hang_up", "expected"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", False, 200),
        (HEAD + b"Content-Length: 100\r\n\r\ncut off", True, 200),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno gzip", False, 200),
        (HEAD + b"Content-Length: 10000000\r\n\r\n" + b"x" * 100_000, False, 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False, 200),
        (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n", False, 302),
    ],
    ids=["whole", "cut-off", "damaged", "too-large", "empty", "redirect"],
)
@pytest_twisted.ensureDeferred
async def test_the_status_alone(serve, agent, answer, hang_up, expected):
    """The call drops any body, sends no credentials, and follows no redirect."""
    server = RudeServer(answer, hang_up=hang_up)
    assert await status(HTTPClient(agent), await serve(server)) == expected
    assert b"Authorization" not in server.received


@pytest_twisted.ensureDeferred
async def test_the_status_of_a_server_that_is_not_there_or_speaks_something_else(serve, agent):
    for answer in (b"SSH-2.0-OpenSSH\r\n", b""):
        with pytest.raises(NetworkFailure):
            await status(HTTPClient(agent), await serve(RudeServer(answer, hang_up=True)))
    with pytest.raises(NetworkFailure, match="ConnectionRefusedError"):
        await status(HTTPClient(agent), "http://127.0.0.1:9/")
