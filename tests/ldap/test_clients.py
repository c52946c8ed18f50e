# SPDX-License-Identifier: MIT
"""Real clients on real sockets: ldap-utils, in clear, with StartTLS and over LDAPS."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import warnings

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.support import pdu
from tests.support.phonebook.listening import Server, listening
from tests.support.phonebook.wire import BASE, BOOK, DESK1, SECRET, make_dit, make_factory, make_gate

pytestmark = pytest.mark.skipif(
    shutil.which("ldapsearch") is None and "CI" not in os.environ,
    reason="needs ldap-utils: sudo apt-get install ldap-utils",
)

LOGIN = ["-D", DESK1, "-w", SECRET.decode()]
SEARCH = ["-LLL", "-b", BASE, "(cn=user 0000*)", "cn"]


@pytest.fixture(name="server", params=[False], ids=[""])
def _server(reactor, contexts, request):
    """A gateway's wire on free ports; the parameter requires TLS for passwords."""
    options, path = contexts
    factory = make_factory(make_gate(make_dit(tls=True)), reactor, tls=options, require_tls=request.param)
    with listening(reactor, factory, path) as server:
        yield server


async def run(server: Server, command: str, *arguments: str, scheme: str = "ldap") -> tuple[int, str]:
    """A command of ldap-utils against the server: its exit status and all that it printed."""
    port = server.tls if scheme == "ldaps" else server.plain
    environment = os.environ | {"LDAPTLS_CACERT": server.certificate, "LDAPTLS_REQCERT": "demand"}
    done = await deferToThread(
        subprocess.run,
        [command, "-x", "-H", f"{scheme}://127.0.0.1:{port}", "-o", "nettimeout=30", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("scheme", "options"),
    [("ldap", []), ("ldap", ["-ZZ"]), ("ldaps", [])],
    ids=["clear", "StartTLS", "LDAPS"],
)
@pytest_twisted.ensureDeferred
async def test_ldapsearch_finds(server, scheme, options):
    """By DN and by the bare name, with the certificate verified where there is one."""
    for name in (DESK1, "desk1"):
        login = ["-D", name, "-w", SECRET.decode()]
        status, printed = await run(server, "ldapsearch", *options, *login, *SEARCH, scheme=scheme)
        assert (status, printed.count("\ndn: ") + printed.startswith("dn: ")) == (0, 10), printed
        assert printed.startswith(f"dn: uid=c0,{BOOK}\ncn: User 00000\n")


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


@pytest_twisted.ensureDeferred
async def test_ldapsearch_reads_the_root_dse_and_the_schema(server):
    """Without a login."""
    status, printed = await run(server, "ldapsearch", "-LLL", "-s", "base", "-b", "", "+")
    assert (status, f"namingContexts: {BASE}\n" in printed) == (0, True)
    assert "supportedExtension: 1.3.6.1.4.1.1466.20037\n" in printed
    assert "supportedSASLMechanisms" not in printed
    status, printed = await run(server, "ldapsearch", "-LLL", "-s", "base", "-b", "cn=subschema", "+")
    assert status == 0
    assert "attributeTypes: " in printed


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
    assert (await run(server, "ldapsearch", *arguments))[0] == status


def uids(printed: str) -> list[str]:
    return [line.removeprefix("uid: ") for line in printed.splitlines() if line.startswith("uid: ")]


@pytest_twisted.ensureDeferred
async def test_ldapsearch_pages_sorts_and_views(server):
    """RFC 2696, RFC 2891 and VLV, as ldapsearch prints what came back."""
    search = [*LOGIN, "-b", BASE, "(objectClass=inetOrgPerson)", "uid"]
    everything = [f"c{at}" for at in range(50)]
    status, printed = await run(server, "ldapsearch", "-E", "!pr=7/noprompt", *search)
    assert (status, uids(printed), printed.count("pagedresults: cookie=")) == (0, everything, 8)
    status, printed = await run(server, "ldapsearch", "-E", "!sss=-cn", *search)
    assert (status, uids(printed)) == (0, everything[::-1])
    assert "sortResult: (0) Success" in printed
    # It scrolls on, as if Enter was pressed, until there is no further window.
    status, printed = await run(server, "ldapsearch", "-E", "!sss=cn", "-E", "!vlv=2/3/10/0", *search)
    windows = [uids(window) for window in printed.split("Press [before/after")]
    assert (status, len(windows), windows[-1]) == (76, 15, [])
    assert windows[:-1] == [everything[at - 3 : at + 3] for at in range(10, 50, 3)]
    assert printed.count("sortResult: (0) Success") == 14
    assert "pos=10 count=50 " in printed
    status, printed = await run(server, "ldapsearch", "-E", "!sss=cn", "-E", "!vlv=0/1:user 00020", *search)
    assert uids(printed)[:2] == everything[20:22]
    assert (await run(server, "ldapsearch", "-E", "!sss=nosuch", *search))[0] == 12


@pytest.mark.parametrize("server", [True], indirect=True, ids=["require_tls"])
@pytest_twisted.ensureDeferred
async def test_where_tls_is_required_a_password_in_clear_is_refused(server):
    """13, confidentialityRequired; with TLS it is accepted."""
    assert (await run(server, "ldapwhoami", *LOGIN))[0] == 13
    assert await run(server, "ldapwhoami", "-ZZ", *LOGIN) == (0, f"dn:{DESK1}\n")
    assert await run(server, "ldapwhoami", *LOGIN, scheme="ldaps") == (0, f"dn:{DESK1}\n")


def talk(server: Server, conversation) -> None:
    with socket.create_connection(("127.0.0.1", server.plain), 5) as connection:
        conversation(connection)


def tls_on(connection: socket.socket, server: Server) -> ssl.SSLSocket:
    return ssl.create_default_context(cafile=server.certificate).wrap_socket(connection, server_hostname="127.0.0.1")


def exactly(connection: socket.socket, request: bytes, count: int) -> list[pdu.Response]:
    """Send, and read until that many answers are there."""
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
        if len(found) >= count:
            return found


@pytest_twisted.ensureDeferred
async def test_what_is_injected_before_the_handshake_is_not_answered_after_it(server):
    """The first answer on TLS is to the first question on TLS; and the login in clear is forgotten."""

    def conversation(connection):
        assert exactly(connection, pdu.message(1, pdu.bind(DESK1, SECRET)), 1)[0].code == 0
        injected = pdu.message(3, pdu.search("", 0)) + pdu.message(4, pdu.bind(DESK1, SECRET))
        assert exactly(connection, pdu.message(2, pdu.START_TLS) + injected, 1)[0].message_id == 2
        with tls_on(connection, server) as secured:
            [whoami] = exactly(secured, pdu.message(5, pdu.WHO_AM_I), 1)
            assert (whoami.message_id, whoami.value) == (5, b"")
            [again] = exactly(secured, pdu.message(6, pdu.START_TLS), 1)
            assert (again.message_id, again.code) == (6, 1)
            [bound] = exactly(secured, pdu.message(7, pdu.sasl("PLAIN", b"\0desk1\0" + SECRET)), 1)
            assert bound.code == 0

    await deferToThread(talk, server, conversation)


@pytest_twisted.ensureDeferred
async def test_an_old_tls_version_is_refused(server):
    """1.2 and up (RFC 8996)."""

    def conversation(connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        exactly(connection, pdu.message(1, pdu.START_TLS), 1)
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection)

    await deferToThread(talk, server, conversation)
