# SPDX-License-Identifier: MIT
"""The settings of the configuration reach the parts of the gateway.

Only a database server lets a gateway share its key and its tasks with other gateways.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ldapgw.ber import ENUMERATED, SEQUENCE, integer, tlv
from ldapgw.directory.passwords import hash_password
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.replication.provider import SYNC_REQUEST
from ldapgw.ldap.server import LdapFactory, LdapsFactory
from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.peers.leadership import BEAT_SECONDS, Heartbeat
from ldapgw.server.certificates import CertificateReloader
from ldapgw.server.config import decode
from ldapgw.server.config.tables import Ldap
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.listener import DescriptorLimitedFactory
from ldapgw.server.parts.base import RecordPruner
from ldapgw.server.proxy_protocol import HeaderReader, ProxyProtocolFactory
from ldapgw.server.state_dir import KEY_FILE
from ldapgw.store import accounts, activity, gateways, phones, sync_history, tables
from ldapgw.store.activity import COMMAND_LINE, Act
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import SecretBox, fingerprint, new_key, read_keys, write_keys
from ldapgw.store.sync_history import SUMMARY_DAYS
from ldapgw.sync.file_books import CHECK_SECONDS, FileBooks
from tests.support import pdu
from tests.support.certificates import issue
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.results import result_of
from tests.support.stage.sync import connect

DAY = 86400.0
BASE = "dc=acme,dc=example"
LDAP: dict[str, Any] = {
    "listen": ["tcp:3389", "tcp:3390"],
    "listen_tls": ["tcp:6636"],
    "require_tls": True,
    "size_limit": 11,
    "time_limit": "12s",
    "idle_timeout": "13m",
    "max_message": "14KiB",
    "max_connections": 15,
    "max_connections_per_address": 6,
    "proxy_protocol": ["192.0.2.0/25"],
    # tests/server/test_listener.py covers this key, because the key needs a real socket.
    "reuse_port": False,
}


@pytest.fixture(name="reactor")
def _reactor() -> MemoryReactorClock:
    return MemoryReactorClock()


@pytest.fixture(name="gateway")
def _gateway(tmp_path: Path, reactor: MemoryReactorClock) -> Iterator[Gateway]:
    with running(tmp_path, reactor, LDAP) as gateway:
        yield gateway


@contextmanager
def running(
    tmp_path: Path,
    reactor: MemoryReactorClock,
    ldap: Mapping[str, Any],
    tenant: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Gateway]:
    """Run a gateway on a reactor in memory, with its ports open.

    :param tenant: more settings of the tenant.
    :param settings: more settings at the top of the configuration.
    """
    reactor.tcpServers.clear()
    issue().write(tmp_path)
    document = {
        "state_dir": str(tmp_path / "state"),
        "ldap": ldap,
        "tls": {"certificate": "cert.pem", "private_key": "key.pem"},
        "web": {"public_url": "https://phonebook.example.com", "listen": ["tcp:8081"]},
        "tenant": [{"name": "acme", "base_dn": BASE, **(tenant or {})}],
        **settings,
    }
    gateway = makeService(decode(document, str(tmp_path / "ldapgw.toml")), reactor, reactor)
    gateway.privilegedStartService()
    try:
        yield gateway
    finally:
        gateway.stopService()


def behind(door: Any) -> Any:
    """Return the factory behind a port's limiting factories."""
    assert isinstance(door, DescriptorLimitedFactory)
    assert isinstance(door._factory, ProxyProtocolFactory)
    return door._factory._factory


def test_a_store_that_was_made_at_the_start_is_told(
    tmp_path: Path, reactor: MemoryReactorClock, caplog_twisted: list[str]
) -> None:
    """The log says once that the database is new and has no account."""
    with running(tmp_path, reactor, LDAP):
        pass
    told = f"the database {tmp_path / 'state' / 'ldapgw.db'} is new: no account has connected; "
    assert [line.startswith(told) for line in caplog_twisted].count(True) == 1


def test_a_gateway_that_cannot_read_a_tenant_is_not_ready(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """A phone's login is answered with unavailable, because the gateway cannot check the password."""
    with running(tmp_path, reactor, LDAP | {"require_tls": False}):
        pass
    with closing(sqlite3.connect(tmp_path / "state" / "ldapgw.db")) as connection, connection:
        connection.execute(
            "INSERT INTO phone (name, tenant, numbers, password, created_at) VALUES ('desk1', 'acme', '?', '', 0)"
        )
    with running(tmp_path, reactor, LDAP | {"require_tls": False}) as gateway:
        gateway.running = True
        bind = pdu.message(1, pdu.bind("cn=desk1,ou=phones,dc=acme,dc=example", b"hush"))
        assert [one.code for one in pdu.responses(asked(reactor, 3389, bind))] == [52]
        assert page(reactor, "/readyz").startswith(b"HTTP/1.0 503 ")


def test_a_key_file_of_another_machine_is_told(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The metric changes when the gateway uses a key and the file has another key."""
    with running(tmp_path, reactor, LDAP) as gateway:
        assert b"\nldapgw_key_file_ok 1.0\n" in page(reactor, "/metrics")
        write_keys(tmp_path / "state" / "ldapgw.key", [new_key()])
        gateway._state.secret_box.seal("hush")
        assert b"\nldapgw_key_file_ok 0.0\n" in page(reactor, "/metrics")


def connected(reactor: MemoryReactorClock, port: int = 3389, host: str = "127.0.0.1") -> tuple[Any, StringTransport]:
    """Connect a host to a port, and return the protocol and the transport with the answers."""
    [door] = [door for number, door, *_ in reactor.tcpServers if number == port]
    protocol, transport = door.buildProtocol(IPv4Address("TCP", host, 5)), StringTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def asked(reactor: MemoryReactorClock, port: int, octets: bytes) -> bytes:
    """Return the answer of a port to octets."""
    protocol, transport = connected(reactor, port)
    protocol.dataReceived(octets)
    reactor.advance(1)
    protocol.connectionLost(Failure(ConnectionDone()))
    return transport.value()


def page(reactor: MemoryReactorClock, path: str) -> bytes:
    """Return the answer of the page's port."""
    return asked(reactor, 8081, f"GET {path} HTTP/1.0\r\nHost: phonebook.example.com\r\n\r\n".encode())


@needs_postgresql
def test_a_new_key_seals_when_all_gateways_have_it(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The gateway reads the new key at once, but seals with the old key while another gateway lacks the new key."""
    with (
        open_new() as database,
        running(tmp_path, reactor, LDAP, database=database.url.render_as_string(hide_password=False)) as gateway,
    ):
        [heartbeat] = [service for service in gateway.services if isinstance(service, Heartbeat)]
        heartbeat.startService()
        key_file = tmp_path / "state" / KEY_FILE
        [old], new = read_keys(key_file), new_key()
        write_keys(key_file, [new, old])
        for known, sealing in (([old], old), ([old, new], new)):
            keys = tuple(map(fingerprint, known))
            database.run(gateways.beat, GatewayInfo("other", "other", "0.1.0", keys=keys))
            reactor.advance(BEAT_SECONDS)
            assert SecretBox([sealing]).unseal(gateway._state.secret_box.seal("hush")) == "hush"
        result_of(heartbeat.stopService())


@pytest.mark.usefixtures("gateway")
def test_every_ldap_key_acts(reactor: MemoryReactorClock) -> None:
    """The keys set ports, protocols and limits. All LDAP ports share one factory and its counts."""
    assert LDAP.keys() == set(Ldap.__struct_fields__)
    ports = {port: behind(door) for port, door, *_ in reactor.tcpServers}
    assert list(ports) == [3389, 3390, 6636, 8081]
    plain = ports[3389]
    assert isinstance(plain, LdapFactory)
    assert ports[3390] is plain
    assert isinstance(ports[6636], LdapsFactory)
    assert ports[6636].wrappedFactory is plain
    assert dataclasses.asdict(plain.limits) == {
        "size_limit": 11,
        "time_limit": 12.0,
        "idle_timeout": 780.0,
        "max_message": 14 << 10,
        "max_connections": 15,
        "max_connections_per_address": 6,
    }
    assert {field.name for field in dataclasses.fields(Limits)} <= LDAP.keys()
    for _, door, *_ in reactor.tcpServers[:3]:
        built = [door.buildProtocol(IPv4Address("TCP", host, 5)) for host in ("192.0.2.127", "192.0.2.128")]
        assert [isinstance(one, HeaderReader) for one in built] == [True, False]


@pytest.mark.usefixtures("gateway")
def test_a_password_on_a_plain_connection_needs_tls_where_the_site_wants_that(reactor: MemoryReactorClock) -> None:
    """The gateway answers with confidentialityRequired."""
    answer = asked(reactor, 3389, pdu.message(1, pdu.bind("desk1", b"secret")))
    assert [response.code for response in pdu.responses(answer)] == [13]


def test_replica_gets_what_is_published(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The root DSE lists the control of replicas. A replica's login may use the control, and gets changes."""
    control = pdu.control(SYNC_REQUEST, critical=True, value=tlv(SEQUENCE, integer(3, ENUMERATED)))
    with running(tmp_path, reactor, PLAIN) as gateway:
        database = gateway._state.database
        [change_feed] = [service for service in gateway.services if isinstance(service, ChangeFeed)]

        def add(name: str, replica: ReplicaBooks | None) -> None:
            password = hash_password("secret", os.urandom)
            login = PhoneLogin(name, "acme", None, NumberMode.VALUES, password, 0.0, replica=replica)
            assert database.run(phones.add, login)
            result_of(change_feed.refresh_now())

        def received() -> list[pdu.Response]:
            reactor.pump([0.0] * 20)
            data = transport.value()
            transport.clear()
            return pdu.responses(data)

        add("branch", ReplicaBooks.SHARED)
        protocol, transport = connected(reactor)
        protocol.dataReceived(pdu.message(1, pdu.search("", 0, attributes=("+",))))
        [entry, _done] = received()
        assert SYNC_REQUEST.encode() in dict(entry.attributes)["supportedControl"]
        protocol.dataReceived(pdu.message(2, pdu.bind("branch", b"secret")))
        search = pdu.search("dc=acme,dc=example", 2, pdu.PRESENT, ("*", "+"))
        protocol.dataReceived(pdu.message(3, search, pdu.controls(control)))
        base = ["dc=acme,dc=example", "ou=phones,dc=acme,dc=example"]
        assert [one.dn for one in received() if one.dn] == base
        add("desk1", None)
        assert [one.dn for one in received()] == ["cn=desk1,ou=phones,dc=acme,dc=example"]
        protocol.connectionLost()


@pytest.mark.usefixtures("gateway")
def test_no_core_is_dumped() -> None:
    """A core would hold tokens and contacts."""
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


@pytest.mark.usefixtures("gateway")
def test_threads_let_the_reactor_go_on() -> None:
    """Python's default would make phones wait up to 5 ms for a calculating thread."""
    assert sys.getswitchinterval() == pytest.approx(0.0005)


def test_the_certificate_is_looked_after(gateway: Gateway) -> None:
    """The reloader of certificates is a service of the gateway."""
    assert len([part for part in gateway.services if isinstance(part, CertificateReloader)]) == 1


def test_old_records_are_deleted_at_the_start_and_daily(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The pruner deletes activity older than ``activity_keep``, and days beyond the summary of syncs."""
    with running(tmp_path, reactor, LDAP, {"activity_keep": f"{SUMMARY_DAYS}d"}) as gateway:
        database = gateway._state.database
        pruner, _ = [service for service in gateway.services if isinstance(service, RecordPruner)]
        with database.begin() as connection:
            account_id = connect(connection, gateway._state.secret_box)
            for day in range(3):
                activity.record(connection, activity.entry(day * DAY, "acme", COMMAND_LINE, Act.SIGNED_IN))
                sync_history.record_end(connection, account_id, day, day * DAY, day * DAY)
        reactor.advance((SUMMARY_DAYS + 1.5) * DAY)
        pruner.startService()
        left = []
        for _ in range(2):
            with database.begin_read() as connection:
                entries = connection.execute(select(tables.activity.c.at / DAY)).scalars().all()
                left.append((entries, connection.execute(select(tables.sync_day.c.day)).scalars().all()))
            reactor.advance(DAY)
        assert left == [([2.0], [1, 2]), ([], [2])]
        pruner.stopService()


def test_a_phone_that_is_removed_is_disconnected(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The phone gets a notice when the gateway sees the change. Other phones stay connected."""
    with running(tmp_path, reactor, PLAIN) as gateway:
        database = gateway._state.database
        [change_feed] = [service for service in gateway.services if isinstance(service, ChangeFeed)]
        for name in ("desk1", "desk2"):
            login = PhoneLogin(name, "acme", None, NumberMode.VALUES, hash_password("secret", os.urandom), 0.0)
            assert database.run(phones.add, login)
        result_of(change_feed.refresh_now())
        transports = [bound(reactor, name) for name in (b"desk1", b"desk2")]
        assert database.run(phones.remove, "desk1")
        result_of(change_feed.refresh_now())
        reactor.advance(1)
        said = [[answer.code for answer in pdu.responses(transport.value())] for transport in transports]
        assert said == [[0, 52], [0]]
        assert [transport.disconnecting for transport in transports] == [True, False]


def test_an_account_that_is_removed_elsewhere_is_in_no_copy(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    """The gateway cleans the copies on its own machine after a removal by another gateway or a command."""
    kept = tmp_path / "state" / "ldapgw.db.before-restore"
    with running(tmp_path, reactor, PLAIN) as gateway:
        database = gateway._state.database
        [change_feed] = [service for service in gateway.services if isinstance(service, ChangeFeed)]
        account_id = database.run(connect, gateway._state.secret_box)
        result_of(change_feed.refresh_now())
        with closing(sqlite3.connect(tmp_path / "state" / "ldapgw.db")) as connection:
            connection.execute("VACUUM INTO ?", (str(kept),))

        def is_kept() -> bool:
            with closing(sqlite3.connect(kept)) as connection:
                query = "SELECT count(*) FROM account WHERE refresh_token IS NOT NULL"
                return connection.execute(query).fetchone() == (1,)

        assert is_kept()
        database.run(accounts.remove, account_id, with_phones=False)
        result_of(change_feed.refresh_now())
        assert not is_kept()


def bound(reactor: MemoryReactorClock, name: bytes) -> StringTransport:
    """Return the transport of a phone that has logged in."""
    protocol, transport = connected(reactor, host="192.0.2.1")
    protocol.dataReceived(pdu.message(1, pdu.bind(name.decode(), b"secret")))
    reactor.advance(0)
    return transport


# --- files of contacts ------------------------------------------------------------------------------------------------

TWO = "name,extension\nJörg Müller,204\nAnna Schmidt,205\n"
PLAIN = {"listen": ["tcp:3389"]}
# Clients without a login may search the files' contacts, which are shared.
WITH_FILES: dict[str, Any] = {
    "anonymous_networks": ["127.0.0.1"],
    "file": [{"name": "extensions", "path": "extensions.csv"}, {"name": "other", "path": "other.csv"}],
}


def names(reactor: MemoryReactorClock) -> Sequence[str]:
    """Return the names that a client without a login finds."""
    answer = asked(reactor, 3389, pdu.message(1, pdu.search(BASE, 2, pdu.tlv(0x87, b"uid"), ("cn",))))
    return [name for name in ("Jörg Müller", "Anna Schmidt", "Zoë") if name.encode() in answer]


def metrics(reactor: MemoryReactorClock) -> dict[str, str]:
    lines = page(reactor, "/metrics").decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("ldapgw_file"))


def test_a_gateway_with_files(tmp_path: Path, reactor: MemoryReactorClock, caplog_twisted: list[str]) -> None:
    """A missing or broken file stops no start. The gateway serves the last good contacts of such a file."""
    extensions, other = tmp_path / "extensions.csv", tmp_path / "other.csv"
    extensions.write_text(TWO)
    with running(tmp_path, reactor, PLAIN, WITH_FILES) as gateway:
        assert names(reactor) == ["Jörg Müller", "Anna Schmidt"]
        told = metrics(reactor)
        assert told['ldapgw_file_ok{file="extensions",tenant="acme"}'] == "1.0"
        assert told['ldapgw_file_contacts{file="extensions",tenant="acme"}'] == "2.0"
        assert told['ldapgw_file_ok{file="other",tenant="acme"}'] == "0.0"
        [service] = [part for part in gateway.services if isinstance(part, FileBooks)]
        service.startService()
        other.write_text("Name;Durchwahl\nZoë;206\n")
        reactor.pump([CHECK_SECONDS] * 3)
        assert names(reactor) == ["Jörg Müller", "Anna Schmidt", "Zoë"]
        assert metrics(reactor)['ldapgw_file_ok{file="other",tenant="acme"}'] == "1.0"
    assert [line.partition(" (")[0] for line in caplog_twisted if "the file" in line] == [
        "tenant acme: the file other",
        "tenant acme: the file other was read: 1 contacts",
    ]
    extensions.write_text("name,extension\nAnna Schmidt\n\nnobody,none\n")
    other.unlink()
    with running(tmp_path, reactor, PLAIN, WITH_FILES):
        assert names(reactor) == ["Jörg Müller", "Anna Schmidt", "Zoë"]
        assert set(metrics(reactor).values()) == {"0.0", "2.0", "1.0"}
    extensions.write_text("name,extension\nAnna Schmidt,205\n")
    with running(tmp_path, reactor, PLAIN, WITH_FILES):
        assert names(reactor) == ["Anna Schmidt", "Zoë"]


@needs_postgresql
def test_a_gateway_that_only_serves_reads_the_file_too(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    (tmp_path / "extensions.csv").write_text(TWO)
    with open_new() as database:
        url = database.url.render_as_string(hide_password=False)
        with running(tmp_path, reactor, PLAIN, WITH_FILES, roles=["serve"], database=url):
            assert names(reactor) == ["Jörg Müller", "Anna Schmidt"]


@needs_postgresql
def test_a_gateway_without_the_role_web_loads_no_pages(
    tmp_path: Path, reactor: MemoryReactorClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ldapgw.web.app", None)
    with open_new() as database:
        url = database.url.render_as_string(hide_password=False)
        with running(tmp_path, reactor, PLAIN, roles=["serve", "sync"], database=url):
            assert [port for port, *_ in reactor.tcpServers] == [3389]


_LOADED = """
import sys
import ldapgw.server.foreground
print({"babel", "jinja2", "ldapgw.web.app", "prometheus_client", "segno", "werkzeug"} & {*sys.modules})
"""


def test_the_pages_are_imported_only_when_a_gateway_builds_them() -> None:
    """The test runs in a process that has imported nothing."""
    ran = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
