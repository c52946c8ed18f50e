# SPDX-License-Identifier: MIT
"""A Google with a large book, as a program: CONTACTS and CHANGES; it prints its port.

The answers are made before the first request, and packed as Google packs them, because the gateway is measured.  The
sync token of the full listing gets some changes, once; any other sync token gets none.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from bench.people import Person, person, resource

PAGE = 1000
CHANGED = "Changed"
_FULL, _LAST = "full", "last"
_CONNECTIONS = "/v1/people/me/connections"
_GROUPS = "/v1/contactGroups"
# Google lists its own groups too, for every account.
_SYSTEM_GROUP = {"resourceName": "contactGroups/myContacts", "groupType": "SYSTEM_CONTACT_GROUP", "name": "myContacts"}


def changed(contacts: int, changes: int) -> list[Person]:
    """Return the people who have changed since the full listing; the book's first and last person are among them."""
    step = max(1, (contacts - 1) // max(1, changes - 1))
    numbers = sorted({*range(0, contacts, step), contacts - 1})
    return [replace(person(at), given=CHANGED) for at in [*numbers[: changes - 1], numbers[-1]]]


def answers(contacts: int, changes: int) -> dict[tuple[str, str], bytes]:
    """Return the packed answers by sync token and page token."""
    found: dict[tuple[str, str], bytes] = {}
    for start in range(0, contacts, PAGE):
        end = min(start + PAGE, contacts)
        more = {"nextPageToken": str(end)} if end < contacts else {"nextSyncToken": _FULL}
        listed = [resource(person(at)) for at in range(start, end)]
        found["", str(start) if start else ""] = _packed({"connections": listed, "totalItems": contacts, **more})
    news = [resource(one) for one in changed(contacts, changes)]
    found[_FULL, ""] = _packed({"connections": news, "nextSyncToken": _LAST})
    return found


def serve(contacts: int, changes: int) -> None:
    """Serve until the process is ended."""
    nothing = _packed({"nextSyncToken": _LAST})
    ready = {(_CONNECTIONS, *tokens): body for tokens, body in answers(contacts, changes).items()}
    ready[_GROUPS, "", ""] = _packed({"contactGroups": [_SYSTEM_GROUP], "totalItems": 1, "nextSyncToken": _LAST})
    calls: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/calls":
                self._answer(_packed(calls))
                calls.clear()
                return
            calls[address.path] += 1
            asked = parse_qs(address.query)
            sync, page = (asked.get(name, [""])[0] for name in ("syncToken", "pageToken"))
            self._answer(ready.get((address.path, sync, page), nothing))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_about: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


def _packed(document: object) -> bytes:
    return gzip.compress(json.dumps(document).encode(), compresslevel=6)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
