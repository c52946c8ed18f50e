# SPDX-License-Identifier: MIT
"""Real clients on real sockets: ldapsearch, curl, and one that says something in front of the handshake.

`tests.ldap.test_client_libraries` has what clients find, in clear, with StartTLS and over LDAPS.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.support import pdu
from tests.support.phonebook.listening import contexts_in, listening
from tests.support.phonebook.wire import BASE, BOOK, DESK1, SECRET, make_dit, make_factory, make_gate

pytestmark = pytest.mark.skipif(
    shutil.which("ldapsearch") is None and "CI" not in os.environ,
    reason="needs ldap-utils: sudo apt-get install ldap-utils",
)

LOGIN = ["-D", DESK1, "-w", SECRET.decode()]
SEARCH = ["-LLL", "-b", BASE, "(cn=user 0000*)", "cn"]


@pytest.fixture(name="server")
def _server(reactor, tmp_path):
    """A gateway's wire on free ports."""
    options, path = contexts_in(tmp_path)
    factory = make_factory(make_gate(make_dit(tls=True)), reactor, tls=options, require_tls=False)
    with listening(reactor, factory, path) as server:
        yield server


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="needs curl")
@pytest.mark.parametrize("count", [1, 50])
@pytest_twisted.ensureDeferred
async def test_curl_reads_a_list_over_ldaps(server, count):
    """Libcurl waits for its socket between two messages, whatever its TLS library still has of the same record."""
    url = f"ldaps://127.0.0.1:{server.tls}/{BOOK}?cn?sub?(uid=c{'0' if count == 1 else '*'})"
    login = f"{DESK1}:{SECRET.decode()}"
    command = ["curl", "--silent", "--show-error", "--globoff", "--max-time", "30", "--cacert", server.certificate]
    done = await deferToThread(
        subprocess.run, [*command, "--user", login, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\tcn: User ") == count


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-D", DESK1, "-w", "guess", *SEARCH], 49),
        (["-D", DESK1, "-w", "", *SEARCH], 53),
        (["-b", BASE], 50),
        ([*LOGIN, "-b", "dc=nowhere"], 32),
        ([*LOGIN, "-b", "nowhere"], 34),
        ([*LOGIN, "-b", BASE, "-z", "3"], 4),
        ([*LOGIN, "-b", BASE, "-e", "!1.2.3"], 12),
        ([*LOGIN, "-b", BASE, "-M", "-z", "60"], 0),
        ([*LOGIN, "-P", "2", "-b", BASE, "-z", "60"], 0),
    ],
    ids=["password", "no password", "anonymous", "no object", "no DN", "size", "control", "ManageDsaIT", "LDAPv2"],
)
@pytest_twisted.ensureDeferred
async def test_ldapsearch_understands_our_results(server, arguments, status):
    """Its exit status is the result code."""
    command = ["ldapsearch", "-x", "-H", f"ldap://127.0.0.1:{server.plain}", "-o", "nettimeout=30", *arguments]
    done = await deferToThread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr


def ask(connection: socket.socket, request: bytes) -> list[pdu.Response]:
    """Send, and read until an answer is there."""
    connection.sendall(request)
    data = b""
    while True:
        received = connection.recv(65536)
        assert received, "closed before it answered"
        data += received
        try:
            found = pdu.responses(data)
        except Exception:  # noqa: BLE001 - half a message
            continue
        if found:
            return found


@pytest_twisted.ensureDeferred
async def test_what_is_injected_before_the_handshake_is_not_answered_after_it(server):
    """The first answer on TLS is to the first question on TLS; and the login in clear is forgotten."""

    def conversation(connection):
        context = ssl.create_default_context(cafile=server.certificate)
        assert ask(connection, pdu.message(1, pdu.bind(DESK1, SECRET)))[0].code == 0
        injected = pdu.message(3, pdu.search("", 0)) + pdu.message(4, pdu.bind(DESK1, SECRET))
        assert ask(connection, pdu.message(2, pdu.START_TLS) + injected)[0].message_id == 2
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
            [whoami] = ask(secured, pdu.message(5, pdu.WHO_AM_I))
            assert (whoami.message_id, whoami.value) == (5, b"")
            [again] = ask(secured, pdu.message(6, pdu.START_TLS))
            assert (again.message_id, again.code) == (6, 1)
            [bound] = ask(secured, pdu.message(7, pdu.sasl("PLAIN", b"\0desk1\0" + SECRET)))
            assert bound.code == 0

    with socket.create_connection(("127.0.0.1", server.plain), 5) as plain:
        await deferToThread(conversation, plain)
