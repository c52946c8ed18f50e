# SPDX-License-Identifier: MIT
"""The tests cover listeners, the lack of file descriptors, endpoint strings, and the addresses for phones.

Only a process has limits of descriptors that can be lowered without an effect on other tests.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from ldapgw.errors import UserError
from ldapgw.phones.provisioning.settings import ServerAddress
from ldapgw.server.config import Config, decode
from ldapgw.server.endpoints import (
    ListenAddress,
    certificate_url,
    gateway_name,
    ipv6_only_endpoints,
    ldap_url,
    phone_server,
)
from ldapgw.server.listener import (
    ACCEPTED_AT_ONCE,
    OTHER_DESCRIPTORS,
    UNSENT_LIMIT,
    DescriptorLimitedFactory,
    Listener,
    limit_accepts,
    listening_socket,
    raise_descriptor_limit,
    set_socket_options,
)
from ldapgw.server.proxy_protocol import ProxyProtocolFactory
from tests.support import pdu
from tests.support.descriptors import find_readable
from tests.support.site.running import free_ports

PEER = IPv4Address("TCP", "192.0.2.1", 5)
TLS = {"certificate": "c.pem", "private_key": "k.pem"}


def config_of(ldap: Mapping[str, object], public_url: str = "https://b.example", **more: Any) -> Config:
    """Return a configuration of a single tenant."""
    document = {"state_dir": "s", "ldap": ldap, "web": {"public_url": public_url}} | more
    return decode({**document, "tenant": [{"name": "acme", "base_dn": "dc=acme"}]}, "/etc/ldapgw.toml")


def test_a_door_lets_in_while_there_is_room(caplog_twisted):
    """Without room, new connections are closed at once, with a line a minute. Later connections are accepted again."""
    rooms = iter([True, False, False, False, False, True])
    clock = Clock()
    door = DescriptorLimitedFactory('ldap.listen "tcp:389"', Factory.forProtocol(Protocol), clock, lambda: next(rooms))
    let_in = []
    for at in range(6):
        let_in.append(door.buildProtocol(PEER) is not None)
        clock.advance(30 if at > 2 else 1)
    assert let_in == [True, False, False, False, False, True]
    assert caplog_twisted == [
        'ldap.listen "tcp:389": few file descriptors are left; new connections closed immediately: 1; raise LimitNOFILE'
    ]
    assert door.logPrefix() == 'ldap.listen "tcp:389"'


@pytest.mark.parametrize(
    "wrap",
    [
        lambda factory: DescriptorLimitedFactory("web.listen", factory, Clock(), lambda: True),
        lambda factory: ProxyProtocolFactory(factory, lambda _: True, Clock(), lambda *_: None),
    ],
    ids=["limit of descriptors", "PROXY protocol"],
)
def test_a_door_starts_and_stops_what_is_behind_it(wrap):
    """Twisted's ports expect the start and the stop of the inner factory."""
    factory = Factory()
    factory.noisy = False
    door = wrap(factory)
    door.doStart()
    assert factory.numPorts == 1
    door.doStop()
    assert factory.numPorts == 0


def test_a_listener_listens_from_the_privileged_start_on():
    """The listener uses the given endpoint, and stops."""
    memory = MemoryReactorClock()
    listener = Listener(memory, "ldap.listen", "tcp:389", Factory.forProtocol(Protocol))
    listener.privilegedStartService()
    [(port, door, *_)] = memory.tcpServers
    assert port == 389
    assert isinstance(door.buildProtocol(PEER), Protocol)
    listener.stopService()
    assert listener.stopService() is None


@pytest.mark.parametrize(
    ("scheme", "host", "interface"),
    [("tcp", "127.0.0.1", ":interface=127.0.0.1"), ("tcp6", "::1", "")],
    ids=["ipv4", "ipv6"],
)
def test_a_port_in_use_is_told_in_a_line(scheme, host, interface, caplog_twisted):
    """The start raises the error, and the log does not repeat the line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as other:
        endpoint = f"{scheme}:{other.getsockname()[1]}{interface}"
        listener = Listener(reactor, "ldap.listen", endpoint, Factory(), ipv6_only=scheme == "tcp6")
        with pytest.raises(UserError) as caught:
            listener.privilegedStartService()
    assert caught.value.problems == (f'ldap.listen "{endpoint}": cannot listen: Address already in use',)
    assert caplog_twisted == []


@pytest.mark.parametrize("first", ["tcp", "tcp6"])
def test_ipv4_and_ipv6_listen_side_by_side(first: str) -> None:
    """Both listen on the same port in any order, and clients keep their own kind of address."""
    (port,) = free_ports(1)
    endpoints = sorted((f"tcp:{port}", f"tcp6:{port}"), key=lambda endpoint: not endpoint.startswith(f"{first}:"))
    ipv6_only = ipv6_only_endpoints(config_of({"listen": endpoints}))
    assert ipv6_only == {f"tcp6:{port}"}
    clients: list[object] = []
    factory = Factory.forProtocol(Protocol)
    factory.buildProtocol = clients.append
    listeners = [
        Listener(reactor, "ldap.listen", endpoint, factory, ipv6_only=endpoint in ipv6_only) for endpoint in endpoints
    ]
    for listener in listeners:
        listener.privilegedStartService()
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port)) as client:
            while not find_readable([client]):
                reactor.iterate(0.01)
    for listener in listeners:
        listener.stopService()
    reactor.iterate(0)
    assert [(type(address), address.host) for address in clients] == [
        (IPv4Address, "127.0.0.1"),
        (IPv6Address, "::1"),
    ]


@pytest.mark.parametrize(("scheme", "host"), [("tcp", "127.0.0.1"), ("tcp6", "::1")])
def test_gateways_share_a_port(scheme: str, host: str) -> None:
    """Each of two listeners gets connections. A listener without the option is refused."""
    (port,) = free_ports(1)
    seen: list[set[int]] = [set(), set()]
    listeners = []
    for clients in seen:
        factory = Factory.forProtocol(Protocol)
        factory.buildProtocol = lambda address, clients=clients: clients.add(address.port)
        listeners.append(Listener(reactor, "ldap.listen", f"{scheme}:{port}", factory, reuse_port=True))
    for listener in listeners:
        listener.privilegedStartService()
    with pytest.raises(UserError, match="Address already in use"):
        Listener(reactor, "ldap.listen", f"{scheme}:{port}", Factory()).privilegedStartService()
    # The kernel chooses by the client's port.
    asked = 0
    while not all(seen):
        with socket.create_connection((host, port)) as client:
            asked += 1
            while not find_readable([client]):
                reactor.iterate(0.01)
    assert sum(map(len, seen)) == asked
    for listener in listeners:
        listener.stopService()
    reactor.iterate(0)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (["tcp6:389"], set()),
        (["tcp:0", "tcp6:0"], set()),
        (["tcp:10389", "tcp6:389"], set()),
        (["tcp:389", r"tcp6:389:interface=\:\:1"], set()),
        (["tcp:389:interface=127.0.0.1", r"tcp6:389:interface=\:\:"], {r"tcp6:389:interface=\:\:"}),
        (["unix:/run/ldap", "tcp6:8080"], {"tcp6:8080"}),
    ],
    ids=["alone", "any ports", "other ports", "one address", "all addresses", "the page's port"],
)
def test_ipv6_leaves_ipv4_what_it_listens_on(listen: list[str], expected: set[str]) -> None:
    """An IPv6 endpoint covers IPv6 alone only if an IPv4 endpoint has the same port."""
    assert ipv6_only_endpoints(config_of({"listen": listen})) == expected


def test_an_endpoint_that_fails_later_is_told_in_the_log(caplog_twisted):
    """The log has the error, because the start is over."""
    listener = Listener(MemoryReactorClock(), "ldap.listen", "tcp:389", Factory())
    later = Deferred()
    listener._make_endpoint = type("Slow", (), {"listen": lambda _self, _factory: later})
    listener.privilegedStartService()
    later.errback(CannotListenError("", 389, OSError(13, "Permission denied")))
    assert caplog_twisted == ['ldap.listen "tcp:389": cannot listen: Permission denied']


def test_connections_inherit_what_answers_need():
    """Answers wait for no acknowledgement, and the kernel buffers little for a slow reader."""
    factory = Factory()
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    set_socket_options(port)
    with socket.create_connection(("127.0.0.1", port.getHost().port)):
        accepted, _ = port.socket.accept()
        with accepted:
            options = [
                accepted.getsockopt(socket.IPPROTO_TCP, one) for one in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT)
            ]
    port.stopListening()
    assert options == [1, UNSENT_LIMIT]


def test_a_port_accepts_few_connections_in_a_turn():
    """Many waiting connections are accepted over several turns, and none is left out."""
    accepted: list[int] = []
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    limit_accepts(port)
    address = "127.0.0.1", port.getHost().port
    with ExitStack() as clients:
        for _ in range(2 * ACCEPTED_AT_ONCE + 1):
            clients.enter_context(socket.create_connection(address))
        for _ in range(4):
            before = port.sessionno
            port.doRead()
            accepted.append(port.sessionno - before)
    port.stopListening()
    assert accepted == [ACCEPTED_AT_ONCE, ACCEPTED_AT_ONCE, 1, 0]


def test_what_is_not_on_tcp_has_nothing_to_inherit(tmp_path):
    """A UNIX socket stays unchanged."""
    factory = Factory()
    factory.noisy = False
    port = reactor.listenUNIX(str(tmp_path / "socket"), factory)
    set_socket_options(port)
    assert (tmp_path / "socket").is_socket()
    port.stopListening()


# --- a process with few descriptors ---------------------------------------------------------------------------------

# The process has at most 120 descriptors, and keeps a quarter for files.
PROGRAM = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 120))
from twisted.internet import reactor
from twisted.logger import globalLogBeginner, formatEvent
globalLogBeginner.beginLoggingTo([lambda event: print("log", formatEvent(event), flush=True)], redirectStandardIO=False)
from ldapgw.server.listener import raise_descriptor_limit
from ldapgw.server.listener import Listener
from tests.support.phonebook.wire import make_factory
raise_descriptor_limit(1000, 1000)
factory = make_factory(clock=reactor, max_connections=1000, max_connections_per_address=1000)
listener = Listener(reactor, "ldap.listen", "tcp:0:interface=127.0.0.1", factory)
listener.privilegedStartService()
print("port", listener._port.getHost().port, flush=True)
files = []
def obey():
    what = os.read(0, 1)
    if what == b"u":
        try:
            while True:
                files.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
    elif what == b"o":
        os.close(files.pop())
    elif what == b"f":
        while files:
            os.close(files.pop())
    print("used", len(os.listdir("/proc/self/fd")) if not files else -1, flush=True)
class Orders:
    fileno = staticmethod(lambda: 0)
    doRead = staticmethod(obey)
    logPrefix = staticmethod(lambda: "orders")
    connectionLost = staticmethod(lambda reason: reactor.stop())
reactor.addReader(Orders())
reactor.run()
"""
ROOT_DSE = pdu.message(1, pdu.search("", 0))


class Gateway:
    """The helper runs a listening process and collects its lines."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        self.logged: list[str] = []
        self.port = int(self._next("port"))

    def _next(self, kind: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found, _, rest = line.strip().partition(" ")
            if found == kind:
                return rest
            self.logged.append(rest if found == "log" else line)
        raise AssertionError(self.logged)

    def order(self, letter: str) -> int:
        """Use up all descriptors, free some of the descriptors, or only return the number of open descriptors."""
        assert self._process.stdin is not None
        self._process.stdin.write(letter)
        self._process.stdin.flush()
        return int(self._next("used"))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        assert self._process.stdout is not None
        self.logged += [line.removeprefix("log ").strip() for line in self._process.stdout]
        self._process.stdout.close()


@pytest.fixture(name="gateway")
def _gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.end()


@contextmanager
def connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    opened = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(count)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def answers(client: socket.socket) -> bool:
    """Return whether the gateway answers a search and has not closed the connection."""
    try:
        client.sendall(ROOT_DSE)
        return bool(find_readable([client], 5) and client.recv(4096))
    except OSError:
        return False


def test_a_process_without_descriptors_lives_on(gateway):
    """Connected clients are still answered. New clients are accepted when other clients leave."""
    with connections(gateway.port, 110) as clients:
        served = [client for client in clients if answers(client)]
        assert 60 < len(served) < 90
        assert gateway.order("?") <= 92
        with connections(gateway.port, 30) as late:
            assert not any(answers(client) for client in late)
        for client in served[:20]:
            client.close()
        while gateway.order("?") > 80:
            pass
        with connections(gateway.port, 5) as late:
            assert all(answers(client) for client in late)
        assert all(answers(client) for client in served[20:])
    assert [line for line in gateway.logged if "starting on" not in line] == [
        "ldap.max_connections = 1000, web.max_connections = 1000: the system lets this process open 120 files, so the "
        "web server accepts at most 30 connections; raise LimitNOFILE",
        'ldap.listen "tcp:0:interface=127.0.0.1": few file descriptors are left; new connections '
        "closed immediately: 1; raise LimitNOFILE",
    ]


def test_a_process_whose_last_descriptor_is_taken_lives_on(gateway):
    """Connected clients are still answered, and new clients are refused until enough descriptors are free."""
    with connections(gateway.port, 3) as clients:
        assert all(answers(client) for client in clients)
        gateway.order("u")
        with connections(gateway.port, 50) as late:
            assert not any(answers(client) for client in late)
            assert all(answers(client) for client in clients)
        gateway.order("o")
        with connections(gateway.port, 10) as late:
            assert not any(answers(client) for client in late)
        gateway.order("f")
        with connections(gateway.port, 5) as late:
            assert all(answers(client) for client in late)
    gateway.order("?")
    assert len(gateway.logged) < 500


@pytest.mark.parametrize("before", ["", "os.close(0); "], ids=["as usual", "without a standard input"])
def test_a_process_with_descriptors_has_room(before):
    """A process has room, even without a standard input."""
    program = (
        f"import os; {before}from ldapgw.server.listener import has_free_descriptors; "
        "os.close(os.open('/', 0)); print(has_free_descriptors())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"


def test_our_own_limit_is_raised_as_far_as_is_needed():
    """The limit is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = OTHER_DESCRIPTORS + 200
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        raised = []
        for phones, browsers in ((10, 20), (150, 100), (20, 200)):
            assert raise_descriptor_limit(phones, browsers) == browsers
            raised.append(resource.getrlimit(resource.RLIMIT_NOFILE))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised == [(low, hard), (OTHER_DESCRIPTORS + 250, hard), (OTHER_DESCRIPTORS + 250, hard)]


@pytest.mark.parametrize(
    ("limit", "phones", "browsers", "page"),
    [(300, 10_000, 1_000, 75), (2_000, 10_000, 1_000, 500), (2_000, 10_000, 100, 100), (2_000, 1_000, 1_000, 700)],
    ids=["few", "more", "enough for the page", "enough for the phones"],
)
def test_the_page_has_a_share_of_too_few_descriptors(limit, phones, browsers, page):
    """The page gets the descriptors that phones leave, and at least a quarter."""
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        "from ldapgw.server.listener import raise_descriptor_limit\n"
        f"print(raise_descriptor_limit({phones}, {browsers}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{page}\n"


@pytest.mark.parametrize(
    ("endpoint", "backlog"),
    [("tcp:389", 1024), ("tcp:389:interface=127.0.0.1", 1024), ("tcp:389:backlog=7", 7), ("tcp6:389", 1024)],
)
def test_phones_that_all_come_back_at_once_are_held(endpoint, backlog):
    """The backlog is large, unless the endpoint sets a number."""
    memory = MemoryReactorClock()
    Listener(memory, "ldap.listen", endpoint, Factory.forProtocol(Protocol)).privilegedStartService()
    [(_, _, held, _)] = memory.tcpServers
    assert held == backlog


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tcp:389", ListenAddress("", 389, ipv6=False)),
        ("tcp:port=389:interface=192.0.2.1", ListenAddress("192.0.2.1", 389, ipv6=False)),
        ("tcp:389:192.0.2.1:backlog=5", ListenAddress("192.0.2.1", 389, ipv6=False)),
        (r"tcp6:389:interface=\:\:1", ListenAddress("::1", 389, ipv6=True)),
        (r"tcp:389:interface=2001\:db8\:\:1", ListenAddress("2001:db8::1", 389, ipv6=True)),
        ("ssl:636:privateKey=key.pem", ListenAddress("", 636, ipv6=False)),
        ("unix:/run/ldapgw.sock", None),
        ("systemd:domain=INET:index=0", None),
    ],
)
def test_read(endpoint: str, expected: ListenAddress | None) -> None:
    """An endpoint for a TCP port is parsed, and any other endpoint gives None."""
    assert ListenAddress.parse(endpoint) == expected


@pytest.mark.parametrize(
    ("ldap", "public_url", "expected"),
    [
        ({}, "https://book.example.com", "ldap://book.example.com:389"),
        ({"listen": ["tcp:10389"]}, "https://book.example.com:8443", "ldap://book.example.com:10389"),
        ({"listen_tls": ["tcp:636"]}, "https://book.example.com", "ldaps://book.example.com:636"),
        ({"listen": ["unix:/run/ldap", "tcp:389"]}, "http://[::1]:8080", "ldap://[::1]:389"),
        ({"listen": ["tcp:0"]}, "http://localhost:8080", "ldap://localhost"),
        ({"listen": ["unix:/run/ldap"]}, "https://book.example.com", "ldap://book.example.com:389"),
    ],
    ids=["default", "port", "tls", "ipv6", "any port", "no TCP"],
)
def test_ldap_url(ldap: dict[str, object], public_url: str, expected: str) -> None:
    """The URL has the page's host and the LDAP port, with TLS if configured."""
    assert ldap_url(config_of(ldap, public_url, tls=TLS)) == expected


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "host:389"),
        ({"ldap": {"listen": [], "listen_tls": ["tcp:10636"]}}, "host:10636"),
        ({"ldap": {"listen": ["unix:/run/ldap"]}, "web": {"listen": ["tcp:8081"]}}, "host:8081"),
        ({"ldap": {"listen": ["tcp:10389"]}, "web": {"listen": ["tcp:8081"]}, "roles": ["sync", "web"]}, "host:8081"),
        ({"roles": ["sync"]}, "host"),
    ],
    ids=["usual", "TLS", "no TCP for phones", "no phones", "nothing"],
)
def test_gateways_of_one_machine_have_different_names(settings: dict[str, dict[str, object]], name: str) -> None:
    """The name has the first port of the gateway."""
    web = {"public_url": "https://b.example", **settings.get("web", {})}
    more = {"database": "postgresql+psycopg:///x", "tls": TLS, "roles": settings.get("roles", ["serve", "sync", "web"])}
    assert gateway_name(config_of(settings.get("ldap", {}), **more, web=web), "host") == name


@pytest.mark.parametrize(
    ("ldap", "public_url", "expected"),
    [
        ({}, "https://book.example.com", ServerAddress("book.example.com", 389)),
        ({}, "http://localhost:8080", ServerAddress("localhost", 389, is_loopback=True)),
        ({}, "http://127.0.0.5", ServerAddress("127.0.0.5", 389, is_loopback=True)),
        ({"listen": []}, "https://b.example", ServerAddress("b.example", 0)),
        (
            {"listen": ["unix:/run/ldap"], "listen_tls": ["unix:/run/ldaps"]},
            "https://b.example",
            ServerAddress("b.example", 389, 636, start_tls=True, is_port_guessed=True),
        ),
        (
            {"listen": ["unix:/run/ldap", "tcp:10389"], "listen_tls": []},
            "https://b.example",
            ServerAddress("b.example", 10389),
        ),
    ],
    ids=["usual", "localhost", "loopback", "nothing", "no TCP", "one known"],
)
def test_phone_server(ldap: dict[str, object], public_url: str, expected: ServerAddress) -> None:
    """The configuration gives the address for phones, and says whether other machines can reach the address."""
    tls = {"tls": TLS} if expected.start_tls else {}
    assert phone_server(config_of(ldap, public_url, **tls)) == expected


@pytest.mark.parametrize(
    ("listen", "public_url", "address"),
    [
        (["tcp:80"], "https://b.example", "http://b.example/acme/ca.crt"),
        (["unix:/run/web", "tcp:8080"], "https://b.example:8443/book", "http://b.example:8080/book/acme/ca.crt"),
        (["tcp:8080"], "https://[2001:db8::1]", "http://[2001:db8::1]:8080/acme/ca.crt"),
        (["tcp:8080"], "http://localhost:81", "http://localhost:81/acme/ca.crt"),
        (["tcp:8080:interface=127.0.0.1", "tcp6:8080:interface=\\:\\:1"], "https://b.example", ""),
        ([], "https://b.example", ""),
    ],
    ids=["usual", "another port", "IPv6", "public HTTP", "behind a proxy", "none"],
)
def test_a_phone_fetches_the_certificate_without_tls(listen: list[str], public_url: str, address: str) -> None:
    """The URL uses a plain port if phones can reach such a port, or else the public address."""
    config = config_of({}, web={"listen": listen, "public_url": public_url})
    assert certificate_url(config, "acme") == (address or "https://b.example/acme/ca.crt")


@pytest.mark.skipif(sys.platform != "linux", reason="needs SO_REUSEPORT")
def test_a_shared_port_is_tried_without_taking_connections() -> None:
    """A listening socket would get and lose connections of the gateways that share the port."""
    address = ListenAddress("127.0.0.1", 0, ipv6=False)
    for listens in (False, True):
        with listening_socket(address, ipv6_only=False, reuse_port=True, listens=listens) as tried:
            assert bool(tried.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listens
