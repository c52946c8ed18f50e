# SPDX-License-Identifier: MIT
"""``check`` examines the ports, which have to be free before the start, and have to answer while the gateway runs.

Only a gateway's process shows that the check understands the answers of real ports.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest

from ldapgw.ber import SEQUENCE, integer, octets, tlv
from ldapgw.cli import check_connections
from ldapgw.server.check_result import Moment
from ldapgw.server.endpoints import ListenAddress
from ldapgw.server.preflight import _unavailable
from tests.support.certificates import issue
from tests.support.site.command_line import ACME, HEAD, Gateway
from tests.support.site.running import Site, free_ports, new_site


def found(gateway: Gateway, *, code: int = 0) -> dict[str, tuple[str, str]]:
    """Return the state and message of each port that ``check`` examines, by setting and endpoint."""
    return {item: told for item, told in gateway.checked(code=code).items() if ".listen" in item}


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """Yield a port that gives one answer to each connection and then closes; b"" stands for no answer."""
    with create_server(("127.0.0.1", 0)) as server:
        open_connections = []

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                open_connections.append(connection)
                connection.recv(1 << 16)
                if answer:
                    connection.sendall(answer)
                    connection.close()

        thread = Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
        for connection in open_connections:
            connection.close()


def test_two_of_ours_on_one_port(gateway: Gateway) -> None:
    """The two settings are written differently, so the configuration alone does not show the shared port."""
    with create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    listen = f'["tcp:{free}:interface=127.0.0.1", "tcp:port={free}:interface=127.0.0.1"]'
    gateway.write(HEAD.replace('["tcp:0:interface=127.0.0.1"]', listen, 1) + ACME)
    states = {item: state for item, (state, _) in found(gateway, code=1).items() if item.startswith("ldap")}
    assert list(states.values()) == ["ok", "failed"]


@pytest.mark.parametrize("is_shared", [False, True], ids=["own", "shared"])
def test_a_port_that_another_gateway_shares(gateway: Gateway, *, is_shared: bool) -> None:
    """The port can be shared only if both gateways have the setting."""
    with create_server(("127.0.0.1", 0), reuse_port=True) as server:
        endpoint = f"tcp:{server.getsockname()[1]}:interface=127.0.0.1"
        head = HEAD.replace("tcp:0:interface=127.0.0.1", endpoint, 1)
        gateway.write((head.replace("[ldap]", "[ldap]\nreuse_port = true") if is_shared else head) + ACME)
        state, _ = found(gateway, code=0 if is_shared else 1)[f'ldap.listen "{endpoint}"']
    assert state == ("ok" if is_shared else "failed")


@pytest.mark.parametrize(
    ("endpoint", "state", "message"),
    [
        ("tcp:0:interface=no such host", "failed", "no such host is not an address of this machine"),
        (r"tcp6:0:interface=\\:\\:1", "ok", "port 0 of ::1 is free"),
        ("unix:/run/ldapgw.sock", "ok", "not tried: not a TCP port"),
    ],
    ids=["no address", "ipv6", "unix"],
)
def test_endpoints(gateway: Gateway, endpoint: str, state: str, message: str) -> None:
    """The command tries each endpoint as Twisted would listen there."""
    gateway.write(HEAD.replace("tcp:0:interface=127.0.0.1", endpoint, 1) + ACME)
    item = f'ldap.listen "{endpoint}"'.replace(r"\\", "\\")
    assert found(gateway, code=state == "failed")[item] == (state, message)


@pytest.mark.parametrize("is_used", [False, True], ids=["free", "in use"])
def test_a_port_that_needs_rights(*, is_used: bool) -> None:
    """A free port is a warning, as the gateway may have the rights; a port in use fails.

    Tests may run with all rights.
    """
    refusal = PermissionError(errno.EACCES, "Permission denied")
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not is_used:
            server.close()
        finding = _unavailable("ldap.listen", ListenAddress("", port, ipv6=False), refusal, Moment.CHECK)
    if is_used:
        assert finding.status == "failed"
        assert finding.message.startswith(f"port {port} is in use by another program")
    else:
        assert finding.status == "warning"
        assert finding.message == (
            f"port {port} needs the capability CAP_NET_BIND_SERVICE, which this user does not have; the systemd unit "
            "gives the capability to the gateway, but ldapgw run by this user cannot start"
        )


ANOTHER_ENTRY = tlv(SEQUENCE, integer(1) + tlv(0x64, octets(b"") + tlv(SEQUENCE, b"")))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"220 mail.example ESMTP\r\n", "not LDAP"),
        (ANOTHER_ENTRY, "another LDAP server answers"),
        (ANOTHER_ENTRY[:5], "the connection is closed"),
        (tlv(SEQUENCE, integer(1) + tlv(0x65, octets(b"ldapgw"))), "no root DSE"),
    ],
    ids=["mail", "another LDAP server", "cut off", "no entry"],
)
def test_another_program_on_the_ldap_port(gateway: Gateway, answer: bytes, why: str) -> None:
    """While the gateway runs, the message says how the other program answers."""
    with answering(answer) as port, gateway.running():
        gateway.write(HEAD.replace("tcp:0:", f"tcp:{port}:", 1) + ACME)
        assert found(gateway, code=1) == {
            f'ldap.listen "tcp:{port}:interface=127.0.0.1"': (
                "failed",
                f"port {port} of 127.0.0.1 does not answer as the gateway does ({why}); look for another program on "
                "this port",
            ),
            'web.listen "tcp:0:interface=127.0.0.1"': ("ok", "not tried: no TCP port with a number"),
        }


@pytest.mark.parametrize(
    ("answer", "state", "message"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nready\n", "ok", "PORT answers, and the gateway is ready"),
        (
            b"HTTP/1.0 200 OK\r\n\r\ndegraded",
            "failed",
            "PORT answers, but the gateway cannot use its database; its log says why",
        ),
        (
            b"HTTP/1.0 200 OK\r\n\r\nstale",
            "failed",
            "PORT answers, but the gateway serves the contacts that it cached, because it has not reached its database "
            "since it started; its log says why",
        ),
        (
            b"HTTP/1.0 503 Service Unavailable\r\n\r\nnot ready",
            "warning",
            "PORT answers, but the gateway is not ready: it loads contacts, or its log says what is wrong",
        ),
        (
            b"HTTP/1.0 404 Not Found\r\n\r\n",
            "failed",
            "PORT does not answer as the gateway does (HTTP 404); look for another program on this port",
        ),
        (
            b"220 mail.example ESMTP\r\n",
            "failed",
            "PORT does not answer as the gateway does (not HTTP); look for another program on this port",
        ),
    ],
    ids=["ready", "degraded", "stale", "not ready", "another page", "mail"],
)
def test_what_the_page_answers(gateway: Gateway, answer: bytes, state: str, message: str) -> None:
    """The page says if the gateway is ready, and if its database works."""
    with answering(answer) as port, gateway.running():
        gateway.write(HEAD.replace('[web]\nlisten = ["tcp:0:', f'[web]\nlisten = ["tcp:{port}:') + ACME)
        told = message.replace("PORT", f"port {port} of 127.0.0.1")
        assert found(gateway, code=state == "failed")[f'web.listen "tcp:{port}:interface=127.0.0.1"'] == (state, told)


def test_ports_that_nobody_answers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on one port, and another port never answers; the check ends all the same."""
    monkeypatch.setattr(check_connections, "PATIENCE", 0.1)
    [free] = free_ports(1)
    with answering(b"") as silent, gateway.running():
        listen = f'["tcp:{free}:interface=127.0.0.1", "tcp:{silent}:interface=127.0.0.1"]'
        gateway.write(HEAD.replace('["tcp:0:interface=127.0.0.1"]', listen, 1) + ACME)
        refused, unanswered, _ = found(gateway, code=1).values()
    assert refused[1].startswith(f"nothing listens on port {free} of 127.0.0.1, although the gateway runs (process ")
    assert unanswered[1].startswith(f"port {silent} of 127.0.0.1 does not answer within ")
    assert (refused[0], unanswered[0]) == ("failed", "failed")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with new_site(tmp_path) as site:
        yield site


def asked(site: Site) -> list[tuple[str, str]]:
    """Return what ``check`` says of the ports of a running gateway: state and message without the port."""
    done = site.process("check", "--json")
    items = json.loads(done.stdout)["items"]
    told = [(item["state"], item["message"]) for item in items if ".listen" in item["item"]]
    assert done.returncode == int("failed" in {state for state, _ in told}), done.stdout
    return [(state, message.partition(" of 127.0.0.1 ")[2]) for state, message in told]


READY = ("ok", "answers, and the gateway is ready")


def configure(site: Site, listen_tls: int, *settings: str, tls: Sequence[str] = ()) -> None:
    """Configure TLS on a second port and by StartTLS, with a certificate of an authority of our own."""
    authority = issue("Authority", authority=True, which=1)
    authority.write(site.folder, "ca-")
    issue("127.0.0.1", by=authority).write(site.folder)
    (site.folder / "key.pem").chmod(0o600)
    ldap = [f'listen_tls = ["tcp:{listen_tls}:interface=127.0.0.1"]', *settings]
    text = site.file.read_text().replace("[ldap]\n", "\n".join(["[ldap]", *ldap, ""]))
    text = text.replace("[web]\n", "\n".join(["[web]", *settings, ""]))
    site.file.write_text("\n".join([text, "[tls]", 'certificate = "cert.pem"', 'private_key = "key.pem"', *tls, ""]))


@pytest.mark.long  # the test starts the gateway; tests/journeys/test_restore_drill asks a gateway without TLS
def test_a_gateway_with_tls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command checks the certificate as phones do, and warns if the machine does not trust the certificate."""
    configure(site, *free_ports(1))
    untrusted = (
        "warning",
        "answers over TLS, but this machine does not trust the certificate (unable to get local issuer certificate); "
        "phones that check certificates need the authority's certificate",
    )
    with site.running():
        assert asked(site) == [untrusted, untrusted, READY]
        monkeypatch.setenv("SSL_CERT_FILE", str(site.folder / "ca-cert.pem"))
        assert asked(site) == [
            ("ok", "answers with StartTLS, with a certificate that devices trust"),
            ("ok", "answers over TLS, with a certificate that devices trust"),
            READY,
        ]
        site.file.write_text(site.file.read_text().replace(f"//127.0.0.1:{site.web_port}", "//127.0.0.2:1"))
        assert {message.partition("(")[2].partition(",")[0] for _, message in asked(site)[:2]} == {
            "IP address mismatch"
        }


@pytest.mark.long  # the test starts the gateway
def test_a_gateway_behind_proxies_that_asks_for_certificates(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sends the PROXY header if the gateway expects the header; that phones need a certificate is fine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(site.folder / "ca-cert.pem"))
    configure(site, *free_ports(1), 'proxy_protocol = ["127.0.0.1"]', tls=['client_ca = "ca-cert.pem"'])
    # The test's own requests have no header.
    monkeypatch.setattr(site, "is_ready", lambda: READY in asked(site))
    with site.running():
        asks = "and asks for a phone's certificate (tls.client_ca)"
        assert asked(site) == [("ok", f"answers with StartTLS, {asks}"), ("ok", f"answers over TLS, {asks}"), READY]
