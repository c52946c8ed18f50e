# SPDX-License-Identifier: MIT
"""A whole gateway with a file of contacts: at its start, while it runs, and with one role alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ldapgw.server.config import decode
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.sync.file_books import CHECK_SECONDS, FileBooks
from tests.support import pdu
from tests.support.postgresql import needs_postgresql, open_new

TWO = "name,extension\nJörg Müller,204\nAnna Schmidt,205\n"
BASE = "dc=acme,dc=example"


@contextmanager
def running(folder: Path, reactor: MemoryReactorClock, **settings: Any) -> Iterator[Gateway]:
    """A gateway whose shared books anybody here may search."""
    reactor.tcpServers.clear()
    tenant = {
        "name": "acme",
        "base_dn": BASE,
        "anonymous_networks": ["127.0.0.1"],
        "file": [
            {"name": "extensions", "path": "extensions.csv"},
            {"name": "other", "path": "other.csv"},
        ],
    }
    document = {
        "state_dir": "state",
        "ldap": {"listen": ["tcp:3389"]},
        "web": {"public_url": "https://phonebook.example.com", "listen": ["tcp:8081"]},
        "tenant": [tenant],
        **settings,
    }
    gateway = makeService(decode(document, str(folder / "ldapgw.toml")), reactor, reactor)
    gateway.privilegedStartService()
    try:
        yield gateway
    finally:
        gateway.stopService()


def ask(reactor: MemoryReactorClock, port: int, octets: bytes) -> bytes:
    [door] = [door for number, door, *_ in reactor.tcpServers if number == port]
    protocol, transport = door.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5)), StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(octets)
    reactor.advance(1)
    protocol.connectionLost(Failure(ConnectionDone()))
    return transport.value()


def names(reactor: MemoryReactorClock) -> Sequence[str]:
    """Who is found by a client without a login."""
    answer = ask(reactor, 3389, pdu.message(1, pdu.search(BASE, 2, pdu.tlv(0x87, b"uid"), ("cn",))))
    return [name for name in ("Jörg Müller", "Anna Schmidt", "Zoë") if name.encode() in answer]


def metrics(reactor: MemoryReactorClock) -> dict[str, str]:
    request = b"GET /metrics HTTP/1.0\r\nHost: phonebook.example.com\r\n\r\n"
    lines = ask(reactor, 8081, request).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("ldapgw_file"))


@pytest.fixture
def reactor() -> MemoryReactorClock:
    return MemoryReactorClock()


def test_starts_and_changes(tmp_path: Path, reactor: MemoryReactorClock, caplog_twisted: list[str]) -> None:
    """A missing or broken file stops no start; what was good once is served after it."""
    extensions, other = tmp_path / "extensions.csv", tmp_path / "other.csv"
    extensions.write_text(TWO)
    with running(tmp_path, reactor) as gateway:
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
    with running(tmp_path, reactor):
        assert names(reactor) == ["Jörg Müller", "Anna Schmidt", "Zoë"]
        assert set(metrics(reactor).values()) == {"0.0", "2.0", "1.0"}
    extensions.write_text("name,extension\nAnna Schmidt,205\n")
    with running(tmp_path, reactor):
        assert names(reactor) == ["Anna Schmidt", "Zoë"]


@needs_postgresql
def test_a_gateway_that_only_serves_reads_the_file_too(tmp_path: Path, reactor: MemoryReactorClock) -> None:
    (tmp_path / "extensions.csv").write_text(TWO)
    with open_new() as database:
        url = database.url.render_as_string(hide_password=False)
        with running(tmp_path, reactor, roles=["serve"], database=url):
            assert names(reactor) == ["Jörg Müller", "Anna Schmidt"]
