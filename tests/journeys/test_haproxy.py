# SPDX-License-Identifier: MIT
"""Phones and browsers behind a real HAProxy that says who they are with the PROXY protocol.

Only HAProxy itself shows what it sends, and how its health checks judge the answers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support import pdu
from tests.support.phonebook.listening import contexts_in
from tests.support.proxies import ADDRESS, Haproxy, haproxy
from tests.support.site.running import PATIENCE, Process, Site, free_ports, wait_until

pytestmark = pytest.mark.long  # a real HAProxy; tests/server/test_proxy_protocol has the headers

OFFICE, STRANGER = "127.0.1.7", "127.0.1.8"
SUCCESS, NO_ACCESS = 0, 50

MORE = """
anonymous_networks = ["{office}"]
[tls]
certificate = "certificate.pem"
private_key = "key.pem"
"""

LISTENER = """
listen {name}
    bind 127.0.0.1:{port}
    {check}
    server gateway 127.0.0.1:{to} check {send}
"""

# The versions, with the health checks of HAProxy that fit: its own bind, and just the header.
VERSIONS = {"v1": "send-proxy check-send-proxy", "v2": "send-proxy-v2 check-send-proxy"}


@dataclass(frozen=True)
class Front:
    """A gateway behind a proxy.

    :ivar ports: of the proxy, by name.
    """

    site: Site
    gateway: Process
    proxy: Haproxy
    ports: dict[str, int]

    @contextmanager
    def connection(self, name: str, source: str) -> Iterator[socket.socket]:
        address = ("127.0.0.1", self.ports[name])
        with socket.create_connection(address, PATIENCE, (source, 0)) as plain:
            if not name.startswith("ldaps"):
                yield plain
                return
            context = ssl.create_default_context(cafile=str(self.site.folder / "certificate.pem"))
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                yield secure

    def ask(self, name: str, source: str, request: bytes) -> int | None:
        """The result code of a request; None: the connection was closed."""
        with self.connection(name, source) as client:
            client.sendall(pdu.message(1, request))
            received = b""
            while part := client.recv(1 << 16):
                received += part
                if (code := pdu.responses(received)[-1].code) is not None:
                    return code
        return None


@pytest.fixture(name="front", scope="module")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("haproxy")
    contexts_in(folder)
    site = Site(folder)
    (tls_port,) = free_ports(1)
    text = site.file.read_text()
    text = text.replace("[ldap]\n", f'[ldap]\nlisten_tls = ["tcp:{tls_port}:interface=127.0.0.1"]\n{{proxies}}\n')
    text = text.replace("[web]\n", f'[web]\nmetrics_networks = ["{OFFICE}"]\n{{proxies}}\n').replace(
        "{proxies}", f'proxy_protocol = ["{ADDRESS}"]'
    )
    site.file.write_text(text + MORE.format(office=OFFICE))
    targets = {"ldap": site.ldap_port, "ldaps": tls_port, "web": site.web_port}
    names = [(f"{kind}-{version}", kind, send) for kind in targets for version, send in VERSIONS.items()]
    ports = dict(zip([name for name, *_ in names], free_ports(len(names)), strict=True))
    checks = {"ldap": "option ldap-check", "ldaps": "option tcp-check", "web": "option httpchk GET /healthz"}
    configuration = "".join(
        LISTENER.format(name=name, port=ports[name], check=checks[kind], to=targets[kind], send=send)
        for name, kind, send in names
    )
    ports["ldap-silent"] = free_ports(1)[0]
    configuration += LISTENER.format(
        name="ldap-silent", port=ports["ldap-silent"], check="option tcp-check", to=site.ldap_port, send=""
    )
    with site.running() as gateway, haproxy(folder, configuration) as proxy:
        yield Front(site, gateway, proxy, ports)
    assert "Traceback" not in gateway.said


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["ldap", "ldaps"])
def test_networks_are_those_of_the_client(front: Front, kind: str, version: str) -> None:
    """An office's phones search without a login, and nobody else behind the same proxy."""
    search = pdu.search("dc=acme,dc=example", 2)
    assert front.ask(f"{kind}-{version}", OFFICE, search) == SUCCESS
    assert front.ask(f"{kind}-{version}", STRANGER, search) == NO_ACCESS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_page_knows_the_client(front: Front, version: str) -> None:
    """A client that may read the metrics is let in, and nobody who only says so."""
    answers = []
    for source, header in ((OFFICE, ""), (STRANGER, ""), (STRANGER, f"X-Forwarded-For: {OFFICE}\r\n")):
        with front.connection(f"web-{version}", source) as client:
            client.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n".encode())
            answers.append(b"".join(iter(lambda: client.recv(1 << 16), b""))[:13])
    assert answers == [b"HTTP/1.1 200 ", b"HTTP/1.1 403 ", b"HTTP/1.1 403 "]


def test_health_checks_pass(front: Front) -> None:
    """A bind, a connection and a page; HAProxy says LOCAL in version 2, and UNKNOWN or itself in version 1."""
    expected = {
        "ldap-v1": "UP L7OK",
        "ldap-v2": "UP L7OK",
        "ldaps-v1": "UP L4OK",
        "ldaps-v2": "UP L4OK",
        "web-v1": "UP L7OK",
        "web-v2": "UP L7OK",
        "ldap-silent": "UP L4OK",
    }
    wait_until(lambda: front.proxy.checks() == expected, "all servers are up")


def test_a_proxy_that_says_nothing_is_refused(front: Front) -> None:
    """With a line in the log, which its own health checks do not get."""
    assert front.ask("ldap-silent", OFFICE, pdu.bind()) is None
    wait_until(lambda: f"no PROXY header from {ADDRESS}" in front.gateway.said, "a line in the log")
    assert "no whole PROXY header" not in front.gateway.said


def test_a_client_cannot_speak_for_another(front: Front) -> None:
    """Its header is not LDAP, whether it comes directly or through the proxy."""
    header = f"PROXY TCP4 {OFFICE} 127.0.0.1 5555 389\r\n".encode()
    request = header + pdu.message(1, pdu.search("dc=acme,dc=example", 2))
    for port in (front.site.ldap_port, front.ports["ldap-v2"]):
        with socket.create_connection(("127.0.0.1", port), PATIENCE, (STRANGER, 0)) as client:
            client.sendall(request)
            answers = pdu.responses(b"".join(iter(lambda: client.recv(1 << 16), b"")))
        assert [(one.message_id, one.code) for one in answers] == [(0, 2)]
    wait_until(lambda: f"not LDAP from {STRANGER}" in front.gateway.said, "a line in the log")
