# SPDX-License-Identifier: MIT
"""The test of each step of a phone's connection: name, port, TLS, login and two searches, with ldaptor as the client.

The client does not use the server's own code: ldaptor encodes and decodes, and Twisted checks the certificate.  So a
fault of the server appears in the test as it appears on a phone (``docs/decisions/0002-fence-ldaptor.rst``).
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.errors import UserError
from ldapgw.phones.provisioning.settings import (
    NAME_ATTRIBUTES,
    NUMBER_ATTRIBUTES,
    ConnectionSettings,
    Security,
    Step,
    StepResult,
    StepStatus,
)
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts

with warnings.catch_warnings():
    # ldaptor uses old names of pyparsing, and new versions of pyparsing warn of these names.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldaptor.protocols import pureldap
    from ldaptor.protocols.ldap import ldapclient, ldaperrors, ldapsyntax

# The maximum number of seconds for each step.  A Snom phone abandons a search after 7 s, but DNS and the TLS handshake
# may take longer.
PATIENCE = 10.0

_EXPIRED = (SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED, SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID)

# The number of letters of a name for which the test searches: about as many letters as people type.
_TYPED_LETTERS = 3


class _ResultTexts(Texts, frozen=True):
    """The texts for the results of the steps of a connection test."""

    has_address: str
    is_address: str
    no_address: str
    accepts: str
    no_answer: str
    not_encrypted: str
    starttls_refused: str
    trusted: str
    trusted_if_loaded: str
    other_host: str
    expired: str
    unknown_authority: str
    authority_to_load: str
    no_handshake: str
    no_password: str
    password_right: str
    password_wrong: str
    look_at_log: str
    no_contact: str
    contact_found: str
    finds_nobody: str


_TEXTS = read_texts("phones/texts/reachability", _ResultTexts)
# The result of the login step, for code that already knows that the password is wrong.
WRONG_PASSWORD = StepResult(Step.LOGIN, StepStatus.FAILED, _TEXTS.password_wrong)


class _StepFailed(Exception):
    """Raised when a step fails, so that the later steps cannot be tried.  The message is shown to people."""

    def __init__(self, step: Step, message: Translatable) -> None:
        super().__init__(str(message))
        self.result = StepResult(step, StepStatus.FAILED, message)


@implementer(IHandshakeListener)
class _Client(ldapclient.LDAPClient):  # type: ignore[misc]  # ldaptor has no types
    """A connection that reports the end or the failure of the TLS handshake."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._handshake: Deferred[None] | None = None

    def within(self, answer: Deferred[Any]) -> Deferred[Any]:
        """Limit the time to wait for an answer."""
        return answer.addTimeout(PATIENCE, self._reactor)

    async def handshake(self, options: Any) -> None:
        """Start TLS and wait for the end of the handshake."""
        handshake: Deferred[None] = Deferred()
        self._handshake = handshake
        self.transport.startTLS(options)
        await self.within(handshake)

    async def found(self, base_dn: str, sought: Any) -> Sequence[Any]:
        """Search for one entry, and return the entry in a list, or an empty list if no entry is found."""
        entry = ldapsyntax.LDAPEntry(self, base_dn)
        # A phone should request all attributes with numbers.  If the test requested fewer attributes, the gateway would
        # show a hint about the test.
        attributes = ["cn", *NUMBER_ATTRIBUTES]
        found: Sequence[Any] = await self.within(
            entry.search(None, sought, attributes, sizeLimit=1, sizeLimitIsNonFatal=True)
        )
        return found

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
    """Read the certificates of private authorities.

    :raises UserError: when the text has no certificate, or a certificate that cannot be read.
    """
    try:
        roots = load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise UserError("the file with the authority's certificates: expected certificates in PEM") from None
    return [Certificate.loadPEM(root.public_bytes(Encoding.PEM)) for root in roots]


async def try_phone(
    access: ConnectionSettings, reactor: Any, on_connect: Callable[[str], None] = lambda _: None
) -> tuple[StepResult, ...]:
    """Try the steps of a phone's connection until a step fails.

    :param on_connect: called with the local address of the connection, before the login.
    :returns: the results of the steps in order; only the last step can have failed.
    """
    results: list[StepResult] = []
    client = _Client(reactor)
    try:
        async for result in _steps(client, access, reactor, on_connect):
            results.append(result)  # noqa: PERF401 - the results before a failure have to be kept
    except _StepFailed as failed:
        results.append(failed.result)
    finally:
        if client.transport is not None:
            client.transport.abortConnection()
    return tuple(results)


async def _steps(
    client: _Client, access: ConnectionSettings, reactor: Any, on_connect: Callable[[str], None]
) -> AsyncIterator[StepResult]:
    """Yield the result of each step that does not fail.

    :raises _StepFailed: when a step fails.
    """
    endpoint = access.endpoint
    try:
        await connectProtocol(HostnameEndpoint(reactor, endpoint.host, endpoint.port, timeout=PATIENCE), client)
    except DNSLookupError:
        raise _StepFailed(Step.NAME, Phrase(_TEXTS.no_address, {"host": endpoint.host})) from None
    except (ConnectError, NoAnswer):
        yield StepResult(Step.NAME, StepStatus.OK, Phrase(_TEXTS.has_address, {"host": endpoint.host}))
        raise _StepFailed(Step.PORT, Phrase(_TEXTS.no_answer, {"port": endpoint.port})) from None
    address = {"host": endpoint.host, "address": client.transport.getPeer().host}
    yield StepResult(Step.NAME, StepStatus.OK, Phrase(_TEXTS.is_address, address))
    yield StepResult(Step.PORT, StepStatus.OK, Phrase(_TEXTS.accepts, {"port": endpoint.port}))
    on_connect(client.transport.getHost().host)
    if endpoint.security is Security.PLAIN:
        yield StepResult(Step.TLS, StepStatus.WARNING, _TEXTS.not_encrypted)
    else:
        await _secure(client, access)
        trusted = _TEXTS.trusted_if_loaded if access.ca_url else _TEXTS.trusted
        message = Phrase(trusted, {"security": endpoint.security.value, "url": access.ca_url})
        yield StepResult(Step.TLS, StepStatus.OK, message)
    if not access.password:
        for step in (Step.LOGIN, Step.NAME_SEARCH, Step.NUMBER_SEARCH):
            yield StepResult(step, StepStatus.SKIPPED, _TEXTS.no_password)
        return
    with _failing(Step.LOGIN):
        await client.within(client.bind(access.bind_dn, access.password))
    yield StepResult(Step.LOGIN, StepStatus.OK, _TEXTS.password_right)
    # Take any contact with a number, then search for the beginning of the contact's name, and for the number.
    with _failing(Step.NAME_SEARCH):
        some = await client.found(access.base_dn, _person_with([pureldap.LDAPFilter_present("telephoneNumber")]))
    if not some:
        for step in (Step.NAME_SEARCH, Step.NUMBER_SEARCH):
            yield StepResult(step, StepStatus.SKIPPED, _TEXTS.no_contact)
        return
    name = bytes(next(iter(some[0]["cn"])))
    # The gateway returns a contact's only number as mobile or homePhone, and not as telephoneNumber too.
    number = next(bytes(value) for attribute in NUMBER_ATTRIBUTES for value in some[0].get(attribute, ()))
    typed = name.decode()[:_TYPED_LETTERS].encode()
    for step, terms in (
        (Step.NAME_SEARCH, [_beginning(attribute, typed) for attribute in NAME_ATTRIBUTES]),
        (Step.NUMBER_SEARCH, [_equality(attribute, number) for attribute in NUMBER_ATTRIBUTES]),
    ):
        with _failing(step):
            found = await client.found(access.base_dn, _person_with(terms))
        if not found:
            raise _StepFailed(step, _TEXTS.finds_nobody)
        yield StepResult(step, StepStatus.OK, _TEXTS.contact_found)


@implementer(IOpenSSLClientConnectionCreator)
class _Verification:
    """The verification of the gateway's certificate.

    OpenSSL verifies the certificate in the handshake; `check_host` then verifies that the certificate is for the host.
    The class replaces Twisted's own options, which do not tell why OpenSSL refused a certificate.

    The object is mutable.

    :ivar error: OpenSSL's reason for refusing the certificate, an `X509VerificationCodes`; None if OpenSSL has refused
        no certificate.
    """

    def __init__(self, host: str, ca: str) -> None:
        self.error: int | None = None
        self._host = host
        self._is_name = not isIPAddress(host) and not isIPv6Address(host)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if ca:
            authorities: Any = context.get_cert_store()
            for root in read_ca(ca):
                authorities.add_cert(root.original)
        else:
            context.set_default_verify_paths()
        self._connection = SSL.Connection(context)
        self._connection.set_verify(SSL.VERIFY_PEER, self._remember)
        if self._is_name:
            self._connection.set_tlsext_host_name(host.encode("idna"))

    def clientConnectionForTLS(self, _protocol: Any) -> SSL.Connection:  # noqa: N802 - Twisted's name
        return self._connection

    def check_host(self) -> None:
        """Check that the certificate is for the host.

        :raises VerificationError: if the certificate is for other hosts.
        :raises CertificateError: if the certificate names no host.
        """
        if self._is_name:
            verify_hostname(self._connection, self._host.encode("idna").decode())
        else:
            verify_ip_address(self._connection, self._host)

    def _remember(self, _connection: Any, _certificate: Any, error: int, _depth: int, is_good: int) -> bool:
        if not is_good:
            self.error = error
        return bool(is_good)


async def _secure(client: _Client, access: ConnectionSettings) -> None:
    host = access.endpoint.host
    verification = _Verification(host, access.ca)
    try:
        if access.endpoint.security is Security.STARTTLS:
            answer = await client.within(client.send(pureldap.LDAPStartTLSRequest()))
            if answer.resultCode != ldaperrors.Success.resultCode:
                raise _StepFailed(Step.TLS, _TEXTS.starttls_refused)
        await client.handshake(verification)
        verification.check_host()
    except (VerificationError, CertificateError):
        raise _StepFailed(Step.TLS, Phrase(_TEXTS.other_host, {"host": host})) from None
    except SSL.Error:
        raise _StepFailed(Step.TLS, _refusal(verification.error, access.ca_url)) from None
    except (ConnectionClosed, NoAnswer, ldapclient.LDAPClientConnectionLostException):
        raise _StepFailed(Step.TLS, _TEXTS.no_handshake) from None


def _refusal(error: int | None, ca_url: str) -> Translatable:
    """Return the text on a failed handshake.

    :param error: OpenSSL's reason for refusing the certificate; None if the handshake failed for another reason.
    """
    if error is None:
        return _TEXTS.no_handshake
    if error in _EXPIRED:
        return _TEXTS.expired
    return Phrase(_TEXTS.authority_to_load, {"url": ca_url}) if ca_url else _TEXTS.unknown_authority


@contextmanager
def _failing(step: Step) -> Iterator[None]:
    """Raise `_StepFailed` if the gateway refuses a login or a search, or does not answer."""
    try:
        yield
    except ldaperrors.LDAPInvalidCredentials:
        raise _StepFailed(step, _TEXTS.password_wrong) from None
    except (ldaperrors.LDAPException, ConnectionClosed, NoAnswer) as error:
        kind = error.name.decode() if isinstance(error, ldaperrors.LDAPResult) else "no answer"
        raise _StepFailed(step, Phrase(_TEXTS.look_at_log, {"kind": kind})) from None


def _person_with(terms: Iterable[Any]) -> Any:
    return pureldap.LDAPFilter_and([_equality("objectClass", b"person"), pureldap.LDAPFilter_or(terms)])


def _equality(attribute: str, value: bytes) -> Any:
    return pureldap.LDAPFilter_equalityMatch(
        pureldap.LDAPAttributeDescription(attribute), pureldap.LDAPAssertionValue(value)
    )


def _beginning(attribute: str, value: bytes) -> Any:
    return pureldap.LDAPFilter_substrings(attribute, [pureldap.LDAPFilter_substrings_initial(value)])
