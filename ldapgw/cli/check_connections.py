# SPDX-License-Identifier: MIT
"""The checks of ``check`` that connect: to the ports of a running gateway, and with ``--online`` to other services.

`check_answers` uses the ports as a phone and a browser do: the function connects, checks the certificate over TLS,
searches for the root DSE, and requests ``/readyz``.

`check_online` connects to Google, and to telephone systems, as configured, and tries the tenants' OAuth clients and
service accounts.  The header ``Date`` of Google's answers shows whether this machine's clock is right.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, execute, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout

from ldapgw.ber import SEQUENCE, BerReader
from ldapgw.cli.output import counted
from ldapgw.cli.record import START_TLS
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.errors import (
    ApiDisabled,
    ClientRejected,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    NetworkFailure,
    NetworkStep,
    ProtocolViolation,
)
from ldapgw.google.delegation import GROUPS_SCOPE, REFUSAL_TEXTS, RESPONSIBLE, USERS_SCOPE, DelegationRefusal
from ldapgw.google.endpoints import Client, is_redirect_uri_refused
from ldapgw.google.http import GoogleHttpClient, http_client
from ldapgw.google.identity import PublishedKeys
from ldapgw.google.oauth import SCOPE_OF, OAuth
from ldapgw.google.people import People
from ldapgw.google.workspace import WorkspaceDirectory
from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.encoder import encode_search
from ldapgw.server.check_result import CheckResult, CheckStatus, Subject
from ldapgw.server.config import Config, Tenant
from ldapgw.server.config.forms import Networks
from ldapgw.server.endpoints import ListenAddress
from ldapgw.server.google import GoogleClients, delegated_tenant
from ldapgw.server.preflight import role_endpoints
from ldapgw.server.tls import private_trust_anchor
from ldapgw.sync.workspace import Delegation, list_selected, try_users
from ldapgw.web.dialing import TIMEOUT, Dialer

# The maximum number of seconds for each step; a gateway answers clients on its own machine within milliseconds.
PATIENCE = 5.0
_MAX_OCTETS = 64 << 10
_VENDOR = b"ldapgw"
_ROOT_DSE = encode_search(SearchRequest("", Scope.BASE_OBJECT, Present("objectClass"), attributes=("vendorName",)))
_SEARCH_RESULT_ENTRY, _EXTENDED_RESPONSE = 0x64, 0x78
# With UNKNOWN, the gateway uses the connection's own source address (PROXY protocol, section 2.1).
_PROXY_HEADER = b"PROXY UNKNOWN\r\n"


class _WrongAnswer(Exception):
    """Raised when a program other than the gateway answers; the text describes the answer."""


def check_answers(subject: Subject) -> Iterator[CheckResult]:
    """Check how the running gateway answers on its ports; a gateway has only the ports that its ``roles`` need."""
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
            raise _WrongAnswer("another LDAP server answers")
        reader = BerReader.over(message).enter(SEQUENCE, "message")
        reader.integer("messageID")
        return reader.peek()
    except ProtocolViolation:
        raise _WrongAnswer("not LDAP") from None


_REMEDIES: Mapping[NetworkStep, str] = {
    NetworkStep.NAME: "its name cannot be resolved: check this machine's DNS; if only a proxy can "
    "resolve Internet names, set google.proxy",
    NetworkStep.CONNECTION: "no connection: check the firewall; if only a proxy can reach the Internet, set "
    "google.proxy",
    NetworkStep.PROXY: "check google.proxy or HTTPS_PROXY in the environment, and the proxy's log",
    NetworkStep.TLS: "its certificate is not trusted: if a proxy inspects TLS, name its authority in "
    "google.ca_file; otherwise, check this machine's clock",
}
_RESTORE = "somebody deleted it; restore it in the Google console within 30 days, or enter another client"
_KEYS_INSPECTED = (
    "nobody can connect or sign in: if a proxy inspects TLS, exempt this host, which publishes the keys for verifying "
    "Google's signatures"
)


# The check warns if the difference in seconds between this machine's clock and Google's clock is greater than
# `_CLOCK_WARNING`, and fails if the difference is greater than `_CLOCK_FAILURE`.  Smaller differences prove nothing,
# because Google's dates have whole seconds and an answer takes some seconds.  A great difference makes valid tokens
# seem invalid.
_CLOCK_WARNING, _CLOCK_FAILURE = 60, 300


async def check_online(
    config: Config,
    google: GoogleClients,
    clients: Mapping[str, Client],
    delegations: Mapping[str, Delegation],
    reactor: Any,
    now: Callable[[], float],
) -> list[CheckResult]:
    """Reach each host that the gateway calls, compare the clocks, and try the tenants' credentials.

    The hosts are Google's hosts, and the telephone systems to which the gateway sends requests for calls.

    :param clients: the OAuth clients by tenant.
    :param delegations: the service accounts by tenant.
    :param now: seconds since the epoch by this machine's clock.
    """
    differences: list[float] = []
    http = GoogleHttpClient(google.http, reactor)
    called = [config.google.token_endpoint, config.google.revocation_endpoint, config.google.people_api]
    called += [config.google.admin_api] if delegations else []
    # Each host is called once, at the first of its URLs.
    urls = {urlsplit(url).netloc: url for url in reversed(called)}
    steps = [_reach(http, host, url, now, differences) for host, url in reversed(urls.items())]
    if google.keys is not None:
        steps.append(_fetch_keys(google.keys, urlsplit(config.google.jwks_uri).netloc))
    steps += [_try_client(google.oauth, name, client, config.redirect_uri) for name, client in clients.items()]
    dialer = Dialer(google.http, http_client(reactor), reactor)
    by_server = {urlsplit(tenant.dial_url)[:2] for tenant in config.tenant if tenant.dial == "server"}
    steps += [_reach_telephone_system(dialer, scheme, host) for scheme, host in sorted(by_server)]
    results: list[CheckResult] = await gatherResults([Deferred.fromCoroutine(step) for step in steps])
    known = [(tenant, delegations[tenant.name]) for tenant in config.tenant if tenant.name in delegations]
    for tenant, delegation in known:
        results += await _try_service_account(google, tenant, delegation, reactor)
    # A proxy may change the date of an answer, but the changed date is unlikely to match this machine's clock.  So
    # trust the answer whose date is nearest to the clock.
    return results if not differences else [*results, _compare_clocks(min(differences, key=abs))]


async def _reach(
    http: GoogleHttpClient, host: str, url: str, now: Callable[[], float], differences: list[float]
) -> CheckResult:
    """Get an answer from a host; any status below 500 is a success.

    :param differences: the list to which the function adds the seconds by which this machine's clock is ahead of the
        host's clock.
    """
    item = f"online {host}"
    try:
        answer = await http.get_public(url)
    except NetworkFailure as error:
        return _failure(item, error, _REMEDIES[error.step])
    except GoogleError as error:
        return _failure(item, error, "the answer is not from Google: check what is between the gateway and Google")
    if answer.date is not None:
        differences.append(now() - answer.date)
    if answer.status >= 500:
        message = f"answers with HTTP {answer.status}: try again later, and check the proxy if the error lasts"
        return CheckResult(CheckStatus.FAILED, item, message)
    return CheckResult(CheckStatus.OK, item, "answers")


async def _reach_telephone_system(dialer: Dialer, scheme: str, host: str) -> CheckResult:
    """Get an answer from the host of a ``dial_url``; any status is a success.

    The request has the path ``/``, because a request to the ``dial_url`` itself would begin a call.
    """
    item = f"online {host} (dial_url)"
    try:
        await dialer.ask(f"{scheme}://{host}/")
    except DeferredTimeout:
        return CheckResult(CheckStatus.FAILED, item, f"no answer within {TIMEOUT:.0f} s: check the host in dial_url")
    except GoogleError as error:
        remedy = _REMEDIES[error.step] if isinstance(error, NetworkFailure) else "check the host in dial_url"
        return _failure(item, error, remedy)
    return CheckResult(CheckStatus.OK, item, "answers")


def _compare_clocks(difference: float) -> CheckResult:
    """Return the result of comparing this machine's clock with Google's clock.

    :param difference: the seconds by which this machine's clock is ahead of Google's clock.
    """
    seconds = abs(difference)
    if seconds <= _CLOCK_WARNING:
        return CheckResult(CheckStatus.OK, "online clock", "agrees with Google's")
    size = f"{seconds:.0f} seconds" if seconds < 2 * 60 else f"{seconds / 60:.0f} minutes"
    found = f"is {size} {'ahead of' if difference > 0 else 'behind'} Google's"
    if seconds <= _CLOCK_FAILURE:
        message = f"{found}; synchronize it, such as with timedatectl set-ntp true, before sign-ins fail"
        return CheckResult(CheckStatus.WARNING, "online clock", message)
    message = (
        f"{found}, so tokens and certificates seem expired or not yet valid, and nobody can connect or sign in; "
        "synchronize it, such as with timedatectl set-ntp true"
    )
    return CheckResult(CheckStatus.FAILED, "online clock", message)


async def _fetch_keys(keys: PublishedKeys, host: str) -> CheckResult:
    item = f"online {host} (keys)"
    try:
        await keys.fetch()
    except NetworkFailure as error:
        return _failure(item, error, _KEYS_INSPECTED if error.step is NetworkStep.TLS else _REMEDIES[error.step])
    except GoogleError as error:
        return _failure(item, error, "the answer has no keys: check google.jwks_uri")
    return CheckResult(CheckStatus.OK, item, "can be fetched, and no proxy inspects this connection")


async def _try_client(oauth: OAuth, tenant: str, client: Client, redirect_uri: str) -> CheckResult:
    item = f"online client of tenant {tenant}"
    try:
        await oauth.try_client(client, redirect_uri)
    except ClientRejected as error:
        if not error.detail.startswith("redirect_uri_mismatch"):
            is_deleted = error.detail.startswith("deleted_client")
            return _failure(
                item, error, _RESTORE if is_deleted else "compare its id and secret with the Google console"
            )
        # Google refuses redirect URIs with private names; `ldapgw connect` then uses a redirect URI of its own.
        is_private = is_redirect_uri_refused(redirect_uri)
        message = f"Google knows it, but not the redirect URI {redirect_uri}; register it in the Google console"
        return CheckResult(CheckStatus.WARNING if is_private else CheckStatus.FAILED, item, message)
    except NetworkFailure as error:
        return CheckResult(CheckStatus.WARNING, item, f"not tried: {error.detail}")
    except GoogleError as error:
        return _failure(item, error, "Google could not say whether it knows the client; try again later")
    return CheckResult(CheckStatus.OK, item, "Google knows it")


async def _try_service_account(
    google: GoogleClients, tenant: Tenant, delegation: Delegation, reactor: Any
) -> list[CheckResult]:
    """Try each scope of a service account separately, list the users, and read contacts on behalf of a user."""
    account, item = delegation.service_account, f"online service account of tenant {tenant.name}"
    results = [CheckResult(CheckStatus.OK, f"{item}, key file", f"client ID {account.client_id}, key {account.key_id}")]
    step = item
    try:
        allowed = await _try_scopes(google.oauth, tenant, delegation, item, results)
        if USERS_SCOPE not in allowed or (delegation.settings.groups and GROUPS_SCOPE not in allowed):
            return results
        step = f"{item}, users"
        directory = WorkspaceDirectory(google.http, google.endpoints, reactor)
        users = await list_selected(google.oauth, directory, delegation, delegated_tenant(tenant))
        if not users:
            message = "the settings select no user: compare them with the Google Admin console (Directory, Users)"
            return [*results, CheckResult(CheckStatus.WARNING, step, message)]
        results.append(CheckResult(CheckStatus.OK, step, f"the settings select {counted(len(users), 'user')}"))
        if sources := [source for source in tenant.sources if SCOPE_OF[source] in allowed]:
            step = f"{item}, contacts"
            people = People(google.http, google.endpoints, reactor, execute)
            await try_users(google.oauth, people, delegation, users, sources)
            results.append(CheckResult(CheckStatus.OK, step, "can be read as a user"))
    except GoogleError as error:
        results.append(_delegation_failure(step, error))
    return results


async def _try_scopes(
    oauth: OAuth, tenant: Tenant, delegation: Delegation, item: str, results: list[CheckResult]
) -> set[str]:
    """Request a token for the administrator with each scope separately.

    Google refuses a whole request if a single scope is not allowed.

    :param results: the list to which the function adds the result for each scope.
    :returns: the scopes that the Workspace allows.
    :raises GoogleError: if Google refuses for another reason than the scope.
    """
    scopes = [*(SCOPE_OF[source] for source in tenant.sources), USERS_SCOPE]
    if delegation.settings.groups or any(group.google_group for group in tenant.group):
        scopes.append(GROUPS_SCOPE)
    refused: dict[str, DelegationRefused] = {}
    for scope in scopes:
        try:
            await oauth.delegated_grant(delegation.service_account, delegation.settings.administrator, [scope])
        except DelegationRefused as error:
            if error.refusal not in (DelegationRefusal.NOT_AUTHORIZED, DelegationRefusal.SOME_SCOPES):
                raise
            refused[scope] = error
    for scope in scopes:
        step = f"{item}, scope {scope}"
        if scope not in refused:
            results.append(CheckResult(CheckStatus.OK, step, "is allowed"))
        elif scope != next(iter(refused)):
            results.append(CheckResult(CheckStatus.FAILED, step, "is not allowed either"))
        else:
            # Each request has a single scope, so Google answers NOT_AUTHORIZED for each scope that the Workspace does
            # not allow.  If the Workspace allows at least one scope, SOME_SCOPES is the true reason.
            refusal = (
                DelegationRefusal.SOME_SCOPES
                if len(refused) < len(scopes)
                else DelegationRefusal(refused[scope].refusal)
            )
            results.append(CheckResult(CheckStatus.FAILED, step, _refusal_lines(refusal)))
    return {scope for scope in scopes if scope not in refused}


def _delegation_failure(item: str, error: GoogleError) -> CheckResult:
    match error:
        case DelegationRefused():
            return CheckResult(CheckStatus.FAILED, item, _refusal_lines(DelegationRefusal(error.refusal)))
        case NetworkFailure():
            return CheckResult(CheckStatus.WARNING, item, f"not tried: {error.detail}")
        case ApiDisabled():
            return _failure(item, error, "enable the People API in the Google project of the service account")
        case GoogleRefused():
            return _failure(item, error, "Google refuses the user: look whether Contacts is on for the user")
    return _failure(item, error, "Google could not say whether it lets the service account read; try again later")


def _refusal_lines(refusal: DelegationRefusal) -> str:
    """Return the text of a refusal: what has happened, and on a second line, who has to do what."""
    text = REFUSAL_TEXTS[refusal]
    return f"{text.what}\n  {RESPONSIBLE[text.who]}: {text.todo}"


def _failure(item: str, error: GoogleError, remedy: str) -> CheckResult:
    return CheckResult(CheckStatus.FAILED, item, f"{remedy} ({error.detail})")
