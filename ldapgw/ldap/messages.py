# SPDX-License-Identifier: MIT
"""Requests and replies as frozen values, in the terms of RFC 4511.

A `Message` is a decoded LDAPMessage of a client.  A decoded request that is wrong becomes a `Rejected` value with the
result to send, and is answered in its turn like other requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ldapgw.directory.filter import SearchKind, SearchRequest
from ldapgw.errors import DirectoryError, ResultCode

# RFC 4511 4.4.1
NOTICE_OF_DISCONNECTION: Final = "1.3.6.1.4.1.1466.20036"
# RFC 4511 4.14
START_TLS: Final = "1.3.6.1.4.1.1466.20037"
# RFC 4532
WHO_AM_I: Final = "1.3.6.1.4.1.4203.1.11.3"
# The OIDs of the extended operations that would change the directory: only Password Modify (RFC 3062).
WRITING: Final = frozenset(("1.3.6.1.4.1.4203.1.11.1",))
# RFC 3909
CANCEL: Final = "1.3.6.1.1.8"


class Operation(IntEnum):
    """The operations of a client; the value is the tag of the request's protocolOp (RFC 4511 appendix B)."""

    BIND = 0x60
    UNBIND = 0x42
    SEARCH = 0x63
    MODIFY = 0x66
    ADD = 0x68
    DELETE = 0x4A
    MODIFY_DN = 0x6C
    COMPARE = 0x6E
    ABANDON = 0x50
    EXTENDED = 0x77


class FinishedSearch:
    """A search of a client that was answered, over LDAP or over HTTP.  The object never changes.

    The class is no frozen dataclass, because creating an object of a frozen dataclass takes longer.

    :ivar login: the DN that the client is bound as; empty for an anonymous client.
    :ivar address: the client's address, normalized.
    :ivar message: the octets of the LDAPMessage.
    :ivar entries: the number of entries in the answer.
    :ivar seconds: the duration of the search in seconds.
    """

    __slots__ = ("address", "code", "entries", "kind", "login", "message", "seconds")

    def __init__(
        self,
        login: str,
        address: str,
        message: bytes,
        entries: int,
        code: ResultCode,
        seconds: float,
        kind: SearchKind = SearchKind.OTHER,
    ) -> None:
        self.login = login
        self.address = address
        self.message = message
        self.entries = entries
        self.code = code
        self.seconds = seconds
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Control:
    """A control of a request or reply (RFC 4511 4.1.11)."""

    type: str
    critical: bool = False
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The LDAPResult of an operation (RFC 4511 4.1.9).

    :ivar diagnostic: a fixed phrase; never a part of the request.
    """

    code: ResultCode = ResultCode.SUCCESS
    diagnostic: str = ""
    matched_dn: str = ""

    @classmethod
    def of(cls, error: DirectoryError) -> Result:
        """Return the result of an operation that raised an error."""
        return cls(error.code, error.diagnostic, error.matched_dn)


SUCCESS: Final = Result()


@dataclass(frozen=True, slots=True)
class Simple:
    """The password of a simple bind, not hashed."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sasl:
    """A SASL mechanism, and its initial response if the client sent one."""

    mechanism: str
    credentials: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class BindRequest:
    """A bind request (RFC 4511 4.2).

    :ivar name: a DN, or any other text that a phone sends as the name.
    :ivar authentication: the credentials, or None if the client uses a choice that RFC 4511 does not define.
    """

    version: int
    name: str = field(repr=False)
    authentication: Simple | Sasl | None


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """A compare request (RFC 4511 4.10)."""

    entry: str
    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class AbandonRequest:
    """An abandon request (RFC 4511 4.11)."""

    message_id: int


@dataclass(frozen=True, slots=True)
class ExtendedRequest:
    """An extended request (RFC 4511 4.12)."""

    name: str
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """A request whose content does not matter: Unbind, and requests that would change the directory."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that was decoded but is wrong, with the result to send."""

    result: Result


Request = BindRequest | SearchRequest | CompareRequest | AbandonRequest | ExtendedRequest | Empty | Rejected


@dataclass(frozen=True, slots=True)
class Message:
    """A client's LDAPMessage (RFC 4511 4.1.1).

    :ivar octets: the whole LDAPMessage as it was received, if the request is a search; else empty.
    """

    message_id: int
    operation: Operation
    request: Request
    controls: tuple[Control, ...] = ()
    octets: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """The LDAPMessage that ends an operation.

    :ivar message_id: the request's messageID; 0 in an unsolicited notification.
    :ivar operation: the operation that is answered, which determines the kind of response.
    :ivar name: responseName of an extended response.
    :ivar value: responseValue of an extended response, serverSaslCreds of a bind response.
    :ivar search: the LDAPMessage that is answered, if the operation is a search; else empty.
    """

    message_id: int
    operation: Operation
    result: Result
    name: str = ""
    value: bytes | None = None
    controls: tuple[Control, ...] = ()
    search: bytes = field(default=b"", repr=False, compare=False)
    kind: SearchKind = field(default=SearchKind.OTHER, repr=False, compare=False)


def notice_of_disconnection(code: ResultCode, diagnostic: str) -> Reply:
    """Return the notice that a server sends before it ends a session (RFC 4511 4.4.1)."""
    return Reply(0, Operation.EXTENDED, Result(code, diagnostic), name=NOTICE_OF_DISCONNECTION)
