# SPDX-License-Identifier: MIT
"""The mapping of error answers of the People API and of the Directory API to exceptions.

Google describes an error in up to four ways.  The ``reason`` of a ``google.rpc.ErrorInfo`` is tried first, and then the
``reason`` of the old-style ``errors[0]``.  If no reason is known, the HTTP status and the field ``status`` of the body
decide.  The field ``status`` comes after the reasons, because Google has sent both INVALID_ARGUMENT and
FAILED_PRECONDITION in this field for an expired sync token.  The body of an error may also be HTML or missing.
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
    ClientRejected,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    QuotaExceeded,
    ScopeMissing,
    SourceUnavailable,
    SyncTokenExpired,
)
from ldapgw.google.delegation import DelegationRefusal
from ldapgw.google.http import GoogleResponse, log_excerpt

_REASONS: Mapping[str, type[GoogleError]] = MappingProxyType(
    {
        "EXPIRED_SYNC_TOKEN": SyncTokenExpired,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ScopeMissing,
        "SERVICE_DISABLED": ApiDisabled,
        "CONSUMER_SUSPENDED": ClientRejected,
        "USER_PROJECT_DENIED": ClientRejected,
        "ACCESS_TOKEN_EXPIRED": AccessTokenRejected,
        "ACCESS_TOKEN_TYPE_UNSUPPORTED": AccessTokenRejected,
        "CREDENTIALS_MISSING": AccessTokenRejected,
        # reasons in the old style of errors
        "accessNotConfigured": ApiDisabled,
        "insufficientPermissions": ScopeMissing,
        "authError": AccessTokenRejected,
        "backendError": GoogleUnavailable,
    }
)

# Reasons of the Directory API.  Most of Google's errors have both a new and an old reason.
_DIRECTORY_REASONS: Mapping[str, DelegationRefusal] = MappingProxyType(
    {
        "SERVICE_DISABLED": DelegationRefusal.API_DISABLED,
        "accessNotConfigured": DelegationRefusal.API_DISABLED,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT": DelegationRefusal.SOME_SCOPES,
        "insufficientPermissions": DelegationRefusal.SOME_SCOPES,
        "domainCannotUseApis": DelegationRefusal.API_ACCESS_OFF,
        "domainPolicy": DelegationRefusal.POLICY,
    }
)

# Google has many names for an exceeded quota, such as rateLimitExceeded and userRateLimitExceededUnreg.
_QUOTA = re.compile(r"limit_?exceeded|quota", re.IGNORECASE)

_QUOTA_NAME = re.compile(r"[A-Za-z0-9_./-]{1,120}")
_WORD = re.compile(r"[A-Za-z_]{1,60}")
_URL = re.compile(r"https://[\x21-\x7e]{1,500}")


def read_refusal(
    answer: GoogleResponse, source: Source | None, *, incremental: bool, first: bool = True
) -> GoogleError:
    """Return the exception for an answer whose status is not 200.

    :param source: the listed source, or None for contact groups.
    :param incremental: whether the request had a sync token, which may be the cause of the error.
    :param first: whether the request was for the first page; otherwise its page token may be the cause of the error.
    """
    error = _error(answer.body)
    reasons = _reasons(error)
    detail = _detail(answer, error, reasons)
    for reason in reasons:
        if reason in _REASONS:
            return _error_from_reason(_REASONS[reason], detail, answer, error, incremental=incremental)
        if _QUOTA.search(reason):
            return _quota_exceeded(detail, answer, error)
        if reason == "domainPolicy":
            return GoogleRefused(detail, by="policy")
    if error.get("status") == "RESOURCE_EXHAUSTED":
        return _quota_exceeded(detail, answer, error)
    if answer.error is not None:
        return answer.error
    if source is not Source.CONTACTS and answer.status in (403, 404):
        # An HTML page comes from a proxy, or from Google's check for robots, and is temporary.
        return SourceUnavailable(detail) if error or not answer.body.strip() else BadResponse(detail)
    return _error_from_status(answer.status, detail, error, source, is_sync_token_suspect=incremental and first)


def read_directory_refusal(answer: GoogleResponse, *, of_group: bool) -> GoogleError:
    """Return the exception for an answer of the Directory API whose status is not 200.

    The Directory API answers 403 both for missing rights and for too many calls, so the reason decides, not the status.

    :param of_group: whether the request was for the members of a group, not for the users of the Workspace.
    """
    error = _error(answer.body)
    reasons = _reasons(error)
    detail = _detail(answer, error, reasons)
    for reason in reasons:
        if reason in _DIRECTORY_REASONS:
            return DelegationRefused(detail, refusal=_DIRECTORY_REASONS[reason])
        if _QUOTA.search(reason):
            return _quota_exceeded(detail, answer, error)
    if error.get("status") == "RESOURCE_EXHAUSTED":
        return _quota_exceeded(detail, answer, error)
    if answer.error is not None or "backendError" in reasons:
        return answer.error or GoogleUnavailable(detail)
    if answer.status == 401:
        return AccessTokenRejected(detail)
    if answer.status == 403 and error:
        return DelegationRefused(detail, refusal=DelegationRefusal.NOT_AN_ADMIN)
    if answer.status == 404 and error:
        return DelegationRefused(
            detail, refusal=DelegationRefusal.NO_GROUP if of_group else DelegationRefusal.NOT_WORKSPACE
        )
    if answer.status == 400 and error.get("status") == "FAILED_PRECONDITION":
        return DelegationRefused(detail, refusal=DelegationRefusal.NOT_WORKSPACE)
    # An HTML page comes from a proxy, or from Google's check for robots, and is temporary.
    return BadResponse(detail)


def _detail(answer: GoogleResponse, error: Mapping[str, Any], reasons: list[str]) -> str:
    said = log_excerpt(error.get("message"))
    return " ".join([f"HTTP {answer.status}", *reasons]) + (f": {said}" if said else "")


def _quota_exceeded(detail: str, answer: GoogleResponse, error: Mapping[str, Any]) -> QuotaExceeded:
    """Return the exception for an exceeded quota, with Google's names of the limit and the metric if there are any."""
    metadata = [_object(info.get("metadata")) for info in _error_infos(error)]
    limit, metric = (
        next((name for data in metadata if isinstance(name := data.get(key), str) and _QUOTA_NAME.fullmatch(name)), "")
        for key in ("quota_limit", "quota_metric")
    )
    names = " ".join(filter(None, (limit, metric)))
    return QuotaExceeded(
        f"{detail} ({names})" if names else detail, retry_after=answer.retry_after, limit=limit, metric=metric
    )


def _error_from_reason(
    refusal: type[GoogleError], detail: str, answer: GoogleResponse, error: Mapping[str, Any], *, incremental: bool
) -> GoogleError:
    if refusal is ApiDisabled:
        return ApiDisabled(detail, activation_url=_activation_url(error))
    if refusal is SyncTokenExpired and not incremental:
        # The request had no sync token, so this sync is already full, and another full sync would not help.
        return BadResponse(detail)
    return refusal(detail, retry_after=answer.retry_after)


def _error_from_status(
    status: int, detail: str, error: Mapping[str, Any], source: Source | None, *, is_sync_token_suspect: bool
) -> GoogleError:
    """Return the exception for an error without a known reason, by its HTTP status and the field ``status``.

    :param is_sync_token_suspect: whether the sync token may be the cause of the error.
    """
    if status == 401:
        return AccessTokenRejected(detail)
    if source is Source.CONTACTS and status == 403 and error:
        return GoogleRefused(detail)
    if source is Source.DIRECTORY and error.get("status") == "FAILED_PRECONDITION" and not is_sync_token_suspect:
        return SourceUnavailable(detail)
    # Google answers a bare 400 to a damaged or foreign sync token; a full sync shows whether the token was the cause.
    if status in (400, 410) and is_sync_token_suspect:
        return SyncTokenExpired(detail)
    return BadResponse(detail)


def _error(body: bytes) -> Mapping[str, Any]:
    """Return the ``error`` object of a body, or an empty mapping if the body has no such object."""
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    return _object(_object(answer).get("error"))


def _reasons(error: Mapping[str, Any]) -> list[str]:
    """Return the well-formed reasons of an error, the most reliable first."""
    old_style = _objects(error.get("errors"))[:1]
    reasons = [item.get("reason") for item in (*_error_infos(error), *old_style)]
    return [reason for reason in reasons if isinstance(reason, str) and _WORD.fullmatch(reason)]


def _activation_url(error: Mapping[str, Any]) -> str:
    """Return the URL where an administrator enables the API, or an empty text if the error has no such URL.

    A URL with another host than Google's is ignored, because pages show the URL as a link.
    """
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
