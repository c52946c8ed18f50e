# SPDX-License-Identifier: MIT
"""The sandbox behind a proxy that inspects TLS: it shows certificates of an authority of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.policies import WrappingFactory
from twisted.web.server import Site
from zope.interface import implementer

from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.faults import Faults
from ldapgw.google.sandbox.tenant import ALICE, demo_world
from ldapgw.google.sandbox.world import World
from tests.support.certificates import Issued, issue
from tests.support.damaged_replies import ALL_FAULTS

CERTS = "/oauth2/v3/certs"


@implementer(IOpenSSLServerConnectionCreator)
class Tls:
    """Shows a certificate, as a proxy that inspects TLS does in Google's place."""

    def __init__(self, shown: Issued) -> None:
        self.shown = shown

    @property
    def trust(self) -> Any:
        """Return the root of a client that trusts the certificate, if the certificate is an authority's own."""
        return trustRootFromCertificates([Certificate.loadPEM(self.shown.pem)])

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802 (the interface's name)
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(self.shown.certificate)
        context.use_privatekey(self.shown.key)
        return SSL.Connection(context, None)


@dataclass(frozen=True)
class Inspected:
    """The sandbox behind a proxy that inspects TLS."""

    world: World
    folder: Path
    url: str
    plain: str


@asynccontextmanager
async def inspected(folder: Path) -> AsyncIterator[Inspected]:
    authority = issue("Inspection", authority=True)
    authority.write(folder, "ca-")
    issue("Another", authority=True, which=2).write(folder, "other-")
    world = demo_world(now=reactor.seconds, random=os.urandom, people={ALICE: []})
    world.faults = Faults(ALL_FAULTS)
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
