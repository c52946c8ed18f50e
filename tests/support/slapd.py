# SPDX-License-Identifier: MIT
"""OpenLDAP's slapd on a free port of loopback, with a folder of its own; ended by its process id."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from twisted.internet.task import Clock

from tests.support import pdu
from tests.support.phonebook.awkward import VIEWER, make_dit
from tests.support.phonebook.wire import Client, make_factory, make_gate
from tests.support.site.running import free_ports

PATIENCE = 60.0
PROGRAM = shutil.which("slapd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
# Debian's, like the schema below.
MODULES = "/usr/lib/ldap"
SCHEMA = "/etc/ldap/schema"

SECRET = b"secret"

# No index, so that the filter alone decides; lastmod off, so that it adds no attributes of its own.
CONFIGURATION = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
moduleload sssvlv
pidfile {folder}/slapd.pid
sizelimit unlimited
defaultsearchbase "{base}"
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw {secret}
directory {folder}/data
maxsize 67108864
lastmod off
overlay sssvlv
"""


class Connection:
    """One connection, asked one thing after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._message_id = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: bytes, controls: bytes = b"") -> list[pdu.Response]:
        """Send a request; all answers to it, the last one its result."""
        self._message_id += 1
        self._socket.sendall(pdu.message(self._message_id, request, controls))
        data = bytearray()
        answers: list[pdu.Response] = []
        while not answers or answers[-1].code is None:
            received = self._socket.recv(1 << 18)
            assert received, "slapd closed the connection"
            data += received
            whole = whole_messages(data)
            answers += pdu.responses(bytes(data[:whole]))
            del data[:whole]
        return answers


def whole_messages(data: bytes | bytearray) -> int:
    """How many octets at the start are whole messages."""
    position = 0
    while position + 2 <= len(data):
        length, head = data[position + 1], 2
        if length & 0x80:
            head += length & 0x7F
            if position + head > len(data):
                break
            length = int.from_bytes(data[position + 2 : position + head], "big")
        if position + head + length > len(data):
            break
        position += head + length
    return position


@dataclass(frozen=True)
class Slapd:
    """A server that runs.

    :ivar base: the suffix that it serves.
    """

    port: int
    base: str

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of somebody who may see everything."""
        connection = Connection(self.port)
        try:
            [bound] = connection.ask(pdu.bind(f"cn=root,{self.base}", SECRET))
            assert bound.code == 0
            yield connection
        finally:
            connection.close()


@contextmanager
def running(folder: Path, base: str, ldif: str) -> Iterator[Slapd]:
    """Load and start it; its end is waited for."""
    assert PROGRAM is not None, "needs slapd: sudo apt-get install slapd"
    # A copy: where AppArmor confines the installed program, that one may not write here.
    program = folder / "slapd"
    shutil.copy(PROGRAM, program)
    (folder / "data").mkdir()
    (folder / "contacts.ldif").write_text(ldif)
    configuration = folder / "slapd.conf"
    configuration.write_text(
        CONFIGURATION.format(schema=SCHEMA, modules=MODULES, folder=folder, base=base, secret=SECRET.decode())
    )
    # -s: a contact's country is not in RFC 2798's inetOrgPerson.  -q: values as they are.
    _load([str(program), "-Tadd", "-q", "-s", "-f", str(configuration), "-l", str(folder / "contacts.ldif")])
    [port] = free_ports(1)
    with (folder / "slapd.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "-d", "0", "-h", f"ldap://127.0.0.1:{port}", "-f", str(configuration)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, port, folder / "slapd.log")
        yield Slapd(port, base)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _load(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            select.select([], [], [], 0.02)
        else:
            return
    raise AssertionError("slapd does not listen: " + log.read_text())


DIT = make_dit(lenient=False)


class Gateway:
    """Our wire, in memory."""

    def __init__(self) -> None:
        self._clock = Clock()
        gate = replace(make_gate(DIT), anonymous=lambda _address: VIEWER)
        self._client = Client(make_factory(gate, self._clock, size_limit=100_000))

    def ask(self, request: bytes, controls: bytes = b"") -> list[pdu.Response]:
        answers = self._client.send(pdu.message(1, request, controls))
        while not answers or answers[-1].code is None:
            self._clock.advance(0)
            answers += self._client.received()
        return answers
