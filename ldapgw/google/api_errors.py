# SPDX-License-Identifier: MIT
"""What a People API error means.

Google describes one error in up to three ways, and they are read in this order: the ``reason`` of a
``google.rpc.ErrorInfo``, the ``reason`` of the old-style ``errors[0]``, the HTTP code.  ``status`` is not believed:
an expired sync token has come as INVALID_ARGUMENT and as FAILED_PRECONDITION.  A body may also be HTML, or missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ldapgw.contact import Source
from ldapgw.errors import (
    AccessTokenRejected,
    ApiDisabled,
    BadResponse,
    GoogleError,
    GoogleUnavailable,
    QuotaExceeded,
    ScopeMissing,
    SourceUnavailable,
    SyncTokenExpired,
)
from ldapgw.google.http import GoogleResponse

_REASONS: Mapping[str, type[GoogleError]] = MappingProxyType(
    {
        "EXPIRED_SYNC_TOKEN": SyncTokenExpired,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ScopeMissing,
        "SERVICE_DISABLED": ApiDisabled,
        "RATE_LIMIT_EXCEEDED": QuotaExceeded,
        "ACCESS_TOKEN_EXPIRED": AccessTokenRejected,
        "ACCESS_TOKEN_TYPE_UNSUPPORTED": AccessTokenRejected,
        "CREDENTIALS_MISSING": AccessTokenRejected,
        # old style
        "accessNotConfigured": ApiDisabled,
        "rateLimitExceeded": QuotaExceeded,
        "userRateLimitExceeded": QuotaExceeded,
        "quotaExceeded": QuotaExceeded,
        "insufficientPermissions": ScopeMissing,
        "authError": AccessTokenRejected,
        "backendError": GoogleUnavailable,
    }
)

# The words of the 400 that a directory answers to an account outside Google Workspace; it has no reason of its own.
_NO_WORKSPACE = "Must be a G Suite domain user"

_WORD = re.compile(r"[A-Za-z_]{1,60}")
_URL = re.compile(r"https://[\x21-\x7e]{1,500}")


def read_refusal(
    answer: GoogleResponse, source: Source | None, *, incremental: bool, first: bool = True
) -> GoogleError:
    """The exception for an answer that is not 200.

    :param source: what was listed; None for contact groups.
    :param incremental: whether the request held a sync token, which may be to blame.
    :param first: whether it asked for the first page; else its page token may be to blame.
    """
    error = _error(answer.body)
    reasons = _reasons(error)
    detail = " ".join([f"HTTP {answer.status}", *reasons])
    for reason in reasons:
        if reason in _REASONS:
            return _error_from_reason(_REASONS[reason], detail, answer, error, incremental=incremental)
    if answer.error is not None:
        return answer.error
    if source is not Source.CONTACTS and answer.status in (403, 404):
        # A page of words is a proxy's, or meant for people who are held to be robots: it is over tomorrow.
        return SourceUnavailable(detail) if error or not answer.body.strip() else BadResponse(detail)
    return _error_from_status(answer.status, detail, error, source, is_sync_token_suspect=incremental and first)


def _error_from_reason(
    refusal: type[GoogleError], detail: str, answer: GoogleResponse, error: Mapping[str, Any], *, incremental: bool
) -> GoogleError:
    if refusal is ApiDisabled:
        return ApiDisabled(detail, activation_url=_activation_url(error))
    if refusal is SyncTokenExpired and not incremental:
        # Without a sync token another full sync would not help: it was one.
        return BadResponse(detail)
    return refusal(detail, retry_after=answer.retry_after)


def _error_from_status(
    status: int, detail: str, error: Mapping[str, Any], source: Source | None, *, is_sync_token_suspect: bool
) -> GoogleError:
    """What the HTTP code alone means.

    :param doubted: whether the sync token may be to blame.
    """
    if status == 401:
        return AccessTokenRejected(detail)
    if source is Source.DIRECTORY and status == 400 and _NO_WORKSPACE in str(error.get("message")):
        return SourceUnavailable(detail)
    # A damaged or foreign sync token gives a bare 400; a full sync settles which it was.
    if status in (400, 410) and is_sync_token_suspect:
        return SyncTokenExpired(detail)
    return BadResponse(detail)


def _error(body: bytes) -> Mapping[str, Any]:
    """The ``error`` object; empty where the body is something else."""
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    return _object(_object(answer).get("error"))


def _reasons(error: Mapping[str, Any]) -> list[str]:
    """The reasons given, best first, as far as they are words."""
    old = _objects(error.get("errors"))[:1]
    reasons = [item.get("reason") for item in (*_error_infos(error), *old)]
    return [reason for reason in reasons if isinstance(reason, str) and _WORD.fullmatch(reason)]


def _activation_url(error: Mapping[str, Any]) -> str:
    """Where an administrator enables the API; empty unless it is surely a page of Google's: it becomes a link."""
    for info in _error_infos(error):
        url = _object(info.get("metadata")).get("activationUrl")
        if isinstance(url, str) and _URL.fullmatch(url):
            try:
                host = urlsplit(url).netloc
            except ValueError:
                continue
            if re.fullmatch(r"(?:[a-z0-9-]+\.)+(?:google|googleapis)\.com", host) and not re.search(r"[\\\"'<>]", url):
                return url
    return ""


def _error_infos(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = _objects(error.get("details"))
    return [item for item in details if str(item.get("@type")).endswith("/google.rpc.ErrorInfo")]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value[:20] if isinstance(item, dict)] if isinstance(value, list) else []
