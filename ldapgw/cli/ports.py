# SPDX-License-Identifier: MIT
"""The part of ``check`` that uses the ports of a running gateway.

The command uses the ports as a phone and a browser do: it connects, checks the certificate over TLS, searches for the
root DSE, and requests ``/readyz``.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

from ldapgw.ber import SEQUENCE, BerReader
from ldapgw.cli.record import START_TLS
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.encoder import encode_search
from ldapgw.server.check_result import CheckResult, CheckStatus, Subject
from ldapgw.server.config import Config
from ldapgw.server.config.forms import Networks
from ldapgw.server.endpoints import ListenAddress
from ldapgw.server.preflight import role_endpoints
from ldapgw.server.tls import private_trust_anchor

# Seconds for each step; the gateway answers its own machine within milliseconds.
PATIENCE = 5.0
_MAX_OCTETS = 64 << 10
_VENDOR = b"ldapgw"
_ROOT_DSE = encode_search(SearchRequest("", Scope.BASE_OBJECT, Present("objectClass"), attributes=("vendorName",)))
_SEARCH_RESULT_ENTRY, _EXTENDED_RESPONSE = 0x64, 0x78
# With UNKNOWN, the gateway uses the connection's own source address (PROXY protocol, section 2.1).
_PROXY_HEADER = b"PROXY UNKNOWN\r\n"


class _WrongAnswer(Exception):
    """Raised when another program than the gateway answers; the text describes the answer."""


def check_answers(subject: Subject) -> Iterator[CheckResult]:
    """Check how the running gateway answers on the ports that its roles listen on."""
    if subject.gateway is None:
        return
    for setting, endpoint in role_endpoints(subject.config):
        listening = ListenAddress.parse(endpoint)
        if listening is None or not listening.port:
            item = f'{setting} "{endpoint}"'
            yield CheckResult(CheckStatus.OK, item, "not tried: no TCP port with a number", is_setting=True)
        else:
            result = _try_port(subject.config, setting, endpoint, listening, subject.gateway)
            yield replace(result, is_setting=True)


def _try_port(config: Config, setting: str, endpoint: str, listening: ListenAddress, gateway: int) -> CheckResult:
    item = f'{setting} "{endpoint}"'
    use = _use_page if setting.startswith("web.") else _use_ldap
    over_tls = setting.endswith(".listen_tls") or endpoint.startswith(("ssl:", "tls:"))
    try:
        try:
            return use(config, item, listening, over_tls=over_tls)
        except ssl.SSLCertVerificationError as error:
            # Repeat the request without a check of the certificate, to try the other steps; the request has no secret.
            result = use(config, item, listening, over_tls=over_tls, checks_certificate=False)
            if result.status is not CheckStatus.OK:
                return result
            message = (
                f"{listening} answers over TLS, but this machine does not trust the certificate "
                f"({error.verify_message.rstrip('.')}); phones that check certificates need the authority's certificate"
            )
            return CheckResult(CheckStatus.WARNING, item, message)
    except ConnectionRefusedError:
        message = (
            f"nothing listens on {listening}, although the gateway runs (process {gateway}): it is still starting, or "
            "it was started with another configuration; look at its log, or restart it"
        )
        return CheckResult(CheckStatus.FAILED, item, message)
    except TimeoutError:
        message = f"{listening} does not answer within {PATIENCE:.0f} s; look at the gateway's log, and restart it"
        return CheckResult(CheckStatus.FAILED, item, message)
    except (_WrongAnswer, ProtocolViolation, OSError) as error:
        reason = (
            getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
        )
        message = f"{listening} does not answer as the gateway does ({reason}); look for another program on this port"
        return CheckResult(CheckStatus.FAILED, item, message)


def _use_ldap(
    config: Config, item: str, listening: ListenAddress, *, over_tls: bool, checks_certificate: bool = True
) -> CheckResult:
    """Ask for the root DSE, over TLS if the gateway has a certificate.

    :raises ssl.SSLCertVerificationError: when the certificate is not trusted, or is for another host.
    :raises _WrongAnswer: when something other than the gateway answers.
    """
    with _connect(listening, config.ldap.proxy_protocol) as connection:
        way = "over TLS"
        if not over_tls and config.tls is None:
            way = "without TLS"
            return _ask_root_dse(connection, item, listening, way)
        if not over_tls:
            way = "with StartTLS"
            connection.sendall(START_TLS)
            if _read_message(connection) != _EXTENDED_RESPONSE:
                raise _WrongAnswer("StartTLS is refused")
        try:
            with _over_tls(connection, config, checks_certificate=checks_certificate) as secure:
                trusted = "that devices trust once they have ca.crt" if _authority(config) else "that devices trust"
                return _ask_root_dse(secure, item, listening, f"{way}, with a certificate {trusted}")
        except ssl.SSLCertVerificationError:
            raise
        except ssl.SSLError:
            if config.tls is None or not config.tls.client_ca:
                raise
            # With TLS 1.3, the gateway refuses a connection without a client certificate only after the handshake.
            message = f"{listening} answers {way}, and asks for a phone's certificate (tls.client_ca)"
            return CheckResult(CheckStatus.OK, item, message)


def _ask_root_dse(connection: socket.socket, item: str, listening: ListenAddress, way: str) -> CheckResult:
    connection.sendall(_ROOT_DSE)
    if _read_message(connection, _VENDOR) != _SEARCH_RESULT_ENTRY:
        raise _WrongAnswer("no root DSE")
    return CheckResult(CheckStatus.OK, item, f"{listening} answers {way}")


def _use_page(
    config: Config, item: str, listening: ListenAddress, *, over_tls: bool, checks_certificate: bool = True
) -> CheckResult:
    """Ask whether the gateway is ready.

    :raises ssl.SSLCertVerificationError: when the certificate is not trusted, or is for another host.
    :raises _WrongAnswer: when something other than the gateway answers.
    """
    with ExitStack() as connections:
        connection: socket.socket = connections.enter_context(_connect(listening, config.web.proxy_protocol))
        if over_tls:
            connection = connections.enter_context(_over_tls(connection, config, checks_certificate=checks_certificate))
        connection.sendall(f"GET /readyz HTTP/1.0\r\nHost: {urlsplit(config.web.public_url).netloc}\r\n\r\n".encode())
        response = HTTPResponse(connection)
        try:
            response.begin()
        except HTTPException:
            raise _WrongAnswer("not HTTP") from None
        status, text = response.status, response.read(_MAX_OCTETS).strip()
    if (status, text) not in _READINESS:
        raise _WrongAnswer(f"HTTP {status}")
    state, message = _READINESS[status, text]
    return CheckResult(state, item, f"{listening} answers, {message}")


# The results for the answers of ``/readyz``, by status and text.
_READINESS = {
    (200, b"ready"): (CheckStatus.OK, "and the gateway is ready"),
    (200, b"degraded"): (CheckStatus.FAILED, "but the gateway cannot use its database; its log says why"),
    (200, b"stale"): (
        CheckStatus.FAILED,
        (
            "but the gateway serves the contacts that it cached, because it has not reached its database since it "
            "started; its log says why"
        ),
    ),
    (503, b"not ready"): (
        CheckStatus.WARNING,
        "but the gateway is not ready: it loads contacts, or its log says what is wrong",
    ),
}


def _connect(listening: ListenAddress, proxies: Networks) -> socket.socket:
    """Connect to a port of this machine.

    :raises OSError: when no connection is possible.
    """
    connection = socket.create_connection((listening.reachable_host, listening.port), PATIENCE)
    if proxies.contains(connection.getsockname()[0].partition("%")[0]):
        connection.sendall(_PROXY_HEADER)
    return connection


def _authority(config: Config) -> str:
    """Return the certificate of a private authority, in PEM; empty if the authority is public."""
    return private_trust_anchor(config.tls) if config.tls else ""


def _over_tls(connection: socket.socket, config: Config, *, checks_certificate: bool) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    if authority := _authority(config):
        context.load_verify_locations(cadata=authority)
    if not checks_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=urlsplit(config.web.public_url).hostname)


def _read_message(connection: socket.socket, text: bytes = b"") -> int:
    """Return the tag of the operation in the next LDAP message.

    :param text: a text that the message contains if the answer comes from a gateway.
    :raises _WrongAnswer: when the answer is no LDAP message, or lacks the text.
    """
    framer = Framer(_MAX_OCTETS)
    try:
        while (message := framer.take()) is None:
            more = connection.recv(_MAX_OCTETS)
            if not more:
                raise _WrongAnswer("the connection is closed")
            framer.feed(more)
        if text not in message:
            raise _WrongAnswer("another LDAP server")
        reader = BerReader.over(message).enter(SEQUENCE, "message")
        reader.integer("messageID")
        return reader.peek()
    except ProtocolViolation:
        raise _WrongAnswer("not LDAP") from None
