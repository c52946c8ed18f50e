# SPDX-License-Identifier: MIT
"""OpenLDAP's slapd on a free port of loopback, with a folder of its own; ended by its process id."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from twisted.internet.task import Clock

from tests.support import pdu
from tests.support.phonebook.awkward import VIEWER, make_dit
from tests.support.phonebook.wire import Client, make_factory, make_gate
from tests.support.program import run
from tests.support.site.line import Line
from tests.support.site.running import Process, free_ports, listens, wait_until

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


@dataclass(frozen=True)
class Slapd:
    """A server that runs.

    :ivar base: the suffix that it serves.
    """

    port: int
    base: str

    @contextmanager
    def connection(self) -> Iterator[Line]:
        """A connection of somebody who may see everything."""
        with Line(self.port) as connection:
            [bound] = connection.ask(pdu.bind(f"cn=root,{self.base}", SECRET))
            assert bound.code == 0
            yield connection


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
    run(program, "-Tadd", "-q", "-s", "-f", configuration, "-l", folder / "contacts.ldif")
    [port] = free_ports(1)
    command = [str(program), "-d", "0", "-h", f"ldap://127.0.0.1:{port}", "-f", str(configuration)]
    process = Process(command, folder / "slapd.log", folder)
    try:
        wait_until(lambda: listens(port) or process.status is not None, "slapd listens")
        assert process.status is None, process.said
        yield Slapd(port, base)
    finally:
        process.end()


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
