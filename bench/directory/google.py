# SPDX-License-Identifier: MIT
"""A Google that has news of some persons, for one incremental sync; everything else is the sandbox's affair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from bench.directory.people import Person, resource


@contextmanager
def google(changed: Iterable[Person]) -> Iterator[int]:
    """Its port, on loopback, until the block ends."""
    news = {"connections": [resource(one) for one in changed], "nextSyncToken": "the second"}
    body = json.dumps(news).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_about: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
