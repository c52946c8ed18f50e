# SPDX-License-Identifier: MIT
"""The exceptions of ldapgw, in four groups: operator, Google, directory and LDAP protocol.

* `UserError`: an operator made a mistake.  The error is printed as plain lines, never with a traceback.
* `GoogleError`: Google refused or failed.  The error has an error code of ``status.json`` and the time to wait.
* `DirectoryError`: an LDAP request ends in a result code other than success.
* `ProtocolViolation`: a client sent octets that are not LDAP.  The session ends with a Notice of Disconnection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum
from typing import ClassVar


class LdapgwError(Exception):
    """The base class of all errors of ldapgw; only its subclasses are raised."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, for "did you mean"; None if no known word is similar."""
    # `difflib` is imported here, because most commands find no error, and start more quickly without `difflib`.
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), 1, cutoff=0.7)), None)


class UserError(LdapgwError):
    """Raised when an operator has to change a file, a command or the machine.

    :param problems: complete sentences, one per line; each says what is wrong, where, and what is expected.
    :ivar is_setting: whether each problem begins with a key of the configuration.  If so, `lines` puts the name of the
        file in front of each problem, because the code that raises the error does not know the file.
    """

    def __init__(self, problems: str | Iterable[str], *, is_setting: bool = False) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.is_setting = is_setting
        super().__init__("\n".join(self.problems))

    def lines(self, file: str) -> tuple[str, ...]:
        """Return the problems as lines to print; problems of the configuration begin with the name of the file.

        :param file: the configuration file; empty if no file was read.
        """
        return tuple(f"{file}: {problem}" if self.is_setting and file else problem for problem in self.problems)


class StoreError(UserError):
    """Raised when the database cannot be used: it is missing, unreadable, of another version, or has another key."""


class UnfitKey(StoreError):
    """Raised when a stored secret was encrypted with a key that the gateway does not have; other data can be used."""


class UnwritableStore(StoreError):
    """Raised when the disk of the database is full or read-only, or fails; stored data can often still be read."""


class UnreachableStore(StoreError):
    """Raised when the server of the database does not answer, or is starting or stopping."""


class DamagedStore(StoreError):
    """Raised when the file of the database is damaged; the operator has to replace the file."""


class LeadLost(LdapgwError):
    """Raised when this gateway may not sync, because another gateway is the leader or may become the leader."""

    def __init__(self) -> None:
        super().__init__("another gateway may sync now")


class SyncOutdated(LdapgwError):
    """Raised when a sync cannot be applied, because the account has changed at the gateway since the sync began."""

    def __init__(self) -> None:
        super().__init__(
            "a backup was restored, a person has switched a source on or off, or the account took over or handed over "
            "the Workspace directory"
        )


# --- Google ---------------------------------------------------------------------------------------------------------


class GoogleError(LdapgwError):
    """Raised when a call to Google fails; the subclass names the failure.

    :param detail: a short phrase for the log; contains no token, name or number.
    :param retry_after: the seconds for which Google asked the gateway to wait, or None if Google named no time.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after

    @property
    def facts(self) -> Mapping[str, int | str]:
        """Return facts for the user besides the error code; the facts are stored and shown with the account."""
        return {}


class ConsentRevoked(GoogleError):
    """Raised when Google no longer accepts the grant, so that the user has to consent again.

    :param by: who has ended the grant: ``user``, ``admin`` (of the Workspace), ``disabled`` (the admin has disabled the
        account), ``session`` (the Workspace's session control), or ``client`` (the tenant has another OAuth client
        now); empty if Google does not say.
    """

    code = "consent_revoked"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, by: str = "") -> None:
        super().__init__(detail, retry_after=retry_after)
        self.by = by

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"by": self.by} if self.by else {}


class AccessTokenRejected(GoogleError):
    """Raised when an API rejects the access token (401).

    The grant may still be valid.  So the caller requests a new access token once, and the token endpoint reports
    whether the grant has ended.
    """

    code = "consent_revoked"


class GoogleRefused(GoogleError):
    """Raised when Google refuses one account for a reason that its Workspace's administrator can change.

    :param by: the reason: ``service`` (the Contacts service is off for the user), ``policy`` (a rule of the domain),
        ``internal`` (the client is for another Workspace), ``client`` (the grant may belong to another client).
    """

    code = "google_refused"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, by: str = "service") -> None:
        super().__init__(detail, retry_after=retry_after)
        self.by = by

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"by": self.by}


class DelegationRefused(GoogleError):
    """Raised when Google refuses a call of the tenant's service account.

    :param refusal: the reason, a value of `ldapgw.google.delegation.Refusal`.
    """

    code = "google_refused"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, refusal: str) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.refusal = refusal

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"by": "delegation", "refusal": self.refusal}


class ScopeMissing(GoogleError):
    """Raised when the grant lacks a scope that the call needs, because the user left a box of the consent page empty.

    :param source: the source that needs the scope; empty for the contacts.
    """

    code = "scope_missing"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, source: str = "") -> None:
        super().__init__(detail, retry_after=retry_after)
        self.source = source

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"source": self.source} if self.source else {}


class ClientRejected(GoogleError):
    """Raised when Google rejects the tenant's OAuth client; all accounts of the tenant are affected."""

    code = "client_rejected"


class ApiDisabled(GoogleError):
    """Raised when the People API is not enabled in the tenant's Google project."""

    code = "api_disabled"

    def __init__(self, detail: str = "", *, activation_url: str = "") -> None:
        super().__init__(detail)
        self.activation_url = activation_url


class QuotaExceeded(GoogleError):
    """Raised when Google asks for fewer calls, with status 429, or with status 403 in the old format of errors.

    :param full_sync: whether the call began a full listing, for which Google has a separate small quota.
    :param limit: Google's name for the limit that was exceeded (``quota_limit``); empty if Google named no limit.
    :param metric: Google's name for the limited resource (``quota_metric``); empty if Google named no metric.
    """

    code = "quota"

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: float | None = None,
        full_sync: bool = False,
        limit: str = "",
        metric: str = "",
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.full_sync = full_sync
        self.limit = limit
        self.metric = metric

    @property
    def is_of_project(self) -> bool:
        """Return whether the limit is for the whole Google project (``ReadsPerMinutePerProject``), not for a user."""
        return "PerProject" in self.limit and "PerUser" not in self.limit

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"limit": self.limit, "metric": self.metric} if self.limit else {}


class GoogleUnavailable(GoogleError):
    """Raised when Google answers 5xx."""

    code = "google_unavailable"


class NetworkStep(Enum):
    """The steps of a connection to Google, any of which may fail."""

    NAME = "name"
    CONNECTION = "connection"
    PROXY = "proxy"
    TLS = "tls"


class NetworkFailure(GoogleError):
    """Raised when Google cannot be reached or does not answer in time.

    :param step: the step that failed.
    """

    code = "network"

    def __init__(self, detail: str = "", *, step: NetworkStep = NetworkStep.CONNECTION) -> None:
        super().__init__(detail)
        self.step = step


class BadResponse(GoogleError):
    """Raised when an answer is cut off, is too large, is not JSON, or has a structure that the API does not define."""

    code = "bad_response"


class UnknownRefusal(BadResponse):
    """Raised when the token endpoint refuses with an unknown error code.

    :param word: Google's error code.
    """

    def __init__(self, detail: str = "", *, retry_after: float | None = None, word: str = "") -> None:
        super().__init__(detail, retry_after=retry_after)
        self.word = word

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"by": "token", "word": self.word}


class IdentityUnverified(BadResponse):
    """Raised when the signature of an ``id_token`` is wrong, or cannot be checked, so that nobody is signed in."""


class PageTooLarge(BadResponse):
    """Raised when the body of an answer has too many octets; requesting smaller pages may help."""


class SyncTokenExpired(GoogleError):
    """Raised when a sync token has expired (``EXPIRED_SYNC_TOKEN``), which is normal; a full sync is needed."""

    code = "bad_response"


class SourceUnavailable(GoogleError):
    """Raised when Google does not offer a source to this account, such as a directory to a gmail.com account."""

    code = "bad_response"


class SuspiciousShrink(GoogleError):
    """Raised when a full sync would remove more than half of a book's contacts, or of the contacts from one source.

    The error is raised only if the book or the source has at least 20 contacts.

    :param before: number of contacts before the sync.
    :param lost: number of contacts that the sync would remove.
    """

    code = "suspicious_shrink"

    def __init__(self, before: int, lost: int) -> None:
        super().__init__(f"{lost} of {before} contacts would be removed")
        self.before = before
        self.lost = lost

    @property
    def facts(self) -> Mapping[str, int | str]:
        return {"before": self.before, "lost": self.lost}


# --- LDAP -----------------------------------------------------------------------------------------------------------


class ResultCode(IntEnum):
    """The result codes of LDAP.

    The sources are RFC 4511 4.1.9 and appendix A, RFC 3909 (118 to 121), RFC 4533 (4096) and
    draft-ietf-ldapext-ldapv3-vlv-09 (60, 61, 76).
    """

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
    SYNC_REFRESH_REQUIRED = 4096


class DirectoryError(LdapgwError):
    """Raised when an operation ends in a result code other than success.

    :param diagnostic: a fixed phrase; never a part of the request, never the text of another error.
    :param matched_dn: for noSuchObject, the DN of the nearest ancestor that the login may see (RFC 4511 4.1.9).
    """

    def __init__(self, code: ResultCode, diagnostic: str = "", *, matched_dn: str = "") -> None:
        super().__init__(diagnostic)
        self.code = code
        self.diagnostic = diagnostic
        self.matched_dn = matched_dn


class ProtocolViolation(LdapgwError):
    """Raised when octets are not an LDAPMessage.

    The server then sends a Notice of Disconnection and closes the connection (RFC 4511 4.1.1).

    :param diagnostic: a fixed phrase that names the field.
    """

    def __init__(self, diagnostic: str) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


class ProcessLost(LdapgwError):
    """Raised when a worker process dies or takes too long."""
