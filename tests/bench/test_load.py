# SPDX-License-Identifier: MIT
"""The engine counts what a server says, and how long it took."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import isnan
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from bench.directory.asking import WORKLOADS
from bench.directory.load import Load, percentile
from bench.directory.people import person
from bench.phone import Target
from bench.process import Server
from ldapgw.ber import ENUMERATED, integer, octets, tlv
from ldapgw.directory.filter import SearchRequest
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import BindRequest
from tests.support import pdu

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and "CI" not in os.environ, reason="needs a C compiler (Debian's gcc)"
)
BASE = "dc=acme,dc=example"
PEOPLE = [person(at) for at in range(20)]
asked = cache(lambda workload: WORKLOADS[workload].asked(BASE, PEOPLE))
ENTRY = tlv(0x64, octets(b"uid=c1,dc=example") + tlv(0x30, b""))


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ((7,), 50, 7),
        ((1, 2), 50, 1),
        ((1, 2, 3), 50, 2),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        (range(1, 101), 100, 100),
        ((5, 6), 0, 5),
    ],
)
def test_percentiles_are_values(values, part, expected):
    """The nearest rank: never a value that was not measured."""
    assert percentile(values, part) == expected


def test_no_values_have_no_percentile():
    """And no zero, which would be the best of all."""
    assert isnan(percentile((), 99))


class Threads(ThreadingTCPServer):
    request_queue_size = 100
    daemon_threads = True

    def handle_error(self, request, client_address):
        """The engine just goes when its time is over."""


@contextmanager
def double(code: int = 0) -> Iterator[Server]:
    """A server that lets everybody in, and answers each search with two entries and a result, in two pieces."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(2):
                # What the engine sends is short: one octet of length, or two.
                head += self.rfile.read(head[1] & 0x7F) if head[1] & 0x80 else b""
                length = int.from_bytes(head[2:]) if head[1] & 0x80 else head[1]
                message = decode(head + self.rfile.read(length))
                if isinstance(message.request, BindRequest):
                    self.wfile.write(pdu.message(message.message_id, tlv(0x61, result(0))))
                elif isinstance(message.request, SearchRequest):
                    answer = pdu.message(message.message_id, ENTRY) * 2
                    answer += pdu.message(message.message_id, tlv(0x65, result(code)))
                    self.wfile.write(answer[:9])
                    self.wfile.write(answer[9:])

    with Threads(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Server("double", Target(server.server_address[1], 0, BASE, "desk1", "secret"), os.getpid(), 0.0)
        finally:
            server.shutdown()


def result(code: int) -> bytes:
    return integer(code, ENUMERATED) + octets(b"") + octets(b"")


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    return Load(tmp_path_factory.mktemp("load"))


@pytest.mark.long  # waits for the seconds that are counted
@needs_compiler
@pytest.mark.parametrize(
    ("workload", "code"), [*((name, 0) for name in WORKLOADS), ("prefix", 4)], ids=[*WORKLOADS, "sizeLimitExceeded"]
)
def test_answers_are_counted(workload, code, load):
    """Entries and results, however the octets come; each search that has ended has its entries."""
    with double(code) as server:
        found = load.round(server, asked(workload), 0.1)
    assert (found.errors, found.found, found.searches > 0) == (0, 2.0, True)
    assert 0 < found.p50 <= found.p99


@needs_compiler
@pytest.mark.long  # waits for the searches that never succeed
def test_refusals_are_errors(load):
    """Another result than success is none of the searches that count."""
    with double(80) as server:
        found = load.round(server, asked("prefix"), 0.1)
    assert (found.searches, found.errors > 0, found.last_code) == (0, True, 80)
