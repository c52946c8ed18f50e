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


def main(port: str, people: str) -> None:
    """Serve the people in a file, once the whole file is read."""
    registerAdapter(lambda factory: factory.root, ServerFactory, IConnectedLDAPEntry)
    with Path(people).open("rb") as file:
        loaded = fromLDIFFile(file)

    def serve(root: Any) -> None:
        factory: Any = ServerFactory.forProtocol(LDAPServer)
        factory.root = root
        reactor.listenTCP(int(port), factory, interface="127.0.0.1")

    loaded.addCallbacks(serve, lambda failure: sys.exit(str(failure)))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
