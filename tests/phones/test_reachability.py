# SPDX-License-Identifier: MIT
"""The tests try a phone's connection on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.internet.protocol import Factory, Protocol

from ldapgw.contact import Contact, Kind
from ldapgw.errors import UserError
from ldapgw.phones import reachability
from ldapgw.phones.activity import OwnTests
from ldapgw.phones.provisioning.settings import ConnectionSettings, LdapEndpoint, Security
from ldapgw.phones.reachability import read_ca, try_phone
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import TlsContextFactory
from tests.support.certificates import issue
from tests.support.phonebook import entries
from tests.support.phonebook.listening import Server, contexts_in, listening
from tests.support.phonebook.wire import CONTEXT, DESK1, SECRET, dit_of, make_factory, make_gate
from tests.support.site.running import free_ports

PLAIN, STARTTLS, LDAPS = Security.PLAIN, Security.STARTTLS, Security.LDAPS
WORKS = {"name": "ok", "port": "ok", "TLS": "ok", "login": "ok", "search by name": "ok", "search by number": "ok"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tls, certificate = contexts_in(tmp_path_factory.mktemp("tls"))
    with listening(reactor, make_factory(clock=reactor, tls=tls), certificate) as served:
        yield served


def phone(server: Server, security: Security) -> ConnectionSettings:
    """Return the settings of a phone that trusts the server's certificate."""
    endpoint = LdapEndpoint(security, "127.0.0.1", server.tls if security is LDAPS else server.plain)
    ca = Path(server.certificate).read_text()
    return ConnectionSettings(endpoint, DESK1, str(CONTEXT.base), SECRET.decode(), ca)


async def states(access: ConnectionSettings) -> dict[str, str]:
    return {result.step.value: result.status.value for result in await try_phone(access, reactor)}


@pytest.mark.parametrize(
    ("security", "tls"), [(PLAIN, "warning"), (STARTTLS, "ok"), (LDAPS, "ok")], ids=["plain", "starttls", "ldaps"]
)
@pytest_twisted.ensureDeferred
async def test_all_works(server: Server, security: Security, tls: str) -> None:
    """Every step succeeds, and a plain connection gets a warning."""
    assert await states(phone(server, security)) == WORKS | {"TLS": tls}


@pytest.mark.parametrize("kind", [Kind.MOBILE, Kind.HOME, Kind.FAX, Kind.WORK])
@pytest_twisted.ensureDeferred
async def test_the_first_contact_has_one_number_of_any_kind(kind: Kind) -> None:
    """The gateway returns a mobile or home number only under the attribute of its kind."""
    only = Contact("c1", name="Anna Ahrens", phones=(entries.phone(kind, "+49301234567"),))
    port = reactor.listenTCP(0, make_factory(make_gate(dit_of([only])), reactor), interface="127.0.0.1")
    endpoint = LdapEndpoint(PLAIN, "127.0.0.1", port.getHost().port)
    found = await states(ConnectionSettings(endpoint, DESK1, str(CONTEXT.base), SECRET.decode()))
    await port.stopListening()
    assert found == WORKS | {"TLS": "warning"}


@pytest_twisted.ensureDeferred
async def test_without_a_password_the_login_is_skipped(server: Server) -> None:
    skipped = dict.fromkeys(("login", "search by name", "search by number"), "skipped")
    assert await states(replace(phone(server, LDAPS), password="")) == WORKS | skipped


CA_URL = "http://phonebook.example.com/acme/ca.crt"


@pytest.mark.parametrize("security", [STARTTLS, LDAPS])
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_nobody_knows(server: Server, security: Security) -> None:
    """The test stops at TLS, so the password is not sent."""
    unknown = replace(phone(server, security), ca="")
    assert await states(unknown) == {"name": "ok", "port": "ok", "TLS": "failed"}


@pytest.mark.parametrize(
    ("issued", "ca", "ca_url", "outcome", "words"),
    [
        ({}, "own", "", "ok", "ldaps, with a trusted certificate"),
        ({}, "own", CA_URL, "ok", f"ldaps, with a certificate that a phone trusts once ca.crt from {CA_URL} is loaded"),
        ({}, "", "", "failed", "a phone does not know this authority: if the authority is public,"),
        ({}, "another", CA_URL, "failed", f"a phone does not know this authority: load ca.crt from {CA_URL};"),
        ({"days": -1}, "own", CA_URL, "failed", "the certificate has expired or isn’t valid yet"),
        ({"since": 1}, "own", CA_URL, "failed", "the certificate has expired or isn’t valid yet"),
        ({"host": "phonebook.example.com"}, "own", CA_URL, "failed", "the certificate isn’t for 127.0.0.1,"),
        ({"host": None}, "own", CA_URL, "failed", "the certificate isn’t for 127.0.0.1,"),
    ],
    ids=["trusted", "loaded", "unknown", "another authority", "expired", "not yet valid", "another name", "no name"],
)
@pytest_twisted.ensureDeferred
async def test_the_reason_why_a_certificate_is_refused(
    tmp_path: Path, issued: dict[str, Any], ca: str, ca_url: str, outcome: str, words: str
) -> None:
    """Each reason has its own words, with the remedy. A phone that trusts the authority connects."""
    made = issue(**issued)
    certificate, key = made.write(tmp_path)
    tls = TlsContextFactory(Tls(certificate=File(certificate), private_key=File(key)))
    port = reactor.listenTCP(0, make_factory(clock=reactor, tls=tls).over_tls(), interface="127.0.0.1")
    endpoint = LdapEndpoint(LDAPS, "127.0.0.1", port.getHost().port)
    trusted = {"own": made.pem.decode(), "another": issue("another", which=1).pem.decode(), "": ""}[ca]
    *_, last = (
        step
        for step in await try_phone(ConnectionSettings(endpoint, "", "", ca=trusted, ca_url=ca_url), reactor)
        if step.step == "TLS"
    )
    await port.stopListening()
    assert (last.status, str(last.message)[: len(words)]) == (outcome, words)


@pytest.mark.parametrize(("host", "outcome"), [("localhost", "ok"), ("127.0.0.2", "failed"), ("127.0.0.1", "ok")])
@pytest_twisted.ensureDeferred
async def test_the_host_of_a_certificate(tmp_path: Path, host: str, outcome: str) -> None:
    """The certificate is for localhost and 127.0.0.1, so another address fails."""
    tls, certificate = contexts_in(tmp_path)
    port = reactor.listenTCP(0, make_factory(clock=reactor, tls=tls).over_tls(), interface="0.0.0.0")
    endpoint = LdapEndpoint(LDAPS, host, port.getHost().port)
    found = await states(ConnectionSettings(endpoint, "", "", ca=Path(certificate).read_text()))
    await port.stopListening()
    assert found["TLS"] == outcome


@pytest_twisted.ensureDeferred
async def test_a_wrong_password(server: Server) -> None:
    """The message does not show the password."""
    *_, last = await try_phone(replace(phone(server, LDAPS), password="wrong-password"), reactor)
    assert (last.step, last.status) == ("login", "failed")
    assert (
        str(last.message) == "the password is wrong: create a new one on the phone’s page or with ldapgw phones reset"
    )


@pytest_twisted.ensureDeferred
async def test_nobody_listens() -> None:
    access = ConnectionSettings(LdapEndpoint(PLAIN, "127.0.0.1", *free_ports(1)), "", "")
    assert await states(access) == {"name": "ok", "port": "failed"}


@pytest_twisted.ensureDeferred
async def test_a_name_that_does_not_exist() -> None:
    """The domain .invalid never exists (RFC 6761 6.4)."""
    assert await states(ConnectionSettings(LdapEndpoint(PLAIN, "phonebook.invalid", 389), "", "")) == {"name": "failed"}


CUT = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest_twisted.ensureDeferred
async def test_a_test_is_told_from_the_phone(server: Server) -> None:
    """The gateway recognizes a test by login and address until the end of the test.

    Tests of other phones do not count.
    """
    own, access = OwnTests(), phone(server, LDAPS)
    seen: list[bool] = []
    with own.running(access.bind_dn) as connected, own.running("cn=desk2"):
        assert not own.include(access.bind_dn, "127.0.0.1")

        def on_connect(address: str) -> None:
            connected(address)
            seen.append(own.include(access.bind_dn.upper(), "127.0.0.1"))

        *_, last = await try_phone(access, reactor, on_connect)
        assert (seen, last.status) == ([True], "ok")
        assert not own.include(access.bind_dn, "127.0.0.2")
        assert not own.include("cn=desk2", "127.0.0.1")
    assert not own.include(access.bind_dn, "127.0.0.1")


@pytest_twisted.ensureDeferred
async def test_the_address_that_a_test_comes_from() -> None:
    """The test gives the client's address as seen by the port, which may differ from the port's address."""
    port, connected = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.2"), []
    endpoint = LdapEndpoint(PLAIN, "127.0.0.2", port.getHost().port)
    await try_phone(ConnectionSettings(endpoint, "", ""), reactor, connected.append)
    await port.stopListening()
    assert connected == ["127.0.0.1"]


@pytest.mark.parametrize("text", ["", "no PEM", CUT], ids=["empty", "text", "cut"])
def test_an_authority_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="expected certificates in PEM"):
        read_ca(text)


@pytest_twisted.ensureDeferred
async def test_a_base_that_does_not_exist(server: Server) -> None:
    *_, last = await try_phone(replace(phone(server, LDAPS), base_dn="dc=other"), reactor)
    assert (last.step, str(last.message)) == ("search by name", "noSuchObject: see the gateway’s log")


class Greeting(Protocol):
    """The protocol greets each client with octets other than LDAP."""

    def connectionMade(self) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        self.transport.loseConnection()


@pytest.mark.parametrize("service", [Greeting, Protocol], ids=["speaks", "is silent"])
@pytest.mark.parametrize(("security", "step"), [(PLAIN, "login"), (STARTTLS, "TLS"), (LDAPS, "TLS")])
@pytest_twisted.ensureDeferred
async def test_another_service_has_the_port(
    monkeypatch: pytest.MonkeyPatch, service: type[Protocol], security: Security, step: str
) -> None:
    """The test fails in time, even if the other service stays silent."""
    monkeypatch.setattr(reachability, "PATIENCE", 0.3)
    port = reactor.listenTCP(0, Factory.forProtocol(service), interface="127.0.0.1")
    endpoint = LdapEndpoint(security, "127.0.0.1", port.getHost().port)
    *_, last = await try_phone(ConnectionSettings(endpoint, DESK1, "", SECRET.decode()), reactor)
    await port.stopListening()
    assert (last.step, last.status) == (step, "failed")
