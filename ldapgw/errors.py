# SPDX-License-Identifier: MIT
"""What can go wrong, in four families that know their answer.

* `UserError`: an operator's mistake; printed as plain lines, never with a traceback.
* `GoogleError`: Google refused or failed; carries an error code of ``status.json`` and how long to wait.
* `DirectoryError`: an LDAP request that ends in a result code other than success.
* `ProtocolViolation`: octets that are not LDAP; the session ends with a Notice of Disconnection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import ClassVar


class LdapgwError(Exception):
    """The base of all our errors; never raised itself."""


class UserError(LdapgwError):
    """Raised when an operator has to change something: the file, the command, the machine.

    :param problems: complete sentences, one a line, each saying what is wrong, where, and what is expected.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(UserError):
    """Raised when the database cannot be used: gone, unreadable, of another version, or its key does not fit."""


class UnfitKey(StoreError):
    """Raised when a stored secret was sealed under a key that we do not have; all else of the database can be used."""


class DamagedStore(StoreError):
    """Raised when the database's file holds nonsense: it gets better when another file takes its place, not before."""


# --- Google ---------------------------------------------------------------------------------------------------------


class GoogleError(LdapgwError):
    """Raised when a call to Google did not end well; the subclass says how.

    :param detail: a short phrase for the log; holds no token, name or number.
    :param retry_after: seconds that Google asked us to wait, if it did.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after

    @property
    def facts(self) -> Mapping[str, int | str]:
        """What a person should know of it besides the code; it is stored, and told with the account."""
        return {}


class ConsentRevoked(GoogleError):
    """Raised when Google no longer accepts the grant: ``invalid_grant`` or ``admin_policy_enforced``.

    :param by_admin: whether it was the Workspace's administrator who has forbidden it.
    """

    code = "consent_revoked"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, by_admin: bool = False) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.by_admin = by_admin

    @property
    def facts(self) -> Mapping[str, int | str]:
        """Who has ended it, where that is known."""
        return {"by": "admin"} if self.by_admin else {}


class AccessTokenRejected(GoogleError):
    """Raised when an API answers 401: the access token is to be renewed once; a second time means consent is gone."""

    code = "consent_revoked"


class ScopeMissing(GoogleError):
    """Raised when the grant lacks a scope that the call needs (a box that was not ticked).

    :param source: whose box it is, where that is not the contacts'.
    """

    code = "scope_missing"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, source: str = "") -> None:
        super().__init__(detail, retry_after=retry_after)
        self.source = source

    @property
    def facts(self) -> Mapping[str, int | str]:
        """Whose box it is."""
        return {"source": self.source} if self.source else {}


class ClientRejected(GoogleError):
    """Raised when Google rejects the tenant's OAuth client: one trouble for the whole tenant."""

    code = "client_rejected"


class ApiDisabled(GoogleError):
    """Raised when the People API is not enabled in the tenant's Google project."""

    code = "api_disabled"

    def __init__(self, detail: str = "", *, activation_url: str = "") -> None:
        super().__init__(detail)
        self.activation_url = activation_url


class QuotaExceeded(GoogleError):
    """Raised when Google asks us to slow down: 429, or 403 in its old form.

    :param full_sync: whether a full listing was begun, for which Google has a small quota of its own.
    """

    code = "quota"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, full_sync: bool = False) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.full_sync = full_sync


class GoogleUnavailable(GoogleError):
    """Raised when Google answers 5xx."""

    code = "google_unavailable"


class NetworkFailure(GoogleError):
    """Raised when Google could not be reached, or did not answer in time."""

    code = "network"


class BadResponse(GoogleError):
    """Raised when an answer is not what the API promises: not JSON, cut off, too large, of another shape."""

    code = "bad_response"


class SyncTokenExpired(GoogleError):
    """Raised when a sync token is no longer good (``EXPIRED_SYNC_TOKEN``): a full sync is due, nothing is wrong."""

    code = "bad_response"


class SourceUnavailable(GoogleError):
    """Raised when Google does not offer a source to this account, such as a directory to a gmail.com account."""

    code = "bad_response"


class SuspiciousShrink(GoogleError):
    """Raised when a full sync would remove more than half of a book of 20 contacts or more.

    :param before: how many contacts there were.
    :param lost: how many of them would go.
    """

    code = "suspicious_shrink"

    def __init__(self, before: int, lost: int) -> None:
        super().__init__(f"{lost} of {before} contacts would go")
        self.before = before
        self.lost = lost

    @property
    def facts(self) -> Mapping[str, int | str]:
        """How many of how many."""
        return {"before": self.before, "lost": self.lost}


# --- LDAP -----------------------------------------------------------------------------------------------------------


class ResultCode(IntEnum):
    """RFC 4511 4.1.9, appendix A; RFC 3909 for the cancel codes, draft-ietf-ldapext-ldapv3-vlv-09 for 60, 61 and 76."""

    SUCCESS = 0
    OPERATIONS_ERROR = 1
    PROTOCOL_ERROR = 2
    TIME_LIMIT_EXCEEDED = 3
    SIZE_LIMIT_EXCEEDED = 4
    COMPARE_FALSE = 5
    COMPARE_TRUE = 6
    AUTH_METHOD_NOT_SUPPORTED = 7
    ADMIN_LIMIT_EXCEEDED = 11
    UNAVAILABLE_CRITICAL_EXTENSION = 12
    CONFIDENTIALITY_REQUIRED = 13
    SASL_BIND_IN_PROGRESS = 14
    NO_SUCH_ATTRIBUTE = 16
    UNDEFINED_ATTRIBUTE_TYPE = 17
    INAPPROPRIATE_MATCHING = 18
    INVALID_ATTRIBUTE_SYNTAX = 21
    NO_SUCH_OBJECT = 32
    INVALID_DN_SYNTAX = 34
    INVALID_CREDENTIALS = 49
    INSUFFICIENT_ACCESS_RIGHTS = 50
    BUSY = 51
    UNAVAILABLE = 52
    UNWILLING_TO_PERFORM = 53
    SORT_CONTROL_MISSING = 60
    OFFSET_RANGE_ERROR = 61
    VIRTUAL_LIST_VIEW_ERROR = 76
    OTHER = 80
    CANCELED = 118
    NO_SUCH_OPERATION = 119
    TOO_LATE = 120
    CANNOT_CANCEL = 121


class DirectoryError(LdapgwError):
    """Raised when an operation ends in a result code other than success.

    :param diagnostic: a fixed phrase of ours; never a part of what was sent, never another error's text.
    :param matched_dn: for noSuchObject, the DN of the nearest entry above that the login may see (RFC 4511 4.1.9).
    """

    def __init__(self, code: ResultCode, diagnostic: str = "", *, matched_dn: str = "") -> None:
        super().__init__(diagnostic)
        self.code = code
        self.diagnostic = diagnostic
        self.matched_dn = matched_dn


class ProtocolViolation(LdapgwError):
    """Raised when octets cannot be read as an LDAPMessage; RFC 4511 4.1.1: send a Notice of Disconnection, close.

    :param diagnostic: a fixed phrase that names the field.
    """

    def __init__(self, diagnostic: str) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


class ProcessLost(LdapgwError):
    """Raised when the process that was to do some work has died over it, or took too long."""
