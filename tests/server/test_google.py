# SPDX-License-Identifier: MIT
"""Google through a proxy that inspects TLS: who is trusted with what."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.policies import WrappingFactory
from twisted.web.server import Site
from zope.interface import implementer

from ldapgw.errors import IdentityUnverified, NetworkFailure, UserError
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import Grant
from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.grants import AuthorizationCode, Grantee
from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, demo_world
from ldapgw.google.sandbox.world import World
from ldapgw.server.config import Google
from ldapgw.server.config.forms import File, ServiceUrl, Url
from ldapgw.server.google import GoogleClients
from tests.support.certificates import Issued, issue

CERTS = "/oauth2/v3/certs"


@implementer(IOpenSSLServerConnectionCreator)
class Tls:
    """Shows a certificate, as a proxy that inspects TLS does in Google's place."""

    def __init__(self, shown: Issued) -> None:
        self.shown = shown

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802 (the interface's name)
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(self.shown.certificate)
        context.use_privatekey(self.shown.key)
        return SSL.Connection(context, None)


class Inspected:
    """The sandbox behind a proxy that inspects TLS."""

    def __init__(self, world: World, folder: Path, url: str, plain: str) -> None:
        self.world = world
        self.folder = folder
        self.url = url
        self.plain = plain

    def clients(self, *, ca_file: str = "", jwks_uri: str = "") -> GoogleClients:
        google = Google(
            authorization_endpoint=Url(f"{self.url}/o/oauth2/v2/auth"),
            token_endpoint=ServiceUrl(f"{self.url}/token"),
            revocation_endpoint=ServiceUrl(f"{self.url}/revoke"),
            people_api=ServiceUrl(self.url),
            issuer=Url(self.world.issuer),
            ca_file=File(self.folder / ca_file) if ca_file else None,
            jwks_uri=ServiceUrl(jwks_uri or self.plain + CERTS),
        )
        return GoogleClients(google, reactor, reactor)

    async def sign_in(self, clients: GoogleClients) -> Grant:
        """What a browser that comes back from the consent makes the gateway do."""
        grantee = Grantee(self.world.account(ALICE).sub, CLIENT_ID)
        ends = reactor.seconds() + 600
        consent = AuthorizationCode(grantee, ("openid",), REDIRECT_URIS[0], "nonce", "", "", True, ends)
        return await clients.oauth.exchange(
            Client(CLIENT_ID, CLIENT_SECRET),
            code=self.world.grants.issue_code(consent),
            redirect_uri=REDIRECT_URIS[0],
            verifier="",
            nonce="nonce",
        )


@asynccontextmanager
async def inspected(folder: Path) -> AsyncIterator[Inspected]:
    authority = issue("Inspection", authority=True)
    authority.write(folder, "ca-")
    issue("Another", authority=True, which=2).write(folder, "other-")
    world = demo_world(now=reactor.seconds, random=os.urandom, people={ALICE: []})
    site: Any = Site(sandbox(world))
    connections: Any = WrappingFactory(site)
    tls = SSL4ServerEndpoint(reactor, 0, Tls(issue(by=authority, which=1)), interface="127.0.0.1")
    secure = await tls.listen(connections)
    plain = reactor.listenTCP(0, connections, interface="127.0.0.1")
    ports = [secure.getHost().port, plain.getHost().port]
    yield Inspected(world, folder, f"https://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    for port in (secure, plain):
        await port.stopListening()
    for connection in list(connections.protocols):
        connection.loseConnection()


@pytest_twisted.ensureDeferred
async def test_a_proxy_whose_authority_is_not_known(tmp_path: Path) -> None:
    """Nothing is sent to it: neither without ca_file, nor with another one."""
    async with inspected(tmp_path) as google:
        for ca_file in ("", "other-cert.pem"):
            with pytest.raises(NetworkFailure, match="certificate verify failed"):
                await google.sign_in(google.clients(ca_file=ca_file))
        assert google.world.calls["/token"] == 0


@pytest_twisted.ensureDeferred
async def test_a_proxy_whose_authority_is_trusted(tmp_path: Path) -> None:
    """People are signed in whom Google's own signature names, and nobody else; syncs go on whatever is signed."""
    async with inspected(tmp_path) as google:
        clients = google.clients(ca_file="ca-cert.pem")
        grant = await google.sign_in(clients)
        assert grant.identity is not None
        assert grant.identity.sub == google.world.account(ALICE).sub
        google.world.faults.inject("broken_signature")
        with pytest.raises(IdentityUnverified, match=r"^id_token with a wrong signature$"):
            await google.sign_in(clients)
        refreshed = await clients.oauth.refresh(Client(CLIENT_ID, CLIENT_SECRET), str(grant.refresh_token))
        assert (refreshed.access_token != "", refreshed.identity) == (True, None)


@pytest_twisted.ensureDeferred
async def test_keys_are_not_believed_when_they_are_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can forge a signature can forge the keys; even where the whole system trusts the authority."""
    async with inspected(tmp_path) as google:
        clients = google.clients(ca_file="ca-cert.pem", jwks_uri=google.url + CERTS)
        with pytest.raises(IdentityUnverified, match=r"^Google's keys cannot be fetched: TLS: certificate verify fail"):
            await google.sign_in(clients)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca-cert.pem"))
        with pytest.raises(IdentityUnverified, match=r"^Google's keys cannot be fetched: InspectedConnection$"):
            await google.sign_in(clients)
        # The same authority counts where it is not ca_file's.
        assert (await google.sign_in(google.clients(ca_file="other-cert.pem", jwks_uri=google.url + CERTS))).identity


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file or directory"), ("no certificate", "expected certificates in PEM")],
)
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None, problem: str) -> None:
    """The gateway does not start without it: one line."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError) as refused:
        GoogleClients(Google(ca_file=File(file)), reactor, reactor)
    assert refused.value.problems == (f"google.ca_file = {file}: {problem}",)
