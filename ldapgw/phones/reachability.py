# SPDX-License-Identifier: MIT
"""Tests what a phone needs from the network: name, port, TLS, login and two searches, with ldaptor as the client.

The server's own code takes no part: ldaptor encodes and decodes, and Twisted checks the certificate, so a fault of ours
shows here as it shows on a phone (``docs/decisions/0002-fence-ldaptor.rst``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.errors import UserError
from ldapgw.phones.connection_test import ConnectionSettings, Step, StepResult, StepStatus
from ldapgw.phones.provisioning.settings import NAME_ATTRIBUTES, NUMBER_ATTRIBUTES, Security
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts

with warnings.catch_warnings():
    # ldaptor is written for an older pyparsing.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldaptor.protocols import pureldap
    from ldaptor.protocols.ldap import ldapclient, ldaperrors, ldapsyntax

# Seconds for each step.  Snom gives up a search after 7 s; DNS and handshake may take longer.
PATIENCE = 10.0

# Letters of a name that are searched, as many as people type.
_TYPED_LETTERS = 3


class _ResultTexts(Texts, frozen=True):
    """The results of the steps."""

    has_address: str
    is_address: str
    no_address: str
    accepts: str
    no_answer: str
    not_encrypted: str
    starttls_refused: str
    trusted: str
    other_host: str
    untrusted: str
    no_handshake: str
    no_password: str
    password_right: str
    password_wrong: str
    look_at_log: str
    no_contact: str
    contact_found: str
    finds_nobody: str


_TEXTS = read_texts("phones/texts/reachability", _ResultTexts)

_PEM_END = "-----END CERTIFICATE-----"


class _StepFailed(Exception):
    """A step failed, and no later one can be tried; the message is for people."""

    def __init__(self, step: Step, message: Translatable) -> None:
        super().__init__(str(message))
        self.result = StepResult(step, StepStatus.FAILED, message)


@implementer(IHandshakeListener)
class _Client(ldapclient.LDAPClient):  # type: ignore[misc]  # ldaptor has no types
    """A connection that tells when the TLS handshake is over, or why it failed."""

    def __init__(self) -> None:
        super().__init__()
        self._handshake: Deferred[None] | None = None

    async def handshake(self, start: Callable[[], Any], reactor: Any) -> None:
        """Start TLS and wait for the end of the handshake."""
        handshake: Deferred[None] = Deferred()
        self._handshake = handshake
        start()
        await handshake.addTimeout(PATIENCE, reactor)

    def handshakeCompleted(self) -> None:
        self._end_handshake(None)

    def connectionLost(self, reason: Failure) -> None:
        self._end_handshake(reason)
        super().connectionLost(reason)

    def _end_handshake(self, outcome: Failure | None) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None and not handshake.called:
            handshake.callback(outcome)


def read_ca(pem: str) -> list[Certificate]:
    """The certificates of private authorities.

    :raises UserError: when the text has no certificate, or one that cannot be read.
    """
    try:
        roots = [Certificate.loadPEM((part + _PEM_END).encode()) for part in pem.split(_PEM_END)[:-1]]
    except crypto.Error:
        roots = []
    if not roots:
        raise UserError("the file with the authority's certificates: expected certificates in PEM")
    return roots


async def try_phone(
    access: ConnectionSettings, reactor: Any, on_connect: Callable[[str], None] = lambda _: None
) -> tuple[StepResult, ...]:
    """Do what a phone does, until a step fails.

    :param on_connect: called with the own address of the connection, before the login.
    :returns: the steps in order; the last one may be the one that failed.
    """
    results: list[StepResult] = []
    client: _Client | None = None
    try:
        client = await _connect(access, results, reactor)
        on_connect(client.transport.getHost().host)
        await _secure(client, access, results, reactor)
        await _use(client, access, results, reactor)
    except _StepFailed as failed:
        results.append(failed.result)
    finally:
        if client is not None:
            client.transport.abortConnection()
    return tuple(results)


async def _connect(access: ConnectionSettings, results: list[StepResult], reactor: Any) -> _Client:
    endpoint = access.endpoint
    try:
        client: _Client = await connectProtocol(
            HostnameEndpoint(reactor, endpoint.host, endpoint.port, timeout=PATIENCE), _Client()
        )
    except DNSLookupError:
        raise _StepFailed(Step.NAME, Phrase(_TEXTS.no_address, {"host": endpoint.host})) from None
    except (ConnectError, NoAnswer):
        results.append(StepResult(Step.NAME, StepStatus.OK, Phrase(_TEXTS.has_address, {"host": endpoint.host})))
        raise _StepFailed(Step.PORT, Phrase(_TEXTS.no_answer, {"port": endpoint.port})) from None
    address = client.transport.getPeer().host
    results.append(
        StepResult(Step.NAME, StepStatus.OK, Phrase(_TEXTS.is_address, {"host": endpoint.host, "address": address}))
    )
    results.append(StepResult(Step.PORT, StepStatus.OK, Phrase(_TEXTS.accepts, {"port": endpoint.port})))
    return client


async def _secure(client: _Client, access: ConnectionSettings, results: list[StepResult], reactor: Any) -> None:
    security = access.endpoint.security
    if security is Security.PLAIN:
        results.append(StepResult(Step.TLS, StepStatus.WARNING, _TEXTS.not_encrypted))
        return
    options = optionsForClientTLS(
        access.endpoint.host, trustRoot=trustRootFromCertificates(read_ca(access.ca)) if access.ca else platformTrust()
    )
    try:
        if security is Security.STARTTLS:
            answer = await client.send(pureldap.LDAPStartTLSRequest()).addTimeout(PATIENCE, reactor)
            if answer.resultCode != ldaperrors.Success.resultCode:
                raise _StepFailed(Step.TLS, _TEXTS.starttls_refused)
        await client.handshake(lambda: client.transport.startTLS(options), reactor)
    except VerificationError:
        raise _StepFailed(Step.TLS, Phrase(_TEXTS.other_host, {"host": access.endpoint.host})) from None
    except SSL.Error:
        raise _StepFailed(Step.TLS, _TEXTS.untrusted) from None
    except (ConnectionClosed, NoAnswer, ldapclient.LDAPClientConnectionLostException):
        raise _StepFailed(Step.TLS, _TEXTS.no_handshake) from None
    results.append(StepResult(Step.TLS, StepStatus.OK, Phrase(_TEXTS.trusted, {"security": security.value})))


async def _use(client: _Client, access: ConnectionSettings, results: list[StepResult], reactor: Any) -> None:
    """Log in and search, as far as the password is known."""
    if not access.password:
        skipped = (Step.LOGIN, Step.NAME_SEARCH, Step.NUMBER_SEARCH)
        results.extend(StepResult(step, StepStatus.SKIPPED, _TEXTS.no_password) for step in skipped)
        return
    step = Step.LOGIN
    try:
        await client.bind(access.bind_dn, access.password).addTimeout(PATIENCE, reactor)
        results.append(StepResult(step, StepStatus.OK, _TEXTS.password_right))
        step = Step.NAME_SEARCH
        await _search(client, access.base_dn, results, reactor)
    except ldaperrors.LDAPInvalidCredentials:
        raise _StepFailed(step, _TEXTS.password_wrong) from None
    except (ldaperrors.LDAPException, ConnectionClosed, NoAnswer) as error:
        kind = error.name.decode() if isinstance(error, ldaperrors.LDAPResult) else "no answer"
        raise _StepFailed(step, Phrase(_TEXTS.look_at_log, {"kind": kind})) from None


async def _search(client: _Client, base_dn: str, results: list[StepResult], reactor: Any) -> None:
    """Take any contact with a number, then find somebody by the beginning of that name and by that number."""
    some = await _found(client, base_dn, _filter(("telephoneNumber",), None), reactor)
    if not some:
        results.extend(
            StepResult(step, StepStatus.SKIPPED, _TEXTS.no_contact) for step in (Step.NAME_SEARCH, Step.NUMBER_SEARCH)
        )
        return
    name, number = (bytes(next(iter(some[0][attribute]))) for attribute in ("cn", "telephoneNumber"))
    typed = name.decode()[:_TYPED_LETTERS].encode()
    for step, attributes, value in (
        (Step.NAME_SEARCH, NAME_ATTRIBUTES, typed),
        (Step.NUMBER_SEARCH, NUMBER_ATTRIBUTES, number),
    ):
        by = _filter(attributes, value, is_prefix=step is Step.NAME_SEARCH)
        if not await _found(client, base_dn, by, reactor):
            raise _StepFailed(step, _TEXTS.finds_nobody)
        results.append(StepResult(step, StepStatus.OK, _TEXTS.contact_found))


async def _found(client: _Client, base_dn: str, by: Any, reactor: Any) -> Sequence[Any]:
    found: Sequence[Any] = (
        await ldapsyntax.LDAPEntry(client, base_dn)
        .search(filterObject=by, attributes=["cn", "telephoneNumber"], sizeLimit=1, sizeLimitIsNonFatal=True)
        .addTimeout(PATIENCE, reactor)
    )
    return found


def _filter(attributes: Sequence[str], value: bytes | None, *, is_prefix: bool = False) -> Any:
    """Any of some attributes has a value, or begins with it; None: has any value."""

    def term(attribute: str) -> Any:
        if value is None:
            return pureldap.LDAPFilter_present(attribute)
        if is_prefix:
            return pureldap.LDAPFilter_substrings(attribute, [pureldap.LDAPFilter_substrings_initial(value)])
        return pureldap.LDAPFilter_equalityMatch(
            pureldap.LDAPAttributeDescription(attribute), pureldap.LDAPAssertionValue(value)
        )

    person = pureldap.LDAPFilter_equalityMatch(
        pureldap.LDAPAttributeDescription("objectClass"), pureldap.LDAPAssertionValue("person")
    )
    return pureldap.LDAPFilter_and([person, pureldap.LDAPFilter_or([term(one) for one in attributes])])
