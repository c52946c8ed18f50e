# SPDX-License-Identifier: MIT
"""A client of CardDAV: it reads an address book as programs do, and then looks for changes."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection

from bench.phone import Target
from bench.seed import HTTP_PHONE, TENANT

# How many contacts a client asks for in one report.
_BATCH = 50
_SPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"'
_HREF = re.compile(rb"<D:response><D:href>([^<]+\.vcf)</D:href>")
_TOKEN = re.compile(rb"<D:sync-token>([^<]+)</D:sync-token>")
_BOOK = re.compile(rb"<D:href>(/[^<]+/)</D:href><D:propstat><D:prop><D:resourcetype><D:collection/><C:addressbook/>")


@dataclass
class DavClient:
    """A client with a phone's login, which keeps its connection.

    Mutable: the connection.
    """

    target: Target
    port: int

    def __post_init__(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def book(self) -> str:
        """The path of the first address book."""
        asked = f"<D:propfind {_SPACES}><D:prop><D:resourcetype/></D:prop></D:propfind>"
        found = _BOOK.search(self._ask("PROPFIND", f"/{TENANT}/dav/", asked, depth="1"))
        assert found is not None
        return found[1].decode()

    def changes(self, book: str, token: str = "") -> tuple[list[str], str]:
        """The paths of the contacts that have changed since a token, and the next token."""
        answer = self._ask(
            "REPORT",
            book,
            f"<D:sync-collection {_SPACES}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>"
            "<D:prop><D:getetag/></D:prop></D:sync-collection>",
        )
        found = _TOKEN.search(answer)
        assert found is not None
        return [path.decode() for path in _HREF.findall(answer)], found[1].decode()

    def first_sync(self, book: str) -> tuple[int, str]:
        """Read all contacts; how many there are, and the token."""
        paths, token = self.changes(book)
        batches = (paths[at : at + _BATCH] for at in range(0, len(paths), _BATCH))
        return sum(self._contacts(book, batch) for batch in batches), token

    def _contacts(self, book: str, paths: Sequence[str]) -> int:
        hrefs = "".join(f"<D:href>{path}</D:href>" for path in paths)
        prop = "<D:prop><D:getetag/><C:address-data/></D:prop>"
        answer = self._ask("REPORT", book, f"<C:addressbook-multiget {_SPACES}>{prop}{hrefs}</C:addressbook-multiget>")
        return answer.count(b"BEGIN:VCARD")

    def _ask(self, method: str, path: str, body: str, depth: str = "0") -> bytes:
        login = b64encode(f"{HTTP_PHONE}:{self.target.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Depth": depth, "Content-Type": "application/xml"}
        self._connection.request(method, path, body.encode(), headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        assert answer.status == 207, answer.status
        return octets
