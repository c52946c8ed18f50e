# SPDX-License-Identifier: MIT
"""ldaptor's own server on its own directory in memory, as its documentation puts them together: PORT FILE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ldaptor.inmemory import fromLDIFFile
from ldaptor.interfaces import IConnectedLDAPEntry
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import reactor  # noqa: TID251  an entry point
from twisted.internet.protocol import ServerFactory
from twisted.python.components import registerAdapter


class Factory(ServerFactory):
    """Holds the directory."""

    protocol = LDAPServer

    def __init__(self, root: Any) -> None:
        self.root = root

    def buildProtocol(self, addr: Any) -> LDAPServer:
        made = self.protocol()
        made.factory = self
        return made


def main(port: str, people: str) -> None:
    """Serve the people in a file, once the whole file is read."""
    registerAdapter(lambda factory: factory.root, Factory, IConnectedLDAPEntry)
    with Path(people).open("rb") as file:
        loaded = fromLDIFFile(file)
    loaded.addCallback(lambda root: reactor.listenTCP(int(port), Factory(root), interface="127.0.0.1"))
    loaded.addErrback(lambda failure: sys.exit(str(failure)))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
